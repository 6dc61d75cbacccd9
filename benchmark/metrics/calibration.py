"""Whether a classifier's confidence can be believed, and the temperature that makes it more believable.

Two families of functions: those that take the confidence c_i = max_k p_ik and whether the prediction was
correct, (N,) each, and those that take class probabilities or logits (N, K) and integer labels (N,). Values
are plain numbers, not percent. This module must not know which network gave the logits.
Definitions: spec/methods.md §6.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from benchmark.metrics.arrays import as_array
from benchmark.metrics.statistics import finite_vector

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

TEMPERATURE_RANGE = (0.05, 20.0)
"""Temperatures that `fit_temperature` searches."""


@dataclass(frozen=True, eq=False)
class ReliabilityBins:
    """Confidence bins of a reliability diagram, each field (B,); NaN confidence and accuracy where empty."""

    lower: Vector
    upper: Vector
    count: NDArray[np.int64]
    confidence: Vector
    accuracy: Vector


@dataclass(frozen=True)
class Temperature:
    """The fitted temperature, the NLL (nats) at T = 1 and at `value`, and whether `value` is a bound."""

    value: float
    nll_before: float
    nll_after: float
    at_bound: bool


@dataclass(frozen=True)
class CalibrationMetrics:
    """Accuracy and calibration of one set of logits; nll in nats, brier in [0, 2], the rest in [0, 1]."""

    accuracy: float
    nll: float
    brier: float
    ece: float
    rms_calibration: float
    mad_calibration: float


def calibration_metrics(logits: ArrayLike, labels: ArrayLike, temperature: float = 1.0) -> CalibrationMetrics:
    """All calibration metrics of softmax(logits / temperature), with the default bins of each metric.

    Parameters
    ----------
    logits : (N, K) finite. The prediction is the largest logit, the lowest index at ties. The NLL follows
        from them and not from the probabilities, so that it has no limit.
    labels : (N,) integers in [0, K).
    temperature : positive.

    Raises
    ------
    ValueError
        If a shape, a label, a logit or the temperature is out of range, or logits of one sample differ by
        more than 1e300.
    """
    z = _matrix("logits", logits)
    y = _labels(labels, z)
    p = softmax(z, temperature)
    correct = z.argmax(axis=1) == y
    confidence = p.max(axis=1)
    return CalibrationMetrics(
        accuracy=float(correct.mean()),
        nll=_log_loss(*_gaps_to_largest(z, y), temperature),
        brier=brier(p, y),
        ece=ece(confidence, correct),
        rms_calibration=rms_calibration(confidence, correct),
        mad_calibration=mad_calibration(confidence, correct),
    )


def ece(confidence: ArrayLike, correct: ArrayLike, bins: int = 15) -> float:
    r"""Expected calibration error over equal-width bins ((m−1)/M, m/M] (Guo et al., ICML 2017).

    .. math:: \mathrm{ECE} = \sum_m \frac{|B_m|}{N} |\mathrm{acc}(B_m) - \mathrm{conf}(B_m)|

    Parameters
    ----------
    confidence : (N,) in [0, 1]; 0 belongs to the first bin.
    correct : (N,) 1 or True where the prediction is right.
    bins : M, at least 1.

    Raises
    ------
    ValueError
        If shapes differ, a confidence is outside [0, 1], `correct` is not binary, or `bins` < 1.

    Examples
    --------
    >>> round(ece([0.95, 0.9, 0.6, 0.5], [1, 1, 0, 0], bins=5), 4)
    0.3125
    """
    weight, gap = _gaps(reliability(confidence, correct, bins))
    return float(np.sum(weight * np.abs(gap)))


def rms_calibration(
    confidence: ArrayLike, correct: ArrayLike, bin_size: int = 100, legacy: bool = False
) -> float:
    r"""Root mean square calibration error over adaptive bins (Hendrycks et al., ICLR 2019, arXiv 1812.04606).

    .. math:: \sqrt{\sum_b \frac{|B_b|}{N} (\mathrm{acc}(B_b) - \mathrm{conf}(B_b))^2}

    Bins hold `bin_size` samples of consecutive confidence; the last takes the remainder. Samples of equal
    confidence are in one bin, which a bin boundary among them makes larger, so that their order is no matter.

    Parameters
    ----------
    confidence, correct : (N,), (N,) as for `ece`.
    bin_size : samples a bin, at least 1.
    legacy : the bins of the authors' release: cut through equal confidences, in the order that they came in,
        and without the last, most confident bin.

    Raises
    ------
    ValueError
        As `ece`; and for `legacy` with fewer than `bin_size` samples, where the release crashes.
    """
    weight, gap = _adaptive_gaps(confidence, correct, bin_size, legacy)
    return math.sqrt(float(np.sum(weight * gap**2)))


def mad_calibration(
    confidence: ArrayLike, correct: ArrayLike, bin_size: int = 100, legacy: bool = False
) -> float:
    r"""Mean absolute calibration error over adaptive bins, also called adaptive ECE.

    .. math:: \sum_b \frac{|B_b|}{N} |\mathrm{acc}(B_b) - \mathrm{conf}(B_b)|

    Bins, parameters and errors are those of `rms_calibration`.
    """
    weight, gap = _adaptive_gaps(confidence, correct, bin_size, legacy)
    return float(np.sum(weight * np.abs(gap)))


def brier(probabilities: ArrayLike, labels: ArrayLike) -> float:
    r"""Brier score, :math:`\frac1N \sum_i \sum_k (p_{ik} - [k = y_i])^2`, in [0, 2].

    Parameters
    ----------
    probabilities : (N, K), rows sum to 1 within 1e-5.
    labels : (N,) integers in [0, K).

    Raises
    ------
    ValueError
        If a shape, a probability or a label is out of range.
    """
    p = _probabilities(probabilities)
    y = _labels(labels, p)
    residual = p.copy()
    residual[np.arange(y.size), y] -= 1
    return float(np.mean(np.sum(residual**2, axis=1)))


def nll(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Negative log-likelihood −mean log max(p_iy, 1e-12), in nats; arguments and errors as `brier`.

    The limit is for probabilities that were rounded to 0; `calibration_metrics` has logits and needs none.
    """
    p = _probabilities(probabilities)
    y = _labels(labels, p)
    # max(0, ·): a probability may exceed 1 by rounding
    return max(0.0, float(-np.mean(np.log(np.maximum(p[np.arange(y.size), y], 1e-12)))))


def soft_f1(confidence: ArrayLike, correct: ArrayLike) -> float:
    r"""Soft F1 of finding the wrong predictions, each detected with degree 1 − c.

    .. math:: 2 \sum_i (1 - c_i)(1 - k_i) / \sum_i [(1 - c_i) + (1 - k_i)]

    Zero where nothing is wrong, also in the limit c = 1, where the quotient is 0/0. Errors as `ece`.
    """
    c, k = _confidence_pair(confidence, correct)
    total = float(np.sum((1 - c) + (1 - k)))
    return 2 * float(np.sum((1 - c) * (1 - k))) / total if total else 0.0


def reliability(
    confidence: ArrayLike,
    correct: ArrayLike,
    bins: int = 15,
    adaptive: bool = False,
    bin_size: int = 100,
) -> ReliabilityBins:
    """Bin samples by confidence: `bins` equal widths, or with `adaptive` runs of `bin_size` samples.

    Confidence c goes to equal-width bin clip(⌈c M − 1e-9⌉, 1, M), so that edges such as .6 do not depend on
    rounding. An adaptive bin spans the confidences of its samples; there are max(1, ⌊N / bin_size⌋), and the
    last takes the remainder. A boundary among samples of equal confidence moves up to their end, so that
    there are fewer and larger bins where many are equal.

    Parameters
    ----------
    confidence, correct : (N,), (N,) as for `ece`.
    bins : number of equal-width bins; not used if adaptive.
    adaptive : bins of equal count instead of equal width.
    bin_size : samples an adaptive bin; not used otherwise.

    Raises
    ------
    ValueError
        As `ece`, or if `bin_size` < 1.
    """
    c, k = _confidence_pair(confidence, correct)
    _at_least_one(bins=bins, bin_size=bin_size)
    if adaptive:
        return _by_count(c, k, bin_size, through_ties=False)
    index = np.clip(np.ceil(c * bins - 1e-9), 1, bins).astype(np.int64) - 1
    return _binned(index, c, k, lower=np.arange(bins) / bins, upper=np.arange(1, bins + 1) / bins)


def softmax(logits: ArrayLike, temperature: float = 1.0) -> Matrix:
    """Class probabilities softmax(logits / temperature) in float64, shifted by the row's maximum.

    Parameters
    ----------
    logits : (N, K) finite.
    temperature : positive and finite.

    Returns
    -------
    (N, K) rows that sum to 1.

    Raises
    ------
    ValueError
        If the logits are not a finite non-empty 2-D array or the temperature is not positive.
    """
    z = _matrix("logits", logits)
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature: expected a positive finite number, got {temperature}")
    with np.errstate(over="ignore"):  # a difference beyond float64 is −inf, and exp(−inf) = 0 is its limit
        weight: Matrix = np.exp((z - z.max(axis=1, keepdims=True)) / temperature)
    weight /= weight.sum(axis=1, keepdims=True)
    return weight


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> Temperature:
    r"""Temperature scaling: minimise the NLL of softmax(z / T) over T (Guo et al., ICML 2017).

    .. math:: \mathrm{NLL}(T) = \frac1N \sum_i \log \sum_k e^{(z_{ik} - z_{iy_i}) / T}

    is convex in 1/T, hence unimodal in T: bounded scalar minimisation over log T, T ∈ [.05, 20], to 1e-8.
    The NLL is that of `calibration_metrics`, without a limit. Where no T is better than 1, T = 1.

    Parameters
    ----------
    logits : (N, K) finite, of ID validation samples.
    labels : (N,) integers in [0, K).

    Raises
    ------
    ValueError
        If a shape, a label or a logit is out of range, or logits of one sample differ by more than 1e300.
    """
    z = _matrix("logits", logits)
    gaps, at_label = _gaps_to_largest(z, _labels(labels, z))

    def loss(log_t: float) -> float:
        return _log_loss(gaps, at_label, math.exp(log_t))

    low, high = TEMPERATURE_RANGE
    bounds = math.log(low), math.log(high)
    inside = scipy.optimize.minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-8})
    # The search never reaches a bound. Where rounding leaves equal losses, T = 1 goes first, then the bounds.
    best = min((0.0, *bounds, float(inside.x)), key=loss)
    value = dict(zip(bounds, TEMPERATURE_RANGE, strict=True)).get(best, math.exp(best))
    return Temperature(value=value, nll_before=loss(0.0), nll_after=loss(best), at_bound=best in bounds)


def _gaps_to_largest(z: Matrix, y: NDArray[np.int64]) -> tuple[Matrix, Vector]:
    """How far each logit (N, K) is below its row's largest, as numbers ≤ 0, and those of the labels (N,)."""
    top = z.max(axis=1)
    if (top / 2 - z.min(axis=1) / 2).max() > 0.5e300:
        raise ValueError("logits: expected each row to span at most 1e300, got a wider one")
    gaps = z - top[:, None]
    return gaps, gaps[np.arange(y.size), y]


def _log_loss(gaps: Matrix, at_label: Vector, temperature: float) -> float:
    """NLL of softmax(z / T), in nats, from what `_gaps_to_largest` gives."""
    return float(np.mean(np.log(np.sum(np.exp(gaps / temperature), axis=1)) - at_label / temperature))


def _by_count(c: Vector, k: Vector, bin_size: int, *, through_ties: bool) -> ReliabilityBins:
    """Bins of `bin_size` samples of consecutive confidence; boundaries may cut through equal ones or not."""
    order = np.argsort(c, kind="stable")
    c, k = c[order], k[order]
    starts = bin_size * np.arange(max(1, c.size // bin_size))
    if not through_ties:
        # To the end of the run that the sample before a boundary belongs to: no move if it ends there.
        moved = np.searchsorted(c, c[starts[1:] - 1], side="right")
        starts = np.unique(np.append(0, moved[moved < c.size]))
    index = np.searchsorted(starts, np.arange(c.size), side="right") - 1
    return _binned(index, c, k, lower=c[starts], upper=c[np.append(starts[1:], c.size) - 1])


def _binned(index: NDArray[np.int64], c: Vector, k: Vector, lower: Vector, upper: Vector) -> ReliabilityBins:
    count = np.bincount(index, minlength=lower.size)
    size = np.where(count, count, math.nan)
    return ReliabilityBins(
        lower=lower,
        upper=upper,
        count=count,
        confidence=np.bincount(index, weights=c, minlength=lower.size) / size,
        accuracy=np.bincount(index, weights=k, minlength=lower.size) / size,
    )


def _gaps(binned: ReliabilityBins) -> tuple[Vector, Vector]:
    """Share of the samples and acc − conf of each bin that is not empty."""
    filled = binned.count > 0
    return binned.count[filled] / binned.count.sum(), (binned.accuracy - binned.confidence)[filled]


def _adaptive_gaps(
    confidence: ArrayLike, correct: ArrayLike, bin_size: int, legacy: bool
) -> tuple[Vector, Vector]:
    if not legacy:
        return _gaps(reliability(confidence, correct, adaptive=True, bin_size=bin_size))
    c, k = _confidence_pair(confidence, correct)
    _at_least_one(bin_size=bin_size)
    if c.size < bin_size:
        raise ValueError(
            f"legacy: expected at least bin_size = {bin_size} samples, got {c.size}; the release "
            "that legacy reproduces fails on fewer"
        )
    weight, gap = _gaps(_by_count(c, k, bin_size, through_ties=True))
    return weight[:-1], gap[:-1]


def _at_least_one(**sizes: int) -> None:
    for name, value in sizes.items():
        if value < 1:
            raise ValueError(f"{name}: expected at least 1, got {value}")


def _confidence_pair(confidence: ArrayLike, correct: ArrayLike) -> tuple[Vector, Vector]:
    c, k = finite_vector("confidence", confidence), finite_vector("correct", correct)
    if c.size != k.size:
        raise ValueError(f"correct: expected one for each of {c.size} confidences, got {k.size}")
    if c.min() < 0 or c.max() > 1:
        raise ValueError(f"confidence: expected numbers in [0, 1], got {c.min()} to {c.max()}")
    if not np.isin(k, (0, 1)).all():
        raise ValueError(f"correct: expected only 0 and 1, got {k[~np.isin(k, (0, 1))][0]}")
    return c, k


def _matrix(name: str, values: ArrayLike) -> Matrix:
    array = as_array(values)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{name}: expected a non-empty array of shape (N, K), got shape {array.shape}")
    return finite_vector(name, array.ravel()).reshape(array.shape)


def _probabilities(values: ArrayLike) -> Matrix:
    p = _matrix("probabilities", values)
    furthest = float(np.abs(p.sum(axis=1) - 1).max())
    if p.min() < 0 or furthest > 1e-5:
        raise ValueError(
            f"probabilities: expected numbers ≥ 0 whose rows sum to 1, got a minimum of {p.min()} and a row "
            f"sum {furthest:.3g} away from 1; logits go through softmax first"
        )
    return p


def _labels(labels: ArrayLike, scores: Matrix) -> NDArray[np.int64]:
    y = as_array(labels)
    samples, classes = scores.shape
    if y.dtype.kind not in "iu" or y.shape != (samples,):
        raise ValueError(f"labels: expected {samples} integers, got shape {y.shape}, dtype {y.dtype}")
    if y.min() < 0 or y.max() >= classes:
        raise ValueError(f"labels: expected classes in [0, {classes}), got {y.min()} to {y.max()}")
    return y.astype(np.int64)
