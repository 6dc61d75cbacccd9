"""Files of study records: merged, damaged."""

import json

import pytest

from benchmark.errors import DataError
from benchmark.records.files import read_records
from benchmark.records.record import Record, RecordFile
from benchmark.records.results import merge, write_records


def record(**changes):
    return Record.model_validate(
        {
            "backbone": "tiny", "init": "scratch", "seed": 0, "condition": "exp", "key": "a" * 32,
            "training": {"objective": "cross_entropy"}, "numbers": {"total.error": 0.25},
            "provenance": {"measured_in": "here", "checkpoint": "c"}, **changes,
        }
    )  # fmt: skip


HERE = {
    "oodbench": "1", "python": "3", "platform": "p", "processor": "c", "cores": 2, "libraries": {},
}  # fmt: skip


def file(*records):
    return RecordFile(
        track="small", study="imbalance", row="none", environments={"here": HERE}, records=list(records)
    )


def test_a_new_result_replaces_the_old_one_of_its_cell_and_no_other():
    other = record(seed=1)
    merged = merge(file(record(), other), file(record(numbers={"total.error": 0.5}, key="b" * 32)))
    assert [r.numbers["total.error"] for r in merged.records] == [0.5, 0.25]


def test_the_same_result_keeps_the_record_that_is_there():
    one, other = (record(cost={"measure_seconds": seconds}) for seconds in (1.0, 2.0))
    assert merge(file(one), file(other)).records == [one]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"status": "measurd"}, "status"),
        ({"surprise": 1}, "surprise"),
        ({"numbers": [None]}, "total.error"),
    ],
)
def test_a_damaged_file_is_named_with_the_place(tmp_path, change, complaint):
    path = tmp_path / "none.json"
    write_records(path, file(record()))
    content = json.loads(path.read_text())
    content["records"][0] |= change
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=complaint) as caught:
        read_records(path)
    assert str(path) in str(caught.value)


def test_an_environment_that_is_not_described_is_refused(tmp_path):
    path = tmp_path / "none.json"
    write_records(path, file(record()))
    content = json.loads(path.read_text())
    content["environments"] = {"there": HERE}
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="made in an environment that the file does not describe"):
        read_records(path)


def test_r21_a_failure_replaces_a_result_of_the_same_key():
    failed = record(status="failed", reason="disk", numbers={}, provenance=None)
    assert merge(file(record()), file(failed)).records == [failed]
    assert merge(file(record(key="b" * 32)), file(failed)).records == [failed]
