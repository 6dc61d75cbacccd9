"""What an evaluation answers, as models: `report.json`, and what pages are made of.

Shares are in [0, 1]; ID is positive and a higher score is more in-distribution, as everywhere.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from benchmark.records.numbers import Amount, Count, Curve, Number, Share, StrictModel
from benchmark.studies.detection.measurement import Calibration, Group, Reliability

Verdict = Literal["best", "worse", "undecided"]


class Interval(StrictModel):
    """A number with its interval from the images; of one model there are no seeds."""

    value: Number
    low: Number
    high: Number


class SetCard(StrictModel):
    """One set of images."""

    name: str
    role: Literal["id_train", "id_val", "id_test", "near", "far"]
    n: Count  # images that were used
    excluded: int = Field(default=0, ge=0)  # that are ID test images too, exactly or nearly
    card: dict[str, Any]  # `ImageSource.card`


class Detected(StrictModel):
    """One detector on one OOD set."""

    group: Group
    auroc: Interval  # DeLong
    fpr95: Interval  # bootstrap
    aupr_in: Interval
    aupr_out: Interval


class Against(StrictModel):
    """The difference of mean AUROC to the best, paired by images (DeLong), Holm-adjusted."""

    difference: Interval  # at most 0 but by chance
    p: Share
    p_holm: Share
    verdict: Verdict


class DetectorOutcome(StrictModel):
    """One detector."""

    name: str
    title: str
    hyperparameters: dict[str, Any]
    needs: tuple[str, ...]
    sets: dict[str, Detected]
    near: Interval | None  # mean AUROC over the sets of the group
    far: Interval | None
    mean: Interval  # of near and far, or of what there is
    aurc: Number | None  # of ID test images rejected by this score; None without labels
    cost: Annotated[Number, Field(ge=0)]  # of a forward pass and the score, in forward passes
    fit_seconds: Amount
    against_best: Against


class NotApplied(StrictModel):
    """A detector that cannot be used here."""

    name: str
    why: str


class Threshold(StrictModel):
    """Where the recommended detector's score is cut: accepted is what is at least `threshold`."""

    keep: Share  # the wanted share of ID images
    threshold: Number  # from ID validation images
    n_val: Count
    kept: Interval  # share of ID test images that is kept
    passed: dict[str, Interval]  # share of each OOD set that is let through
    accuracy_kept: Interval | None  # of ID test images that are kept; None without labels


class Recommendation(StrictModel):
    """Which detector to use, by a rule that was fixed before."""

    name: str
    budget: Annotated[Number, Field(gt=0)]  # forward passes
    rule: str
    why: str  # one sentence with the numbers
    ties: tuple[str, ...]  # within the budget, not significantly worse than the best of it


class Selective(StrictModel):
    """Accuracy against coverage when ID test images are rejected by the recommended score."""

    coverage: Curve
    risk: Curve
    aurc: Number


class Classified(StrictModel):
    """The classifier on the ID test images."""

    accuracy: Interval
    temperature: Annotated[Number, Field(gt=0)]
    calibration: Calibration
    calibration_scaled: Calibration
    reliability: Reliability
    reliability_scaled: Reliability


class Corrupted(StrictModel):
    """ID test images under one corruption at one severity."""

    kind: str
    severity: Annotated[int, Field(ge=1, le=5)]
    accuracy: Share | None
    auroc: Share | None  # of the recommended detector: corrupted ID images against near (else far) OOD sets
    kept: Share  # by the threshold


class Drawn(StrictModel):
    """What plots of the recommended detector need, thinned out."""

    edges: Curve  # of the histograms' bins, ascending
    histograms: dict[str, Curve]  # share of the images of each set in each bin: "id" and the OOD sets
    fpr: Curve
    tpr: dict[str, Curve]  # ROC of each OOD set at `fpr`


class Fooling(StrictModel):
    """OOD images with the highest scores."""

    set: str
    image: str
    score: Number
    predicted: str  # class


class Outcome(StrictModel):
    """All that an evaluation says."""

    version: Literal[1] = 1
    title: str
    made: str  # ISO 8601, UTC
    environment: dict[str, Any]
    model: dict[str, Any]  # `Subject.card`, with title, classes and fingerprint
    sets: tuple[SetCard, ...]
    warnings: tuple[str, ...]
    classified: Classified | None  # None without labels
    detectors: tuple[DetectorOutcome, ...]  # best mean first
    not_applicable: tuple[NotApplied, ...]
    recommended: Recommendation
    thresholds: tuple[Threshold, ...]  # of the wanted share first, then of a few usual ones
    selective: Selective | None
    corrupted: tuple[Corrupted, ...]
    drawn: Drawn
    fooling: tuple[Fooling, ...]
    seconds: dict[str, Amount]  # forward, fit, score, all


class ScoredImage(NamedTuple):
    """An image with what the classifier and a detector say of it."""

    set: str
    image: str
    label: str | None  # class; None where there is none
    predicted: str
    confidence: float  # softmax probability of the predicted class
    score: float
    accepted: bool
