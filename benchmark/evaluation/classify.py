"""The classifier itself on the ID test images, a chunk at a time."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from benchmark.metrics.calibration import (
    calibration_metrics,
    ece,
    fit_temperature,
    mad_calibration,
    reliability,
    rms_calibration,
    softmax,
)
from benchmark.metrics.cells import BINS
from benchmark.studies.detection.measurement import Calibration, Reliability


@dataclass
class AtTemperature:
    """What is known of softmax confidences at one temperature."""

    temperature: float
    confidence: list[NDArray[np.float64]] = field(default_factory=list)
    sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))  # of NLL and Brier score

    def add(self, logits: NDArray[np.float64], labels: NDArray[np.int64]) -> None:
        """See more images: logits (N, K), labels (N,)."""
        self.confidence.append(softmax(logits, self.temperature).max(axis=1))
        found = calibration_metrics(logits, labels, self.temperature)
        self.sums += len(labels) * np.array([found.nll, found.brier])

    def calibration(self, correct: NDArray[np.bool_]) -> tuple[Calibration, Reliability]:
        """All of it; `correct` (N,) which images were classified rightly."""
        confidence = np.concatenate(self.confidence)
        mean_nll, mean_brier = (self.sums / len(correct)).tolist()
        bins = reliability(confidence, correct)
        return Calibration(
            nll=mean_nll,
            brier=mean_brier,
            ece=ece(confidence, correct),
            rms_calibration=rms_calibration(confidence, correct),
            mad_calibration=mad_calibration(confidence, correct),
        ), Reliability(**{name: getattr(bins, name)[bins.count > 0].tolist() for name in BINS})


class Classifying:
    """Sees ID test images chunk by chunk; the temperature is that of validation images.

    Parameters
    ----------
    logits, labels : (N, K) and (N,) of ID validation images.
    """

    def __init__(self, logits: Tensor, labels: Tensor) -> None:
        self.temperature = fit_temperature(logits.double().numpy(), labels.numpy()).value
        self._plain, self._scaled = AtTemperature(1.0), AtTemperature(self.temperature)
        self._correct: list[NDArray[np.bool_]] = []

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """See more images: logits (N, K), labels (N,)."""
        z, y = logits.double().numpy(), labels.numpy()
        self._correct.append(z.argmax(axis=1) == y)
        for one in (self._plain, self._scaled):
            one.add(z, y)

    @property
    def correct(self) -> NDArray[np.bool_]:
        """(N,) which images were classified rightly."""
        return np.concatenate(self._correct)

    @property
    def plain(self) -> tuple[Calibration, Reliability]:
        """At T = 1."""
        return self._plain.calibration(self.correct)

    @property
    def scaled(self) -> tuple[Calibration, Reliability]:
        """At the fitted temperature."""
        return self._scaled.calibration(self.correct)
