"""What must be there once and is there twice: records of a cell, columns of a Parquet file."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmark.datasets.mirror import Columns, MirrorFile
from benchmark.errors import DataError
from benchmark.results import read_all
from benchmark.studies.records import read_studies

RECORD = {"backbone": "tiny", "init": "scratch", "seed": 0, "status": "failed", "reason": "none", "key": "k"}


@pytest.fixture
def kept(tmp_path):
    """Write a record file, or a file of a study, below a results folder."""

    def write(name, *seeds, study=None):
        records = [RECORD | {"seed": seed} for seed in seeds]
        head = {"schema_version": 1, "track": "small", "environments": {}}
        if study is None:
            told = head | {"entry": "msp", "objective": "cross_entropy", "detector": "msp"}
        else:
            training = {"objective": "cross_entropy", "hyperparameters": {}, "outliers": {}, "recipe": None}
            records = [record | {"training": training} for record in records]
            told = head | {"study": study, "row": "cross_entropy"}
        path = tmp_path / "small" / (study or "") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(told | {"records": records}))
        return path

    return write


def test_r30_two_records_of_a_cell_name_both_files(kept, tmp_path):
    one, two = kept("msp copy.json", 0, 1), kept("msp.json", 1, 2)
    with pytest.raises(DataError) as caught:
        read_all(tmp_path)
    assert str(caught.value) == (
        f"two records of the cell small tiny scratch seed 1 msp, in {one} and in {two}; expected one"
    )


def test_r30_two_records_of_a_cell_in_one_file_name_it(kept, tmp_path):
    path = kept("msp.json", 0, 0)
    with pytest.raises(DataError, match=f"seed 0 msp, in {path} and in {path}; expected one"):
        read_all(tmp_path)


def test_r30_files_of_different_cells_are_read_side_by_side(kept, tmp_path):
    kept("msp.json", 0, 1)
    kept("msp more.json", 2)
    assert sorted(r.seed for file in read_all(tmp_path) for r in file.records) == [0, 1, 2]


def test_r30_two_records_of_a_study_name_both_files(kept, tmp_path):
    one, two = kept("a.json", 0, study="corruptions"), kept("b.json", 0, study="corruptions")
    kept("a.json", 0, study="adversarial")  # another study is another cell
    with pytest.raises(DataError) as caught:
        read_studies(tmp_path)
    said = str(caught.value)
    assert f", in {one} and in {two}; expected one" in said
    assert "of corruptions cross_entropy" in said


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
