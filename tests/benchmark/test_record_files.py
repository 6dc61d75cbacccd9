"""Files of records: small, each thing once, nothing lost, nothing that is no record taken for one."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from invented_records import failed, file, record

from benchmark.errors import DataError
from benchmark.records.files import iterate, read_records
from benchmark.records.results import iter_records, merge, read_all, write_records
from benchmark.records.text import name_of, record_path

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "results"


def of_checkpoint(made, checkpoint, **changes):
    return made.model_copy(
        update={"provenance": made.provenance.model_copy(update={"checkpoint": checkpoint}), **changes}
    )


def networks(results, objective="cross_entropy"):
    return json.loads((results / "t" / "networks" / f"{objective}.json").read_text())["networks"]


def write(results, *records, entry="knn"):
    path = record_path(results, "t", entry)
    write_records(path, file(*records, row=entry))
    return path


# What stands where.


def test_what_an_accelerator_took_stands_where_a_record_has_it_and_older_files_are_as_they_were(tmp_path):
    always = write(tmp_path, record(0), record(1))
    assert json.loads(always.read_text())["cost"][-1] == "peak_memory_mb"
    used = {**record(1).cost.model_dump(), "peak_device_memory_mb": 5.0, "least_batch": 64.0}
    made = [record(0), record(1, cost=used)]
    path = write(tmp_path, *made, entry="msp")
    content = json.loads(path.read_text())
    assert content["cost"][-2:] == ["peak_device_memory_mb", "least_batch"]
    assert [line["cost"][-1] for line in content["records"]] == [1.0, 64.0]
    assert read_records(path).records == made
    assert read_records(always).records == [record(0), record(1)]


@pytest.mark.parametrize("cost", [["train_seconds"], [], None, ["a"] * 6])
def test_other_columns_of_the_cost_are_refused(tmp_path, cost):
    path = write(tmp_path, record(0))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"cost": cost}))
    with pytest.raises(DataError, match=r"knn\.json: cost: expected pretrain_seconds, "):
        read_records(path)


def test_what_belongs_to_a_network_stands_once_for_all_entries(tmp_path):
    for entry in ("knn", "msp"):
        text = write(tmp_path, record(0), record(1), entry=entry).read_text()
        assert "rms_calibration" not in text
        assert "checkpoint" not in text
    assert [line["seed"] for line in networks(tmp_path).values()] == [0, 1]
    assert [f.records for f in read_all(tmp_path)] == [[record(0), record(1)]] * 2


def test_a_record_of_an_older_checkpoint_keeps_its_network_beside_the_new_one(tmp_path):
    old, new = of_checkpoint(record(0), "old"), of_checkpoint(record(0, x=0.75), "new")
    write(tmp_path, old)
    path = write(tmp_path, new, entry="msp")
    assert sorted(line["checkpoint"] for line in networks(tmp_path).values()) == ["new", "old"]
    assert [f.records for f in read_all(tmp_path)] == [[old], [new]]
    path.unlink()
    write(tmp_path, of_checkpoint(record(0, x=0.25), "newest"))
    assert [line["checkpoint"] for line in networks(tmp_path).values()] == [
        "newest"
    ]  # none that nobody names


def test_what_made_the_records_stands_once_a_file_unless_it_differs(tmp_path):
    other = record(1)
    source = other.provenance.model_copy(update={"method_source": "another"})
    other = other.model_copy(update={"provenance": source})
    for records, sources in (((record(0), record(1)), 1), ((record(0), other), 2)):
        path = write(tmp_path, *records)
        assert len(json.loads(path.read_text())["made"]) == sources
        assert read_records(path).records == list(records)


def test_a_changed_cell_changes_a_few_lines(tmp_path):
    path = write(tmp_path, *(record(seed) for seed in range(4)))
    before = path.read_text().splitlines()
    write(tmp_path, record(0), record(1, x=0.75, key="new"), record(2), record(3))
    after = path.read_text().splitlines()
    assert len(before) == len(after)
    assert 0 < sum(a != b for a, b in zip(before, after, strict=True)) <= 5


def test_shares_are_written_as_counts_where_these_give_back_the_same_shares(tmp_path):
    made, counts = record(0), [1, 2, 3, 4]
    exact = [count / sum(counts) for count in counts]  # 10 of 9 images: no counts of them
    for images, written in ((9, exact), (sum(counts), counts)):
        whole = json.loads(made.model_dump_json())
        for path in whole["numbers"]:
            if path == "classification.n" or path.endswith(".n_in"):
                whole["numbers"][path] = images
        for name in ("reliability", "reliability_scaled"):
            whole["series"][f"classification.{name}.count"] = [images]
        for name in ("histogram_id", "histogram_near", "histogram_far"):
            whole["series"][name] = exact
        there = type(made).model_validate(whole)
        path = write(tmp_path, there)
        line = json.loads(path.read_text())["records"][0]
        assert line["series"]["histogram_id"] == written
        assert read_records(path).records == [there]


def test_nothing_is_lost_when_files_are_written_again(tmp_path):
    written = file(
        record(0, tuning=[{"hyperparameters": {"k": 1}, "auroc": 0.5}]), failed(1), record(2, x=0.1)
    )
    path = record_path(tmp_path, "t", "knn")
    write_records(path, written)
    texts = {p: p.read_bytes() for p in tmp_path.rglob("*.json")}
    assert not write_records(path, merge(read_records(path), written))
    assert {p: p.read_bytes() for p in tmp_path.rglob("*.json")} == texts


# What is published.


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="no published results beside the tests")
def test_the_published_records_are_whole_and_small():
    measured = sum(len(f.records) for f in iter_records(PUBLISHED))
    assert measured > 0
    assert {"detection", "trainings", "plane", "adversarial"} <= {f.study for f in iterate(PUBLISHED)}
    size = sum(path.stat().st_size for path in PUBLISHED.rglob("*.json"))
    assert size / measured < 3500, "bytes a cell, with its share of networks, trainings and studies"


# What is refused.


def test_records_of_an_older_schema_are_refused_with_what_to_do(tmp_path):
    path = write(tmp_path, record(0))
    path.write_text(json.dumps({"schema_version": 2}))
    with pytest.raises(
        DataError, match=r"knn\.json: schema_version: got 2.*make it anew with `oodbench run`"
    ):
        read_records(path)


@pytest.mark.parametrize("name", ["made", "networks"])
def test_what_is_shared_and_changed_by_hand_is_seen(tmp_path, name):
    path = write(tmp_path, record(0))
    at = path if name == "made" else path.parent / "networks" / "cross_entropy.json"
    content = json.loads(at.read_text())
    (key,) = content[name]
    content[name][key]["added"] = 1
    at.write_text(json.dumps(content))
    with pytest.raises(DataError, match=rf"{at.name}: {name}\.{key}: was changed by hand"):
        read_records(path)
    assert name_of({"a": 1, "b": 2}) == name_of({"b": 2, "a": 1})


def test_a_file_of_networks_that_is_missing_is_said(tmp_path):
    path = write(tmp_path, record(0))
    (path.parent / "networks" / "cross_entropy.json").unlink()
    with pytest.raises(DataError, match=r"knn\.json: b scratch 0: network: expected one of the folder"):
        read_records(path)


# What lies about.


def test_r7_hidden_files_are_passed_over(tmp_path):
    path = write(tmp_path, record(0))
    for folder in (tmp_path, path.parent, path.parent / "networks"):
        (folder / "._knn.json").write_bytes(b"\0\5\x16\7")  # as macOS leaves on shares
        (folder / ".DS_Store").write_bytes(b"\0")
    assert [(f.study, f.row) for f in iterate(tmp_path)] == [("detection", "knn")]


def fifo(path):
    os.mkfifo(path)


def dangling(path):
    path.symlink_to("nothing")


def device(path):
    path.symlink_to("/dev/zero")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no such files on this platform")
@pytest.mark.parametrize("make", [fifo, dangling, device])
@pytest.mark.parametrize("place", ["", "t", "t/networks", "t/trainings", "t/adversarial"])
def test_r7_what_is_no_file_is_named_and_refused_at_once(tmp_path, make, place):
    write(tmp_path, record(0))
    (tmp_path / place).mkdir(exist_ok=True)
    odd = tmp_path / place / "odd.json"
    make(odd)
    with pytest.raises(DataError, match=str(odd)):
        list(iterate(tmp_path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no such files on this platform")
def test_r7_reading_a_pipe_by_name_does_not_wait_for_a_writer(tmp_path):
    fifo(tmp_path / "knn.json")
    with pytest.raises(DataError, match=r"knn\.json: cannot be read: not a regular file"):
        read_records(tmp_path / "knn.json")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root, to become another user")
@pytest.mark.parametrize("place", [".", "t", "t/networks", "t/trainings"])
def test_r28_a_folder_that_cannot_be_read_is_an_error_that_names_it(tmp_path, place):
    write(tmp_path, record(0))
    (tmp_path / "t" / "trainings").mkdir()
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    closed = (tmp_path / place).resolve()
    closed.chmod(0o700)
    program = f"""
        import os, sys
        from benchmark.errors import DataError
        from benchmark.records.results import iterate
        from pathlib import Path
        import benchmark.records.trainings, benchmark.studies.detection.records  # while they can be read
        os.setuid(65534)
        try:
            list(iterate(Path({str(tmp_path)!r})))
        except DataError as error:
            print(error)
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ran.stdout.startswith(str(closed))  # or what lies in it
    assert ran.stdout.endswith(": cannot be read: Permission denied\n")
