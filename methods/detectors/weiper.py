"""WeiPer: how the values of features, and of logits by perturbed weights, are distributed within an image."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from methods.base import Detector, Features, Head, NotApplicable, Paper, Signal, fitted
from methods.detectors import _blocks
from methods.detectors._blocks import by_blocks
from methods.detectors._rows import Rows, normalised
from methods.registry import register

FLOOR, FLOOR_PERTURBED = 0.01, 0.025  # added to the shares of features, and of perturbed logits, in each bin
SLACK = 1e-8  # of the training range, by which the bins extend beyond it: rounding puts no value outside


@dataclass(frozen=True)
class Histogram:
    """How values are distributed over even bins: those of an image, against those of all training images."""

    low: float  # where the first bin begins
    per_unit: float  # bins
    mean: Tensor  # (B,): of the training images' shares, with the floor
    width: int  # of the smoothing
    floor: float

    @classmethod
    def of(
        cls, what: str, blocks: Callable[[], Iterator[Tensor]], bins: int, width: int, floor: float
    ) -> Self:
        """Learn from the values that `blocks` gives, twice: their range, and then their mean distribution.

        Raises
        ------
        NotApplicable
            If they are all one number; names `what` they are.
        """
        ends = torch.stack([torch.stack([block.min(), block.max()]) for block in blocks()])
        low, high = float(ends[:, 0].min()), float(ends[:, 1].max())
        if not low < high:
            raise NotApplicable(f"{what}: all are {low:g} for all training images, so that they tell nothing")
        low, span = low - SLACK * (high - low), (1 + 2 * SLACK) * (high - low)
        per_unit = bins / span
        # Whole numbers, which no order of summing rounds.
        counts = reduce(torch.add, (_counts(b.reshape(1, -1), low, per_unit, bins)[0] for b in blocks()))
        mean = _with_floor(counts.double() / counts.sum(), floor)
        return cls(low, per_unit, mean, width, floor)

    def counts(self, values: Tensor) -> Tensor:
        """How many of the values (n, V) of each image lie in each bin: (n, B)."""
        return _counts(values, self.low, self.per_unit, len(self.mean))

    def divergence(self, counts: Tensor, values: int) -> Tensor:
        """Divergence of an image's distribution from the mean and back, of counts (n, B) of so many: (n,)."""
        q = _with_floor(_smoothed(counts.double() / values, self.width), self.floor)
        divergence: Tensor = ((q - self.mean) * (q.log() - self.mean.log())).sum(dim=1)
        return divergence


@register("weiper")
@dataclass(frozen=True)
class WeiPer(Detector):
    r"""Distributions of features and of perturbed logits against their training mean (Granz et al. 2024).

    WeiPer+KLD. The weight of each class is perturbed r times, at random and by δ of its length:

    .. math::
        \tilde w_{ik} &= w_k + \delta \lVert w_k \rVert \, \eta_{ik} / \lVert \eta_{ik} \rVert, \qquad
            \eta_{ik} \sim \mathcal N(0, I), \quad i = 1, \dots, r \\
        \tilde z_{ik} &= \langle \tilde w_{ik}, h \rangle + b_k, \qquad
            m = \frac{1}{r} \sum_i \max_k \mathrm{softmax}(\tilde z_i)_k

    The D features of an image are seen as a sample of one distribution, and its rK perturbed logits as that
    of another. :math:`p_t` is the share of the values that lie in the t-th of B even bins over the range of
    all values of all training images; values outside are in no bin. With :math:`\bar p` the mean share over
    the training images, :math:`T_w` the mean over w bins around each, and a floor ε,

    .. math::
        q &\propto T_w(p) + \varepsilon, \qquad \bar q \propto \bar p + \varepsilon \\
        J_{w, \varepsilon}(p) &= \mathrm{KL}(q \Vert \bar q) + \mathrm{KL}(\bar q \Vert q)
            = \sum_t (q_t - \bar q_t) \, (\log q_t - \log \bar q_t) \\
        s &= -J_{w_1, 0.01}(p(h)) - \lambda_1 \, J_{w_2, 0.025}(p(\tilde z)) + \lambda_2 \, m

    (eqs. 4 to 14). Each bin at an end stands for those that the mean would need beyond it; of an even w one
    more bin counts above than below. `fit` draws the perturbations from its generator.

    Products are computed in float64, because rounding may move a value from bin to bin. Shapes: features
    (N, D), weight (K, D), bias (K,) → scores (N,). Cost: fit and score O(N r K D), in memory O(r K D), in the
    type of the head.

    Parameters
    ----------
    repeats
        r, at least 1.
    distance
        δ ≥ 0: the length of each perturbation over that of its weight.
    bins
        B, at least 2.
    lambda_1
        λ₁ ≥ 0, the weight of the divergence of perturbed logits.
    lambda_2
        λ₂ ≥ 0, the weight of the mean largest probability m.
    smoothing
        w₁, in bins, at least 1: of the shares of features.
    smoothing_perturbed
        w₂, in bins, at least 1: of the shares of perturbed logits.

    Deviations from the paper: all of its settings are found with validation outliers, one for each network:
    for δ, B, λ₁, λ₂, w₁, w₂ it has 2.4, 100, 2.5, 0.25, 40, 15 for ResNet-50 on ImageNet, which are the
    defaults here; 2, 80, 2.5, 0.1, 40, 15 for ViT-B/16 there, where it says that the method does badly; 1.8,
    100, 2.5, 0.1, 4, 15 for ResNet-18 on CIFAR-10 and 2.4, 100, 0.1, 1, 4, 40 on CIFAR-100; r is 100
    throughout. As on its ImageNet, `fit` sees at most 300,000 training images, as many of each class. The
    range extends beyond that of the training images by 1e-8 of it at both ends, in the release by 1e-8 at the
    upper one. Its other scores, the mean probability m alone and that of features clipped as in `react`, are
    not made.

    Where references disagree: the paper has no bias; in eq. 4 one perturbation for all classes of a repeat,
    but not in eq. 6; and no floor under the training mean, where an empty bin would make the divergence
    infinite. All three are here as in the release. There the training mean is that of batches, the last of
    which may be smaller. Signed features need nothing special.

    Differs from: neither OpenOOD v1.5 nor pytorch-ood 0.4.0 has it.
    """

    repeats: int = 100
    distance: float = 2.4
    bins: int = 100
    lambda_1: float = 2.5
    lambda_2: float = 0.25
    smoothing: int = 40
    smoothing_perturbed: int = 15

    fit_limit = 300_000

    perturbed: tuple[Tensor, ...] = fitted()  # r times (K, D), in the type of the head
    bias: Tensor = fitted()  # (K,)
    of_features: Histogram = fitted()
    of_logits: Histogram = fitted()

    paper = Paper(
        title="WeiPer: OOD Detection using Weight Perturbations of Class Projections",
        authors="M. Granz, M. Heurich, T. Landgraf",
        venue="NeurIPS",
        year=2024,
        arxiv="2405.17164",
    )
    aliases = ("weiper_kldiv",)
    needs = frozenset({Signal.PENULTIMATE, Signal.HEAD})

    def __post_init__(self) -> None:
        for name, least in (("repeats", 1), ("bins", 2), ("smoothing", 1), ("smoothing_perturbed", 1)):
            if (count := getattr(self, name)) < least:
                raise ValueError(f"{name}: expected at least {least}, got {count}")
        for name in ("distance", "lambda_1", "lambda_2"):
            if not 0 <= (value := getattr(self, name)) < math.inf:
                raise ValueError(f"{name}: expected a finite number of at least 0, got {value}")

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Draw the perturbations, and learn the ranges and the mean distributions of the training images.

        Raises
        ------
        ValueError
            If there is no `rng`.
        NotApplicable
            If all training features, or all perturbed logits, are one number.
        """
        if rng is None:
            raise ValueError(f"rng: {self.repeats} perturbations are drawn; pass a torch.Generator")
        made = self.with_state(perturbed=self._perturb(head.weight, rng), bias=head.bias.double())
        rows = Rows(train.penultimate)

        def features() -> Iterator[Tensor]:
            for (block,) in rows.blocks():
                yield from torch.split(block, max(1, _blocks.AT_ONCE // max(1, rows.width)))

        def logits() -> Iterator[Tensor]:
            for h in features():
                yield from made._logits(h)

        return made.with_state(
            of_features=Histogram.of("features", features, self.bins, self.smoothing, FLOOR),
            of_logits=Histogram.of(
                "perturbed logits", logits, self.bins, self.smoothing_perturbed, FLOOR_PERTURBED
            ),
        )

    def score(self, features: Features) -> Tensor:
        """Score penultimate features (N, D): (N,) float64."""
        return by_blocks(self._score, features.penultimate)

    def _score(self, h: Tensor) -> Tensor:
        h = h.double()
        counts = torch.zeros(len(h), self.bins, dtype=torch.long, device=h.device)
        largest = h.new_zeros(len(h))
        for z in self._logits(h):
            counts += self.of_logits.counts(z.flatten(1))
            largest += torch.softmax(z, dim=2).amax(dim=2).sum(dim=1)
        perturbed = self.of_logits.divergence(counts, self.repeats * len(self.bias))
        plain = self.of_features.divergence(self.of_features.counts(h), h.shape[1])
        scores: Tensor = self.lambda_2 * largest / self.repeats - plain - self.lambda_1 * perturbed
        return scores

    def _perturb(self, weight: Tensor, rng: torch.Generator) -> tuple[Tensor, ...]:
        """`repeats` weights (K, D), each with a perturbation of its own."""

        def perturbed() -> Tensor:
            noise = torch.randn(weight.shape, generator=rng, dtype=torch.float64).to(weight.device)
            length = self.distance * torch.linalg.vector_norm(weight.double(), dim=1, keepdim=True)
            moved: Tensor = weight.double() + length * normalised(noise)
            return moved.to(weight.dtype)

        return tuple(perturbed() for _ in range(self.repeats))

    def _logits(self, h: Tensor) -> Iterator[Tensor]:
        """Perturbed logits (n, g, K) of features (n, D), some repeats at a time."""
        classes = len(self.bias)
        step = max(1, _blocks.AT_ONCE // (classes * max(len(h), h.shape[1])))
        for start in range(0, self.repeats, step):
            weight = torch.cat(self.perturbed[start : start + step]).double()
            yield (h @ weight.T).reshape(len(h), len(weight) // classes, classes) + self.bias


def _counts(values: Tensor, low: float, per_unit: float, bins: int) -> Tensor:
    """How many of each row of values (n, V) lie in each of the bins: (n, B), whole numbers."""
    cells = ((values - low) * per_unit + 1).clamp_(0, bins + 1).long()  # the first and the last are outside
    cells += (bins + 2) * torch.arange(len(values), device=values.device)[:, None]
    counts = torch.bincount(cells.flatten(), minlength=len(values) * (bins + 2))
    return counts.reshape(len(values), bins + 2)[:, 1:-1]


def _with_floor(shares: Tensor, floor: float) -> Tensor:
    raised = shares + floor
    return raised / raised.sum(dim=-1, keepdim=True)


def _smoothed(shares: Tensor, width: int) -> Tensor:
    """Shares (n, B) as their means over `width` bins around each; the ends stand for what is beyond them."""
    before = (width - 1) // 2
    padded = functional.pad(shares[:, None], (before, width - 1 - before), mode="replicate")
    return functional.avg_pool1d(padded, width, stride=1)[:, 0]
