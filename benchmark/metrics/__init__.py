"""Numbers from scores: is ID told from OOD, is confidence calibrated, what do the seeds allow to say.

`detection` takes two sets of scores, `spectrum` those of shifted ID images besides, `calibration` logits or
confidences with labels, `statistics` one number a seed.
Pure functions of arrays: this room must not know datasets, networks, methods or files.
"""

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
    "CalibrationMetrics",
    "DetectionMetrics",
    "FprConvention",
    "FullSpectrum",
    "Interval",
    "PairedDifference",
    "ReliabilityBins",
    "SelectiveRisk",
    "SpectrumMetrics",
    "Temperature",
    "aupr_out_at_base_rate",
    "brier",
    "calibration_metrics",
    "detection_metrics",
    "ece",
    "fit_temperature",
    "fpr95",
    "full_spectrum",
    "holm",
    "mad_calibration",
    "mean_interval",
    "nll",
    "paired_difference",
    "reliability",
    "rms_calibration",
    "roc_at",
    "selective_risk",
    "significance_ranks",
    "soft_f1",
    "softmax",
]
