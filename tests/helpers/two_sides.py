"""Records of two sides whose networks and numbers are as a test wants them."""

import csv
from collections.abc import Callable
from functools import cache

import numpy as np
import synthetic_records as synthetic
from places import SHARED
from scipy.stats import norm

from benchmark.records.record import Record, RecordFile
from benchmark.studies.detection.measurement import Measurement
from benchmark.studies.detection.records import Scored

CASES = SHARED / "cases" / "two_machines.csv"
PLAIN = synthetic.make_measurement(np.random.default_rng(0), 1.2, 2.5, 0.05)


@cache
def whole(near: float, far: float) -> Measurement:
    """One with these AUROCs, and all else as it goes with them."""
    distances = [2**0.5 * float(norm.ppf(auroc)) for auroc in (near, far)]
    return synthetic.make_measurement(np.random.default_rng(0), *distances, 0.05)


def numbers(near: float, far: float, accuracy: float) -> Measurement:
    """One with these numbers, and those alone changed that must go with them."""
    return synthetic.altered(PLAIN, {"near": {"auroc": near}, "far": {"auroc": far}}, accuracy)


def record(
    near: float | None, *, seed: int = 0, backbone: str = "tiny_cnn", init: str = "scratch",
    network: str = "", far: float = 0.9, accuracy: float | None = None, **changes,
) -> Record:  # fmt: skip
    """A record; `network` tells networks of one place apart. Failed where `near` is None."""
    settings = {name: changes.pop(name) for name in Scored.model_fields if name in changes}
    made = synthetic.make_record(backbone, init, seed, None, **settings)
    provenance = made.provenance.model_copy(
        update={"checkpoint": f"{network} {backbone} {init} {seed}".ljust(64, "0")}
    )
    if near is None:
        made = made.model_copy(update={"reason": "broke"})
    else:
        found = whole(near, far) if accuracy is None else numbers(near, far, accuracy)
        made = synthetic.measured(made, found)
    return made.model_copy(update={"provenance": provenance, **changes})


def file(entry: str, records: list[Record], *, exact: bool = False, **changes) -> RecordFile:
    """A file of records; each with a key of its own, unless their keys are `exact`."""
    if not exact:
        records = [one.model_copy(update={"key": f"{one.key} {one.cell}"}) for one in records]
        return synthetic.make_file(entry, records, **changes)
    made = {"objective": changes.pop("objective", "cross_entropy"), "detector": entry}
    records = [synthetic.set_up(one, **made) for one in records]
    return synthetic.make_file(entry, [], **changes).model_copy(update={"records": records})


def two_machines() -> tuple[list[RecordFile], list[RecordFile]]:
    """The records of the handed case: what was published, and what another processor came to."""
    with CASES.open() as opened:
        rows = list(csv.DictReader(opened))

    def side(name: str, value: Callable[[dict[str, str], str], float]) -> list[RecordFile]:
        by_entry: dict[str, list[Record]] = {}
        for row in rows:
            by_entry.setdefault(row["entry"], []).append(
                record(
                    value(row, "near_auroc"), far=value(row, "far_auroc"), accuracy=value(row, "accuracy"),
                    seed=int(row["seed"]), backbone=row["backbone"], init=row["init"], network=name,
                )
            )  # fmt: skip
        return [file(entry, records) for entry, records in by_entry.items()]

    published = side("amd", lambda row, metric: float(row[f"{metric}_published"]) / 100)
    return published, side("intel", lambda row, metric: float(row[f"{metric}_here"]) / 100)
