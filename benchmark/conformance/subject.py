"""A detector that is checked, in its world: fitted once, whatever asks for it."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cache, cached_property
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch
from torch import Tensor

from benchmark.conformance.contract import Contributed
from benchmark.conformance.world import Split, World, kept, same, the_world
from methods.base import AnyDetector, EnsembleDetector, GradientDetector, Signal

# The same row in another batch may be summed in another order: some 1e-16 a sum, times the condition number
# of what is computed from it, below 1e3 in this world.
ROUNDING = 1e-12
STEP = 0.01  # of what moves images, where it must


@dataclass(frozen=True)
class Fit:
    """A fitted detector, the one that it was made from, and whether the fit left all else as it was."""

    detector: AnyDetector
    unfitted: AnyDetector
    inputs_kept: bool
    network_kept: bool


class Subject(Contributed):
    """A detector's class, and what it comes to in the world of the suite."""

    cls: type[AnyDetector]

    def __init__(self, cls: type[AnyDetector]) -> None:
        super().__init__(cls)
        self.transductive = bool(getattr(cls, "transductive", False))
        self.worked: Any = None  # what it did besides, once that has been looked at
        self.cost: Any = None  # of a score, once it has been measured
        self._fits: dict[bool, Fit] = {}

    @cached_property
    def _world(self) -> World:
        world = the_world().own()
        if Signal.OUTPUTS in self.cls.needs:
            world.give(self.cls.example_outputs)
        return world

    @cached_property
    def contents(self) -> list[Tensor]:
        """All that the detector is shown, copied before it has seen it."""
        return [tensor.detach().clone() for tensor in self._world.contents()]

    @property
    def world(self) -> World:
        """A world of one's own, with the head that the detector is made for."""
        return self._world.own()

    def fit(self, *, gradients: bool = True) -> Fit:
        """The detector at its defaults, fitted with gradients or without, under another global seed each."""
        if gradients not in self._fits:
            original, own = self.contents, self.world
            own.network.conv.requires_grad_()  # frozen in part: nobody may freeze, thaw or fill `grad`
            torch.manual_seed(1 if gradients else 2)
            unfitted = self.cls()
            with torch.set_grad_enabled(gradients):
                before = own.state()
                detector = own.fit(unfitted)
                left = same(original, own.contents()), kept(before, own.state())
            self._fits[gradients] = Fit(detector, unfitted, *left)
        return self._fits[gradients]

    @property
    def fitted(self) -> AnyDetector:
        """The detector at its published defaults, fitted."""
        return self.fit().detector

    def score(self, data: Split) -> Tensor:
        """Scores (N,) by the fitted detector."""
        return self.world.score(self.fitted, data)

    def formula(self, data: Split) -> Tensor:
        """Scores (N,) by its own `score`, without what `methods.base` takes away from it before."""
        shown: Any = data.features.handed_on()
        if isinstance(self.fitted, EnsembleDetector):
            shown = [shown] * self.fitted.members
        found: Tensor = inspect.unwrap(type(self.fitted).score)(self.fitted, shown)
        return found

    @property
    def both(self) -> Split:
        """Inliers and outliers of its world, without labels."""
        return joined([self._world.inliers, self._world.outliers])

    def points(self) -> Iterator[dict[str, Any]]:
        """Every combination of the hyper-parameters that are a choice of names."""
        hints = {k: hint for k, hint in get_type_hints(self.cls).items() if get_origin(hint) is Literal}
        for values in itertools.product(*map(get_args, hints.values())):
            yield dict(zip(hints, values, strict=True))


@cache
def subject_of(cls: type[AnyDetector]) -> Subject:
    """The subject of a class, made once."""
    return Subject(cls)


def stepping(detector: AnyDetector) -> AnyDetector:
    """The detector; with a step, where it could have one and has none."""
    if isinstance(detector, GradientDetector) and detector.step == 0:
        return detector.with_step(STEP)
    return detector


def fitted_fields(cls: type[AnyDetector]) -> list[str]:
    """Names of the fields that `fit` sets."""
    return [f.name for f in fields(cls) if not f.init] if is_dataclass(cls) else []


def joined(parts: Sequence[Split]) -> Split:
    """Images and features of several, one after the other."""
    found = [part.features.without("labels").collected() for part in parts]
    features = {
        name: tuple(torch.cat(stage) for stage in zip(*(one[name] for one in found), strict=True))
        for name in found[0]
    }
    return Split(torch.cat([part.images for part in parts]), parts[0].features._with(features))


def furthest(found: Tensor, expected: Tensor, rounding: float = ROUNDING) -> str:
    """By how much scores differ, if by more than rounding; empty if not."""
    if found.shape != expected.shape:
        return f"shape {tuple(found.shape)} and not {tuple(expected.shape)}"
    gap = (found - expected).abs()
    allowed = rounding * (1 + expected.abs())
    wrong = ~(gap <= allowed)
    return (
        f"{int(wrong.sum())} of {len(found)} scores, by up to {gap.max().item():.3g}" if wrong.any() else ""
    )
