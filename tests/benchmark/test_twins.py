"""What must be there once and is there twice: records of a cell, columns of a Parquet file."""

import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmark.datasets.mirror import Columns, MirrorFile
from benchmark.errors import DataError
from benchmark.records.files import iterate
from benchmark.records.record import RecordFile
from benchmark.records.results import read_all, write_records

RECORD = {"backbone": "tiny", "init": "scratch", "seed": 0, "status": "failed", "reason": "none", "key": "k"}


def entry(*seeds):
    head = {"track": "small", "study": "detection", "row": "msp"}
    records = [RECORD | {"seed": seed} for seed in seeds]
    return RecordFile.model_validate({**head, "environments": {}, "records": records})


def row(*seeds):
    training = {"objective": "cross_entropy", "hyperparameters": {}, "outliers": {}, "recipe": None}
    records = [RECORD | {"seed": seed, "training": training} for seed in seeds]
    head = {"track": "small", "study": "corruptions", "row": "cross_entropy"}
    return RecordFile.model_validate({**head, "environments": {}, "records": records})


def test_r30_records_under_another_name_are_refused_with_both_names(tmp_path):
    write_records(tmp_path / "small" / "msp.json", entry(0, 1))
    assert [r.seed for file in read_all(tmp_path) for r in file.records] == [0, 1]
    copy = tmp_path / "small" / "msp copy.json"
    copy.write_bytes((tmp_path / "small" / "msp.json").read_bytes())
    with pytest.raises(DataError) as caught:
        read_all(tmp_path)
    assert str(caught.value) == (
        f"{copy}: holds the records of small/msp.json; expected one file of them, of that name"
    )


def test_r30_records_of_a_study_under_another_name_are_refused_with_both_names(tmp_path):
    write_records(tmp_path / "small" / "corruptions" / "cross_entropy.json", row(0))
    assert [r.seed for file in list(iterate(tmp_path)) for r in file.records] == [0]
    copy = tmp_path / "small" / "adversarial" / "cross_entropy.json"
    copy.parent.mkdir()
    copy.write_bytes((tmp_path / "small" / "corruptions" / "cross_entropy.json").read_bytes())
    said = f"{copy}: holds the records of small/corruptions/cross_entropy.json"
    with pytest.raises(DataError, match=re.escape(said)):
        list(iterate(tmp_path))


@pytest.mark.parametrize("made", [entry, row])
def test_r30_two_records_of_a_cell_in_one_file_name_it(made):
    with pytest.raises(ValueError, match="tiny scratch 1: two records of one cell"):
        made(0, 1, 1)


ENCODED = pa.array([b"a", b"b"])


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["image", "image", "label"], "has 2 columns 'image' for the images, expected one"),
        (["image", "label", "label"], "has 2 columns 'label' for the labels, expected one"),
    ],
)
def test_r30_a_column_that_is_there_twice_is_refused(tmp_path, names, problem):
    path = tmp_path / "test.parquet"
    columns = [pa.array([0, 1]) if name == "label" else ENCODED for name in names]
    pq.write_table(pa.table(columns, names=names), path)
    with pytest.raises(DataError) as caught:
        MirrorFile(path, Columns("image", "label"))
    assert str(caught.value) == f"{path} {problem}"


def test_r30_a_part_of_a_column_that_is_there_twice_is_refused(tmp_path):
    path = tmp_path / "test.parquet"
    twice = pa.StructArray.from_arrays([ENCODED, ENCODED], ["bytes", "bytes"])
    pq.write_table(pa.table([twice], names=["image"]), path)
    with pytest.raises(
        DataError, match=r"column 'image' is struct<.*>, expected struct<bytes: binary, path: string>"
    ):
        MirrorFile(path, Columns("image", None))
