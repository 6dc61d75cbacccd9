"""The exponential long tail."""

from __future__ import annotations

from dataclasses import dataclass

from methods.imbalance import Profile
from methods.method import Paper
from methods.profiles._tail import check_share, tail
from methods.registry import register


@register("exp")
@dataclass(frozen=True)
class Exponential(Profile):
    r"""Each class has the same share of the one before it (Cui et al. 2019; Cao et al. 2019).

    .. math:: n_i = \lfloor n_0 \, \mu^{i / (K - 1)} \rfloor, \qquad i = 0, \dots, K - 1

    The power and the product are taken in float64 and then cut off, as in the releases; exact arithmetic can
    differ by one image.

    Parameters
    ----------
    mu
        μ in (0, 1]: the share of the smallest class in the largest, one over the imbalance ratio. Published:
        0.1 and 0.01. 1 leaves the set balanced.

    Deviations from the paper: none.
    """

    mu: float = 0.01

    paper = Paper(
        title="Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss",
        authors="K. Cao, C. Wei, A. Gaidon, N. Arechiga, T. Ma",
        venue="NeurIPS",
        year=2019,
        arxiv="1906.07413",
    )

    def __post_init__(self) -> None:
        check_share("mu", self.mu)

    def counts(self, classes: int, largest: int) -> list[int]:
        """Images of each class by rank, K ints."""
        return tail(self, classes, largest, lambda i: int(largest * self.mu ** (i / (classes - 1))))
