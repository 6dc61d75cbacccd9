"""The contract of a method: all that a contributor must read.

A detector is a frozen dataclass: its fields are its hyper-parameters, typed, with the published defaults. It
is registered under the name of its file::

    @register("energy")
    @dataclass(frozen=True)
    class Energy(Detector):
        temperature: float = 1.0
        paper = Paper(...)
        needs = frozenset({Signal.LOGITS})

        def score(self, features: Features) -> Tensor: ...

A detector that learns state declares it with `fitted()` and returns a fitted copy of itself from `fit`::

    class_means: Tensor = fitted()

        def fit(self, train, val, head, rng=None) -> Self:
            return self.with_state(class_means=...)

What a detector sees of a network is in `methods.features` and `methods.head`, what an objective must do in
`methods.objective`, the exceptions are in `methods.errors`; all can be imported from here.
"""

from __future__ import annotations

import copy
import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, Self

import torch
from torch import Tensor

from methods.errors import HyperparameterError, MethodError, NotApplicable, NotFitted, ScoreError
from methods.features import Features, Signal
from methods.head import Head
from methods.method import Method, Paper
from methods.objective import (
    NETWORK,
    Batch,
    Data,
    Objective,
    ObjectiveHead,
    Optimizer,
    Setting,
    TrainableNetwork,
)

__all__ = [
    "NETWORK", "AnyDetector", "Batch", "ClosedForm", "Data", "Detector", "EnsembleDetector",
    "FeatureNetwork", "Features", "GradientDetector", "Head", "HyperparameterError", "Method",
    "MethodError", "NotApplicable", "NotFitted", "Objective", "ObjectiveHead", "Optimizer", "Paper",
    "ScoreError", "Setting", "Signal", "TrainableNetwork", "check_scores", "fitted",
]  # fmt: skip


class FeatureNetwork(Protocol):
    """A frozen network in eval mode, as a `GradientDetector` sees it.

    Of a model that gives logits, ``lambda images: Features(model(images))`` is one.
    """

    def __call__(self, images: Tensor) -> Features:
        """Features of images (N, 3, H, W) with pixels in [0, 1], differentiable."""


def fitted() -> Any:
    """Declare a field of a detector's dataclass that `fit` sets: no hyper-parameter, no default."""
    return dataclasses.field(init=False, repr=False, compare=False)


def _state_fields(cls: Any) -> set[str]:
    return {f.name for f in dataclasses.fields(cls) if not f.init} if dataclasses.is_dataclass(cls) else set()


class _Scorer(Method):
    needs: ClassVar[frozenset[Signal]]
    fit_limit: ClassVar[int | None] = None  # most training images that `fit` is shown, drawn evenly by class

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Learn from in-distribution data and return a fitted copy; the default learns nothing.

        `train` and `val` carry labels. Test data and outliers are never shown. The inputs are not modified.
        """
        return self

    def with_state(self, **state: Any) -> Self:
        """Return a copy that carries the state declared with `fitted()`."""
        twin = copy.copy(self)
        for key, value in state.items():
            object.__setattr__(twin, key, value)
        return twin

    def __getattr__(self, key: str) -> Any:
        if key in _state_fields(type(self)):
            raise NotFitted(f"{self.name}: call fit before score")
        raise AttributeError(f"{type(self).__name__!r} has no attribute {key!r}")


class Detector(_Scorer):
    """Scores images from what one forward pass gave; **higher = more in-distribution**, always."""

    @abstractmethod
    def score(self, features: Features) -> Tensor:
        """Score N images: (N,) float64, finite; row i depends on image i alone."""


class GradientDetector(Detector):
    r"""A detector that first moves each image a small step along the sign of an input gradient (spec §0.7).

    .. math:: \tilde x = x - \epsilon \, \mathrm{sgn}_+(\nabla_x \ell(x)), \qquad \mathrm{sgn}_+(0) = +1

    A subclass gives the loss and the step; `score` scores features as they are, and `score_images` those of
    the stepped images. Where `step` is 0 the two agree, and the harness needs no network.
    """

    step_name: ClassVar[str]  # the hyper-parameter that is ε
    step_grid: ClassVar[tuple[float, ...]] = ()  # for an ε of None: the harness takes the one of these that
    # gives ID validation images the largest mean score; no OOD image has a say

    @property
    def step(self) -> float:
        """ε ≥ 0 in pixel units, of images in [0, 1]; 0 where it is None and not chosen yet."""
        return float(getattr(self, self.step_name) or 0.0)

    @abstractmethod
    def loss(self, features: Features) -> Tensor:
        """(N,) what the step lowers, differentiable; row i depends on image i alone."""

    def direction(self, network: FeatureNetwork, images: Tensor) -> Tensor:
        """Where the step goes, of the shape and type of `images`: the signs of the loss's input gradient.

        They do not depend on `step`, so that several steps can share them.
        """
        with torch.enable_grad():
            x = images.detach().clone().requires_grad_()
            # Summed, not averaged: row i of the gradient is image i's own, whatever the batch.
            (gradient,) = torch.autograd.grad(self.loss(network(x)).sum(), x)
        return 2 * (gradient >= 0).to(images.dtype) - 1

    def score_images(
        self, network: FeatureNetwork, images: Tensor, direction: Tensor | None = None
    ) -> Tensor:
        """Score images (N, 3, H, W) in [0, 1]: (N,) float64, finite, higher = more in-distribution.

        The network comes frozen and in eval mode and is left so. `direction` is what the method of that name
        returned for these images, if it is known already. Stepped images are not clipped.
        """
        if self.step > 0:
            direction = self.direction(network, images) if direction is None else direction
            images = images - self.step * direction
        with torch.no_grad():
            return self.score(network(images))


class EnsembleDetector(_Scorer):
    """Scores images from the features that several networks, trained with different seeds, gave for them."""

    members: int  # a hyper-parameter: of how many networks

    @abstractmethod
    def score(self, members: Sequence[Features]) -> Tensor:
        """Score N images: (N,) float64, finite, higher = more in-distribution."""


AnyDetector = Detector | EnsembleDetector


class ClosedForm(ABC):
    """A detector whose `score` is a closed form of something defined by a gradient.

    The conformance suite holds `score` to `by_autograd`.
    """

    @abstractmethod
    def by_autograd(self, features: Features) -> Tensor:
        """Compute the definition, by automatic differentiation, for every row: (N,) float64."""


def check_scores(scores: Tensor, n: int) -> Tensor:
    """Return `scores` as (n,) float64 on the CPU.

    Raises
    ------
    ScoreError
        If they are no tensor of real numbers of shape (n,), or any is NaN or infinite.
    """
    if not isinstance(scores, Tensor) or scores.shape != (n,):
        seen = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise ScoreError(f"expected scores of shape ({n},), got {seen}")
    if scores.is_complex():
        raise ScoreError(f"expected real scores, got {scores.dtype}: which part would rank the images?")
    scores = scores.detach().to("cpu", torch.float64)
    bad = int((~torch.isfinite(scores)).sum())
    if bad:
        raise ScoreError(f"{bad} of {n} scores are NaN or infinite; every score must be finite")
    return scores
