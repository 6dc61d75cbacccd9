"""Files of a network's weights: safetensors, or a state dict of which torch reads tensors alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from benchmark.errors import DataError, UsageError
from benchmark.evaluation.models.wrapping import PREFIXES
from methods.errors import said

SAFE, TORCH = ".safetensors", (".pt", ".pth")
INSIDE = ("state_dict", "model_state_dict", "model")  # where trainers keep the weights among other things
NAMED = 3  # keys that an error names
_CONVERT = (
    'convert it where you trust it: safetensors.torch.save_file(model.state_dict(), "weights.safetensors")'
)


def read_weights(path: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Read a state dict; returns it and notes.

    Raises
    ------
    UsageError
        If the file is not there, or named as neither.
    DataError
        If it is damaged, or a pickle of more than tensors: says how to convert it.
    """
    if not path.is_file():
        raise UsageError(f"{path} is not there; expected a file of weights")
    if path.suffix == SAFE:
        try:
            return load_file(path), ()
        except (OSError, ValueError, SafetensorError) as error:
            raise DataError(f"{path}: cannot be read as safetensors: {said(error)}; get it again") from error
    if path.suffix not in TORCH:
        raise UsageError(
            f"{path}: expected weights as {SAFE}, or a state dict as {' or '.join(TORCH)}; {_CONVERT}"
        )
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of zip files, of storages and of what may not be unpickled
        reason = (said(error).splitlines() or [""])[0]
        raise DataError(
            f"{path}: is damaged, or a pickle of more than tensors, which may run any code and is not opened "
            f"({type(error).__name__}: {reason:.200}); get it again, or {_CONVERT}"
        ) from error
    return _plain(path, found)


def _plain(path: Path, found: Any) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    notes: tuple[str, ...] = ()
    if isinstance(found, Mapping):
        inner = [key for key in INSIDE if _is_state(found.get(key))]
        if not _is_state(found) and inner:
            found, notes = found[inner[0]], (f"the weights are those under {inner[0]!r} of {path.name}",)
    if not _is_state(found):
        seen = f"keys {', '.join(map(str, list(found)[:NAMED]))}, …" if isinstance(found, Mapping) else ""
        raise DataError(
            f"{path}: expected a state dict (names to tensors), got {type(found).__name__} {seen}; {_CONVERT}"
        )
    return dict(found), notes


def _is_state(value: object) -> bool:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in value.items())
    )


def stripped(weights: Mapping[str, Tensor], own: Mapping[str, object]) -> tuple[dict[str, Tensor], list[str]]:
    """Weights without the prefixes of wrappers that a model's `own` names do not have, and notes."""
    found, notes = dict(weights), []
    while prefix := next((p for p in PREFIXES if found and all(name.startswith(p) for name in found)), None):
        if all(name.startswith(prefix) for name in own):
            break
        found = {name.removeprefix(prefix): tensor for name, tensor in found.items()}
        notes.append(f"the weights' names began with {prefix!r}, which was left out")
    return found, notes


def load_into(model: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Load all of a model's weights.

    Raises
    ------
    DataError
        If some are missing, not the model's, or of another shape: names a few.
    """
    own = model.state_dict()
    counters = {name for name in own if name.endswith("num_batches_tracked")}  # older files have none
    missing = [name for name in own if name not in weights and name not in counters]
    others = [name for name in weights if name not in own]
    shapes = [
        f"{name} is {tuple(weights[name].shape)} and should be {tuple(value.shape)}"
        for name, value in own.items()
        if name in weights and weights[name].shape != value.shape
    ]
    faults = [
        f"{len(names)} {what}: {', '.join(names[:NAMED])}{', …' if len(names) > NAMED else ''}"
        for what, names in (("missing", missing), ("not the model's", others), ("of another shape", shapes))
        if names
    ]
    if faults:
        raise DataError(f"{source}: does not fit {type(model).__name__}: {'; '.join(faults)}")
    model.load_state_dict(dict(weights), strict=False)
