"""The step: large classes and small ones, nothing between."""

from __future__ import annotations

from dataclasses import dataclass

from methods.imbalance import Profile
from methods.method import Paper
from methods.profiles._tail import check_share, tail
from methods.registry import register


@register("step")
@dataclass(frozen=True)
class Step(Profile):
    r"""Half of the classes keep all their images, the others few (Buda et al. 2018; Cao et al. 2019).

    .. math::
        n_i = n_0 \ \text{for}\ i < \lfloor K / 2 \rfloor, \qquad
        n_i = \lfloor n_0 \, \mu \rfloor \ \text{for the others}

    The product is taken in float64 and then cut off. Of an odd number of classes the larger part is small.

    Parameters
    ----------
    mu
        μ in (0, 1]: the share of a small class in a large one. Published: 0.1 and 0.01. 1 leaves the set
        balanced.

    Deviations from the paper: Buda et al. also vary how many classes are small; here it is half.
    """

    mu: float = 0.01

    paper = Paper(
        title="A Systematic Study of the Class Imbalance Problem in Convolutional Neural Networks",
        authors="M. Buda, A. Maki, M. A. Mazurowski",
        venue="Neural Networks",
        year=2018,
        arxiv="1710.05381",
    )

    def __post_init__(self) -> None:
        check_share("mu", self.mu)

    def counts(self, classes: int, largest: int) -> list[int]:
        """Images of each class by rank, K ints."""
        small = int(largest * self.mu)
        return tail(self, classes, largest, lambda i: largest if i < classes // 2 else small)
