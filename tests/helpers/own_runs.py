"""A folder of own records of the small leaderboard, with today's keys, that nothing has been computed for."""

from pathlib import Path

from two_sides import file, record

from benchmark.jobs.job import Kind
from benchmark.plan.plan import Plan
from benchmark.records.record import TRAININGS, Record, RecordFile, TrainedWith
from benchmark.records.results import write_records
from benchmark.records.text import record_path

WAY = TrainedWith(objective="cross_entropy", recipe={"epochs": 1})


def fill(
    folder: Path, plan: Plan, network: str, near: float = 0.8, entries=("msp", "knn"), **changes
) -> Path:
    """Write a record of each cell of the plan, of networks of that name, and how these were trained."""
    trainings = {}
    for entry in entries:
        records = []
        for planned in plan.cells:
            cell = planned.cell
            if cell.entry == entry:
                where = {"backbone": cell.backbone, "init": cell.init, "seed": cell.seed}
                made = {"key": planned.key, "training": WAY, **changes}
                records.append(record(near + cell.seed / 100, network=network, **where, **made))
                trainings[cell.seed] = Record(
                    **where, key=planned.chain[Kind.TRAIN], training=WAY, cost={"train_seconds": 1.0},
                    series={"loss": [len(network) / 7], "val_accuracy": [0.5], "val_nll": [1.0]},
                )  # fmt: skip
        made = file(entry, records, exact=True, track="small", objective="cross_entropy")
        write_records(record_path(folder, "small", entry), made)
    records = [trainings[seed] for seed in sorted(trainings)]
    of = {"track": "small", "study": TRAININGS, "row": "cross_entropy", "environments": {}}
    write_records(record_path(folder, "small", "cross_entropy", TRAININGS), RecordFile(**of, records=records))
    return folder
