"""Auto-PGD: ascent whose step size is halved where it stops paying (Croce & Hein 2020, algorithm 1)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from methods.attack import Classifier, bounds, gradient, project

MOMENTUM = 0.75  # a: how much of a step is the gradient's, the rest is the last step's
RISES = 0.75  # share of the steps of a window that must raise the loss
_FIRST, _LESS, _LEAST = 0.22, 0.03, 0.06  # lengths of the windows, as shares of the steps

Loss = Callable[[Tensor, Tensor], Tensor]  # of logits (N, K), and labels (N,): (N,)


def checkpoints(steps: int) -> list[int]:
    """After how many steps the step size is looked at; every length is at least one step."""
    window, least, less = (max(1, int(share * steps)) for share in (_FIRST, _LEAST, _LESS))
    found = []
    at = window
    while at <= steps:
        found.append(at)
        window = max(window - less, least)
        at += window
    return found


def random_start(images: Tensor, epsilon: float, rng: torch.Generator) -> Tensor:
    """A point on the ball's surface: noise scaled to reach ε in its largest element."""
    noise = torch.rand(images.shape, generator=rng).to(images) * 2 - 1
    largest = noise.abs().flatten(1).amax(dim=1).clamp_min(1e-12)
    return project(images + epsilon * noise / _rows(largest), images, epsilon)


def apgd(
    network: Classifier,
    images: Tensor,
    labels: Tensor,
    loss: Loss,
    epsilon: float,
    steps: int,
    start: Tensor,
) -> Iterator[Tensor]:
    """Climb `loss` from `start`; after each step the answer so far.

    That is, for each image, the last point that the network erred on, else the one of the largest loss.
    Shapes: images and start (N, 3, H, W), labels (N,). Every image has a step size of its own.
    """
    low, high = bounds(images, epsilon)
    wrong = torch.zeros(len(images), dtype=torch.bool, device=images.device)
    fooling = start.clone()

    def climb(at: Tensor) -> tuple[Tensor, Tensor]:
        """Gradient and losses at a point; takes note of the images that the network errs on."""
        seen: list[Tensor] = []

        def losses(x: Tensor) -> Tensor:
            logits = network(x)
            seen.append(logits.detach())
            return loss(logits, labels)

        slope, height = gradient(losses, at)
        errs = seen[0].argmax(dim=1) != labels
        wrong.logical_or_(errs)
        fooling[errs] = at[errs]
        return slope, height

    x, before = start, start
    slope, height = climb(x)
    best, best_slope, best_height = x, slope, height
    size = torch.full((len(images),), 2 * epsilon, dtype=images.dtype, device=images.device)
    heights = [height]
    last_best, last_halved = best_height, torch.ones_like(wrong)  # the first time the best is not looked at
    due, previous = set(checkpoints(steps)), 0
    for step in range(1, steps + 1):
        share = 1.0 if step == 1 else MOMENTUM
        there = torch.clamp(x + _rows(size) * slope.sign(), low, high)
        moved = torch.clamp(x + share * (there - x) + (1 - share) * (x - before), low, high)
        before, x = x, moved
        slope, height = climb(x)
        heights.append(height)
        higher = height > best_height
        best = torch.where(_rows(higher), x, best)
        best_slope = torch.where(_rows(higher), slope, best_slope)
        best_height = torch.maximum(height, best_height)
        if step in due:
            window = torch.stack(heights[previous : step + 1])
            rises = (window[1:] > window[:-1]).sum(dim=0)
            stuck = ~last_halved & (last_best >= best_height)
            halved = (rises <= RISES * (step - previous)) | stuck
            size = torch.where(halved, size / 2, size)
            x = torch.where(_rows(halved), best, x)
            slope = torch.where(_rows(halved), best_slope, slope)
            last_best, last_halved, previous = best_height, halved, step
        yield torch.where(_rows(wrong), fooling, best)


def last(points: Iterator[Tensor]) -> Tensor:
    """The last of at least one point; the others are not kept."""
    (found,) = deque(points, maxlen=1)
    return found


def _rows(per_image: Tensor) -> Tensor:
    return per_image[:, None, None, None]
