"""One forward pass of a model, and the signals that are read off it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from benchmark.backbones.device import on_cpu
from benchmark.backbones.extract import POOLING_TOLERANCE, Tap, stage_indices
from benchmark.backbones.network import Network
from benchmark.evaluation.models.answers import logits_in, looks_like, refuse_not_finite
from benchmark.evaluation.models.heads import FinalLayer, find_final_layer, tolerance_of
from benchmark.evaluation.models.stages import Stage, find_stages, named_stages, watched
from benchmark.evaluation.models.wrapping import uncompiled
from methods.errors import said
from methods.features import Features, Signal
from methods.head import Head
from methods.statistics import gram, pooled, rank_one

OF_STAGES = (Signal.STAGES, Signal.GRAM, Signal.MAPS)
NEVER = {
    Signal.LOG_VARIANCES: "the network has no variance heads",
    Signal.OUTPUTS: "the network has no head of an objective that gives more than logits",
}


class Pass(Protocol):
    """What `Classifier` runs: images as the model takes them to features."""

    architecture: str
    classes: int
    head: Head
    missing: Mapping[Signal, str]
    differentiable: str
    notes: tuple[str, ...]

    @property
    def head_card(self) -> Mapping[str, Any]:
        """Which layer is the head, or why none is."""

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Of the modules, or the numbers that timm has for them."""

    def __call__(self, x: Tensor, what: Collection[Signal]) -> Features:
        """Features with the signals in `what` that there are, on the CPU."""


def is_timm(model: nn.Module) -> bool:
    """Whether a model is made by timm."""
    needed = ("pretrained_cfg", "forward_features", "forward_head", "get_classifier")
    return all(hasattr(model, name) for name in needed)


class SuitePass:
    """Of a network of this suite: to the bit what its own `Tap` reads."""

    differentiable = ""
    notes: tuple[str, ...] = ()

    def __init__(self, network: Network, probe: Tensor) -> None:
        self._tap = Tap(network, probe)
        with torch.no_grad():
            given = self._tap(probe, maps=True)
        self.architecture = str(network.model.pretrained_cfg.get("architecture"))
        self.classes, self.head = given.logits.shape[1], self._tap.head
        self.head_card: Mapping[str, Any] = (
            {"layer": network.model.pretrained_cfg["classifier"], "features": network.dimension}
            if self.head.is_linear
            else {"reason": self.head.reason}
        )
        self.stage_names = tuple(f"{i} of feature_info" for i in self._tap.stages)
        missing = {signal: why for signal, why in NEVER.items() if signal not in given.collected()}
        if not self.head.is_linear:
            missing[Signal.HEAD] = self.head.reason
        if "penultimate" not in given.collected():
            missing[Signal.PENULTIMATE] = self.head.reason
        if not self._tap.stages:
            missing |= dict.fromkeys(OF_STAGES, "timm cannot tell the stages of this architecture")
        if self._tap.why_no_rank_one:
            missing[Signal.RANK_ONE] = self._tap.why_no_rank_one
        self.missing: Mapping[Signal, str] = missing

    def __call__(self, x: Tensor, what: Collection[Signal]) -> Features:
        """See `Pass`."""
        statistics = (s for s in (Signal.GRAM, Signal.RANK_ONE) if s in what)
        return self._tap(x, *statistics, maps=Signal.MAPS in what)


class ModelPass:
    """Of any model of torch: hooks read what timm does not hand out.

    Parameters
    ----------
    probe
        (N, C, H, W), as the model takes them.
    layers
        Names of the stages' modules; if None they are found.
    """

    def __init__(self, model: nn.Module, probe: Tensor, title: str, layers: Sequence[str] | None) -> None:
        self._model, self._title = model, title
        self._indices: list[int] | None = None  # of timm's intermediates, where these are the stages
        self._stages: tuple[Stage, ...] = ()
        self._final: FinalLayer | None = None
        self.architecture = str(
            (getattr(model, "pretrained_cfg", None) or {}).get("architecture") or type(model).__name__
        )
        with torch.no_grad():
            logits = self._logits(probe)
            refuse_not_finite(f"{title}, shown {len(probe)} probe images", logits)
            self.classes = logits.shape[1]
            found = find_final_layer(model, lambda: self._logits(probe), logits)
            self._final = found if isinstance(found, FinalLayer) else None
            self.head = found.read() if isinstance(found, FinalLayer) else Head.not_linear(str(found))
            self._look_for_stages(probe, logits, layers)
            self.missing: Mapping[Signal, str] = self._missing(probe)
            self._pools_the_last_map = Signal.RANK_ONE not in self.missing
            self.notes = tuple(self._doubts(probe, logits))
        self.differentiable = self._why_no_gradient(probe)

    @property
    def head_card(self) -> Mapping[str, Any]:
        """Which layer is the head."""
        if self._final is None:
            return {"reason": self.head.reason}
        card = {"layer": self._final.name, "features": self.head.weight.shape[1]}
        return card | ({"pooling": self._final.pooling} if self._final.pooling else {})

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Of the modules, or the numbers that timm has for them."""
        if self._indices is not None:
            return tuple(f"{i} of feature_info" for i in self._indices)
        return tuple(stage.name for stage in self._stages)

    def __call__(self, x: Tensor, what: Collection[Signal]) -> Features:
        """See `Pass`."""
        penultimate: list[Tensor] = []
        kept: dict[Signal, dict[int, Tensor]] = {s: {} for s in (*OF_STAGES, Signal.RANK_ONE) if s in what}

        def note(i: int, given: Tensor) -> None:
            # At once: a layer that comes later may work in place.
            maps = given.float()
            if Signal.STAGES in kept:
                kept[Signal.STAGES][i] = on_cpu(pooled(maps))
            if Signal.GRAM in kept:
                kept[Signal.GRAM][i] = on_cpu(gram(maps))
            if Signal.MAPS in kept:
                kept[Signal.MAPS][i] = on_cpu(maps.clone())

        def note_last(given: Tensor) -> None:
            if Signal.RANK_ONE in kept and self._pools_the_last_map:
                kept[Signal.RANK_ONE][0] = on_cpu(rank_one(given.float()))

        with self._penultimate(penultimate):
            logits = self._through(x, note, note_last) if kept else self._logits(x)
        found = {str(s): [parts[i] for i in sorted(parts)] for s, parts in kept.items() if parts}
        alone = found.pop("rank_one", None)
        return Features(
            on_cpu(_at_most_single(logits)),
            on_cpu(_at_most_single(penultimate[0])) if penultimate else None,
            rank_one=alone[0] if alone else None,
            **found,
        )

    def _through(
        self, x: Tensor, note: Callable[[int, Tensor], None], note_last: Callable[[Tensor], None]
    ) -> Tensor:
        """Logits of a pass; of each stage's map `note` is told, of the last map there is `note_last`."""

        def both(i: int, maps: Tensor) -> None:
            note(i, maps)
            if i == len(self._stages) - 1:
                note_last(maps)

        if self._indices is None:
            with watched(self._model, self._stages, both):
                return self._logits(x)
        logits, maps, last = self._by_timm(x, self._indices)
        for i, given in enumerate(maps):
            note(i, given)
        if last.ndim == 4:
            note_last(last.permute(0, 3, 1, 2) if self._channels_come_last else last)
        return logits

    def _logits(self, x: Tensor) -> Tensor:
        with uncompiled(self._model):
            return logits_in(self._model(x), len(x), self._title)

    @property
    def _channels_come_last(self) -> bool:
        return getattr(self._model, "output_fmt", "NCHW") == "NHWC"

    def _by_timm(self, x: Tensor, indices: Sequence[int]) -> tuple[Tensor, list[Tensor], Tensor]:
        model: Any = self._model
        with uncompiled(model):
            last, maps = model.forward_intermediates(x, indices=list(indices))
            return logits_in(model.forward_head(last), len(x), self._title), maps, last

    @contextmanager
    def _penultimate(self, into: list[Tensor]) -> Iterator[None]:
        final, calls = self._final, 0
        if final is None:
            yield
            return

        def note(_layer: nn.Module, given: tuple[Tensor, ...], _output: object) -> None:
            nonlocal calls
            if calls == final.call:
                into.append(final.take(given[0]))
            calls += 1

        hook = final.layer.register_forward_hook(note)
        try:
            yield
        finally:
            hook.remove()

    def _look_for_stages(self, probe: Tensor, logits: Tensor, layers: Sequence[str] | None) -> None:
        def forward() -> Tensor:
            return self._logits(probe)

        if layers is not None:
            self._stages = named_stages(self._model, layers, forward, probe)
        elif is_timm(self._model) and (indices := stage_indices(self._model)):
            self._indices = indices if self._timm_agrees(probe, logits, indices) else None
        if layers is None and self._indices is None:
            self._stages = find_stages(self._model, forward, probe)

    def _timm_agrees(self, probe: Tensor, logits: Tensor, indices: Sequence[int]) -> bool:
        """Whether its forward is no more than the features, and then the head."""
        seen: list[Tensor] = []
        try:
            with self._penultimate(seen):
                again, maps, _ = self._by_timm(probe, indices)
        except (RuntimeError, TypeError, ValueError, LookupError, AttributeError, AssertionError):
            return False  # a model that somebody changed, or that timm itself cannot take apart
        return (
            len(seen) == (self._final is not None)
            and all(m.ndim == 4 and len(m) == len(probe) for m in maps)
            and _gap(again, logits) <= tolerance_of(logits.dtype)
        )

    def _missing(self, probe: Tensor) -> dict[Signal, str]:
        missing = dict(NEVER)
        if self._final is None:
            missing |= dict.fromkeys((Signal.HEAD, Signal.PENULTIMATE), self.head.reason)
        if not self.stage_names:
            why = "no module gives feature maps or tokens; name the stages with --layers"
            missing |= dict.fromkeys(OF_STAGES, why)
        if why := self._why_no_rank_one(probe):
            missing[Signal.RANK_ONE] = why
        return missing

    def _why_no_rank_one(self, probe: Tensor) -> str:
        """Why the last map's components are no parts of the penultimate features; empty if they are."""
        if self._final is None:
            return self.head.reason
        last: list[Tensor] = []
        penultimate: list[Tensor] = []
        with self._penultimate(penultimate):
            self._through(probe, lambda _i, _maps: None, lambda maps: last.append(pooled(maps)))
        if not last:
            return "the network ends in tokens and not in a feature map"
        limit = max(POOLING_TOLERANCE, 4 * torch.finfo(probe.dtype).eps)
        if _gap(last[0], penultimate[0]) > limit:
            return "the penultimate features are not the average of the last feature map"
        return ""

    def _doubts(self, probe: Tensor, logits: Tensor) -> Iterator[str]:
        if warning := looks_like(logits):
            yield warning
        limit = tolerance_of(logits.dtype)
        if _gap(self._logits(probe), logits) > limit:
            yield "the model does not give the same logits twice: scores differ from one run to the next"
        elif len(probe) > 1 and _gap(self._logits(probe[:1]), logits[:1]) > limit:
            yield "an image's logits depend on which images are beside it in a batch: so do its scores"

    def _why_no_gradient(self, probe: Tensor) -> str:
        with torch.enable_grad():
            x = probe[:2].detach().clone().requires_grad_()
            try:
                [slope] = torch.autograd.grad(self._logits(x).sum(), x, allow_unused=True)
            except (RuntimeError, NotImplementedError) as error:
                reason = (said(error).splitlines() or [""])[0]
                return f"the model's logits have no gradient in the images: {reason:.200}"
        return "" if slope is not None else "the model's logits do not depend differentiably on the images"


def _at_most_single(values: Tensor) -> Tensor:
    return values.float() if values.dtype == torch.float64 else values


def _gap(found: Tensor, expected: Tensor) -> float:
    """The largest difference, relative to the largest value."""
    if found.shape != expected.shape:
        return float("inf")
    largest = float(expected.abs().max())
    return float((found.float() - expected.float()).abs().max()) / (largest or 1.0)
