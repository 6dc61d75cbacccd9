"""The long tail of a power law, of the study of pre-training."""

from __future__ import annotations

from dataclasses import dataclass

from methods.imbalance import Profile
from methods.method import Paper
from methods.profiles._tail import check_sizes, tail
from methods.registry import register

STEEPEST = 10.0  # the powers of a rank stay far from the largest float


@register("power")
@dataclass(frozen=True)
class PowerLaw(Profile):
    r"""The counts fall like a power of the rank (Hendrycks et al. 2019).

    .. math::
        n_i = \mathrm{round}\Big( \frac{a}{b + i^\gamma} \Big), \qquad
        b = \frac{n_{K-1} (K - 1)^\gamma}{n_0 - n_{K-1}}, \quad a = n_0 \, b

    for i = 0, …, K − 1: a and b give the first and the last class their counts. A small γ lets the counts
    fall at once, a large one late.

    Parameters
    ----------
    gamma
        γ in (0, 10]. Published: 0.2, 0.4, 0.6, 0.8, 1, 1.5 and 2; none of them is the paper's own choice.
    ratio
        :math:`n_{K-1} / n_0` in (0, 1), so that the profile means the same for any size of the largest
        class: 250 of 5000 in the paper on CIFAR-10, 25 of 500 on CIFAR-100.

    Deviations from the paper: unknown. The formula is recalled, not read in a primary text.
    """

    gamma: float = 1.0
    ratio: float = 0.05

    paper = Paper(
        title="Using Pre-Training Can Improve Model Robustness and Uncertainty",
        authors="D. Hendrycks, K. Lee, M. Mazeika",
        venue="ICML",
        year=2019,
        arxiv="1901.09960",
    )

    def __post_init__(self) -> None:
        if not 0 < self.gamma <= STEEPEST:
            raise ValueError(f"gamma: expected a number above 0 and at most {STEEPEST}, got {self.gamma}")
        if not 0 < self.ratio < 1:
            raise ValueError(f"ratio: expected a number between 0 and 1, both excluded, got {self.ratio}")

    def constants(self, classes: int, largest: int) -> tuple[float, float]:
        """The numbers a and b for K classes, the largest of `largest` images."""
        check_sizes(classes, largest)
        smallest = self.ratio * largest  # not rounded: the counts are
        b = smallest * (classes - 1) ** self.gamma / (largest - smallest)
        return largest * b, b

    def counts(self, classes: int, largest: int) -> list[int]:
        """Images of each class by rank, K ints."""
        a, b = self.constants(classes, largest)
        return tail(self, classes, largest, lambda i: round(a / (b + i**self.gamma)))
