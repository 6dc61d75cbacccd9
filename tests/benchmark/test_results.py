"""Records: what is read is what was written, what is merged loses nothing, what is wrong is named."""

import json
import re

import pytest
from invented_records import failed, file, measurement, record
from pydantic import ValidationError

from benchmark.errors import DataError
from benchmark.records.files import read_records
from benchmark.records.record import Cell, Cost, RecordFile
from benchmark.records.results import merge, read_all, withdrawn, write_records
from benchmark.records.text import record_path
from benchmark.studies.detection.measurement import Measurement
from benchmark.studies.detection.records import measurement_of, of_measurement

# Reading and writing.


def test_what_is_read_is_what_was_written(tmp_path):
    written = file(
        record(0, hyperparameters={"k": 3, "p": 0.1, "mode": "l2", "none": None, "list": [1, 2]}),
        record(1, hp_mode="declared"),
        failed(2, reason='ä "quoted"\nand a second line <b>'),
        record(3, status="not_applicable", reason="no linear head"),
    )
    path = record_path(tmp_path, "t", "knn")
    assert write_records(path, written)
    assert read_records(path) == written
    assert read_all(tmp_path) == [written]


def test_writing_the_same_again_does_not_touch_the_file(tmp_path):
    path = tmp_path / "x.json"
    write_records(path, file(record()))
    before = path.stat()
    assert not write_records(path, read_records(path))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert path.stat().st_ino == before.st_ino
    assert write_records(path, file(record(x=0.25)))


def test_the_text_is_stable_and_has_a_list_of_numbers_on_one_line(tmp_path):
    path = tmp_path / "x.json"
    write_records(path, file(record(1), record(0)))
    text = path.read_bytes().decode("ascii")
    assert text.endswith("}\n")
    assert text.count('"histogram_id":[0.5,0.5]') == 2
    assert not re.search(r"\[\s*\n\s*[\d.]", text)
    assert all(line == line.rstrip() and "\t" not in line for line in text.splitlines())
    keys = [line.strip().split(":")[0] for line in text.splitlines() if line.startswith(' "')]
    tables = {"cost", "settings", "axes", "columns", "made"}
    assert {key.strip('"') for key in keys} == {*RecordFile.model_fields, *tables}
    again = read_records(path)
    path.unlink()
    write_records(path, again)
    assert path.read_bytes().decode() == text


def test_a_change_of_one_number_changes_one_line(tmp_path):
    texts = []
    for aurc in (0.25, 0.75):
        changed = json.loads(file(record()).model_dump_json())
        changed["records"][0]["numbers"]["selective.aurc"] = aurc
        write_records(tmp_path / "x.json", RecordFile.model_validate(changed))
        texts.append((tmp_path / "x.json").read_text().splitlines())
    assert len(texts[0]) == len(texts[1])
    assert sum(one != two for one, two in zip(*texts, strict=True)) == 1


@pytest.mark.parametrize("x", [1 / 3, 0.123456789012345, 1e-17, 5e-324, 0.99999999999, 0.0])
def test_numbers_are_rounded_once(x):
    made = record(x=x)
    assert made.numbers["near.auroc"] == float(f"{x:.10g}")
    assert made.series["histogram_id"][0] == float(f"{x:.4g}")
    again = measurement_of(made)
    assert again == Measurement.model_validate_json(again.model_dump_json())
    assert {**of_measurement(again)} == {"numbers": made.numbers, "series": made.series}


@pytest.mark.parametrize("x", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_not_finite_are_refused(tmp_path, x):
    with pytest.raises(ValidationError, match="finite number"):
        measurement(x)
    with pytest.raises(ValidationError, match="finite number"):
        Cost.model_validate({**record().cost.model_dump(), "train_seconds": x})
    path = tmp_path / "x.json"
    write_records(path, file(record()))
    path.write_text(re.sub(r'"numbers":\[[0-9.]+', f'"numbers":[{json.dumps(x)}', path.read_text()))
    with pytest.raises(DataError, match=r"x\.json: the file: .* at line"):
        read_records(path)


def test_a_hyperparameter_that_is_not_finite_is_never_written(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_records(tmp_path / "x.json", file(record(hyperparameters={"t": float("inf")})))
    assert not list(tmp_path.iterdir())


def change(*place, to):
    def apply(content):
        for part in place[:-1]:
            content = content[part]
        if to is None:
            del content[place[-1]]
        else:
            content[place[-1]] = to

    return apply


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (change("schema_version", to=4), "schema_version: got 4"),
        (change("schema_version", to=2), "schema_version: got 2, of an older oodbench"),
        (change("track", to=None), "track: Field required"),
        (change("surprise", to=1), "surprise: Extra inputs are not permitted, got 1"),
        (change("records", 1, "seed", to="zero"), "b scratch zero: seed: Input should be a valid integer"),
        (change("records", 0, "status", to="fine"), "b scratch 0: status: Input should be 'measured'"),
        (change("study", to=None), "study: Field required"),
        (
            change("records", 1, "numbers", 0, to="high"),
            "b scratch 1: numbers.detection.digits.auroc: Input should be a valid number",
        ),
        (change("records", 1, "numbers", to=[1]), "b scratch 1: numbers: expected a list of detection."),
        (change("records", 0, "series", to=None), "b scratch 0: curves.tpr_near: Field required"),
        (change("records", 0, "network", to="x"), "b scratch 0: network: expected one of the folder"),
        (change("environments", to={}), "the file: b scratch 0: made in an environment that"),
        (change("records", to={}), "records: expected a list"),
        (change("cost", to=[]), "cost: expected "),
        (change("records", 0, "cost", to=[1]), "b scratch 0: cost: expected a list of "),
    ],
)
def test_what_is_wrong_with_a_file_is_named_with_its_place(tmp_path, damage, complaint):
    path = tmp_path / "t" / "knn.json"
    write_records(path, file(record(0), record(1)))
    content = json.loads(path.read_text())
    damage(content)
    path.write_text(json.dumps(content))
    for read in (lambda: read_records(path), lambda: read_all(tmp_path)):
        with pytest.raises(DataError) as caught:
            read()
        assert str(caught.value).startswith(f"{path}: {complaint}")
        assert "expected" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null", b"<<<<<<< HEAD\n{}"])
def test_a_file_that_is_no_object_is_named(tmp_path, content):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.json: the file: .*; expected records of schema 3"):
        read_records(tmp_path / "x.json")


def test_a_file_that_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(DataError, match=r"absent\.json: cannot be read: No such file or directory"):
        read_records(tmp_path / "absent.json")
    with pytest.raises(DataError, match="cannot be read: not a regular file"):
        read_records(tmp_path)


def test_all_files_are_read_in_order_and_what_is_no_record_is_left_alone(tmp_path):
    for track, entry in (("b", "x"), ("a", "z"), ("a", "y")):
        write_records(record_path(tmp_path, track, entry), file(record(), track=track, row=entry))
    (tmp_path / "a" / ".y.json.k3j2").write_text("{")  # of a run that was killed while it wrote
    (tmp_path / "README.md").write_text("about")
    assert [(f.track, f.row) for f in read_all(tmp_path)] == [("a", "y"), ("a", "z"), ("b", "x")]
    assert read_all(tmp_path / "absent") == []


@pytest.mark.parametrize("name", ["../x", "..", ".", "", "a/b", "/a", "A", ".a", "a\n", "a b", "a\\b", "ä"])
def test_names_never_leave_the_folder(tmp_path, name):
    with pytest.raises(ValueError, match="cannot be part of a path"):
        record_path(tmp_path, name, "knn")
    with pytest.raises(ValueError, match="cannot be part of a path"):
        record_path(tmp_path, "t", name)


def test_ordinary_names_are_paths(tmp_path):
    path = record_path(tmp_path, "cifar10_lt-0.01", "energy_finetune+energy")
    assert path == tmp_path / "cifar10_lt-0.01" / "energy_finetune+energy.json"


def test_a_cell_reads_like_a_sentence():
    assert str(Cell("digits", "tiny", "scratch", 3, "knn")) == "digits tiny scratch seed 3 knn"


# Merging.


def test_new_cells_join_the_old_ones_in_order():
    merged = merge(file(record(2), record(0)), file(record(10), record(1)))
    assert [r.seed for r in merged.records] == [0, 1, 2, 10]
    assert merge(None, file(record(1), record(0))).records == [record(0), record(1)]


def test_a_new_measurement_takes_the_place_of_the_old_one():
    merged = merge(file(record(0), record(1)), file(record(0, key="new", x=0.75)))
    assert merged.records == [record(0, key="new", x=0.75), record(1)]


def test_the_same_result_leaves_the_old_record_with_its_provenance():
    old = file(record(0))
    elsewhere = record(0, place="there", cost={**record().cost.model_dump(), "train_seconds": 99.0})
    assert elsewhere != record(0)
    assert elsewhere.same_result(record(0))
    assert merge(old, file(elsewhere, places=("there",))) == old


@pytest.mark.parametrize(
    "changed",
    [
        {"key": "other"},
        {"x": 0.6},
        {"hp_mode": "declared"},
        {"hyperparameters": {"k": 2}},
        {"status": "failed", "key": "other", "reason": "r"},
    ],
)
def test_a_result_that_differs_in_anything_replaces(changed):
    new = record(0, **changed)
    assert not new.same_result(record(0))
    assert merge(file(record(0)), file(new)).records == [new]


def test_r21_a_failure_replaces_what_the_same_key_came_to_and_is_told():
    old = file(record(0), record(1))
    assert merge(old, file(failed(0))).records == [failed(0), record(1)]
    assert withdrawn(old, file(failed(0), failed(2))) == ["b scratch 0"]
    told = file(record(0, status="not_applicable", reason="no linear head"))
    assert merge(told, file(failed(0))).records == [failed(0)]
    assert withdrawn(file(failed(0)), file(failed(0))) == []  # it was none


def test_a_failure_of_changed_code_replaces_the_measurement():
    assert merge(file(record(0)), file(failed(0, key="new"))).records == [failed(0, key="new")]


def test_a_measurement_replaces_a_failure_and_a_later_reason_an_earlier_one():
    assert merge(file(failed(0)), file(record(0))).records == [record(0)]
    assert merge(file(failed(0)), file(failed(0, reason="another"))).records == [failed(0, reason="another")]


def test_environments_are_kept_as_long_as_a_record_needs_them():
    old = file(record(0, place="old"), record(1, place="older"), places=("old", "older", "unused"))
    merged = merge(old, file(record(0, x=0.7, place="new"), places=("new", "not needed")))
    assert list(merged.environments) == ["new", "older"]
    assert merged.environments["older"] == old.environments["older"]


def test_merging_again_changes_nothing(tmp_path):
    old, new = file(record(0), failed(1)), file(record(1), record(2), failed(0))
    once = merge(old, new)
    assert merge(once, new) == once
    assert old == file(record(0), failed(1))  # what was merged is as it was
    write_records(tmp_path / "x.json", once)
    assert not write_records(tmp_path / "x.json", merge(read_records(tmp_path / "x.json"), new))


def test_an_entry_that_is_made_of_other_methods_now_says_so():
    merged = merge(file(record(0, detector="old")), file(record(0, detector="new")))
    assert [r.settings["detector"] for r in merged.records] == ["new"]
