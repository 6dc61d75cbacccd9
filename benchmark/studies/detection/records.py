"""What a record of OOD detection has, and a typed reading of it.

It has its numbers by path (``near.auroc``, ``detection.glyphs.fpr95``, ``robustness.contrast.3.ece``,
``full_spectrum.far.fpr95``) and its curves as series. `measurement_of` reads them as models; means over the
sets of a group follow from these and are not kept, but for AUROC.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from statistics import fmean
from typing import Any, Literal

from benchmark.records.families import Family, Fields
from benchmark.records.numbers import Count, Share, StrictModel
from benchmark.records.record import HpMode, Record
from benchmark.store.artifacts import Artifact
from benchmark.studies.detection.measurement import (
    DETECTED,
    GROUPS,
    SHIFTED,
    SPECTRUM,
    Classification,
    Measurement,
)
from methods.neutral import neutral

_SCORES = ("score_low", "score_high")
_NOT_SHOWN = (*_SCORES, "classification.temperature_at_bound")  # where bins lie, and a flag: in no table
_CURVES = {  # series of a record, and fields of `Curves`
    "fpr": "fpr",
    "tpr_near_by_fpr": "tpr_near",
    "tpr_far_by_fpr": "tpr_far",
    "histogram_id": "histogram_id",
    "histogram_near": "histogram_near",
    "histogram_far": "histogram_far",
}


class Candidate(StrictModel):
    """One point of a tuned entry's grid."""

    hyperparameters: dict[str, Any]
    auroc: Share  # of ID validation images, mean over the validation OOD sets


class Scored(StrictModel):
    """How a cell was measured: the settings of its record."""

    objective: str  # in leaderboard.yaml
    detector: str
    hyperparameters: dict[str, Any]  # all of the detector's
    # Spec §0.5, and "declared" for values that leaderboard.yaml sets by hand.
    hp_mode: HpMode
    networks: Count  # of how many, trained with consecutive seeds of the track, the scores come
    groups: dict[str, list[str]]  # the OOD sets: near, far, and those apart
    fit_limit: Count | None = None  # most training images it was fitted on; None: what the detector declares
    transductive: bool | None = None  # true: each score depends on other images of its set
    tuning: list[Candidate] | None = None  # of which the hyper-parameters were chosen


@neutral
def refuse_odd(kind: Literal["classification", "measurement"], found: Mapping[str, Any]) -> None:
    """Raise `ValueError` where numbers cannot be, or cannot be true together, before they are kept."""
    kinds: dict[str, type[StrictModel]] = {"classification": Classification, "measurement": Measurement}
    kinds[kind].model_validate(found)


def of_measurement(measurement: Measurement) -> dict[str, Any]:
    """Numbers and series of a measurement, as a record has them."""
    left = {"near", "far", "apart", "robustness", "curves"}
    tree = measurement.model_dump(exclude=left, exclude_none=True)
    leaves = dict(_leaves("", tree))
    curves = measurement.curves
    numbers = {path: value for path, value in leaves.items() if isinstance(value, int | float)}
    numbers |= {f"{group}.auroc": getattr(measurement, group).auroc for group in GROUPS}
    numbers |= {f"{group}.auroc": means.auroc for group, means in measurement.apart.items()}
    for shift, levels in measurement.robustness.items():
        for level in levels:
            numbers |= {f"robustness.{shift}.{level.severity}.{n}": getattr(level, n) for n in SHIFTED}
    numbers |= {name: getattr(curves, name) for name in _SCORES}
    series = {path: value for path, value in leaves.items() if isinstance(value, list)}
    series |= {name: getattr(curves, field) for name, field in _CURVES.items()}
    return {"numbers": {path: float(value) for path, value in numbers.items()}, "series": series}


def check(record: Record) -> None:
    """Refuse a measurement that cannot be, or that does not say what made it.

    Raises
    ------
    ValueError
        Names what is wrong.
    """
    made = record.provenance
    whole = made is not None and made.date and made.measured_in and made.checkpoint and made.method_source
    if record.status == "measured" and not whole:
        raise ValueError("provenance: expected what made the measurement, got none, or only a part")
    measurement_of(record)


def measurement_of(record: Record) -> Measurement | None:
    """What a cell measured; None unless it was.

    Raises
    ------
    ValueError
        If a number is missing, cannot be, or contradicts another: names it.
    """
    if record.status != "measured":
        return None
    scored = Scored.model_validate(record.settings)
    tree: dict[str, Any] = {}
    known = [item for item in record.numbers.items() if item[0] not in _SCORES]
    for path, value in [*known, *((n, v) for n, v in record.series.items() if n not in _CURVES)]:
        *above, leaf = path.split(".")
        node = tree
        for part in above:
            node = node.setdefault(part, {})
        node[leaf] = value
    sets = {name: group for group, names in scored.groups.items() for name in names}
    found = tree.setdefault("detection", {})
    if found.keys() != sets.keys():
        raise ValueError(f"detection: expected {', '.join(sets)}, got {', '.join(found)}")
    apart: dict[str, Any] = {}
    for group, mean in means_of(record).items():
        whole = {**mean, **tree.pop(group, {})}
        (tree if group in GROUPS else apart)[group] = whole
    tree["apart"] = apart
    tree["detection"] = {name: {**one, "group": sets[name]} for name, one in found.items()}
    tree["robustness"] = {
        shift: [{**level, "severity": severity} for severity, level in levels.items()]
        for shift, levels in tree.get("robustness", {}).items()
    }
    tree["curves"] = {name: record.numbers[name] for name in _SCORES if name in record.numbers}
    tree["curves"] |= {f: record.series[name] for name, f in _CURVES.items() if name in record.series}
    return Measurement.model_validate(tree)


def means_of(record: Record) -> dict[str, dict[str, float]]:
    """Unweighted means over the OOD sets of each group, but of AUROC, which a record has."""
    found = {}
    for group, names in record.settings["groups"].items():
        found[group] = {
            what: _rounded(sum(record.numbers[f"detection.{name}.{what}"] for name in names) / len(names))
            for what in DETECTED
            if what != "auroc"
        }
    return found


def unseen_means(record: Record, seen: Collection[str]) -> dict[str, float]:
    """``unseen.near.auroc`` and the like: means without the OOD sets that weights were trained on.

    Inits of a track are compared by them: `seen` is of all of its inits together, so that all their means are
    over the same sets. A group of which nothing is left has none.
    """
    found = {}
    for group, names in record.settings["groups"].items():
        rest = [name for name in names if name not in seen]
        for what in DETECTED if rest else ():
            values = [record.numbers[f"detection.{name}.{what}"] for name in rest]
            found[f"unseen.{group}.{what}"] = _rounded(sum(values) / len(values))
    return found


def numbers_of(record: Record) -> dict[str, float]:
    """Every number of a cell that a table may show, by its path, with those that follow from others.

    `robustness.<shift>.<severity>.<metric>` is one shift at one severity; `robustness.<metric>` the mean over
    all shifts and the severities from 1.
    """
    found = {path: value for path, value in record.numbers.items() if path not in _NOT_SHOWN}
    for group, means in means_of(record).items():
        found |= {f"{group}.{what}": value for what, value in means.items()}
    shifted: dict[str, list[float]] = {}
    for path, value in record.numbers.items():
        if path.startswith("robustness."):
            _, _, severity, metric = path.split(".")
            if severity != "0":
                shifted.setdefault(metric, []).append(value)
    return found | {f"robustness.{metric}": fmean(values) for metric, values in shifted.items()}


def absent_of(numbers: Mapping[str, float]) -> dict[str, str]:
    """Numbers that a cell of today has and this one lacks, by path, and why.

    Those of the full spectrum, where ID test images are shifted: it was not measured from the beginning.
    """
    shifted = any(path.startswith("robustness.") for path in numbers)
    missing = [path for path in SPECTRUM if shifted and path not in numbers]
    return dict.fromkeys(missing, "the record is from before this was measured")


def images_of(settings: Mapping[str, Any], numbers: Mapping[str, float]) -> dict[str, tuple[int, bool]]:
    """Of how many images each series is the share, and whether it rises: so files are written as counts.

    A mean over sets counts the ID images for each of them.
    """
    sizes = {path.split(".")[1]: int(n) for path, n in numbers.items() if path.endswith(".n_out")}
    n_in = int(numbers.get("classification.n", 1))
    found = {"histogram_id": (n_in, False)}
    for group in GROUPS:
        names = settings.get("groups", {}).get(group, [])
        found[f"tpr_{group}_by_fpr"] = n_in * len(names), True
        found[f"histogram_{group}"] = sum(sizes.get(name, 0) for name in names), False
    return found


def of_network(path: str) -> bool:
    """Whether a number or a series of a cell is the same whatever detector scores its network."""
    shifted = path.startswith("robustness.") and not path.endswith(".auroc_near")
    return shifted or path.startswith("classification.")


def _read(artifact: Artifact) -> Fields:
    outcome = artifact.json("cell")
    found: Fields = {"status": outcome["status"], "reason": outcome.get("reason")}
    found["settings"] = {name: outcome[name] for name in ("hyperparameters", "tuning") if outcome.get(name)}
    if "measurement" in outcome:
        found |= of_measurement(Measurement.model_validate(outcome["measurement"]))
    return found


def _leaves(path: str, node: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for key, child in node.items():
            yield from _leaves(f"{path}.{key}" if path else str(key), child)
    else:
        yield path, node


def _rounded(mean: float) -> float:
    return float(f"{mean:.10g}")


FAMILY = Family(check, images_of, apart=True, of_network=of_network, read=_read)
