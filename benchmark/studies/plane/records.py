"""What the records of the experiment in two dimensions have: numbers of an arm, and the maps of one seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from benchmark.records.families import Family, Fields
from benchmark.records.record import Record
from benchmark.store.artifacts import Artifact

SIDE = 101  # points along each side of a map
MAPS = {"near": "map.near", "far": "map.far"}  # series by field: rows of points, from below
RegionName = Literal["band", "mid", "far"]  # rings around the class means
SHARES = ("accuracy", "id_confident")
OF_REGION = ("auroc", "confident", "n")
PER_MILLE = 1000  # in which the maps are written


def of_arm(found: Mapping[str, Any], *, maps: bool = True) -> dict[str, Any]:
    """What an arm gave (`benchmark.studies.plane.measure`), as fields of a record, with its `maps` or not."""
    numbers = {name: found[name] for name in SHARES}
    for region, of in found["regions"].items():
        numbers |= {f"regions.{region}.{name}": of[name] for name in OF_REGION}
    numbers |= {f"density.{name}": value for name, value in (found["density"] or {}).items()}
    drawn = found["maps"].items() if maps else ()
    series = {MAPS[field]: [point for row in rows for point in row] for field, rows in drawn}
    return {"numbers": numbers, "series": series, "settings": {"steps": found["steps"]}}


def check(record: Record) -> None:
    """Refuse numbers that cannot be.

    Raises
    ------
    ValueError
        Names the number.
    """
    if record.status != "measured":
        return
    shares = [path for path in record.numbers if path.rpartition(".")[2] in (*SHARES, "auroc", "confident")]
    of_regions = (f"regions.{region}.{name}" for region in get_args(RegionName) for name in OF_REGION)
    if lacking := [name for name in (*SHARES, *of_regions) if name not in record.numbers]:
        raise ValueError(f"numbers: expected {', '.join(lacking)}, got none")
    for path in shares:
        if not 0 <= record.numbers[path] <= 1:
            raise ValueError(f"numbers.{path}: expected a share from 0 to 1, got {record.numbers[path]:g}")
    if record.series and record.series.keys() != set(MAPS.values()):
        raise ValueError(f"series: expected {', '.join(MAPS.values())}, got {', '.join(record.series)}")
    for name, values in record.series.items():
        if len(values) != SIDE**2 or not all(v is not None and 0 <= v <= 1 for v in values):
            raise ValueError(
                f"series.{name}: expected {SIDE} × {SIDE} probabilities, got {len(values)} values"
            )


def images_of(settings: Mapping[str, Any], numbers: Mapping[str, float]) -> dict[str, tuple[int, bool]]:
    """Maps are written in thousandths."""
    return dict.fromkeys(MAPS.values(), (PER_MILLE, False))


def _read(artifact: Artifact) -> Fields:
    return of_arm(artifact.json("arm"))


FAMILY = Family(check, images_of, read=_read)
