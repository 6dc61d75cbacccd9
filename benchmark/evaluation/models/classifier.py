"""Any classifier as the evaluation sees it: `subject_of` finds its head, its features and its stages."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from benchmark.backbones.device import move
from benchmark.backbones.network import CHANNELS, Network
from benchmark.errors import DataError, UsageError
from benchmark.evaluation.models.answers import DoesNotFit, fitting, refuse_not_finite
from benchmark.evaluation.models.fingerprint import fingerprint_of
from benchmark.evaluation.models.geometry import Geometry, timm_preparation
from benchmark.evaluation.models.intake import Intake, Normalise
from benchmark.evaluation.models.passes import ModelPass, Pass, SuitePass, is_timm
from benchmark.evaluation.models.wrapping import bare, device_under, first_channels, first_type
from methods.features import Features, Signal
from methods.head import Head

PROBES = 4
SIDES = (224, 32, 28, 64, 384, 299)  # of images that a model may take, in the order in which they are tried
IN_A_PASS = frozenset({Signal.LOGITS, Signal.PENULTIMATE, Signal.STAGES})  # what `pixels` gives
Prepare = Callable[[Image.Image], Tensor]


class Classifier:
    """A classifier of torch: a `benchmark.evaluation.subject.Subject`, whose attributes it has."""

    def __init__(
        self,
        run: Pass,
        intake: Intake,
        *,
        class_names: tuple[str, ...] | None,
        fingerprint: str,
        card: Mapping[str, Any],
        notes: tuple[str, ...],
        prepare: Prepare | None,
    ) -> None:
        self.title, self.device, self.classes = intake.title, intake.device, run.classes
        self.class_names, self.fingerprint, self.card = class_names, fingerprint, card
        self.notes, self.prepare, self.differentiable = notes, prepare, run.differentiable
        self.head: Head = run.head
        self.missing: Mapping[Signal, str] = run.missing
        self._run, self._intake = run, intake

    def features(self, images: Tensor, what: Collection[Signal]) -> Features:
        """See `Subject.features`.

        Raises
        ------
        NotFinite
            If logits are NaN or infinite: says of which rows.
        DataError
            If the model cannot take such images.
        UsageError
            If the images are uint8, and the normalisation is not known.
        """
        found = self._pass(self._intake.taken(images), frozenset(what))
        refuse_not_finite(self.title, found.logits)
        return found

    def pixels(self, images: Tensor) -> Features:
        """See `Subject.pixels`: logits, penultimate features and pooled stages, differentiable."""
        return self._pass(self._intake.pixels(images), IN_A_PASS)

    def _pass(self, x: Tensor, what: frozenset[Signal]) -> Features:
        with torch.set_grad_enabled(x.requires_grad and torch.is_grad_enabled()):
            return fitting(self.title, x, lambda: self._run(x, what))


def subject_of(
    model: nn.Module,
    *,
    probe: Tensor | None = None,
    prepare: Prepare | None = None,
    normalise: Normalise | None = None,
    class_names: Sequence[str] | None = None,
    layers: Sequence[str] | None = None,
    device: torch.device | str | None = None,
    title: str = "",
    about: Mapping[str, Any] | None = None,
) -> Classifier:
    """Look at a classifier: find its final linear layer, its penultimate features and its stages.

    It is put into eval mode and, if `device` is given, moved there. DataParallel and `torch.compile` are
    taken off: what is computed is what the model inside computes.

    Parameters
    ----------
    model
        Takes images (N, C, H, W) and returns logits (N, K), or a tuple, mapping or dataclass with them. One
        that takes a single channel is shown the luminance of colour images.
    probe
        A few images (N, C, H, W), floats as the model takes them or uint8 pixels: on these it is found out
        what the model gives. If absent they are noise, of the first of the `SIDES` that the model takes.
    prepare
        From a decoded RGB image to uint8 pixels (3, H, W), or to floats as the model takes them. If absent
        and the normalisation is known, images are scaled to the size of the probe.
    normalise
        Mean and standard deviation of each channel, of pixels in [0, 1]. Of a network of this suite they are
        known; those of a timm model, and how its images are scaled, are timm's if they are not given.
    class_names
        Of each class, by index.
    layers
        Names of the modules that are the stages; if absent they are found: see
        `benchmark.evaluation.models.stages`.
    title
        What pages call it; the name of its class if absent.
    about
        What the card says besides.

    Raises
    ------
    DataError
        If the model cannot take the probe, or gives no logits, or NaN; says what was seen.
    UsageError
        If `layers` names a module that there is not, or an argument does not fit.
    """
    inner, notes = bare(model), []
    title = title or type(inner).__name__
    if inner is not model:
        notes.append(f"{type(model).__name__} was taken off: the model inside is evaluated")
    if any(module.training for module in inner.modules()):
        notes.append(_into_eval_mode(inner))
    if device is not None:
        move(inner, device)
    preparation: dict[str, Any] = {}
    if isinstance(inner, Network):
        if layers is not None:
            raise UsageError(f"{title}: of a network of this suite timm tells the stages; leave out layers")
        normalise = ((0.0,), (1.0,))
        preparation = {"mean": inner.mean.flatten().tolist(), "std": inner.std.flatten().tolist()}
    elif is_timm(inner) and (prepare is None or isinstance(prepare, Geometry)):
        known = timm_preparation(inner)
        prepare, normalise = prepare or known.geometry, normalise or known.normalise
    grey = not isinstance(inner, Network) and first_channels(inner) == 1
    intake = Intake(title, normalise, grey, first_type(inner), device_under(inner))
    with torch.inference_mode(mode=False):
        run, shape = _looked_at(inner, intake, probe, prepare, layers)
    if len(shape) == CHANNELS:
        size = (shape[1], shape[2])
        if prepare is None and normalise is not None:
            prepare = Geometry(size, mode="squash")
        elif isinstance(prepare, Geometry) and prepare.size != size:
            notes.append(f"the probe has {size[0]}×{size[1]} pixels: pictures are scaled to that size")
            prepare = replace(prepare, size=size, crop=1.0)
    if normalise is not None and not preparation:
        preparation = {"mean": [*map(float, normalise[0])], "std": [*map(float, normalise[1])]}
    if prepare is not None:
        preparation["geometry"] = _described(prepare)
    if grey:
        preparation["grey"] = "luminance"
    return Classifier(
        run,
        intake,
        class_names=_checked_names(class_names, run.classes, title),
        fingerprint=fingerprint_of(inner.weights() if isinstance(inner, Network) else inner.state_dict()),
        card={
            **(about or {}),
            "architecture": run.architecture,
            "parameters": sum(p.numel() for p in inner.parameters()),
            "type": str(intake.dtype).removeprefix("torch."),
            "input": list(shape),
            "preprocessing": preparation,
            "head": dict(run.head_card),
            "stages": list(run.stage_names),
        },
        notes=(*notes, *run.notes),
        prepare=prepare,
    )


def _into_eval_mode(model: nn.Module) -> str:
    try:
        model.eval()
    except NotImplementedError:  # of an exported program, which has no other mode
        return "the model cannot be put into eval mode: it computes as it was exported"
    return "the model was in training mode; it was put into eval mode"


def _looked_at(
    model: nn.Module,
    intake: Intake,
    probe: Tensor | None,
    prepare: Prepare | None,
    layers: Sequence[str] | None,
) -> tuple[Pass, tuple[int, ...]]:
    """What a pass of the model gives, and the shape (C, H, W) of an image as the model takes it."""

    def pass_of(x: Tensor) -> Pass:
        if isinstance(model, Network):
            return SuitePass(model, x)
        return ModelPass(model, x, intake.title, layers)

    if probe is not None:
        x = intake.taken(probe[:PROBES].detach().clone())
        return fitting(intake.title, x, lambda: pass_of(x)), tuple(x.shape[1:])
    if isinstance(prepare, Geometry):
        x = _noise(intake, *prepare.size)
        return fitting(intake.title, x, lambda: pass_of(x)), tuple(x.shape[1:])
    refused = None
    for side in SIDES:
        x = _noise(intake, side, side)
        try:
            return fitting(intake.title, x, partial(pass_of, x)), tuple(x.shape[1:])
        except DoesNotFit as error:
            refused = refused or error
    sizes = ", ".join(f"{side}×{side}" for side in SIDES)
    raise DataError(
        f"{intake.title}: takes images of none of the sizes {sizes}; give some as probe=, as the model takes "
        f"them. Of the first it says: {refused}"
    )


def _noise(intake: Intake, height: int, width: int) -> Tensor:
    """Probe images: uniform noise, the same each time."""
    rng = torch.Generator().manual_seed(0)
    pixels = torch.rand(PROBES, CHANNELS, height, width, generator=rng)
    return intake.pixels(pixels)


def _checked_names(names: Sequence[str] | None, classes: int, title: str) -> tuple[str, ...] | None:
    if names is not None and len(names) != classes:
        raise UsageError(f"{title}: {len(names)} class names are given, and the model has {classes} classes")
    return None if names is None else tuple(map(str, names))


def _described(prepare: Prepare) -> str:
    """What a transform does, in its own words if it has any."""
    described = getattr(prepare, "described", None)
    if callable(described):
        return str(described())
    return str(getattr(prepare, "__qualname__", None) or type(prepare).__name__)
