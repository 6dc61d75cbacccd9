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

The exceptions of this room::

    MethodError(Exception)
    ├── NotApplicable          the network cannot give what the method needs; listed so, never approximated
    ├── NotFitted              `score` before `fit`
    ├── HyperparameterError    an unknown hyper-parameter, or a value out of its range
    └── ScoreError             scores of the wrong shape, or not finite
"""

from __future__ import annotations

import copy
import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import UnionType
from typing import Any, ClassVar, Literal, Protocol, Self, get_args, get_origin, get_type_hints

import torch
from numpy.typing import ArrayLike
from torch import Tensor


class MethodError(Exception):
    """Any failure of a method that its author or its user can mend."""


class NotApplicable(MethodError):  # noqa: N818 - the field's word for it; it is not a defect
    """The network cannot give what the method needs. The message is the reason shown in the tables."""


class NotFitted(MethodError):  # noqa: N818
    """`score` was called on a method that learns state before `fit`."""


class HyperparameterError(MethodError, ValueError):
    """An unknown hyper-parameter, or a value of the wrong type or out of range."""


class ScoreError(MethodError):
    """A detector returned scores of the wrong shape or not finite."""


class Signal(StrEnum):
    """What one forward pass can collect for a detector."""

    LOGITS = "logits"
    PENULTIMATE = "penultimate"  # the exact input of the final linear layer
    HEAD = "head"  # the final layer itself, which must be one linear layer


@dataclass(frozen=True)
class Paper:
    """Where a method was published."""

    title: str
    authors: str
    venue: str
    year: int
    arxiv: str | None = None


class Features:
    """What one forward pass gave for N images.

    Parameters
    ----------
    logits
        (N, K) class logits.
    penultimate
        (N, D) input of the final layer; asking for it where it was not collected raises `NotApplicable`.
    labels
        (N,) class indices in [0, K); likewise.

    Arrays of NumPy and tensors of torch are both accepted and never modified.

    Raises
    ------
    ValueError
        If a shape does not fit: the message names the argument.
    """

    def __init__(
        self, logits: ArrayLike | Tensor, penultimate: ArrayLike | Tensor | None = None,
        labels: ArrayLike | Tensor | None = None,
    ) -> None:  # fmt: skip
        self.logits = torch.as_tensor(logits)
        if self.logits.ndim != 2:
            raise ValueError(f"logits: expected shape (N, K), got {tuple(self.logits.shape)}")
        self._penultimate = None if penultimate is None else torch.as_tensor(penultimate)
        self._labels = None if labels is None else torch.as_tensor(labels)
        for name, value, ndim in (("penultimate", self._penultimate, 2), ("labels", self._labels, 1)):
            if value is not None and (value.ndim != ndim or len(value) != len(self.logits)):
                raise ValueError(
                    f"{name}: expected {ndim} dimension(s) and {len(self.logits)} rows as the logits have, "
                    f"got shape {tuple(value.shape)}"
                )

    @property
    def penultimate(self) -> Tensor:
        """(N, D) penultimate features."""
        if self._penultimate is None:
            raise NotApplicable("penultimate features were not collected for these images")
        return self._penultimate

    @property
    def labels(self) -> Tensor:
        """(N,) class indices."""
        if self._labels is None:
            raise NotApplicable("these images carry no labels")
        return self._labels

    def __len__(self) -> int:
        return len(self.logits)

    def __getitem__(self, rows: slice | Tensor) -> Features:
        return Features(
            self.logits[rows],
            None if self._penultimate is None else self._penultimate[rows],
            None if self._labels is None else self._labels[rows],
        )


class Head:
    """The final linear layer: ``logits = penultimate @ weight.T + bias``.

    Parameters
    ----------
    weight
        (K, D).
    bias
        (K,), zeros if absent.
    """

    def __init__(self, weight: ArrayLike | Tensor, bias: ArrayLike | Tensor | None = None) -> None:
        self._weight: Tensor | None = torch.as_tensor(weight)
        if self._weight.ndim != 2:
            raise ValueError(f"weight: expected shape (K, D), got {tuple(self._weight.shape)}")
        classes = len(self._weight)
        self._bias = self._weight.new_zeros(classes) if bias is None else torch.as_tensor(bias)
        if self._bias.shape != (classes,):
            raise ValueError(f"bias: expected shape ({classes},), got {tuple(self._bias.shape)}")
        self.reason = ""

    @classmethod
    def not_linear(cls, reason: str) -> Self:
        """Stand for a head that is not one linear layer: asking for its weight raises `NotApplicable`."""
        head = cls.__new__(cls)
        head._weight, head.reason = None, reason
        return head

    @property
    def is_linear(self) -> bool:
        """Whether there is a weight to ask for."""
        return self._weight is not None

    @property
    def weight(self) -> Tensor:
        """(K, D) weight of the final layer."""
        if self._weight is None:
            raise NotApplicable(self.reason)
        return self._weight

    @property
    def bias(self) -> Tensor:
        """(K,) bias of the final layer."""
        self.weight  # noqa: B018 - raises where there is no linear head
        return self._bias


class DifferentiableNetwork(Protocol):
    """A frozen network in eval mode, as a `GradientDetector` sees it."""

    def __call__(self, images: Tensor) -> Tensor:
        """Logits (N, K) of images (N, 3, H, W) with pixels in [0, 1]; normalisation happens inside."""


def fitted() -> Any:
    """Declare a field of a detector's dataclass that `fit` sets: no hyper-parameter, no default."""
    return dataclasses.field(init=False, repr=False, compare=False)


class Method(ABC):
    """What detectors and objectives share: a name, a paper, typed hyper-parameters."""

    name: ClassVar[str]  # set by `register`
    paper: ClassVar[Paper]

    def hyperparameters(self) -> dict[str, Any]:
        """Every hyper-parameter and its value, by field name."""
        return {f.name: getattr(self, f.name) for f in _fields(self) if f.init}

    @classmethod
    def configure(cls, hyperparameters: Mapping[str, Any]) -> Self:
        """Make an instance with these hyper-parameters, the others at their published defaults.

        Raises
        ------
        HyperparameterError
            For a name that is no hyper-parameter, a value of another type than the default's, or one that
            the method itself refuses.
        """
        known = {f.name for f in _fields(cls) if f.init}
        hints = get_type_hints(cls)
        for key, value in hyperparameters.items():
            if key not in known:
                choices = ", ".join(sorted(known)) or "none"
                raise HyperparameterError(f"{cls.name}: no hyper-parameter {key!r}; it has: {choices}")
            if not _is_a(value, hints[key]):
                raise HyperparameterError(f"{cls.name}.{key}: expected {_phrase(hints[key])}, got {value!r}")
        try:
            return cls(**hyperparameters)
        except ValueError as error:
            raise HyperparameterError(f"{cls.name}: {error}") from error


def _fields(method: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(method) if dataclasses.is_dataclass(method) else ()


def _phrase(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(repr, get_args(hint)))}"
    return hint.__name__ if isinstance(hint, type) else str(hint)


def _is_a(value: Any, hint: Any) -> bool:
    if isinstance(hint, UnionType):
        return any(_is_a(value, option) for option in get_args(hint))
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    return isinstance(value, hint)


class _Scorer(Method):
    needs: ClassVar[frozenset[Signal]]

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
        if any(f.name == key and not f.init for f in _fields(type(self))):
            raise NotFitted(f"{self.name}: call fit before score")
        raise AttributeError(f"{type(self).__name__!r} has no attribute {key!r}")


class Detector(_Scorer):
    """Scores images from what one forward pass gave; **higher = more in-distribution**, always."""

    @abstractmethod
    def score(self, features: Features) -> Tensor:
        """Score N images: (N,) float64, finite; row i depends on image i alone."""


class GradientDetector(_Scorer):
    """A detector that must run the network itself, because it needs gradients with respect to the image."""

    @abstractmethod
    def score(self, network: DifferentiableNetwork, images: Tensor) -> Tensor:
        """Score images (N, 3, H, W) in [0, 1]: (N,) float64, finite, higher = more in-distribution.

        The network comes frozen and in eval mode and must be left so: weights, mode and hooks untouched.
        """


AnyDetector = Detector | GradientDetector


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
        If they are no tensor of shape (n,), or any is NaN or infinite.
    """
    if not isinstance(scores, Tensor) or scores.shape != (n,):
        seen = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise ScoreError(f"expected scores of shape ({n},), got {seen}")
    scores = scores.detach().to("cpu", torch.float64)
    bad = int((~torch.isfinite(scores)).sum())
    if bad:
        raise ScoreError(f"{bad} of {n} scores are NaN or infinite; every score must be finite")
    return scores


@dataclass(frozen=True)
class Batch:
    """One training step's data: images (B, 3, H, W) in [0, 1] and class indices (B,)."""

    images: Tensor
    labels: Tensor


class Objective(Method):
    """How a network is trained on the in-distribution data."""

    @abstractmethod
    def loss(self, network: DifferentiableNetwork, batch: Batch) -> Tensor:
        """Scalar training loss of one batch, differentiable in the network's weights."""
