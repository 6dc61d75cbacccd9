"""Square attack: random search with squares, by the logits alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from methods.attack import Attack, Classifier, bounds
from methods.attacks._losses import margin
from methods.method import Paper
from methods.registry import register

_HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)  # iterations after which p is halved


def side_of_square(iteration: int, share: float, height: int, width: int) -> int:
    """Side of the window that is changed at an iteration, counted from 1."""
    p = share / 2 ** sum(iteration > limit for limit in _HALVINGS)
    return min(max(round(math.sqrt(p * height * width)), 1), height, width)


@register("square")
@dataclass(frozen=True)
class Square(Attack):
    r"""Squares of ±2ε at random places, kept where they lower the margin (Andriushchenko et al. 2020).

    .. math:: z_y - \max_{j \ne y} z_j

    The first query has vertical stripes of ±ε. A square has one sign in each channel; its side shrinks on a
    fixed schedule. Images that the network errs on are left alone. Every query draws, for the whole batch, a
    place and a sign for each channel of each image, also of those that do not resist any more: what is drawn
    for image i depends on the generator, i and the number of images, not on what the others are. The side of
    a query is one for all. Cost: at most `queries` + 1 forward passes, of the images that still resist.

    Parameters
    ----------
    epsilon
        ε in [0, 1], of pixels in [0, 1].
    queries
        At least 1; the stripes are the first.
    share
        p in (0, 1]: share of the pixels in the first square.

    Deviations from the paper: the schedule is in iterations, as in the standard suite of Croce & Hein
    (2020), and is not scaled to the number of queries. Where references disagree: their release draws one
    place and sign for all images of a batch; here every image has its own, as in the paper.
    """

    epsilon: float = 8 / 255
    queries: int = 5000
    share: float = 0.8

    paper = Paper(
        title="Square Attack: a query-efficient black-box adversarial attack via random search",
        authors="M. Andriushchenko, F. Croce, N. Flammarion, M. Hein",
        venue="ECCV",
        year=2020,
        arxiv="1912.00049",
    )
    small = {"queries": 80}
    needs_gradient = False

    def __post_init__(self) -> None:
        self._check(queries=self.queries)
        if not 0 < self.share <= 1:
            raise ValueError(f"share: expected a number above 0, at most 1, got {self.share}")

    def _search(
        self, network: Classifier, images: Tensor, labels: Tensor, rng: torch.Generator
    ) -> Iterator[Tensor]:
        rows = torch.ones(len(images), dtype=torch.bool, device=images.device)
        yield self.among(network, images, labels, rows, rng)

    @torch.no_grad()
    def among(
        self, network: Classifier, images: Tensor, labels: Tensor, rows: Tensor, rng: torch.Generator
    ) -> Tensor:
        """Attack some rows (N,) bool only, by the queries that they have in the whole batch."""
        low, high = bounds(images, self.epsilon)
        found = images.clone()
        best = margin(network(images), labels)
        # At a margin of 0 two classes tie, and the network may still be right.
        left = (rows & (best >= 0)).nonzero()[:, 0]
        for iteration in range(self.queries):
            if not len(left):
                break
            step = self._step(images.shape, left, iteration, rng).to(images)
            tried = torch.clamp(found[left] + step, low[left], high[left])
            value = margin(network(tried), labels[left])
            better = (value < best[left]) | (iteration == 0)
            found[left[better]] = tried[better]
            best[left[better]] = value[better]
            left = left[best[left] >= 0]
        return found

    def _step(self, shape: torch.Size, of: Tensor, iteration: int, rng: torch.Generator) -> Tensor:
        """What an iteration adds to some images: stripes (M, 3, 1, W), later squares (M, 3, H, W)."""
        count, channels, height, width = shape
        of = of.cpu()
        if iteration == 0:
            return self.epsilon * _signs((count, channels, 1, width), rng)[of]
        side = side_of_square(iteration, self.share, height, width)
        top = torch.randint(0, height - side + 1, (count, 1), generator=rng)[of]
        left = torch.randint(0, width - side + 1, (count, 1), generator=rng)[of]
        signs = _signs((count, channels, 1, 1), rng)[of]
        rows, columns = torch.arange(height), torch.arange(width)
        down = (rows >= top) & (rows < top + side)  # (M, H)
        across = (columns >= left) & (columns < left + side)  # (M, W)
        return 2 * self.epsilon * signs * (down[:, None, :, None] & across[:, None, None, :])


def _signs(shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
    return torch.randint(0, 2, shape, generator=rng) * 2.0 - 1.0
