"""By what hyper-parameters are chosen."""

from __future__ import annotations

import numpy as np

from benchmark.jobs.config import ScoringConfig
from benchmark.jobs.scoring import AUROC
from benchmark.metrics.detection import detection_metrics


def chosen_by(config: ScoringConfig) -> AUROC | None:
    """The AUROC of ID validation images against the validation sets; None where there are none."""
    return _auroc if config.validation else None


def _auroc(inside: np.ndarray, outside: np.ndarray) -> float:
    return detection_metrics(inside, outside).auroc
