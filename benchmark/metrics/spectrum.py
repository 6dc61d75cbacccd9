"""Full-spectrum OOD detection: ID images under a covariate shift count as ID, and ought to be accepted.

A detector that takes a blurred digit for an unknown class has seen a change of style, not of meaning. The
reading is that of Yang, Zhou and Liu, "Full-Spectrum Out-of-Distribution Detection" (IJCV 2023), and of
OpenOOD v1.5. This module must not know who made the scores, nor which shifts there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from statistics import fmean

import numpy as np
from numpy.typing import ArrayLike

from benchmark.metrics.detection import detection_metrics
from benchmark.metrics.statistics import finite_vector


@dataclass(frozen=True)
class SpectrumMetrics:
    """Unweighted means over the OOD sets of a group, each in [0, 1]; definitions as in `DetectionMetrics`."""

    auroc: float
    aupr_in: float
    aupr_out: float
    fpr95: float


@dataclass(frozen=True)
class FullSpectrum:
    """How many images count as ID, and the means of each group."""

    n_in: int
    groups: Mapping[str, SpectrumMetrics]


def full_spectrum(
    clean: ArrayLike, shifted: Sequence[ArrayLike], groups: Mapping[str, Sequence[ArrayLike]]
) -> FullSpectrum:
    r"""OOD detection where the ID side is all clean and all shifted ID images, each once.

    .. math:: S_{in} = S_{clean} ⊎ S_{shift_1} ⊎ … ⊎ S_{shift_L}, \qquad N_{in} = N + \sum_l M_l

    against each OOD set by itself, which is not shifted. The parts are joined as they are, as OpenOOD v1.5
    joins its covariate-shifted sets to the ID test set (`Evaluator.eval_ood(fsood=True)`): every image weighs
    the same, and one threshold keeps 95 % of them all, clean or shifted, as that of a detector in use has to.
    Clean images so weigh N / N_in. What is shifted by nothing is clean, and must not be given again.

    AUROC is linear in the ID side: the mean over its parts, weighted by their images. FPR@95 and AUPR are
    not; AUPR depends on the base rate too, and does not compare with that of the clean images alone.

    O((N_in + N_out) log(N_in + N_out)) time for each OOD set.

    Parameters
    ----------
    clean : (N,) finite scores of the ID test images, higher = more ID.
    shifted : L ≥ 1 times (M_l,) finite scores of ID test images under one shift at one strength.
    groups : by group, the (N_out,) finite scores of each of its OOD sets.

    Raises
    ------
    ValueError
        If nothing is shifted, a group has no set, or scores are empty, not 1-D or not finite.

    Examples
    --------
    >>> found = full_spectrum([0.9, 0.7], [[0.8, 0.2], [0.4, 0.3]], {"near": [[0.1, 0.35]]})
    >>> found.n_in, round(found.groups["near"].auroc, 6), found.groups["near"].fpr95
    (6, 0.833333, 0.5)
    """
    if not shifted:
        raise ValueError("shifted: expected scores of ID images under at least one shift, got none")
    parts = [finite_vector("clean", clean), *(finite_vector("shifted", scores) for scores in shifted)]
    id_scores = np.concatenate(parts)
    return FullSpectrum(
        n_in=id_scores.size,
        groups={name: _mean_over_sets(name, id_scores, sets) for name, sets in groups.items()},
    )


def _mean_over_sets(group: str, id_scores: ArrayLike, sets: Sequence[ArrayLike]) -> SpectrumMetrics:
    if not sets:
        raise ValueError(f"groups: expected OOD sets in {group!r}, got none")
    found = [detection_metrics(id_scores, ood_scores) for ood_scores in sets]
    means = {f.name: fmean(getattr(one, f.name) for one in found) for f in fields(SpectrumMetrics)}
    return SpectrumMetrics(**means)
