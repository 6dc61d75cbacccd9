"""What the numbers of OOD detection are: a typed reading of them, and which can be true together.

A record has its numbers by path (``near.auroc``, ``detection.glyphs.fpr95``, ``robustness.contrast.3.ece``)
and its curves as series. `measurement_of` reads them as models; numbers that contradict each other are
refused there, so that nothing that reads records needs to doubt them. Means over the sets of a group follow
from these and are not kept, but for AUROC.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from statistics import fmean
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, model_validator

from benchmark.records.numbers import (
    DRAWN,
    ROUNDING,
    Count,
    Number,
    Share,
    Shares,
    StrictModel,
    drawn,
    same_length,
)
from benchmark.records.record import HpMode, Record
from methods.neutral import neutral

Group = Literal["near", "far"]
GROUPS: tuple[Group, ...] = get_args(Group)


class Calibration(StrictModel):
    """How well the softmax confidence fits on the ID test images (spec §6); shares in [0, 1]."""

    nll: Annotated[Number, Field(ge=0)]
    brier: Annotated[Number, Field(ge=0, le=2)]
    ece: Share  # 15 equal-width bins
    rms_calibration: Share  # adaptive bins of 100
    mad_calibration: Share


class Reliability(StrictModel):
    """Bins of a reliability diagram; empty bins are left out."""

    lower: Shares
    upper: Shares
    count: list[Count]
    confidence: Shares  # mean confidence of the bin
    accuracy: Shares

    @model_validator(mode="after")
    def _bins_are_whole(self) -> Self:
        same_length(self, "lower", "upper", "count", "confidence", "accuracy")
        return self


class Classification(StrictModel):
    """What holds for the network, whatever detector scores it."""

    accuracy: Share
    n: Count  # ID test images
    calibration: Calibration  # at T = 1
    calibration_scaled: Calibration  # at T = `temperature`
    temperature: Annotated[Number, Field(gt=0)]  # fitted on ID validation
    temperature_at_bound: bool
    feature_min: Number | None = (
        None  # smallest penultimate feature of the training images; None without them
    )
    reliability: Reliability  # at T = 1
    reliability_scaled: Reliability

    @model_validator(mode="after")
    def _bins_hold_all_images(self) -> Self:
        for name in ("reliability", "reliability_scaled"):
            bins: Reliability = getattr(self, name)
            if sum(bins.count) != self.n:
                raise ValueError(f"{name}: its bins hold {sum(bins.count)} images, expected all {self.n}")
            mean = sum(c * a for c, a in zip(bins.count, bins.accuracy, strict=True)) / self.n
            if abs(mean - self.accuracy) > DRAWN:
                raise ValueError(f"{name}: its bins have an accuracy of {mean:.4g}, expected {self.accuracy}")
        return self


class Means(StrictModel):
    """Unweighted mean over the OOD sets of a group (spec §7); shares in [0, 1], ID is positive."""

    auroc: Share
    aupr_in: Share
    aupr_out: Share
    aupr_out_b: Share  # at OOD:ID = 1:5
    fpr95: Share
    fpr95_ood_pos: Share  # OpenOOD's: OOD positive
    detection_error: Share


class Detection(StrictModel):
    """One OOD set against the ID test images; shares as in `Means`."""

    group: Group
    auroc: Share
    aupr_in: Share
    aupr_out: Share
    aupr_out_b: Share
    fpr95: Share
    fpr95_ood_pos: Share
    detection_error: Share
    n_in: Count
    n_out: Count


DETECTED: tuple[str, ...] = tuple(Means.model_fields)  # what is measured of each OOD set
SHIFTED = ("accuracy", "ece", "auroc_near")  # and of ID test images under a shift
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

_detected = operator.attrgetter(*DETECTED)


def group_means(sets: Iterable[Detection], group: Group) -> dict[str, float]:
    """Mean of each number over the sets of a group.

    Raises
    ------
    ValueError
        If the group has no set.
    """
    members = [_detected(found) for found in sets if found.group == group]
    if not members:
        raise ValueError(f"detection: expected {group} OOD sets, got none")
    return {
        name: sum(column) / len(members)
        for name, column in zip(DETECTED, zip(*members, strict=True), strict=True)
    }


class Selective(StrictModel):
    """Rejecting the ID images that the detector trusts least (spec §7.1)."""

    aurc: Share
    eaurc: Number
    aurra: Share


class Shifted(StrictModel):
    """ID test images under one shift at one severity; severity 0 is the same images unshifted."""

    severity: Annotated[int, Field(ge=0)]
    accuracy: Share
    ece: Share
    auroc_near: Share  # mean over the near-OOD sets, which are not shifted


class Curves(StrictModel):
    """What the plots need, thinned out: never the source of a number in a table."""

    fpr: Shares
    tpr_near: Shares  # mean over the sets of the group, at `fpr`
    tpr_far: Shares
    score_low: Number  # of the histograms, whose bins are equally wide
    score_high: Number
    histogram_id: Shares  # share of the images in each bin
    histogram_near: Shares  # pooled over the sets of the group
    histogram_far: Shares

    @model_validator(mode="after")
    def _are_whole(self) -> Self:
        same_length(self, "fpr", "tpr_near", "tpr_far")
        same_length(self, "histogram_id", "histogram_near", "histogram_far")
        for name in ("fpr", "tpr_near", "tpr_far"):
            values: list[float] = getattr(self, name)
            if any(map(operator.gt, values, values[1:])):
                raise ValueError(f"{name}: expected ascending values, got a descent")
        for name in ("histogram_id", "histogram_near", "histogram_far"):
            if abs((total := sum(getattr(self, name))) - 1) > 10 * DRAWN:
                raise ValueError(f"{name}: expected shares of all images, got {total:.4g} of them")
        if self.score_low > self.score_high:
            raise ValueError(f"score_low: expected at most {self.score_high}, got {self.score_low}")
        return self

    @property
    def score_edges(self) -> list[float]:
        """Edges of the histograms' bins: one more than there are bins."""
        bins, width = len(self.histogram_id), self.score_high - self.score_low
        return drawn([self.score_low + width * edge / bins for edge in range(bins + 1)])

    def auroc_bounds(self, group: Group) -> tuple[float, float]:
        """Between what the area under the ROC curve of a group lies: a true curve never descends."""
        tpr = self.tpr_near if group == "near" else self.tpr_far
        steps = [b - a for a, b in pairwise(self.fpr)]
        lower = sum(map(operator.mul, steps, tpr))
        upper = sum(map(operator.mul, steps, tpr[1:]))
        return lower - DRAWN, upper + DRAWN + self.fpr[0] + 1 - self.fpr[-1]


class Measurement(StrictModel):
    """Everything a cell measured."""

    classification: Classification
    detection: dict[str, Detection]  # by OOD set
    near: Means
    far: Means
    selective: Selective
    robustness: dict[str, list[Shifted]]  # by shift, severities ascending from 0
    curves: Curves

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        for name, found in self.detection.items():
            if found.n_in != self.classification.n:
                raise ValueError(
                    f"detection.{name}.n_in: expected {self.classification.n}, the ID test images of "
                    f"classification, got {found.n_in}"
                )
        for group in GROUPS:
            means: Means = getattr(self, group)
            for name, mean in group_means(self.detection.values(), group).items():
                if abs(getattr(means, name) - mean) > ROUNDING:
                    raise ValueError(
                        f"{group}.{name}: expected {mean:.10g}, the mean of its OOD sets, "
                        f"got {getattr(means, name)}"
                    )
            low, high = self.curves.auroc_bounds(group)
            if not low <= means.auroc <= high:
                raise ValueError(
                    f"{group}.auroc: expected {low:.4f} to {high:.4f} from the ROC curve, got {means.auroc}"
                )
        for shift, levels in self.robustness.items():
            severities = [level.severity for level in levels]
            if severities != list(range(len(levels))) or not levels:
                raise ValueError(f"robustness.{shift}: expected severities from 0 on, got {severities}")
        return self


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
    groups: dict[Group, list[str]]  # the OOD sets
    tuning: list[Candidate] | None = None  # of which the hyper-parameters were chosen


@neutral
def refuse_odd(kind: Literal["classification", "measurement"], found: Mapping[str, Any]) -> None:
    """Raise `ValueError` where numbers cannot be, or cannot be true together, before they are kept."""
    kinds: dict[str, type[StrictModel]] = {"classification": Classification, "measurement": Measurement}
    kinds[kind].model_validate(found)


def of_measurement(measurement: Measurement) -> dict[str, Any]:
    """Numbers and series of a measurement, as a record has them."""
    tree = measurement.model_dump(exclude={"near", "far", "robustness", "curves"}, exclude_none=True)
    leaves = dict(_leaves("", tree))
    curves = measurement.curves
    numbers = {path: value for path, value in leaves.items() if isinstance(value, int | float)}
    numbers |= {f"{group}.auroc": getattr(measurement, group).auroc for group in GROUPS}
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
    for group, mean in means_of(record).items():
        tree[group] = {**mean, **tree.get(group, {})}
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


def images_of(settings: Mapping[str, Any], numbers: Mapping[str, float]) -> dict[str, tuple[int, bool]]:
    """Of how many images each series is the share, and whether it rises: so files are written as counts.

    A mean over sets counts the ID images for each of them.
    """
    sizes = {path.split(".")[1]: int(n) for path, n in numbers.items() if path.endswith(".n_out")}
    n_in = int(numbers.get("classification.n", 1))
    found = {"histogram_id": (n_in, False)}
    for group, names in settings.get("groups", {}).items():
        found[f"tpr_{group}_by_fpr"] = n_in * len(names), True
        found[f"histogram_{group}"] = sum(sizes.get(name, 0) for name in names), False
    return found


def of_network(path: str) -> bool:
    """Whether a number or a series of a cell is the same whatever detector scores its network."""
    shifted = path.startswith("robustness.") and not path.endswith(".auroc_near")
    return shifted or path.startswith("classification.")


def _leaves(path: str, node: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for key, child in node.items():
            yield from _leaves(f"{path}.{key}" if path else str(key), child)
    else:
        yield path, node


def _rounded(mean: float) -> float:
    return float(f"{mean:.10g}")
