"""Mahalanobis distances in several layers, each in units of its own spread, summed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from methods.base import Features, GradientDetector, Head, NotApplicable, Signal, fitted
from methods.detectors._gaussian import ROWS, Gaussian, NoVariation
from methods.detectors._rows import Rows
from methods.detectors.mahalanobis import Mahalanobis
from methods.registry import register

SAME = 1e-5  # float32 features closer than this share of the largest are one and the same


@register("mahalanobis_ensemble")
@dataclass(frozen=True)
class MahalanobisEnsemble(GradientDetector):
    r"""Sum of the standardised Mahalanobis scores of every stage and the penultimate layer (Lee et al. 2018).

    .. math::
        M_l(x) &= -\min_c \; (g_l - \mu_{lc})^\top \Sigma_l^{+} (g_l - \mu_{lc}) \\
        s &= \sum_l \alpha_l \left( M_l(\tilde x) - m_l \right), \qquad \alpha_l = 1 / \sigma_l \\
        \tilde x &= x + \epsilon \, \mathrm{sgn}_- \left( \nabla_x \tfrac12 \sum_l \alpha_l M_l(x) \right),
            \qquad \mathrm{sgn}_-(0) = -1

    where :math:`g_l` are the features of layer l, averaged over their positions, the class means and
    covariances are those of `mahalanobis`, and :math:`m_l`, :math:`\sigma_l` are the mean and the standard
    deviation (1/N) of :math:`M_l` over the validation images as they are. Layers are the network's stages and
    the penultimate one; where that is the last stage itself, it counts once. A stage in which nothing varies
    within any class is left out.

    Shapes: stages (N, C_l), features (N, D), labels (N,) → scores (N,). Cost: that of `mahalanobis`, summed
    over the layers.

    Parameters
    ----------
    magnitude
        ε ≥ 0, the step in pixel units, of images in [0, 1]; 0 takes none.

    Deviations from the paper: its weights :math:`\alpha_l` are those of a logistic regression between
    validation images and adversarial ones (or, in its headline numbers, test outliers); here they are the
    spread alone, and nothing but in-distribution data is used. Its release takes a step of the input for each
    layer, towards that layer's nearest class; here all layers share one step, along their weighted sum, which
    costs one gradient instead of one a layer. Layers are those that the harness taps, without the stem that
    the release adds. Where references disagree: as in `mahalanobis`; some code adds the variance over the
    positions to the features, or reduces their dimension first, here neither.

    Differs from: OpenOOD v1.5 takes a step, and weights of a logistic regression with validation outliers;
    pytorch-ood 0.4.0 adds the distances as they are, with 1e-6 on the diagonal of each scatter.
    """

    magnitude: float = 0.0

    gaussians: tuple[Gaussian | None, ...] = (
        fitted()
    )  # of each stage, then the penultimate layer; None: left out
    means: Tensor = fitted()  # (L,): m_l of each layer that is not left out
    deviations: Tensor = fitted()  # (L,): σ_l

    paper = Mahalanobis.paper
    aliases = ("mds_ensemble", "multi_mahalanobis")
    needs = frozenset({Signal.STAGES, Signal.PENULTIMATE})
    step_name = "magnitude"

    def __post_init__(self) -> None:
        Mahalanobis(self.magnitude)  # refuses what it would

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Learn each layer's Gaussians from training images, and the spread of their distances from others.

        Raises
        ------
        ValueError
            If a class has no training image, or the validation images are all at the same distance.
        NotApplicable
            If no layer's features vary within any class.
        """
        labels, classes = train.labels.long(), train.logits.shape[1]
        *stages, last = _layers(train)
        if stages and _same(stages[-1], last):
            stages[-1] = stages[-1][:, :0]  # no features: left out
        gaussians: list[Gaussian | None] = []
        for rows in (*stages, last):
            try:
                gaussians.append(Gaussian.fit(Rows(rows), labels, classes, "stages"))
            except NoVariation:
                gaussians.append(None)
        if all(g is None for g in gaussians):
            raise NotApplicable("no layer's features vary within any class, so there is no covariance")
        fitted = self.with_state(gaussians=tuple(gaussians))
        scores = -fitted._distances(val)  # (N, L)
        means = scores.mean(dim=0)
        deviations = (scores - means).square().mean(dim=0).sqrt()
        if not (deviations > 1e-12 * means.abs()).all():  # of no image they are NaN
            raise ValueError("val: the validation images are all at one distance in a layer: no unit for it")
        return fitted.with_state(means=means, deviations=deviations)

    def loss(self, features: Features) -> Tensor:
        """Half the sum (N,) of the layers' squared distances, each weighted by 1 / σ."""
        return (self._distances(features) / self.deviations).sum(dim=1) / 2

    def score(self, features: Features) -> Tensor:
        """Score the stages (N, C_l) and the penultimate features (N, D): (N,) float64."""
        return ((-self._distances(features) - self.means) / self.deviations).sum(dim=1)

    def _distances(self, features: Features) -> Tensor:
        pairs = zip(self.gaussians, _layers(features), strict=True)
        return torch.stack([g.nearest(rows) for g, rows in pairs if g is not None], dim=1)


def _layers(features: Features) -> tuple[Tensor, ...]:
    return (*features.stages, features.penultimate)


def _same(stage: Tensor, penultimate: Tensor) -> bool:
    if stage.shape != penultimate.shape:
        return False
    low, high = penultimate.aminmax()  # without a copy of them all
    tolerance = SAME * float(torch.maximum(-low, high))
    pairs = zip(torch.split(stage, ROWS), torch.split(penultimate, ROWS), strict=True)
    return all(bool((a - b).abs().max() <= tolerance) for a, b in pairs)
