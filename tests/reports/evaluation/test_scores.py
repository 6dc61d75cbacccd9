"""`scores.csv`: reads back, is written as it comes, and holds nothing that a spreadsheet computes."""

import csv
import tracemalloc

import pytest

from benchmark.errors import StorageError
from benchmark.evaluation.outcome import ScoredImage
from reports.evaluation.scores import HEAD, no_formula, write_scores

ROW = ScoredImage("near", "a.png", "cat", "dog", 0.1 + 0.2, -1e-300, True)
NAMES = ('a "b", c', "line\nend", "a;b", "שלום", "\r\n", "'x", " =1")


def read(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_rows_read_back(tmp_path):
    rows = [ROW, *(ROW._replace(set=name, image=name, label=None, predicted=name) for name in NAMES)]
    assert write_scores(tmp_path / "new" / "scores.csv", rows) == len(rows)
    head, *found = read(tmp_path / "new" / "scores.csv")
    assert tuple(head) == HEAD
    for cells, row in zip(found, rows, strict=True):
        assert cells[:4] == [
            no_formula(row.set),
            no_formula(row.image),
            row.label or "",
            no_formula(row.predicted),
        ]
        assert float(cells[4]) == row.confidence
        assert float(cells[5]) == row.score
        assert cells[6] == "true"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_name_is_a_formula(tmp_path, start):
    name = f"{start}HYPERLINK(1)"
    write_scores(tmp_path / "scores.csv", [ScoredImage(name, name, name, name, 0.5, -0.5, False)])
    cells = read(tmp_path / "scores.csv")[1]
    assert cells[:4] == [f"'{name}"] * 4
    assert cells[4:] == ["0.5", "-0.5", "false"]


def test_bytes_of_a_path_that_are_no_text_are_written_out(tmp_path):
    write_scores(tmp_path / "scores.csv", [ROW._replace(image="a\udcff.png")])
    assert read(tmp_path / "scores.csv")[1][1] == "a\\udcff.png"


def test_rows_are_not_kept(tmp_path):
    tracemalloc.start()
    try:
        write_scores(tmp_path / "scores.csv", (ROW._replace(image=f"{i}.png") for i in range(50_000)))
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_failure_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "scores.csv"
    write_scores(path, [ROW])
    before = path.read_bytes()

    def rows():
        yield ROW
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        write_scores(path, rows())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "report").write_text("")
    with pytest.raises(StorageError, match="report"):
        write_scores(tmp_path / "report" / "scores.csv", [ROW])
