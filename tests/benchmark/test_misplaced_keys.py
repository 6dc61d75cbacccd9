"""What `plan` says of records whose key is not theirs."""

import pytest
from invented_records import failed, file, record

from benchmark.plan.freshness import freshness
from benchmark.plan.plan import Plan, Planned
from benchmark.records.place import Place
from benchmark.records.record import DETECTION
from benchmark.records.results import write_records
from benchmark.records.text import record_path


@pytest.mark.parametrize(
    ("seen", "state"),
    [("of knn", "current"), ("of msp", "misplaced"), ("of another day", "outdated"), (None, "missing")],
)
def test_r8_a_key_of_another_cell_is_told_from_one_of_other_code(tmp_path, seen, state):
    cells = tuple(
        Planned(Place("t", DETECTION, entry, "b", "scratch", 0), key=f"of {entry}")
        for entry in ("knn", "msp")
    )
    plan = Plan(cells, {})
    write_records(record_path(tmp_path, "t", "msp"), file(failed(0, key="of msp"), row="msp"))
    if seen is not None:
        write_records(record_path(tmp_path, "t", "knn"), file(record(0, key=seen)))
    assert freshness(plan, tmp_path) == {"t": {state: 1, "failed": 1}}
