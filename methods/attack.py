"""The contract of an adversarial attack: all that a contributor of one must read."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from methods.method import Method
from methods.neutral import neutral
from methods.tensors import check_images

Classifier = Callable[[Tensor], Tensor]  # logits (N, K) of images (N, 3, H, W) with pixels in [0, 1]
Loss = Callable[[Tensor], Tensor]  # (N,) of images (N, 3, H, W)


class NoGradient(ValueError):  # noqa: N818 - a property of the network, told as bad input
    """What is to be climbed does not depend on the images, as far as autograd knows."""


class Attack(Method):
    r"""Moves images within a ball, so that a network errs; untargeted unless it says otherwise.

    The ball is :math:`\lVert x' - x \rVert_\infty \le \epsilon` in pixel space, cut to [0, 1]. What comes
    back never leaves it, and the network is not changed. Random numbers come from the generator alone.
    """

    needs_gradient: ClassVar[bool] = True  # False: asks the network for logits only (a black box)
    package: ClassVar[str | None] = None  # a distribution that it runs: its version belongs to the results
    epsilon: float  # a hyper-parameter of every attack

    @property
    def reach(self) -> float:
        """How far a point may lie from its image: ε, unless a published mistake is reproduced."""
        return self.epsilon

    def perturb(
        self, network: Classifier, images: Tensor, labels: Tensor, rng: torch.Generator | None = None
    ) -> Tensor:
        """Adversarial images of the shape of `images` (N, 3, H, W), for class indices `labels` (N,).

        Parameters
        ----------
        network
            In eval mode, with the normalisation inside. Its parameters get no gradient.
        images
            Floats in [0, 1].
        labels
            int64, below the number of classes.
        rng
            A generator on the CPU, for attacks that start or search at random; None is one of seed 0.

        Raises
        ------
        ValueError
            If the images leave [0, 1], a label does not fit, or the network gives no gradient.
        """
        found = images
        for found in self.path(network, images, labels, rng):  # noqa: B007 - the last one
            pass
        return found

    def path(
        self, network: Classifier, images: Tensor, labels: Tensor, rng: torch.Generator | None = None
    ) -> Iterator[Tensor]:
        """The points of the search, step after step, each within the ball; `perturb` returns the last.

        Arguments and errors as for `perturb`; errors come with the first point. An attack that has no steps
        to show yields one point.
        """
        check_images(images)
        check_labels(labels, len(images))
        images = images.detach()
        if not len(images):
            yield images.clone()
            return
        low, high = bounds(images, self.reach)
        highest = int(labels.max())

        def checked(x: Tensor) -> Tensor:
            logits = network(x)
            if logits.ndim != 2 or len(logits) != len(x):
                raise ValueError(f"network: expected logits ({len(x)}, K), got {tuple(logits.shape)}")
            if highest >= logits.shape[1]:
                raise ValueError(f"labels: {highest} is none of the network's {logits.shape[1]} classes")
            return logits

        for found in self._search(checked, images, labels, rng or torch.Generator().manual_seed(0)):
            yield torch.clamp(found.detach(), low, high)

    @abstractmethod
    def _search(
        self, network: Classifier, images: Tensor, labels: Tensor, rng: torch.Generator
    ) -> Iterator[Tensor]:
        """Yield one point or more; `path` has checked the arguments and cuts what comes back to the ball."""

    def _check(self, **at_least_one: int) -> None:
        """Raise `ValueError` for an ε outside [0, 1], or a count below 1."""
        if not 0 <= self.epsilon <= 1 or math.isnan(self.epsilon):
            raise ValueError(f"epsilon: expected a number in [0, 1], got {self.epsilon}")
        for name, value in at_least_one.items():
            if value < 1:
                raise ValueError(f"{name}: expected at least 1, got {value}")


def ascend(
    loss: Loss, start: Tensor, centre: Tensor, epsilon: float, step_size: float, steps: int
) -> Iterator[Tensor]:
    """Climb a loss from `start` by signed steps within the ball around `centre` (N, 3, H, W): each point."""
    low, high = bounds(centre, epsilon)
    x = start
    for _ in range(steps):
        found, _ = gradient(loss, x)
        x = torch.add(x, found.sign(), alpha=step_size).clamp_(low, high)
        yield x


def bounds(images: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """Least and largest pixels of the ball around `images`, cut to [0, 1]."""
    return (images - epsilon).clamp_min_(0), (images + epsilon).clamp_max_(1)


def project(moved: Tensor, images: Tensor, epsilon: float) -> Tensor:
    """The nearest point of the ball around `images` that has pixels in [0, 1]."""
    return torch.clamp(moved, *bounds(images, epsilon))


def gradient(loss: Loss, images: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient of each image's own loss (N,) in the image, and the losses.

    Raises
    ------
    NoGradient
        If the loss does not depend on the images.
    """
    with torch.enable_grad():
        x = images.detach().requires_grad_()
        losses = loss(x)
        found: Tensor | None = None
        if losses.requires_grad:  # it may be for the parameters' sake alone: then nothing is found
            (found,) = torch.autograd.grad(losses.sum(), x, allow_unused=True)
    if found is None:
        raise NoGradient("the network gives no gradient: its output does not depend on the images")
    return found, losses.detach()


def uniform_noise(images: Tensor, epsilon: float, rng: torch.Generator) -> Tensor:
    """Noise of the shape of `images`, uniform in [-ε, ε]; that of image i is the same in a longer batch."""
    return (torch.rand(images.shape, generator=rng).to(images) * 2 - 1) * epsilon


def uniform_start(images: Tensor, epsilon: float, rng: torch.Generator) -> Tensor:
    """A point drawn uniformly from the ball around each image, cut to [0, 1]."""
    return (images + uniform_noise(images, epsilon, rng)).clamp(0, 1)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Of logits (N, K) and labels (N,): (N,)."""
    return functional.cross_entropy(logits, labels, reduction="none")


@neutral
def check_labels(labels: Tensor, count: int) -> None:
    """Raise `ValueError` for what is no class index for each of so many images."""
    if labels.shape != (count,):
        raise ValueError(f"labels: expected shape ({count},), got {tuple(labels.shape)}")
    if labels.dtype != torch.int64:
        raise ValueError(f"labels: expected class indices of type int64, got {labels.dtype}")
    if labels.numel() and labels.min() < 0:
        raise ValueError(f"labels: expected class indices of at least 0, got {int(labels.min())}")
