r"""AUROC with intervals and paired differences from the images of one sample, after DeLong.

The AUROC is a U-statistic of two samples. Its placements,

.. math::
    V_i &= P_j(s_i > s'_j) + ½ P_j(s_i = s'_j) \quad\text{of each ID image} \\
    V'_j &= P_i(s_i > s'_j) + ½ P_i(s_i = s'_j) \quad\text{of each OOD image}

have the AUROC as their mean, and :math:`S^2/n + S'^2/m` estimates its variance (DeLong, DeLong and
Clarke-Pearson, Biometrics 1988). They follow from sorted scores in O((n + m) log(n + m)), ties exactly (Sun
and Xu, IEEE Signal Processing Letters 2014, by midranks). OOD sets that are compared with the same ID images
share these: in a mean of AUROCs the placements of an ID image are averaged over the sets, and each OOD set
has a term of its own. This module must not know who made the scores.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from benchmark.metrics.arrays import as_array
from benchmark.metrics.bounds import LEVEL, Bounds, deviations, set_weights, wilson
from benchmark.metrics.statistics import finite_vector

Matrix = NDArray[np.float64]

BLOCK = 8192  # ID images whose placements are held at once
_ROUNDING = 1e-13  # of a variance, over those that it is the difference of
PRIOR = 1.0  # misplaced images that the model of `_model` counts as, against those that were seen


class Difference(NamedTuple):
    """A paired difference a − b of two means of AUROCs, with DeLong's standard error and a two-sided p."""

    value: float
    low: float
    high: float
    standard_error: float
    p: float


@dataclass(frozen=True, eq=False)
class Aurocs:
    """AUROCs of D detectors on S OOD sets, and how they vary with the images.

    Attributes
    ----------
    values
        (D, S).
    id_part
        (D, S, D, S): covariance (n − 1) of the placements of ID images. Over n it is the part of the AUROCs'
        covariance that is due to them.
    ood_parts
        (S, D, D): the same of the placements of each set's OOD images.
    n_in
        n.
    n_out
        (S,): m of each set.
    """

    values: Matrix
    id_part: Matrix
    ood_parts: Matrix
    n_in: int
    n_out: NDArray[np.int64]

    def means(self, weights: ArrayLike | None = None) -> Matrix:
        """Mean AUROC of each detector over the sets: (D,).

        Parameters
        ----------
        weights : (S,) at least 0, of sum 1; None for all the same. One set alone has 1, the others 0.

        Raises
        ------
        ValueError
            If the weights are not such.
        """
        found: Matrix = np.clip(self.values @ self._weights(weights), 0.0, 1.0)
        return found

    def covariance(self, weights: ArrayLike | None = None) -> Matrix:
        """Covariance (D, D) of the means over the sets; arguments and errors as for `means`."""
        w = self._weights(weights)
        of_id, of_ood = self._parts(w)
        found: Matrix = of_id / self.n_in + np.einsum("s,sde->de", w**2 / self.n_out, of_ood)
        return found

    def intervals(self, weights: ArrayLike | None = None, level: float = LEVEL) -> list[Bounds]:
        r"""Mean AUROC of each detector over the sets, with its interval.

        It is Wilson's, of as many images as DeLong's variance is worth, :math:`\theta(1 - \theta) / V`. Near
        1 the variance rests on the few images that are misplaced, and is 0 where there is none. Therefore
        each of its terms is averaged with that of a model of such AUROCs, which counts as one misplaced
        image. So the interval is never of zero width; with an AUROC of 1 it is that of
        4 / (1/n + 1/m) images without an error. A side of one image has no variance: it counts with the
        largest that there can be, θ(1 − θ).

        Simulated coverage: docs/intervals.md.

        Raises
        ------
        ValueError
            If weights or level are out of range.
        """
        w = self._weights(weights)
        of_id, of_ood = self._parts(w)
        found = []
        for d, value in enumerate(self.means(w).tolist()):
            terms = [(1.0, float(of_id[d, d]), self.n_in)]
            terms += zip(w.tolist(), of_ood[:, d, d].tolist(), self.n_out.tolist(), strict=True)
            found.append(wilson(value, effective_images(value, terms), level))
        return found

    def difference(
        self, a: int, b: int, weights: ArrayLike | None = None, level: float = LEVEL
    ) -> Difference:
        """Mean AUROC of detector `a` less that of `b`, paired by the images; see `differences`.

        Raises
        ------
        ValueError
            If a detector's index, weights or level are out of range.
        """
        for name, index in (("a", a), ("b", b)):
            if not 0 <= index < len(self.values):
                raise ValueError(f"{name}: expected a detector from 0 to {len(self.values) - 1}, got {index}")
        return self.differences([(a, b)], weights, level)[0]

    def differences(
        self, pairs: Sequence[tuple[int, int]], weights: ArrayLike | None = None, level: float = LEVEL
    ) -> list[Difference]:
        r"""Differences of mean AUROCs of pairs of detectors (a, b), paired by the images.

        d ± t · standard error, with as many degrees of freedom as the parts of the variance give (Welch and
        Satterthwaite). Where both are perfect, or perfectly wrong, there is no variance: the interval is then
        made of those of both means, as of independent ones (MOVER; Zou and Donner, Statistics in Medicine
        2008). Detectors that place all images alike differ by 0, whatever the images.

        p is two-sided, and below 0.05 exactly where the interval of 95 % leaves 0 out; of equal means 1.

        Raises
        ------
        ValueError
            If weights or level are out of range.
        """
        w = self._weights(weights)
        means, perfect = self.means(w).tolist(), self.intervals(w, level)
        of_id, of_ood = self._parts(w)
        sizes = np.array([self.n_in, *self.n_out.tolist()], np.float64)
        parts = np.concatenate([of_id[None], of_ood * w[:, None, None] ** 2]) / sizes[:, None, None]
        own = parts.diagonal(axis1=1, axis2=2)  # (1 + S, D)
        found = []
        for a, b in pairs:
            terms = np.maximum(own[:, a] + own[:, b] - 2 * parts[:, a, b], 0.0)
            variance, alone = float(terms.sum()), float(own[:, a].sum() + own[:, b].sum())
            value = means[a] - means[b]
            if variance > _ROUNDING * alone:
                estimated = sizes > 1  # of one image it is a bound
                doubt = float(np.sum(terms[estimated] ** 2 / (sizes[estimated] - 1)))
                freedom = variance**2 / doubt if doubt > 0 else math.inf
                found.append(_by_t(value, math.sqrt(variance), freedom, level))
            elif alone > 0:
                found.append(Difference(value, value, value, 0.0, float(value == 0)))
            else:
                found.append(_of_perfect(perfect[a], perfect[b], deviations(level)))
        return found

    def _weights(self, weights: ArrayLike | None) -> Matrix:
        return set_weights(self.values.shape[1], weights)

    def _parts(self, w: Matrix) -> tuple[Matrix, Matrix]:
        """(D, D) of the ID images, weighted over the sets, and (S, D, D) of the OOD images."""
        return np.einsum("s,dset,t->de", w, self.id_part, w, optimize=True), self.ood_parts


def delong(id_scores: ArrayLike, ood_scores: Sequence[ArrayLike]) -> Aurocs:
    """AUROCs of D detectors that scored the same images, with all that intervals and differences need.

    O(D (n + Σ m) log(n + m)) time and O((D S)²) for each image; memory does not grow with n · m. AUROCs are
    those of `detection_metrics`, to the last bit.

    Parameters
    ----------
    id_scores : (D, n) or, of one detector, (n,); finite, higher = more ID. Column i is image i of every
        detector.
    ood_scores : S ≥ 1 times (D, m_s) or (m_s,), one for each OOD set.

    Raises
    ------
    ValueError
        If a shape does not fit, a side is empty, or a score is not finite; names the argument.

    Examples
    --------
    >>> found = delong([0.9, 0.8, 0.7, 0.7, 0.3], [[0.75, 0.7, 0.2, 0.1]])
    >>> found.values.tolist(), [round(bound, 3) for bound in found.intervals()[0]]
    ([[0.75]], [0.75, 0.339, 0.946])
    """
    of_id = _scores("id_scores", id_scores)
    if not ood_scores:
        raise ValueError("ood_scores: expected at least one OOD set, got none")
    of_ood = [_scores(f"ood_scores[{s}]", scores) for s, scores in enumerate(ood_scores)]
    for s, scores in enumerate(of_ood):
        if len(scores) != len(of_id):
            raise ValueError(
                f"ood_scores[{s}]: expected scores of {len(of_id)} detectors, as of the ID images, "
                f"got of {len(scores)}"
            )
    detectors, sets, n = len(of_id), len(of_ood), of_id.shape[1]
    values, ood_parts = np.empty((detectors, sets)), np.empty((sets, detectors, detectors))
    id_sorted = np.sort(of_id, axis=1)
    for s, scores in enumerate(of_ood):
        m = scores.shape[1]
        placed = np.empty(scores.shape)
        for d, row in enumerate(scores):
            twice = 2 * n - _twice_below(id_sorted[d], row)
            values[d, s] = int(twice.sum()) / 2 / (n * m)
            placed[d] = twice / (2 * n)
        placed -= values[:, s, None]
        ood_parts[s] = _covariance(placed @ placed.T, m, values[:, s, None])
    del id_sorted
    ood_sorted = [np.sort(scores, axis=1) for scores in of_ood]
    products = np.zeros((detectors * sets, detectors * sets))
    for start in range(0, n, BLOCK):
        block = of_id[:, start : start + BLOCK]
        placed = np.empty((detectors, sets, block.shape[1]))
        for s, ordered in enumerate(ood_sorted):
            for d, row in enumerate(block):
                placed[d, s] = _twice_below(ordered[d], row) / (2 * ordered.shape[1])
        placed -= values[:, :, None]
        rows = placed.reshape(detectors * sets, -1)
        products += rows @ rows.T
    id_part = _covariance(products, n, values).reshape(detectors, sets, detectors, sets)
    return Aurocs(values, id_part, ood_parts, n, np.array([scores.shape[1] for scores in of_ood]))


def _scores(name: str, scores: ArrayLike) -> Matrix:
    """(D, N) float64."""
    array = as_array(scores)
    if array.ndim not in (1, 2) or array.size == 0:
        raise ValueError(
            f"{name}: expected scores of shape (N,) or (detectors, N), not empty, got shape {array.shape}"
        )
    return finite_vector(name, array.reshape(-1)).reshape(-1, array.shape[-1])


def _twice_below(ordered: Matrix, scores: Matrix) -> NDArray[np.int64]:
    """Twice how many of the ordered scores are below each score, ties counting half."""
    below = np.searchsorted(ordered, scores)
    below += np.searchsorted(ordered, scores, side="right")
    return below.astype(np.int64, copy=False)


def _covariance(products: Matrix, n: int, values: Matrix) -> Matrix:
    """Of sums of products (R, R) of n centred placements; of one image the largest that there can be.

    Then the placements of a detector (a row of `values`) move together, as is worst for their mean, and
    those of different detectors apart, as is worst for a difference.
    """
    if n > 1:
        return products / (n - 1)
    spread = np.sqrt(values * (1 - values))
    return scipy.linalg.block_diag(*(np.outer(row, row) for row in spread))


def effective_images(value: float, terms: Iterable[tuple[float, float, int]], prior: float = PRIOR) -> float:
    r"""As of how many images a share would have the variance of a mean, V = Σ w² S² / n.

    .. math:: \theta (1 - \theta) / n_{eff} = \sum w^2 \frac{\theta (1 - \theta)}{n}
        \frac{n S^2 + c \, r(\theta)}{n \theta (1 - \theta) + c}

    with r from `_model`: for many misplaced images, n θ(1 − θ) ≫ 1, it is V.

    Parameters
    ----------
    value : θ, in [0, 1].
    terms : weight w, variance S² of what the mean is of, and number n of images, for each set of images.
    prior : c, how many misplaced images the model counts as.
    """
    spread, model = value * (1 - value), _model(value)
    ratio = sum(
        weight**2 * (n * max(variance, 0.0) + prior * model) / (n * spread + prior) / n
        for weight, variance, n in terms
    )
    return 1 / ratio


def _model(value: float) -> float:
    """Variance of placements over θ(1 − θ) where both sides' scores are exponential: from 1/4 to 1/3.

    Hanley and McNeil (Radiology 1982), the mean of both sides, as in Newcombe's method 5 (Statistics in
    Medicine 2006).
    """
    return ((1 - value) / (2 - value) + value / (1 + value)) / 2


def _by_t(value: float, error: float, freedom: float, level: float) -> Difference:
    half = float(scipy.stats.t.isf((1 - level) / 2, freedom)) * error
    p = 2 * float(scipy.stats.t.sf(abs(value) / error, freedom))
    return Difference(value, max(value - half, -1.0), min(value + half, 1.0), error, p)


def _of_perfect(a: Bounds, b: Bounds, z: float) -> Difference:
    """Of means without variance, each 0 or 1."""
    value = a.value - b.value
    below = math.hypot(a.value - a.low, b.high - b.value)
    above = math.hypot(a.high - a.value, b.value - b.low)
    towards = below if value > 0 else above
    p = 2 * float(scipy.stats.norm.sf(z * abs(value) / towards)) if value else 1.0
    return Difference(value, max(value - below, -1.0), min(value + above, 1.0), 0.0, p)
