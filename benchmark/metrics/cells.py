"""From logits and scores to what a record says: the numbers of one network and of one cell."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.metrics.calibration import (
    calibration_metrics,
    ece,
    fit_temperature,
    reliability,
    softmax,
)
from benchmark.metrics.detection import aupr_out_at_base_rate, detection_metrics, roc_at, selective_risk
from benchmark.metrics.spectrum import full_spectrum
from benchmark.seeds import derive_seed

Arrays = Mapping[str, NDArray[Any]]

CALIBRATION = ("nll", "brier", "ece", "rms_calibration", "mad_calibration")
BINS = ("lower", "upper", "count", "confidence", "accuracy")  # of a reliability diagram
DIGITS = 10  # of the numbers of an OOD set, before means are taken over sets
FPR_GRID = np.linspace(0.0, 1.0, 41) ** 2  # denser where the curves rise
HISTOGRAM_BINS = 30
_SHIFT = re.compile(r"shift\.(?P<kind>\w+)\.(?P<severity>\d)")


def classification(features: Arrays) -> dict[str, Any]:
    """Measure a network: accuracy, calibration at T = 1 and at the fitted T, both under every shift.

    `features` has logits (N, K) and labels (N,) of the sets ``val`` and ``test``, the logits of every
    ``shift.<kind>.<severity>``, and ``shift.rows``, which test images those are; besides, where the head is
    linear, ``train.penultimate`` (N, D).
    """
    logits, labels = features["test.logits"], features["test.labels"]
    temperature = fit_temperature(features["val.logits"], features["val.labels"])
    plain, scaled = (calibration_metrics(logits, labels, t) for t in (1.0, temperature.value))
    network = {
        "accuracy": plain.accuracy,
        "n": len(labels),
        "calibration": {name: getattr(plain, name) for name in CALIBRATION},
        "calibration_scaled": {name: getattr(scaled, name) for name in CALIBRATION},
        "temperature": temperature.value,
        "temperature_at_bound": temperature.at_bound,
        "feature_min": float(features["train.penultimate"].min())
        if "train.penultimate" in features
        else None,
        "reliability": _reliability(logits, labels, 1.0),
        "reliability_scaled": _reliability(logits, labels, temperature.value),
    }
    shifts: dict[str, dict[int, Any]] = {}
    for name, kind, severity in _shifts(features, suffix=".logits"):
        rows = features["shift.rows"]
        if kind not in shifts:
            shifts[kind] = {0: _accuracy_and_ece(logits[rows], labels[rows])}
        shifts[kind][severity] = _accuracy_and_ece(features[f"{name}.logits"], labels[rows])
    return {"network": network, "shifts": shifts}


def detection(scores: Arrays, network: Mapping[str, Any], groups: Mapping[str, list[str]], seed: int) -> Any:
    """Measure a cell from its scores: what a record says of it, as JSON.

    Parameters
    ----------
    scores
        (N,) float64 of ``test``, of every OOD set and every ``shift.<kind>.<severity>``; besides,
        ``test.correct`` (N,) bool and ``shift.rows``.
    network
        What `classification` returned.
    groups
        The OOD sets that are near, those that are far, and those of other groups.
    seed
        For the draws of `aupr_out_b`.
    """
    test = scores["test"]
    sets: dict[str, dict[str, Any]] = {}
    means = {}
    for group, names in groups.items():
        for name in names:
            measured = detection_metrics(test, scores[name])
            rng = np.random.default_rng(derive_seed(seed, name))
            found = {**asdict(measured), "aupr_out_b": aupr_out_at_base_rate(test, scores[name], rng)}
            sets[name] = {"group": group, **{what: _rounded(value) for what, value in found.items()}}
        means[group] = _means([sets[name] for name in names])
    at = {("", 0): test[scores["shift.rows"]]} if "shift.rows" in scores else {}
    for name, kind, severity in _shifts(scores, suffix=""):
        at[kind, severity] = scores[name]
    shifted = [scores[name] for name, _, _ in _shifts(scores, suffix="")]
    told = {group: names for group, names in groups.items() if group in ("near", "far")}
    spectrum = _full_spectrum(test, shifted, scores, told) if shifted else {}
    robustness = {}
    for kind, severities in network["shifts"].items():
        robustness[kind] = [
            {
                "severity": int(severity),
                "accuracy": found["accuracy"],
                "ece": found["ece"],
                "auroc_near": _mean_auroc(
                    at[kind if int(severity) else "", int(severity)], scores, groups["near"]
                ),
            }
            for severity, found in sorted(severities.items())
        ]
    return {
        "classification": network["network"],
        "detection": sets,
        "near": means.pop("near"),
        "far": means.pop("far"),
        "apart": means,
        "selective": asdict(selective_risk(test, ~scores["test.correct"])),
        "robustness": robustness,
        **spectrum,
        "curves": _curves(scores, told),
    }


def _rounded(value: float) -> float:
    return value if isinstance(value, int) else float(f"{value:.{DIGITS}g}")


def _means(sets: list[dict[str, Any]]) -> dict[str, float]:
    """Mean of each share over the sets of a group."""
    shares = [name for name, value in sets[0].items() if isinstance(value, float)]
    return {name: sum(found[name] for found in sets) / len(sets) for name in shares}


def _reliability(logits: NDArray[Any], labels: NDArray[Any], temperature: float) -> dict[str, list[float]]:
    probabilities = softmax(logits, temperature)
    bins = reliability(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels)
    filled = bins.count > 0
    return {name: getattr(bins, name)[filled].tolist() for name in BINS}


def _accuracy_and_ece(logits: NDArray[Any], labels: NDArray[Any]) -> dict[str, float]:
    probabilities = softmax(logits)
    correct = probabilities.argmax(axis=1) == labels
    return {"accuracy": float(correct.mean()), "ece": ece(probabilities.max(axis=1), correct)}


def _shifts(arrays: Arrays, suffix: str) -> list[tuple[str, str, int]]:
    """Name, kind and severity of every shifted set."""
    matches = [
        _SHIFT.fullmatch(name.removesuffix(suffix)) for name in sorted(arrays) if name.endswith(suffix)
    ]
    return [(m[0], m["kind"], int(m["severity"])) for m in matches if m]


def _full_spectrum(
    test: NDArray[Any], shifted: list[NDArray[Any]], scores: Arrays, groups: Mapping[str, list[str]]
) -> dict[str, Any]:
    """All ID test images and, of the shifted ones, all kinds and severities from 1, each image once."""
    found = full_spectrum(test, shifted, {g: [scores[name] for name in names] for g, names in groups.items()})
    return {"full_spectrum": {"n_in": found.n_in, **{g: asdict(one) for g, one in found.groups.items()}}}


def _mean_auroc(id_scores: NDArray[Any], scores: Arrays, names: list[str]) -> float:
    return float(np.mean([detection_metrics(id_scores, scores[name]).auroc for name in names]))


def _curves(scores: Arrays, groups: Mapping[str, list[str]]) -> dict[str, Any]:
    test = scores["test"]
    pooled = {group: np.concatenate([scores[name] for name in names]) for group, names in groups.items()}
    # Far scores may lie orders of magnitude away: the outermost bins hold everything beyond.
    low, high = np.quantile(np.concatenate([test, pooled["near"]]), [0.01, 0.99])
    margin = 0.1 * (high - low) or 1.0
    edges = np.linspace(low - margin, high + margin, HISTOGRAM_BINS + 1)
    roc = {
        group: np.mean([roc_at(test, scores[name], FPR_GRID) for name in names], axis=0)
        for group, names in groups.items()
    }
    return {
        "fpr": FPR_GRID.tolist(),
        "tpr_near": roc["near"].tolist(),
        "tpr_far": roc["far"].tolist(),
        "score_low": float(edges[0]),
        "score_high": float(edges[-1]),
        "histogram_id": _shares(test, edges),
        "histogram_near": _shares(pooled["near"], edges),
        "histogram_far": _shares(pooled["far"], edges),
    }


def _shares(values: NDArray[Any], edges: NDArray[Any]) -> list[float]:
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    shares: list[float] = (counts / len(values)).tolist()
    return shares
