"""GAIA: how many entries of an image's feature maps the attribution of its prediction leaves at zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self, get_args

import torch
from torch import Tensor

from methods.base import Detector, Features, Head, NotApplicable, Paper, Signal, fitted
from methods.registry import register

Variant = Literal["a", "z"]

LEAST = 1e-12  # a mean gradient of the output below this counts as this
TOLERATED = 0.01  # share of training features that may be zero where their map is not, or the reverse


@register("gaia")
@dataclass(frozen=True)
class GAIA(Detector):
    r"""Squared share of map entries with an attribution gradient (Chen, Li, Qu, Wang, Wan & Xiao 2023).

    Attribution by gradients looks at the derivatives of an output in the inner maps, here in what stands
    before the rectifier that ends a stage: for a ResNet, its last normalisation. Such a derivative is zero
    where the rectifier is closed, that is, where the stage's map is zero, and elsewhere has no reason to be:
    the share of derivatives that are not zero is read from the map, without a backward pass. GAIA-Z
    (zero-deflation abnormality) finds fewer zeros in outliers:

    .. math::
        \rho_{lc} &= \frac{1}{S_l} \, \#\{ij : (f_l)_{cij} \ne 0\} \\
        s_Z &= -\operatorname{mean}_{l,c} \; \rho_{lc}^2

    with the mean over all channels of all stages l together and S the positions of a map. GAIA-A
    (channel-wise average abnormality) fuses average derivatives of the features' sum in the inner map, and of
    the log-probabilities' sum in the last map:

    .. math::
        A_c &= \Big\lvert \frac{1}{S} \sum_{ij} \frac{\partial \sum_d h_d}{\partial u_{cij}} \Big\rvert
            = \frac{\rho_c}{S}, \qquad
        B_c = \frac{1}{S} \sum_{ij} \frac{\partial \sum_k \log p_k}{\partial f_{cij}}
            = \frac{[W^\top (\mathbf 1 - K p)]_c}{S} \\
        s_A &= -\operatorname{mean}_c \frac{A_c^2}{\operatorname{mean}_j |B_j|}
            = -\frac{\operatorname{mean}_c \rho_c^2}{S \operatorname{mean}_j |[W^\top (\mathbf 1 - K p)]_j|}

    with f the last stage's map, u what stands before its rectifier, h the average of f and p the softmax of
    the logits, which follow from h and the head in float64. Nothing is learned.

    Shapes: maps (N, C, H, W) of each stage, features (N, D), weight (K, D), bias (K,) → scores (N,). Cost:
    one look at the maps, and O(NKD).

    Parameters
    ----------
    variant
        ``a``: GAIA-A, of the last stage; ``z``: GAIA-Z, of all stages.

    Deviations from the paper: the layers. The authors' code looks at every normalisation (Z, CIFAR), at those
    of the last two stages (A, ResNets) or of the last one (ImageNet). Here, where `score` sees maps and no
    graph, it is the last normalisation of each stage for Z, and of the last stage for A, where alone the
    derivatives have a closed form. That derivatives before an open rectifier are not zero fails for units
    with nothing but closed ones or zero weights behind them, and for sums that cancel exactly. The formulas
    are those of the code; the paper's norm of all abnormalities is a root of Z's mean (same ranking), and its
    own equation for the fusion was not established. A mean of :math:`|W^\top (\mathbf 1 - K p)|` below 1e-12
    counts as 1e-12.

    Networks whose maps are not rectified have no zeros (transformers, ConvNeXt) and are not applicable, nor
    are, to either variant, those whose features are not pooled from the last stage's map.

    Differs from: OpenOOD v1.5 and pytorch-ood 0.4.0 do not have it.
    """

    variant: Variant = "a"

    fit_limit = 256

    weight: Tensor = fitted()  # (K, D)
    bias: Tensor = fitted()  # (K,)

    paper = Paper(
        title="GAIA: Delving into Gradient-based Attribution Abnormality for Out-of-distribution Detection",
        authors="J. Chen, J. Li, X. Qu, J. Wang, J. Wan, J. Xiao",
        venue="NeurIPS",
        year=2023,
        arxiv="2311.09620",
    )
    needs = frozenset({Signal.MAPS, Signal.PENULTIMATE, Signal.HEAD})

    def __post_init__(self) -> None:
        if self.variant not in get_args(Variant):
            raise ValueError(f"variant: expected one of {', '.join(get_args(Variant))}, got {self.variant!r}")

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Keep the head; nothing is learned.

        Raises
        ------
        NotApplicable
            If the last stage's maps have no zeros, or the features are not pooled from them.
        """
        last, h = train.maps[-1], train.penultimate
        if last.shape[1] != h.shape[1]:
            raise NotApplicable(
                f"the last stage's map has {last.shape[1]} channels and there are {h.shape[1]} features: "
                "they are not its average"
            )
        if last.all():
            raise NotApplicable("the last stage's maps have no zeros: no rectifier ends it")
        if ((_shares(last) > 0) != (h != 0)).double().mean() > TOLERATED:
            raise NotApplicable(
                "features and the last stage's map are not zero together: they are not its average"
            )
        return self.with_state(weight=head.weight.double(), bias=head.bias.double())

    def score(self, features: Features) -> Tensor:
        """Score maps (N, C, H, W) of each stage and features (N, D): (N,) float64."""
        if self.variant == "z":
            return -torch.cat([_shares(stage) for stage in features.maps], dim=1).square().mean(dim=1)
        last = features.maps[-1]
        h = features.penultimate.double()
        p = torch.softmax(h @ self.weight.T + self.bias, dim=1)  # (N, K)
        output = (self.weight.sum(dim=0) - p.shape[1] * (p @ self.weight)).abs().mean(dim=1)
        inner = _shares(last).square().mean(dim=1)
        return -inner / (last.shape[2:].numel() * output.clamp_min(LEAST))


def _shares(maps: Tensor) -> Tensor:
    """Share of the positions where maps (N, C, H, W) are not zero: (N, C) float64."""
    return torch.count_nonzero(maps, dim=(2, 3)).double() / maps.shape[2:].numel()
