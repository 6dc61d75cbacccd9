"""NNGuide: the energy, guided by the energies of similar training images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from methods.base import Detector, Features, Head, HyperparameterError, Paper, Signal, fitted
from methods.detectors._nearest import largest_products
from methods.detectors._rows import Rows, normalised
from methods.detectors._subspace import sample
from methods.registry import register

SIMILARITIES = 2**22  # held at once: at most 32 MiB
FRACTION = 0.01
SMALLEST_BANK = 1000  # of which a fraction is taken


@register("nnguide")
@dataclass(frozen=True)
class NNGuide(Detector):
    r"""Energy times the mean similarity to the nearest of energy-scaled training features (Park et al. 2023).

    .. math::
        E &= \log \sum_k \exp(z_k), \qquad \hat h = h / \max(\lVert h \rVert, 10^{-12}) \\
        G &= \text{mean of the } k \text{ largest } \langle \hat h, E_i \hat h_i \rangle \\
        s &= E \, G

    over the M training images i of the bank. The k largest are those of the scaled inner products, and so not
    always of the nearest images.

    Shapes: features (N, D), logits (N, K) → scores (N,). Cost: O(NMD), in blocks of rows that hold 2²² inner
    products at once. The largest are found in float32 and then computed in float64; where rounding leaves
    open which they are, the image is searched again in float64.

    Parameters
    ----------
    k
        How many similarities are averaged, at least 1.
    fraction
        The share of training images in the bank, drawn at random: above 0, at most 1. None takes the
        published 1 % where that is a bank of at least 1000 images, and else all.

    Deviations from the paper: none. Where references disagree: one benchmark takes k = 100; some code adds
    1e-10 after the division by the norm. A negative energy turns the sign of the product, here as in the
    release; shifting the energies would be another method.

    Differs from: OpenOOD v1.5 takes k = 100 and the first 1 % of the training images, however few; that
    setting is the entry `nnguide_openood`. pytorch-ood 0.4.0 takes k = 10 and all of them.
    """

    k: int = 10
    fraction: float | None = None

    bank: Rows = fitted()  # (M, D): normalised and scaled by the energy

    paper = Paper(
        title="Nearest Neighbor Guidance for Out-of-Distribution Detection",
        authors="J. Park, Y. G. Jung, A. B. J. Teoh",
        venue="ICCV",
        year=2023,
        arxiv="2309.14888",
    )
    needs = frozenset({Signal.LOGITS, Signal.PENULTIMATE})
    searches = True

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"k: expected at least 1, got {self.k}")
        if self.fraction is not None and not 0 < self.fraction <= 1:
            raise ValueError(f"fraction: expected None or above 0 and at most 1, got {self.fraction}")

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Fill the bank.

        Raises
        ------
        HyperparameterError
            If `k` is larger than the bank.
        ValueError
            If images must be drawn and there is no `rng`.
        """
        size = self._bank_size(len(train))
        if self.k > size:
            raise HyperparameterError(f"k: expected at most the size of the bank, {size}, got {self.k}")
        drawn = sample(train, size, rng)
        bank = Rows(drawn.penultimate, lambda h, z: normalised(h) * _energy(z)[:, None], drawn.logits)
        return self.with_state(bank=bank.held())

    def score(self, features: Features) -> Tensor:
        """Score penultimate features (N, D) of images with logits (N, K): (N,) float64."""
        h = normalised(features.penultimate.double())
        guidance = largest_products(h, self.bank, self.k, torch.float32, SIMILARITIES).mean(dim=1)
        return _energy(features.logits) * guidance

    def _bank_size(self, images: int) -> int:
        if self.fraction is None:
            size = round(FRACTION * images)
            return size if size >= SMALLEST_BANK else images
        return max(1, round(self.fraction * images))


def _energy(logits: Tensor) -> Tensor:
    return torch.logsumexp(logits.double(), dim=1)
