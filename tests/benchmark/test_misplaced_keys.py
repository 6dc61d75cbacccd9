"""What `plan` says of records whose key is not theirs."""

from types import SimpleNamespace

import pytest
from invented_records import failed, file, record

from benchmark.plan.freshness import freshness
from benchmark.records.results import Cell, record_path, write_records


@pytest.mark.parametrize(
    ("seen", "state"),
    [("of knn", "current"), ("of msp", "misplaced"), ("of another day", "outdated"), (None, "missing")],
)
def test_r8_a_key_of_another_cell_is_told_from_one_of_other_code(tmp_path, seen, state):
    cells = [
        SimpleNamespace(cell=Cell("t", "b", "scratch", 0, entry), key=f"of {entry}")
        for entry in ("knn", "msp")
    ]
    plan = SimpleNamespace(cells=cells, studies=[])
    write_records(record_path(tmp_path, "t", "msp"), file(failed(0, key="of msp"), entry="msp"))
    if seen is not None:
        write_records(record_path(tmp_path, "t", "knn"), file(record(0, key=seen)))
    assert freshness(plan, tmp_path) == {"t": {state: 1, "failed": 1}}
