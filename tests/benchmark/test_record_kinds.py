"""One record for all that is measured: what holds for every kind, and what each kind is held to."""

import json

import pytest
from invented_records import environment, failed, file, record

from benchmark.errors import DataError
from benchmark.records.comparison import pair, seen
from benchmark.records.files import iterate, read_records
from benchmark.records.record import DETECTION, NETWORKS, TRAININGS, Record, RecordFile
from benchmark.records.results import merge, write_records
from benchmark.records.text import record_path
from benchmark.studies import registry

TRAINED = {
    "backbone": "b",
    "init": "i",
    "seed": 0,
    "key": "k",
    "training": {"objective": "cross_entropy"},
    "series": {"loss": [2.0, 1.0]},
}
ATTACKED = {
    **TRAINED,
    "series": {},
    "numbers": {"clean.accuracy": 0.5},
    "provenance": {"checkpoint": "c", "measured_in": "here"},
}


def rows(study, *records):
    about = {"track": "t", "study": study, "row": "x", "environments": {"here": environment()}}
    return RecordFile(**about, records=list(records))


def test_a_zero_has_no_sign(tmp_path):
    """The smallest feature of a network with hard-swish is -0.0: its file must read back."""
    path = record_path(tmp_path, "t", "knn")
    made = record(0)
    numbers = {**made.numbers, "classification.feature_min": -0.0}
    write_records(path, file(Record.model_validate({**made.model_dump(), "numbers": numbers})))
    assert str(read_records(path).records[0].numbers["classification.feature_min"]) == "0.0"


def test_what_an_objective_notes_may_be_named_as_it_likes(tmp_path):
    noted = {**TRAINED, "series": {**TRAINED["series"], "notes.share_by_class": [0.1, 0.2]}}
    path = tmp_path / "x.json"
    write_records(path, rows(TRAININGS, noted))
    assert read_records(path).records == [Record.model_validate(noted)]


@pytest.mark.parametrize(
    "first",
    [{"loaded": 3}, {"fresh": 5}, {"fresh": [1]}, {"overlap": 3}, {"source": "x"}, {"surprise": 1}],
)
def test_first_weights_say_what_they_must(tmp_path, first):
    made = rows(TRAININGS, {**TRAINED, "provenance": {"first_weights": first}})
    with pytest.raises(ValueError, match=r"first_weights|fresh|overlap|source|surprise"):
        write_records(tmp_path / "x.json", made)


def test_other_first_weights_are_another_result():
    """A record that says of which test sets its weights have seen the dataset is not kept from its file."""
    one, other = (
        Record.model_validate({**TRAINED, "provenance": {"first_weights": {"overlap": sets}}})
        for sets in (None, ["glyphs"])
    )
    assert not one.same_result(other)
    assert merge(rows(TRAININGS, one), rows(TRAININGS, other)).records == [other]


def test_a_setting_that_one_side_lacks_is_another_setting():
    one, other = (
        rows("adversarial", {**ATTACKED, "settings": settings, "key": key})
        for settings, key in (({}, "a"), ({"transfer": "pgd_at"}, "b"))
    )
    assert [*pair(seen([one]), seen([other])).left_out] == ["other settings"]


def test_the_order_of_ood_sets_is_no_setting():
    one, other = (
        rows("adversarial", {**ATTACKED, "settings": {"groups": {"near": sets}}})
        for sets in (["a", "b"], ["b", "a"])
    )
    assert len(pair(seen([one]), seen([other])).compared) == 1


def test_a_study_may_have_a_setting_of_any_name(tmp_path):
    """What belongs to a network lies apart for OOD detection only."""
    path = record_path(tmp_path, "t", "x", "adversarial")
    made = rows("adversarial", {**ATTACKED, "settings": {"objective": "pgd_at"}})
    write_records(path, made)
    assert [found.records for found in iterate(tmp_path)] == [made.records]
    assert not (path.parent / "networks").exists()


def test_a_file_of_a_study_among_the_entries_is_refused(tmp_path):
    write_records(record_path(tmp_path, "t", "x", "adversarial"), rows("adversarial", ATTACKED))
    copy = tmp_path / "t" / "x.json"
    copy.write_bytes(record_path(tmp_path, "t", "x", "adversarial").read_bytes())
    with pytest.raises(DataError, match=r"t/x\.json: holds the records of t/adversarial/x\.json"):
        list(iterate(tmp_path, DETECTION))


def test_a_file_that_was_laid_out_anew_keeps_its_networks(tmp_path):
    for entry, checkpoint in (("knn", "0"), ("msp", "1")):
        made = record(0)
        provenance = made.provenance.model_copy(update={"checkpoint": checkpoint})
        made = made.model_copy(update={"provenance": provenance})
        write_records(record_path(tmp_path, "t", entry), file(made, row=entry))
    path = record_path(tmp_path, "t", "knn")
    path.write_text(json.dumps(json.loads(path.read_text()), indent=4))
    before = read_records(path)
    write_records(record_path(tmp_path, "t", "msp"), file(record(0, x=0.25), row="msp"))
    assert read_records(path) == before


def test_networks_that_nothing_was_measured_of_any_more_go(tmp_path):
    path = record_path(tmp_path, "t", "knn")
    write_records(path, file(record(0)))
    write_records(path, file(failed(0)))
    assert json.loads((tmp_path / "t" / "networks" / "cross_entropy.json").read_text())["networks"] == {}


def test_a_number_of_400_digits_is_named(tmp_path):
    path = record_path(tmp_path, "t", "knn")
    write_records(path, file(record(0)))
    networks = tmp_path / "t" / "networks" / "cross_entropy.json"
    networks.write_text(networks.read_text().replace('"numbers":[0.5', f'"numbers":[{"9" * 400}'))
    with pytest.raises(DataError, match=r"cross_entropy\.json: "):
        read_records(path)


@pytest.mark.parametrize("name", [TRAININGS, NETWORKS])
def test_no_study_has_a_name_that_the_results_use(tmp_path, monkeypatch, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    monkeypatch.setattr("benchmark.studies.__path__", [*registry.benchmark.studies.__path__, str(tmp_path)])
    with pytest.raises(ValueError, match=f"{name}: the name is taken"):
        registry.study_names()
