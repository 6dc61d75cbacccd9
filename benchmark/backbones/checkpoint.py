"""The state of a training after an epoch, so that one that was killed goes on instead of starting over."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmark.backbones.device import here, on_cpu
from methods.neutral import neutral

STATE = "state.json"


@neutral
class Checkpoint:
    """The last state that was saved in a folder: tensors, and JSON.

    A state is written beside the one before and takes its place when it is whole; its checksum is kept. What
    does not match its checksum counts as not there: the training starts over, and comes to the same.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, number: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Replace what is there by state `number`. A full disk leaves the one before, or none; no error."""
        file = self.folder / f"{number}.safetensors"
        with suppress(OSError, SafetensorError):
            self.folder.mkdir(parents=True, exist_ok=True)
            save_file({name: on_cpu(t.detach()).contiguous() for name, t in tensors.items()}, file)
            summary = {"file": file.name, "sha256": _sha256(file), "state": state}
            fresh = self.folder / f"{STATE}.new"
            fresh.write_text(json.dumps(summary))
            fresh.replace(self.folder / STATE)
            for other in self.folder.glob("*.safetensors"):
                if other != file:
                    other.unlink()

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Tensors and JSON of the last state, or None if there is none that is whole."""
        try:
            summary = json.loads((self.folder / STATE).read_bytes())
            file = self.folder / Path(summary["file"]).name
            if _sha256(file) != summary["sha256"]:
                return None
            return load_file(file), summary["state"]
        except (OSError, ValueError, LookupError, TypeError, SafetensorError):
            return None


@neutral
class Pieces:
    """What a long measurement has come to so far: one that was killed loses the piece that it was at.

    Parameters
    ----------
    checkpoint : where it is kept; None: nowhere.
    """

    def __init__(self, checkpoint: Checkpoint | None = None) -> None:
        self._checkpoint = checkpoint
        found = None if checkpoint is None else checkpoint.load()
        alike = found is not None and found[1]["device"] == here().type  # else one record would mix devices
        self._kept: dict[str, Tensor] = found[0] if found and alike else {}
        self._names: list[str] = list(found[1]["pieces"]) if found and alike else []

    def of(self, name: str, work: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """What `work` comes to, now or before; names of pieces differ."""
        if self._checkpoint is None:
            return work()
        if name not in self._names:
            self._kept |= {f"{name} {part}": tensor for part, tensor in work().items()}
            self._names.append(name)
            self._checkpoint.save(
                len(self._names), self._kept, {"pieces": self._names, "device": here().type}
            )
        own = (part for part in self._kept if part.startswith(f"{name} "))
        return {part.removeprefix(f"{name} "): self._kept[part] for part in own}


def optimizer_tensors(
    name: str, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """The state of an optimizer: tensors, and plain numbers, each named ``<name>.<parameter>.<key>``."""
    tensors, numbers = {}, {}
    for index, values in optimizer.state_dict()["state"].items():
        for key, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"{name}.{index}.{key}"] = value
            elif value is not None:
                numbers[f"{name}.{index}.{key}"] = value
    return tensors, numbers


def restore_optimizer(
    name: str, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], numbers: Mapping[str, float]
) -> None:
    """Give an optimizer the state that `optimizer_tensors` read; its learning rates stay its own."""
    state: dict[int, dict[str, Any]] = {}
    for place, value in {**tensors, **numbers}.items():
        if place.startswith(f"{name}."):
            index, _, key = place.removeprefix(f"{name}.").partition(".")
            state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
