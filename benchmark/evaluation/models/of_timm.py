"""``timm:NAME``: an architecture of timm with weights of a file, or with those that timm publishes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from benchmark.backbones.create import check_architecture
from benchmark.backbones.pretrain import fetch_from_hub
from benchmark.errors import DataError, OodbenchError, UsageError
from benchmark.evaluation.models.classifier import Classifier, subject_of
from benchmark.evaluation.models.geometry import timm_preparation
from benchmark.evaluation.models.intake import Normalise
from benchmark.evaluation.models.weights import load_into, read_weights, stripped
from benchmark.store.files import read_regular
from methods.errors import said

CONFIG = "config.json"  # beside the weights, as timm lays out a model for the Hub
_OF_DATA = ("input_size", "mean", "std", "interpolation", "crop_pct", "crop_mode", "fixed_input_size")


def open_timm(
    name: str,
    *,
    weights: Path | None,
    layers: Sequence[str] | None,
    device: torch.device | str | None,
    classes: int | None,
    size: int | None,
    normalise: Normalise | None,
) -> Classifier:
    """See `benchmark.evaluation.models.open.open_subject`."""
    about: dict[str, Any] = {"from": f"timm {timm.__version__}"}
    notes: list[str] = []
    overlay: dict[str, Any] = {}
    names: tuple[str, ...] | None = None
    if weights is None:
        path, count, source = fetch_from_hub(name, None)
        check_architecture(name.partition(".")[0])
        name = source["weights"]
        file = {"file": str(path), "custom_load": False}
        options: dict[str, Any] = {"num_classes": count, "pretrained": True, "pretrained_cfg_overlay": file}
        config = timm.models.get_pretrained_cfg(name)
        if size is not None and config is not None and config.fixed_input_size:
            options["img_size"] = size
        model = _made(name, **options)
        names = _imagenet_names(model, count)
        about |= source
    else:
        check_architecture(name)
        state, read = read_weights(weights)
        overlay, names = _beside(weights)
        model, told = _with(name, state, classes, str(weights))
        notes += [*read, *told]
        about["weights"] = weights.name
    if size is not None:
        overlay["input_size"] = (3, size, size)
    known = timm_preparation(model, overlay)
    geometry = replace(known.geometry, crop=1.0) if size is not None else known.geometry
    count = _count(model)
    if classes is not None and classes != count:
        raise UsageError(f"timm:{name}: has {count} classes, and {classes} are asked for")
    subject = subject_of(
        model,
        prepare=geometry,
        normalise=normalise or known.normalise,
        class_names=names if names is not None and len(names) == count else None,
        layers=layers,
        device=device,
        title=f"timm:{name}",
        about=about,
    )
    subject.notes = (*notes, *subject.notes)
    return subject


def _with(
    name: str, state: Mapping[str, Tensor], classes: int | None, source: str
) -> tuple[nn.Module, list[str]]:
    """A model with the weights of a file, whose head says how many classes there are."""
    config: Any = timm.models.get_pretrained_cfg(name) or timm.models.get_pretrained_cfg(
        name.partition(".")[0]
    )
    heads, firsts = _layers(config, "classifier"), _layers(config, "first_conv")
    skeleton = _made(name)
    found, notes = stripped(state, skeleton.state_dict())
    head = next((found[f"{one}.weight"] for one in heads if f"{one}.weight" in found), None)
    if head is None and classes is None:
        raise DataError(
            f"{source}: holds no {' or '.join(f'{one}.weight' for one in heads) or 'known head'}, which "
            f"would say how many classes there are; it holds {', '.join(list(found)[:3])}, …: is it of "
            f"{name}?"
        )
    options: dict[str, Any] = {"num_classes": classes if head is None else len(head)}
    first = next((found[f"{one}.weight"] for one in firsts if f"{one}.weight" in found), None)
    if first is not None and first.ndim == 4 and first.shape[1] in (1, 3):
        options["in_chans"] = int(first.shape[1])
    if side := _other_side(skeleton, found):
        options["img_size"] = side
        notes.append(f"by the number of its positions the model is for images of {side}×{side} pixels")
    model = _made(name, **options)
    load_into(model, found, source)
    return model, notes


def _layers(config: Any, key: str) -> tuple[str, ...]:
    """Names of layers in timm's configuration of a model: there may be one, several or none."""
    named = getattr(config, key, None) or ()
    return (named,) if isinstance(named, str) else tuple(named)


def _other_side(skeleton: nn.Module, weights: Mapping[str, Tensor]) -> int | None:
    """The side of images that a transformer's table of positions is for, if it is not the usual one."""
    mine, theirs = getattr(skeleton, "pos_embed", None), weights.get("pos_embed")
    patch = getattr(getattr(skeleton, "patch_embed", None), "patch_size", None)
    if not isinstance(mine, Tensor) or theirs is None or patch is None or mine.ndim != 3:
        return None
    grid: Any = getattr(skeleton, "patch_embed", None)
    prefix = mine.shape[1] - int(grid.num_patches)
    cells = theirs.shape[1] - prefix
    side = math.isqrt(max(cells, 0))
    return side * int(patch[0]) if theirs.shape != mine.shape and side and side * side == cells else None


def _made(name: str, **options: Any) -> nn.Module:
    try:
        model: nn.Module = timm.create_model(name, **options)
    except OodbenchError:
        raise
    except Exception as error:  # timm raises whatever the architecture's code raises
        raise DataError(f"timm:{name}: cannot be made: {said(error):.300}") from error
    return model.eval()


def _count(model: Any) -> int:
    return int(model.num_classes)


def _beside(weights: Path) -> tuple[dict[str, Any], tuple[str, ...] | None]:
    """Preprocessing and class names of the file that timm puts beside weights for the Hub, if it is there."""
    path = weights.parent / CONFIG
    if not path.is_file():
        return {}, None
    try:
        told = json.loads(read_regular(path))
    except ValueError as error:
        raise DataError(f"{path}: is no JSON: {error}; correct it or take it away") from error
    if not isinstance(told, dict) or not isinstance(told.get("pretrained_cfg"), dict):
        return {}, None
    overlay = {key: told["pretrained_cfg"][key] for key in _OF_DATA if key in told["pretrained_cfg"]}
    names = told.get("label_names")
    return overlay, tuple(map(str, names)) if isinstance(names, list) else None


def _imagenet_names(model: nn.Module, classes: int) -> tuple[str, ...] | None:
    """What the classes of timm's own weights are called, where they are ImageNet's."""
    from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset

    subset = infer_imagenet_subset(model)
    if subset is None:
        return None
    info = ImageNetInfo(subset)
    said_of = [info.index_to_description(i).partition(",")[0] for i in range(classes)]
    synsets = [info.index_to_label_name(i) for i in range(classes)]
    return tuple(
        text if said_of.count(text) == 1 else f"{text} ({synset})"
        for text, synset in zip(said_of, synsets, strict=True)
    )
