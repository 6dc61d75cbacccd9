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

State is tensors, numbers, text, None, tuples, lists, dicts, dataclasses and detectors, so that it can be
saved (`benchmark.evaluation.state`); each field is typed as what it holds.

Both are called with what has been checked (`methods.contract`): features are finite, without gradients and
as wide as those of `fit`, labels are class indices, the head gives the logits; `fit` sees at most `fit_limit`
training images, and `score` no labels. Looking at a `val` or a `head` that the caller left out raises an
error that says so. Features lie on any device, where state and scores then lie too; `rng` draws on the CPU.

A method's file is all that a contributor writes: the tests of all methods find it. What they cannot know it
declares: `small`, hyper-parameters with which it is quick on a toy, and, where a detector needs the outputs
of a head of its own, `example_outputs`.

What a detector sees of a network is in `methods.features` and `methods.head`, what an objective must do in
`methods.objective`, the exceptions are in `methods.errors`; all can be imported from here.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from types import EllipsisType
from typing import Any, ClassVar, Concatenate, Protocol, Self, TypeVar

import torch
from torch import Tensor

from methods.contract import NotGiven, Widths, check_features, check_head, check_scores, detached, limited
from methods.errors import HyperparameterError, InputError, MethodError, NotApplicable, NotFitted, ScoreError
from methods.features import Features, Signal
from methods.head import Head
from methods.method import Method, Paper
from methods.neutral import neutral
from methods.objective import (
    NETWORK,
    Batch,
    Data,
    Objective,
    ObjectiveHead,
    Optimizer,
    Setup,
    TrainableNetwork,
)
from methods.tensors import check_image_batch

__all__ = [
    "NETWORK", "AnyDetector", "Batch", "ClosedForm", "Data", "Detector", "EnsembleDetector",
    "FeatureNetwork", "Features", "GradientDetector", "Head", "HyperparameterError", "InputError", "Method",
    "MethodError", "NotApplicable", "NotFitted", "Objective", "ObjectiveHead", "Optimizer", "Paper",
    "ScoreError", "Setup", "Signal", "TrainableNetwork", "check_scores", "fitted",
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


S = TypeVar("S", bound="_Scorer")


def _checked_fit(learn: Callable[..., S]) -> Callable[Concatenate[S, ...], S]:
    """Wrap a detector's own `fit`: what is called is this one."""

    def fit(
        self: S,
        train: Features,
        val: Features | None = None,
        head: Head | None = None,
        rng: torch.Generator | None = None,
        *,
        fit_limit: int | EllipsisType | None = ...,
    ) -> S:
        if isinstance(train, Features) and train.vetted:  # by the `fit` that calls this one
            return learn(self, train, val, head, rng)
        name, needs = self._title, self.needs
        train = check_features("train", train, needs)
        if val is None:
            val = NotGiven(f"val: {name} learns from validation images; pass Features of them to `fit`")
        else:
            val = check_features("val", val, needs, train.widths()).handed_on()
        if head is None:
            missing = f"head: {name} needs the final layer; pass Head(weight, bias) to `fit`"
            if Signal.HEAD in needs:
                raise InputError(missing)
            head = Head.not_linear(missing)
        elif Signal.HEAD in needs:
            check_head(head, train, "train")
            if not isinstance(val, NotGiven):
                check_head(head, val, "val")
            head = head.on(train.logits.device)
        shown = limited(train, self.fit_limit if isinstance(fit_limit, EllipsisType) else fit_limit, rng)
        with torch.inference_mode(mode=False):  # what is kept may be differentiated through later
            learnt = learn(self, shown.handed_on(), val, head, rng)
        if not isinstance(learnt, _Scorer):
            raise MethodError(f"{name}: expected `fit` to return a fitted copy, got {type(learnt).__name__}")
        return learnt.with_state(_widths=train.widths())

    functools.update_wrapper(fit, learn, ("__module__", "__name__", "__qualname__", "__doc__"))
    del fit.__dict__["__wrapped__"]  # or else `help` would show the arguments of what is wrapped
    return fit


def _checked_score(formula: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a detector's own `score`, which stays at hand as ``__wrapped__``."""

    @functools.wraps(formula)
    def score(self: _Scorer, features: Any) -> Any:
        if _vetted(features):  # by a `score` or a `loss` that calls this one
            return formula(self, features)
        return detached(formula(self, self._admit(features)))

    return score


def _vetted(features: Any) -> bool:
    one = features[0] if isinstance(features, Sequence) and features else features
    return isinstance(one, Features) and one.vetted


def _handing_on(formula: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a detector's own `loss`, so that it may call `score`: differentiable, whatever the step."""

    @functools.wraps(formula)
    def loss(self: _Scorer, features: Features) -> Any:
        return formula(self, features.handed_on())

    return loss


_WRAPPED = {"fit": _checked_fit, "score": _checked_score, "loss": _handing_on}


class _Scorer(Method):
    needs: ClassVar[frozenset[Signal]]  # of what one forward pass can collect; `requires` tells all of it
    searches: ClassVar[bool] = False  # whether each image is compared with all that `fit` was shown
    fit_limit: ClassVar[int | None] = None  # most training images that `fit` is shown, drawn evenly by class
    # Whether a score depends on the images that are scored with it, of one set, at most 4096 at a time. The
    # record's settings say so, and such rows stand apart.
    transductive: ClassVar[bool] = False
    _widths: ClassVar[Widths | None] = None  # of the training features; `fit` sets it on the fitted copy

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for method, wrap in _WRAPPED.items():
            own = cls.__dict__.get(method)
            if own is not None and not getattr(own, "__isabstractmethod__", False):
                setattr(cls, method, wrap(own))

    # Any arguments, as far as types go: a subclass's own are fewer than those that its callers may give.
    @_checked_fit
    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Learn from in-distribution data and return a fitted copy; the default learns nothing.

        `train` and `val` carry labels. Test data and outliers are never shown. The inputs are not modified.

        A subclass declares `train`, `val`, `head` and `rng`. A caller may leave out what is not used and give
        `fit_limit` besides: most training images, in place of the method's own; None for all.

        Raises
        ------
        InputError
            A `ValueError`, if an argument is missing, not finite, or does not fit the others.
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

    @staticmethod
    @neutral
    def example_outputs(logits: Tensor) -> Tensor:
        """What the head that it is made for might give besides logits (N, K), for tests: (N, M).

        Only a detector that needs `Signal.OUTPUTS` looks at them.
        """
        return logits

    @property
    def requires(self) -> tuple[str, ...]:
        """All that it needs, in words: its signals, and what is no signal."""
        return tuple(sorted(self.needs))

    @property
    def _title(self) -> str:
        return getattr(self, "name", type(self).__name__)

    @abstractmethod
    def _admit(self, features: Any) -> Any:
        """Check what `score` is given; what it hands on has no labels and no gradients."""

    def _check(self, argument: str, features: Any) -> Features:
        checked = check_features(argument, features, self.needs, self._widths)
        return checked.without("labels").handed_on()


class Detector(_Scorer):
    """Scores images from what one forward pass gave; **higher = more in-distribution**, always."""

    @abstractmethod
    def score(self, features: Features) -> Tensor:
        """Score N images: (N,) float64, finite; row i depends on image i alone.

        Raises
        ------
        InputError
            A `ValueError`, if the features are not finite, or not as wide as those of `fit`.
        """

    def raw_score(self, features: Features) -> Tensor:
        """Score features as they are: differentiable where they are, unchecked, their images stepped already.

        For those who take the gradient of a score in the image; others call `score`.
        """
        return self.score(features.without("labels").handed_on())

    def _admit(self, features: Any) -> Features:
        return self._check("features", features)


class GradientDetector(Detector):
    r"""A detector that first moves each image a small step along the sign of an input gradient (spec §0.7).

    .. math:: \tilde x = x - \epsilon \, \mathrm{sgn}_+(\nabla_x \ell(x)), \qquad \mathrm{sgn}_+(0) = +1

    A subclass gives the loss and the step, and scores features as they are. `score_images` scores those of
    the stepped images. Where `step` is 0 `score` does the same without a network; else it refuses, because
    features cannot be stepped.
    """

    step_name: ClassVar[str]  # the hyper-parameter that is ε
    calibrates: ClassVar[bool] = False  # whether `calibrated` must follow `fit`
    step_grid: ClassVar[tuple[float, ...]] = ()  # for an ε of None: the harness takes the one of these that
    # gives ID validation images the largest mean score; no OOD image has a say

    @property
    def step(self) -> float:
        """ε ≥ 0 in pixel units, of images in [0, 1]; 0 where it is None and not chosen yet."""
        return float(self.hyperparameters()[self.step_name] or 0.0)

    @property
    def chooses_step(self) -> bool:
        """Whether ε is None: the harness takes it from `step_grid`."""
        return self.hyperparameters()[self.step_name] is None

    def with_step(self, step: float) -> Self:
        """Return a copy with that ε, fitted if this one is: ε plays no part in fitting."""
        return self.with_state(**{self.step_name: step})

    @property
    def requires(self) -> tuple[str, ...]:
        """Its signals; where it steps, the network itself and images."""
        stepping = self.step > 0 or self.chooses_step
        return (*super().requires, *(("the network itself", "images") if stepping else ()))

    @abstractmethod
    def loss(self, features: Features) -> Tensor:
        """(N,) what the step lowers, differentiable; row i depends on image i alone."""

    def direction(self, network: FeatureNetwork, images: Tensor) -> Tensor:
        """Where the step goes, of the shape and type of `images`: the signs of the loss's input gradient.

        They do not depend on `step`, so that several steps can share them.
        """
        return 2 * (self.gradient(network, images) >= 0).to(images.dtype) - 1

    def gradient(self, network: FeatureNetwork, images: Tensor) -> Tensor:
        """Gradient of each image's loss in that image, of the shape and type of `images`."""
        with torch.inference_mode(mode=False), torch.enable_grad():
            x = images.detach().clone().requires_grad_()
            # Summed, not averaged: row i of the gradient is image i's own, whatever the batch.
            (gradient,) = torch.autograd.grad(self.loss(network(x)).sum(), x)
        return gradient

    def calibration(self, network: FeatureNetwork, images: Tensor) -> Tensor:
        """What `calibrated` learns from: (N,) of ID images (N, 3, H, W), each from its own."""
        return images.new_zeros(len(images))

    def calibrated(self, values: Tensor) -> Self:
        """Return a fitted copy that has learnt from the `calibration` (M,) of validation images too."""
        return self

    def score_images(
        self, network: FeatureNetwork, images: Tensor, direction: Tensor | None = None
    ) -> Tensor:
        """Score images (N, 3, H, W) in [0, 1]: (N,) float64, finite, higher = more in-distribution.

        The network comes frozen and in eval mode and is left so. `direction` is what the method of that name
        returned for these images, if it is known already. Stepped images are not clipped.

        Raises
        ------
        InputError
            A `ValueError`, if the images are no finite floats, or their features not finite or not as wide
            as those of `fit`.
        """
        check_image_batch(images)
        if self.step > 0:
            direction = self.direction(network, images) if direction is None else direction
            images = images - self.step * direction
        with torch.no_grad():
            return self.score(self._check("features", network(images)))

    def _admit(self, features: Any) -> Features:
        if self.step > 0:
            raise InputError(
                f"features: {self._title} moves each image by {self.step_name} = {self.step:g} before it is "
                f"scored; use score_images(network, images), or {self.step_name}=0 for none"
            )
        return self._check("features", features)


class EnsembleDetector(_Scorer):
    """Scores images from the features that several networks, trained with different seeds, gave for them."""

    members: int  # a hyper-parameter: of how many networks

    @property
    def requires(self) -> tuple[str, ...]:
        """The signals of each network, and how many networks."""
        return (*super().requires, f"{self.members} networks")

    @abstractmethod
    def score(self, members: Sequence[Features]) -> Tensor:
        """Score N images: (N,) float64, finite, higher = more in-distribution.

        Raises
        ------
        InputError
            A `ValueError`, as for `Detector`, or if there are not the features of so many networks.
        """

    def _admit(self, features: Any) -> list[Features]:
        if not isinstance(features, Sequence) or len(features) != self.members:
            seen = len(features) if isinstance(features, Sequence) else f"one {type(features).__name__}"
            raise InputError(
                f"members: expected {self.members} networks, got {seen}; {self._title} scores by a list of "
                "the Features that each of them gave for the same images"
            )
        return [self._check(f"members[{i}]", member) for i, member in enumerate(features)]


AnyDetector = Detector | EnsembleDetector


class ClosedForm(ABC):
    """A detector whose `score` is a closed form of something defined by a gradient.

    The conformance suite holds `score` to `by_autograd`.
    """

    @abstractmethod
    def by_autograd(self, features: Features) -> Tensor:
        """Compute the definition, by automatic differentiation, for every row: (N,) float64."""
