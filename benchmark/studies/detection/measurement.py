"""What is measured of OOD detection, as models: which numbers can be true together.

Numbers that contradict each other are refused here, so that nothing that reads records needs to doubt them.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, Literal, Self, get_args

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

    group: str  # near, far, or one apart
    auroc: Share
    aupr_in: Share
    aupr_out: Share
    aupr_out_b: Share
    fpr95: Share
    fpr95_ood_pos: Share
    detection_error: Share
    n_in: Count
    n_out: Count


class SpectrumMeans(StrictModel):
    """Means over the OOD sets of a group where shifted ID test images count as ID."""

    auroc: Share
    aupr_in: Share
    aupr_out: Share
    fpr95: Share


class FullSpectrum(StrictModel):
    """OOD detection where ID is all clean test images and all shifted ones, each image once.

    Shifted are of every kind and severity from 1 on; OOD sets are not (`benchmark.metrics.spectrum`).
    """

    n_in: Count
    near: SpectrumMeans
    far: SpectrumMeans


DETECTED: tuple[str, ...] = tuple(Means.model_fields)  # what is measured of each OOD set
SEVERITIES = range(6)  # of a shift; 0 is unshifted
SHIFTED = ("accuracy", "ece", "auroc_near")  # and of ID test images under a shift

SPECTRUM = tuple(f"full_spectrum.{group}.{name}" for group in GROUPS for name in SpectrumMeans.model_fields)

_detected = operator.attrgetter(*DETECTED)


def group_means(sets: Iterable[Detection], group: str) -> dict[str, float]:
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
    apart: dict[str, Means] = Field(default_factory=dict)  # by group of sets that are neither
    selective: Selective
    robustness: dict[str, list[Shifted]]  # by shift, severities ascending from 0
    # None: nothing is shifted, or the record is from before it was measured
    full_spectrum: FullSpectrum | None = None
    curves: Curves

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        for name, found in self.detection.items():
            if found.n_in != self.classification.n:
                raise ValueError(
                    f"detection.{name}.n_in: expected {self.classification.n}, the ID test images of "
                    f"classification, got {found.n_in}"
                )
        for group, means in {"near": self.near, "far": self.far, **self.apart}.items():
            for name, mean in group_means(self.detection.values(), group).items():
                if abs(getattr(means, name) - mean) > ROUNDING:
                    raise ValueError(
                        f"{group}.{name}: expected {mean:.10g}, the mean of its OOD sets, "
                        f"got {getattr(means, name)}"
                    )
        for drawn_group in GROUPS:
            auroc = getattr(self, drawn_group).auroc
            low, high = self.curves.auroc_bounds(drawn_group)
            if not low <= auroc <= high:
                raise ValueError(
                    f"{drawn_group}.auroc: expected {low:.4f} to {high:.4f} from the ROC curve, got {auroc}"
                )
        for shift, levels in self.robustness.items():
            severities = [level.severity for level in levels]
            if severities != list(range(len(levels))) or not levels:
                raise ValueError(f"robustness.{shift}: expected severities from 0 on, got {severities}")
        return self

    @model_validator(mode="after")
    def _full_spectrum_agrees(self) -> Self:
        """AUROC is linear in the ID side: that of all images follows from those of its parts."""
        found, clean = self.full_spectrum, self.classification.n
        if found is None:
            return self
        shifted = [level.auroc_near for levels in self.robustness.values() for level in levels[1:]]
        if not shifted:
            raise ValueError("full_spectrum: expected none, as no ID test image is shifted")
        each, rest = divmod(found.n_in - clean, len(shifted))
        if rest or not 1 <= each <= clean:
            raise ValueError(
                f"full_spectrum.n_in: expected {clean} ID test images and as many of each of {len(shifted)} "
                f"shifted sets, at most {clean}, got {found.n_in}"
            )
        near = (clean * self.near.auroc + each * sum(shifted)) / found.n_in
        if abs(found.near.auroc - near) > ROUNDING:
            raise ValueError(
                f"full_spectrum.near.auroc: expected {near:.10g}, the mean of clean and shifted images, "
                f"got {found.near.auroc}"
            )
        low = clean * self.far.auroc / found.n_in
        high = low + 1 - clean / found.n_in
        if not low - ROUNDING <= found.far.auroc <= high + ROUNDING:
            raise ValueError(
                f"full_spectrum.far.auroc: expected {low:.4f} to {high:.4f} with the clean images' share of "
                f"all, got {found.far.auroc}"
            )
        return self
