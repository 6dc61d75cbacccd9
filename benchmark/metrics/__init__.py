"""Numbers from scores: is ID told from OOD, is confidence calibrated, what do the seeds allow to say.

`detection` takes two sets of scores, `spectrum` those of shifted ID images besides, `calibration` logits or
confidences with labels, `statistics` one number a seed. Of one network there are no seeds: `delong`,
`resampled`, `precision` and `shares` give intervals from images, `best` compares detectors.
Pure functions of arrays: this room must not know datasets, networks, methods or files.
"""

from benchmark.metrics.best import Against, against_best
from benchmark.metrics.bounds import Bounds, clopper_pearson, wilson
from benchmark.metrics.calibration import (
    CalibrationMetrics,
    ReliabilityBins,
    Temperature,
    brier,
    calibration_metrics,
    ece,
    fit_temperature,
    mad_calibration,
    nll,
    reliability,
    rms_calibration,
    soft_f1,
    softmax,
)
from benchmark.metrics.delong import Aurocs, Difference
from benchmark.metrics.detection import (
    DetectionMetrics,
    FprConvention,
    SelectiveRisk,
    aupr_out_at_base_rate,
    detection_metrics,
    fpr95,
    roc_at,
    selective_risk,
)
from benchmark.metrics.precision import Precision, average_precision
from benchmark.metrics.resampled import Resampled, resampled_fpr95
from benchmark.metrics.shares import accepted_share, keeping
from benchmark.metrics.spectrum import FullSpectrum, SpectrumMetrics, full_spectrum
from benchmark.metrics.statistics import (
    Interval,
    PairedDifference,
    holm,
    mean_interval,
    paired_difference,
    significance_ranks,
)

__all__ = [
    "Against",
    "Aurocs",
    "Bounds",
    "CalibrationMetrics",
    "DetectionMetrics",
    "Difference",
    "FprConvention",
    "FullSpectrum",
    "Interval",
    "PairedDifference",
    "Precision",
    "ReliabilityBins",
    "Resampled",
    "SelectiveRisk",
    "SpectrumMetrics",
    "Temperature",
    "accepted_share",
    "against_best",
    "aupr_out_at_base_rate",
    "average_precision",
    "brier",
    "calibration_metrics",
    "clopper_pearson",
    "detection_metrics",
    "ece",
    "fit_temperature",
    "fpr95",
    "full_spectrum",
    "holm",
    "keeping",
    "mad_calibration",
    "mean_interval",
    "nll",
    "paired_difference",
    "reliability",
    "resampled_fpr95",
    "rms_calibration",
    "roc_at",
    "selective_risk",
    "significance_ranks",
    "soft_f1",
    "softmax",
    "wilson",
]
