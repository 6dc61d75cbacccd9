"""pNML: how much a last layer could gain by having seen the image with any label."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from methods.base import Detector, Features, Head, NotApplicable, Paper, Signal, fitted
from methods.detectors._blocks import by_blocks, working_type
from methods.detectors._gaussian import whitener
from methods.detectors._rows import Rows, normalised, scatter
from methods.registry import register

EVEN = 1e3  # by which directions may differ in what they count, for π to keep some four digits in float32


@register("pnml")
@dataclass(frozen=True)
class PNML(Detector):
    r"""Regret of the last layer under predictive normalised maximum likelihood (Bibas, Feder & Hassner 2021).

    With the last layer refitted to the training set and the image under each label in turn, :math:`q_k` is
    the probability that it then gives that label. The regret is the logarithm of the sum of them:

    .. math::
        x &= h / \lVert h \rVert, \qquad p = \mathrm{softmax}(x W^\top + b) \\
        g &= \frac{\pi}{1 + \pi}, \qquad \pi = x^\top (X^\top X)^{+} x, \qquad
            q_k = \frac{p_k}{p_k + (1 - p_k) \, p_k^{g}} \\
        s &= -\frac{1}{\log K} \log \sum_k q_k

    X holds the normalised training features. The regret is small where the training features vary much, and
    where the prediction is sure. It is computed as :math:`\log(1 + \sum_k (q_k - p_k))` with

    .. math:: q_k - p_k = q_k (1 - p_k) (1 - p_k^g)

    so that small regrets keep their digits.

    Shapes: features (N, D), weight (K, D), bias (K,) → scores (N,). Cost: fit O(ND² + D³), score O(ND² +
    NKD). No hyper-parameters.

    Deviations from the paper: the pseudo-inverse leaves out eigenvalues below 1e-10 of the largest, where the
    release inverts whatever is not singular to 1e-16; what of an image lies outside the span of the training
    features does not count, as in the release. Where references disagree: the probabilities follow from the
    normalised features, bias included, as in the release. Features that are all zero have no direction; they
    stay zero, their regret is 0, and they score highest.

    Differs from: pytorch-ood 0.4.0 holds probabilities above 1e-12; OpenOOD v1.5 does not have it.
    """

    root: Tensor = fitted()  # (D, R): the product with its transpose is the pseudo-inverse
    even: bool = fitted()  # whether no direction counts so much more than others that float32 would not do
    weight: Tensor = fitted()  # (K, D)
    bias: Tensor = fitted()  # (K,)

    paper = Paper(
        title="Single Layer Predictive Normalized Maximum Likelihood for Out-of-Distribution Detection",
        authors="K. Bibas, M. Feder, T. Hassner",
        venue="NeurIPS",
        year=2021,
        arxiv="2110.09246",
    )
    needs = frozenset({Signal.PENULTIMATE, Signal.HEAD})

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Learn the correlations of the normalised training features; keep the head.

        Raises
        ------
        NotApplicable
            If every training feature is zero, or there is one class only.
        """
        weight, bias = head.weight.double(), head.bias.double()
        if len(bias) < 2:
            raise NotApplicable("the head has one class; the regret is a share of log K, which needs two")
        total = Rows(train.penultimate, normalised).total(scatter)
        if not total.any():
            raise NotApplicable("every training feature is zero, so that there are no directions to know")
        root = whitener(total)
        lengths = torch.linalg.vector_norm(root, dim=0)
        even = bool(lengths.max() < EVEN * lengths.min())
        return self.with_state(root=root, even=even, weight=weight, bias=bias)

    def score(self, features: Features) -> Tensor:
        """Score penultimate features (N, D): (N,) float64."""
        kind = working_type(features.penultimate) if self.even else torch.float64
        root = self.root.to(kind)
        return by_blocks(lambda h: self._score(h, root), features.penultimate)

    def _score(self, h: Tensor, root: Tensor) -> Tensor:
        x = normalised(h.double())
        energy = (x.to(root.dtype) @ root).double().square().sum(dim=1, keepdim=True)  # (n, 1): π
        gain = energy / (1 + energy)
        log_p = torch.log_softmax(x @ self.weight.T + self.bias, dim=1)  # (N, K)
        p = log_p.exp()
        refitted = 1 / (1 + (1 - p) * ((gain - 1) * log_p).exp())
        excess = refitted * (1 - p) * -torch.expm1(gain * log_p)
        return -torch.log1p(excess.sum(dim=1)) / math.log(p.shape[1])
