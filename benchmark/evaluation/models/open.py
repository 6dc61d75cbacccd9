"""Opening a model by what the command line calls it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmark.errors import OodbenchError, UsageError
from benchmark.evaluation.models.classifier import Classifier, subject_of
from benchmark.evaluation.models.geometry import Checked
from benchmark.evaluation.models.intake import Normalise
from benchmark.evaluation.subject import Subject
from methods.names import describe, did_you_mean

KINDS = ("timm", "hf", "python", "onnx", "features")
PLAIN: Normalise = ((0.0,), (1.0,))  # pixels in [0, 1] as they are


def open_subject(
    spec: str,
    *,
    weights: Path | None = None,
    layers: Sequence[str] | None = None,
    device: torch.device | str | None = None,
    classes: int | None = None,
    size: int | None = None,
    normalise: Normalise | None = None,
) -> Subject:
    """Open a model by its kind and its place.

    ``timm:NAME``, ``hf:REPO-OR-FOLDER``, ``python:MODULE:FUNCTION``, ``onnx:FILE`` or ``features:FOLDER``.

    Parameters
    ----------
    weights
        Of ``timm:``: safetensors, or a plain state dict as ``.pt``; if absent, the published ones.
    layers
        Names of the modules that are the stages; if absent they are found.
    classes
        How many there must be; where the weights do not tell, how many there are.
    size
        Side of the images in pixels, in the place of what the model says of its preprocessing.
    normalise
        Mean and standard deviation of each channel, of pixels in [0, 1], likewise.

    Raises
    ------
    UsageError
        If the model is not to be had by what is given; says what to write.
    DataError
        If its files are damaged, do not fit or are not there; says what to do.
    """
    kind, colon, rest = spec.partition(":")
    if not colon or kind not in KINDS or not rest:
        near = did_you_mean(kind, KINDS) if colon else "for example timm:resnet18"
        raise UsageError(f"--model: got {spec!r}, expected KIND:WHAT; {near}")
    if weights is not None and kind != "timm":
        raise UsageError(f"--weights is for timm: models; a {kind}: model has its own")
    how: dict[str, Any] = {"layers": layers, "device": device, "size": size, "normalise": normalise}
    subject: Subject
    if kind == "timm":
        from benchmark.evaluation.models.of_timm import open_timm

        subject = open_timm(rest, weights=weights, classes=classes, **how)
    elif kind == "hf":
        from benchmark.evaluation.models.of_hub import open_hub_model

        subject = open_hub_model(rest, **how)
    elif kind == "python":
        subject = open_python(rest, **how)
    elif kind == "onnx":
        from benchmark.evaluation.models.of_onnx import open_onnx

        if layers is not None:
            raise UsageError("--layers is not for onnx: models, of whose layers nothing is seen")
        if device is not None and torch.device(device).type != "cpu":
            raise UsageError(f"--device is {device}, and onnx: models run on the CPU; leave it out")
        subject = open_onnx(Path(rest), size=size, normalise=normalise)
    else:
        from benchmark.evaluation.models.stored import open_features

        subject = open_features(Path(rest)).subject
    if classes is not None and subject.classes != classes:
        raise UsageError(f"{spec}: has {subject.classes} classes, and {classes} are asked for")
    return subject


def open_python(
    place: str,
    *,
    layers: Sequence[str] | None = None,
    device: torch.device | str | None = None,
    size: int | None = None,
    normalise: Normalise | None = None,
) -> Classifier:
    """Call ``package.module:function`` of the user's own code, found from the current folder.

    It returns a module, or a module and a transform from a PIL image to a tensor. Without a transform the
    model is given pixels in [0, 1], or normalised ones if `normalise` says how.

    Raises
    ------
    UsageError
        If there is no such function, it fails, or returns anything else.
    """
    model, transform = _returned(place)
    title = f"python:{place}"
    prepare: Any = None if transform is None else Checked(transform, title)
    notes: tuple[str, ...] = ()
    if transform is None and normalise is None and not _knows_its_preprocessing(model):
        normalise = PLAIN
        notes = ("no transform was given: the model is shown pixels in [0, 1], not normalised",)
    if transform is None and size is not None:
        from benchmark.evaluation.models.geometry import Geometry

        prepare = Geometry((size, size))
    probe = None
    if transform is not None:
        from benchmark.evaluation.models.geometry import tried

        probe = tried(prepare, title)
    subject = subject_of(
        model,
        probe=probe,
        prepare=prepare,
        normalise=normalise,
        layers=layers,
        device=device,
        title=title,
        about={"from": "Python"},
    )
    subject.notes = (*notes, *subject.notes)
    return subject


def _knows_its_preprocessing(model: nn.Module) -> bool:
    from benchmark.backbones.network import Network
    from benchmark.evaluation.models.passes import is_timm

    return is_timm(model) or isinstance(model, Network)


def _returned(place: str) -> tuple[nn.Module, Callable[[Any], object] | None]:
    module, colon, name = place.rpartition(":")
    if not colon or not module or not name:
        raise UsageError(f"python:{place}: expected python:package.module:function")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module), name, None)
    except Exception as error:  # the user's code raises what it likes
        raise UsageError(f"python:{place}: importing {module} failed: {describe(error)}") from error
    if not callable(found):
        known = [one for one in vars(sys.modules[module]) if not one.startswith("_")]
        raise UsageError(f"python:{place}: {module} has no function {name!r}; {did_you_mean(name, known)}")
    try:
        made = found if isinstance(found, nn.Module) else found()
    except OodbenchError:
        raise
    except Exception as error:
        raise UsageError(f"python:{place}: {name}() failed: {describe(error)}") from error
    model, transform = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(model, nn.Module) or not (transform is None or callable(transform)):
        seen = ", ".join(type(one).__name__ for one in (made if isinstance(made, tuple) else [made]))
        raise UsageError(
            f"python:{place}: {name}() returned {seen}; expected an nn.Module, or one and a transform from a "
            "PIL image to a tensor"
        )
    return model, transform
