"""What one measured cell is: its numbers, what made them, and which of them can be true together.

What a run measures is `Record.measurement`; it depends on nothing but code, data and seeds. `cost` and
`provenance` say what it took and where, and are left out when records are compared. Numbers that contradict
each other are refused here, so that nothing that reads records needs to doubt them. This module must not know
how records are written: `benchmark.records.files`.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Container, Iterable, Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal, NamedTuple, Protocol, Self, get_args

from pydantic import Field, model_validator

from benchmark.records.numbers import (
    DRAWN,
    ROUNDING,
    Amount,
    Count,
    Number,
    Share,
    Shares,
    StrictModel,
    drawn,
    same_length,
)
from methods.neutral import neutral

SCHEMA: Literal[2] = 2
BOUNDARY = "boundary"  # the folder of an experiment that is no track
NAME = re.compile(r"[a-z0-9][a-z0-9_+.-]*")  # of anything that may become part of a path

HpMode = Literal["published", "declared", "id_val", "proxy_ood", "oracle"]
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


@neutral
def refuse_odd(kind: Literal["classification", "measurement"], found: Mapping[str, Any]) -> None:
    """Raise `ValueError` where numbers cannot be, or cannot be true together, before they are kept."""
    kinds: dict[str, type[StrictModel]] = {"classification": Classification, "measurement": Measurement}
    kinds[kind].model_validate(found)


class Cost(StrictModel):
    """Wall seconds of the cell's own jobs, and the largest resident memory of their processes."""

    pretrain_seconds: Amount | None = None  # None where nothing was pre-trained
    train_seconds: Amount
    extract_seconds: Amount
    score_seconds: Amount
    measure_seconds: Amount
    peak_memory_mb: Amount


class Environment(StrictModel):
    """Where and with what something was computed."""

    oodbench: str
    commit: str | None = None  # with "+changes" if the working tree differed; None outside a checkout
    python: str
    platform: str
    processor: str
    instructions: str | None = None  # that torch uses, such as AVX2, and what forced others on it
    cores: int
    accelerator: str | None = None
    libraries: dict[str, str]


class Provenance(StrictModel):
    """What made a record."""

    date: str  # when it was measured, ISO 8601, UTC
    measured_in: str  # key into `RecordFile.environments`
    trained_in: str
    checkpoint: str  # SHA-256 of the network's weights
    method_source: str  # hash of the code that computed the scores
    data: dict[str, str]  # content fingerprint of every image set
    seeds: dict[str, int]  # by purpose

    @property
    def environments(self) -> set[str]:
        """Keys into `RecordFile.environments`."""
        return {self.measured_in, self.trained_in}


class Candidate(StrictModel):
    """One point of a tuned entry's grid."""

    hyperparameters: dict[str, Any]
    auroc: Share  # of ID validation images, mean over the validation OOD sets


class TrainedWith(StrictModel):
    """How the network of a record was trained, complete."""

    objective: str  # in the registry
    hyperparameters: dict[str, Any] = Field(default_factory=dict)
    outliers: dict[str, float | None] = Field(
        default_factory=dict
    )  # sets; with the share of their images in a mix with ID images
    recipe: dict[str, Any] | None = None  # epochs, learning rate, …; None: published weights as they are
    starts_from: TrainedWith | None = None  # the network that it fine-tunes
    first_phase: TrainedWith | None = None  # the network whose predictions it was given
    training_set: dict[str, Any] | None = None  # what was done to the training split; None: nothing
    sampler: dict[str, Any] | None = None  # name and hyper-parameters; None: each image once an epoch

    @property
    def epochs(self) -> int:
        """Of all stages together."""
        own = 0 if self.recipe is None else int(self.recipe["epochs"])
        return own + sum(stage.epochs for stage in (self.starts_from, self.first_phase) if stage is not None)


class Record(StrictModel):
    """One cell."""

    backbone: str
    init: str
    seed: int
    status: Literal["measured", "failed", "not_applicable"]
    reason: str | None = None  # why, unless measured
    key: str  # content key of the measurement: equal keys, equal measurements
    hyperparameters: dict[str, Any] = Field(default_factory=dict)  # all of the detector's
    # Spec §0.5, and "declared" for values that leaderboard.yaml sets by hand.
    hp_mode: HpMode = "published"
    tuning: list[Candidate] | None = None  # of which the hyper-parameters were chosen
    training: TrainedWith | None = None  # None in records of before there was more than cross_entropy
    made_of: dict[str, Any] | None = None  # images, architecture, first weights; None in older records
    networks: Count = 1  # of how many, trained with consecutive seeds of the track, the scores come
    measurement: Measurement | None = None
    cost: Cost | None = None
    provenance: Provenance | None = None

    @model_validator(mode="after")
    def _says_what_it_is(self) -> Self:
        if (self.status == "measured") != (self.measurement is not None):
            seen = "none" if self.measurement is None else "one"
            raise ValueError(f"status {self.status}: expected a measurement if measured, got {seen}")
        if self.measurement is not None and self.provenance is None:
            raise ValueError("provenance: expected what made the measurement, got none")
        return self

    @property
    def cell(self) -> tuple[str, str, int]:
        """What tells this record from the others of its file."""
        return self.backbone, self.init, self.seed

    @property
    def environments(self) -> set[str]:
        """Keys into `RecordFile.environments`."""
        return self.provenance.environments if self.provenance else set()

    def same_result(self, other: Record) -> bool:
        """Whether both say the same about the cell, leaving out cost and provenance."""
        volatile = {"cost", "provenance"}
        return self.model_dump(exclude=volatile) == other.model_dump(exclude=volatile)


class Placed(Protocol):
    """A record of any kind, as far as its file is concerned."""

    @property
    def cell(self) -> tuple[Any, ...]:
        """What tells it from the others of its file."""

    @property
    def environments(self) -> set[str]:
        """Names of the environments that it was made in."""


def refuse_loose(records: Iterable[Placed], environments: Container[str]) -> None:
    """Check that the records of a file are of different cells, made where the file says.

    Raises
    ------
    ValueError
        Names the cell.
    """
    seen = set()
    for record in records:
        cell = " ".join(map(str, record.cell)).rstrip()
        if record.cell in seen:
            raise ValueError(f"{cell}: two records of one cell; expected one")
        if not all(name in environments for name in record.environments):
            raise ValueError(f"{cell}: made in an environment that the file does not describe")
        seen.add(record.cell)


class RecordFile(StrictModel):
    """All records of one entry on one track."""

    schema_version: Literal[2] = SCHEMA
    track: str
    entry: str
    objective: str
    detector: str
    environments: dict[str, Environment]
    records: list[Record]

    @model_validator(mode="after")
    def _records_are_whole(self) -> Self:
        refuse_loose(self.records, self.environments)
        return self

    @property
    def measured(self) -> list[Record]:
        """The records that carry a measurement."""
        return [r for r in self.records if r.measurement is not None]


class Cell(NamedTuple):
    """One measurement: track × backbone × init × seed × entry."""

    track: str
    backbone: str
    init: str
    seed: int
    entry: str

    def __str__(self) -> str:
        return f"{self.track} {self.backbone} {self.init} seed {self.seed} {self.entry}"
