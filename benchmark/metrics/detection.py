"""How well one score tells in-distribution (ID) from out-of-distribution (OOD) samples.

A higher score means more ID, and ID is the positive class. All values lie in [0, 1]. Everything follows from
the order of the scores: float64, exact ties, no squashing. This module must not know who made the scores.
Definitions: spec/methods.md §7.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike

from benchmark.metrics._counts import Vector, counted_blocks, total_of
from benchmark.metrics.statistics import finite_vector


class FprConvention(StrEnum):
    """Where on the curve 'the false-positive rate at 95 % true positives' is read (spec/methods.md §7.2).

    - `ID_POS`: threshold at the ⌈.95 N_in⌉-th largest ID score, ties accepted. The leaderboards' convention.
    - `OOD_POS`: OOD is positive, first point with TPR ≥ .95: the share of *ID* rejected (OpenOOD ≥ 1.5).
    - `ARGMIN`: the point of the tie-merged curve whose TPR is closest to .95, which can be below it, with the
      largest FPR at that TPR (energy, GradNorm releases; with sides exchanged and negated: outlier exposure).
    - `FLOOR`: threshold at the ⌊.95 N_in⌋-th largest ID score, ties accepted (ViM, GEN).
    - `STRICT`: threshold at ascending ID score number round(.05 N_in), counted from 0, ties rejected, so
      that a constant detector looks perfect (ReAct, KNN, DICE, fDBD).
    """

    ID_POS = "id_pos"
    OOD_POS = "ood_pos"
    ARGMIN = "argmin"
    FLOOR = "floor"
    STRICT = "strict"

    @classmethod
    def _missing_(cls, value: object) -> FprConvention:
        raise ValueError(f"convention: expected one of {', '.join(cls)}, got {value!r}")


@dataclass(frozen=True)
class DetectionMetrics:
    """Detection metrics of one ID and one OOD set, each in [0, 1]; AUPRs compare only at equal base rates.

    AUPR is average precision, a sum of steps. OpenOOD and pytorch-ood integrate precision over recall by
    trapezoids from precision 1 at recall 0, which as a rule gives more: constant scores and sets of one size
    have 0.75 there and 0.5 here, the share of positives.
    """

    auroc: float
    aupr_in: float
    aupr_out: float
    fpr95: float
    fpr95_ood_pos: float
    detection_error: float
    n_in: int
    n_out: int


@dataclass(frozen=True)
class SelectiveRisk:
    """Area under the risk-coverage curve, its excess over the oracle ordering, and 1 − aurc."""

    aurc: float
    eaurc: float
    aurra: float


def detection_metrics(id_scores: ArrayLike, ood_scores: ArrayLike) -> DetectionMetrics:
    r"""All detection metrics from one sort of the pooled scores (spec/methods.md §7.1).

    .. math::
        \mathrm{AUROC} &= P(s_{in} > s_{out}) + ½ P(s_{in} = s_{out}) \\
        \mathrm{AUPR} &= \textstyle\sum_i (R_i - R_{i-1}) P_i \quad\text{over distinct thresholds} \\
        \mathrm{error} &= \min_τ ½ [P(s_{in} < τ) + P(s_{out} ≥ τ)]

    AUPR is average precision, not the trapezoids of other libraries (`DetectionMetrics`).

    O(N log N) time for N = N_in + N_out, two float64 copies of the scores in memory, faster if
    all scores are float32 numbers.

    Parameters
    ----------
    id_scores : (N_in,) finite scores of ID samples, higher = more ID.
    ood_scores : (N_out,) finite scores of OOD samples.

    Raises
    ------
    ValueError
        If either side is empty, not 1-D, or holds a non-finite number.

    Examples
    --------
    >>> metrics = detection_metrics([0.9, 0.8, 0.7, 0.7, 0.3], [0.75, 0.7, 0.2, 0.1])
    >>> metrics.auroc, metrics.fpr95, metrics.detection_error
    (0.75, 0.5, 0.25)
    """
    id_vector, ood_vector = _sides(id_scores, ood_scores)
    n_in, n_out = id_vector.size, ood_vector.size
    n = n_in + n_out
    id_rejected, ood_needed = n_in - _at_least_95(n_in), _at_least_95(n_out)
    pairs = aupr_in = aupr_out = lowest = fpr95_id = 0.0
    fpr95_ood = -1.0  # not yet found
    for n_before, ids_before, ids, oods, tied_pairs in counted_blocks(id_vector, ood_vector):
        oods_before = n_before - ids_before
        pairs += tied_pairs / 2
        if ids.own.size:  # each with what is below it
            oods_below = ids.pooled - ids.own
            oods_below += oods_before
            pairs += total_of(oods_below, ids.times)
            precision = n_in - ids_before - ids.own
            precision /= n - n_before - ids.pooled  # of accepting score ≥ threshold
            aupr_in += total_of(precision, ids.times)
            # n_in n_out [P(s_in < τ) − P(s_out < τ)] is 0 or lowest with τ at an ID score
            if (ids_before + ids.own[0]) * n_out - oods_below[-1] * n_in < lowest:
                g = np.argmin(ids.own - oods_below * (n_in / n_out))
                lowest = min(lowest, float((ids_before + ids.own[g]) * n_out - oods_below[g] * n_in))
            if ids_before + ids.own[0] <= id_rejected:  # the last such block holds the threshold
                g = np.searchsorted(ids.own, id_rejected - ids_before, side="right") - 1
                fpr95_id = (n_out - oods_below[g]) / n_out
        if oods.own.size:  # each with what is up to it
            if fpr95_ood < 0 and oods_before + oods.own[-1] >= ood_needed:
                g = np.searchsorted(oods.own, ood_needed - oods_before)
                fpr95_ood = (ids_before + oods.pooled[g] - oods.own[g]) / n_in
            precision = oods.own + oods_before
            precision /= oods.pooled + n_before  # of accepting score ≤ threshold
            aupr_out += total_of(precision, oods.times)
    return DetectionMetrics(
        auroc=pairs / (n_in * n_out),
        aupr_in=aupr_in / n_in,
        aupr_out=aupr_out / n_out,
        fpr95=float(fpr95_id),
        fpr95_ood_pos=float(fpr95_ood),
        detection_error=(1 + lowest / (n_in * n_out)) / 2,
        n_in=n_in,
        n_out=n_out,
    )


def fpr95(
    id_scores: ArrayLike, ood_scores: ArrayLike, convention: FprConvention | str = FprConvention.ID_POS
) -> float:
    """False-positive rate at 95 % true positives, under a named convention.

    Conventions differ on the same scores; compare a number only with numbers of its own convention.

    Parameters
    ----------
    id_scores, ood_scores : (N_in,), (N_out,) finite scores, higher = more ID.
    convention : see `FprConvention`.

    Raises
    ------
    ValueError
        If a side is empty, not 1-D or not finite, or the convention is unknown.

    Examples
    --------
    >>> fpr95([0.5, 0.5, 0.5], [0.5, 0.5], "id_pos"), fpr95([0.5, 0.5, 0.5], [0.5, 0.5], "strict")
    (1.0, 0.0)
    """
    chosen = FprConvention(convention)
    id_vector, ood_vector = _sides(id_scores, ood_scores)
    s_in, n_in = np.sort(id_vector), id_vector.size
    match chosen:
        case FprConvention.ID_POS:
            accepted = ood_vector >= s_in[n_in - _at_least_95(n_in)]
        case FprConvention.OOD_POS:
            accepted = id_vector <= np.sort(ood_vector)[_at_least_95(ood_vector.size) - 1]
        case FprConvention.ARGMIN:
            thresholds = np.unique(s_in)  # ascending: recall falls from 1, and the first of two nearest wins
            recall = (n_in - np.searchsorted(s_in, thresholds)) / n_in
            nearest = int(np.argmin(np.abs(recall - 0.95)))
            # Recall stays the same down to just above the next smaller ID score.
            accepted = ood_vector > thresholds[nearest - 1] if nearest else ood_vector >= s_in[0]
        case FprConvention.FLOOR:
            accepted = ood_vector >= s_in[n_in - max(1, 19 * n_in // 20)]
        case FprConvention.STRICT:
            accepted = ood_vector > s_in[round(0.05 * n_in)]
    return float(np.mean(accepted))


def aupr_out_at_base_rate(
    id_scores: ArrayLike, ood_scores: ArrayLike, rng: np.random.Generator, draws: int = 10
) -> float:
    """Mean AUPR with OOD positive at OOD:ID = 1:5, over random subsamples without replacement (`aupr_out_b`).

    Each draw takes m = min(N_out, ⌊N_in / 5⌋) OOD scores and 5 m ID scores.

    Parameters
    ----------
    id_scores, ood_scores : (N_in,), (N_out,) finite scores, higher = more ID; N_in ≥ 5.
    rng : generator of the subsamples.
    draws : number of subsamples, at least 1.

    Raises
    ------
    ValueError
        If a side is empty, not 1-D or not finite, N_in < 5, or draws < 1.
    """
    id_vector, ood_vector = _sides(id_scores, ood_scores)
    if id_vector.size < 5:
        raise ValueError(f"id_scores: expected at least 5 for the base rate 1:5, got {id_vector.size}")
    if draws < 1:
        raise ValueError(f"draws: expected at least 1, got {draws}")
    m = min(ood_vector.size, id_vector.size // 5)
    return (
        math.fsum(
            detection_metrics(
                rng.choice(id_vector, 5 * m, replace=False), rng.choice(ood_vector, m, replace=False)
            ).aupr_out
            for _ in range(draws)
        )
        / draws
    )


def selective_risk(confidence: ArrayLike, errors: ArrayLike) -> SelectiveRisk:
    r"""Risk-coverage summary of a classifier that may abstain, on ID samples (spec/methods.md §7.1).

    .. math:: \mathrm{AURC} = \frac1N \sum_i \frac1i \sum_{j ≤ i} e_j

    with samples by falling confidence; tied samples each get the mean error of their group.

    Parameters
    ----------
    confidence : (N,) finite, higher = kept longer.
    errors : (N,) 1 where the classifier is wrong, else 0.

    Raises
    ------
    ValueError
        If the inputs are empty, not 1-D, not finite or of different lengths, or an error is neither 0 nor 1.

    Examples
    --------
    >>> round(selective_risk([0.9, 0.8, 0.8, 0.6, 0.5], [0, 1, 0, 0, 1]).eaurc, 6)
    0.116667
    """
    scores, wrong = finite_vector("confidence", confidence), finite_vector("errors", errors)
    if scores.size != wrong.size:
        raise ValueError(f"errors: expected one for each of {scores.size} confidences, got {wrong.size}")
    if not np.isin(wrong, (0, 1)).all():
        raise ValueError(f"errors: expected only 0 and 1, got {wrong[~np.isin(wrong, (0, 1))][0]}")
    _, group, size = np.unique(-scores, return_inverse=True, return_counts=True)
    risk = np.repeat(np.bincount(group, weights=wrong) / size, size)
    aurc, oracle = _mean_of_running_means(risk), _mean_of_running_means(np.sort(wrong))
    return SelectiveRisk(aurc=aurc, eaurc=aurc - oracle, aurra=1 - aurc)


def roc_at(id_scores: ArrayLike, ood_scores: ArrayLike, fpr_grid: ArrayLike) -> Vector:
    """True-positive rate (ID positive) at given false-positive rates, for plots.

    Linear interpolation of the tie-merged ROC from (0, 0) to (1, 1); its upper end where it is vertical.

    Parameters
    ----------
    id_scores, ood_scores : (N_in,), (N_out,) finite scores, higher = more ID.
    fpr_grid : (G,) rates in [0, 1], in any order.

    Returns
    -------
    (G,) true-positive rates.

    Raises
    ------
    ValueError
        If an input is empty, not 1-D or not finite, or a rate is outside [0, 1].
    """
    s_in, s_out = (np.sort(side) for side in _sides(id_scores, ood_scores))
    grid = finite_vector("fpr_grid", fpr_grid)
    if grid.min() < 0 or grid.max() > 1:
        raise ValueError(f"fpr_grid: expected rates in [0, 1], got {grid.min()} to {grid.max()}")
    thresholds = np.unique(np.concatenate([s_in, s_out]))[::-1]
    tpr = np.append(0.0, (s_in.size - np.searchsorted(s_in, thresholds)) / s_in.size)
    fpr = np.append(0.0, (s_out.size - np.searchsorted(s_out, thresholds)) / s_out.size)
    rates: Vector = np.interp(grid, fpr, tpr)
    return rates


def _sides(id_scores: ArrayLike, ood_scores: ArrayLike) -> tuple[Vector, Vector]:
    return finite_vector("id_scores", id_scores), finite_vector("ood_scores", ood_scores)


def _at_least_95(n: int) -> int:
    """⌈.95 n⌉ = ⌈19 n / 20⌉ in integers: .95 · 20 must not round up to 20."""
    return -(-19 * n // 20)


def _mean_of_running_means(values: Vector) -> float:
    return float(np.mean(np.cumsum(values) / np.arange(1, values.size + 1)))
