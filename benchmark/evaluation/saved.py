"""Fitted detectors in folders: what was learnt as safetensors, all else as JSON.

::

    <folder>/detector.json                    format, name, hyper-parameters, structure of the state, checksum
    <folder>/detector-<checksum>.safetensors  the tensors

Loaded again a detector gives the same scores to the last bit. The JSON is written last, over the one that
was there: a folder holds the old detector or the new one, whole. Nothing is unpickled, and no path, module
or class is taken from a file by its name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from benchmark.backbones.device import on_cpu
from benchmark.errors import DataError, UsageError
from benchmark.evaluation.state import StateError, packed, unpacked
from benchmark.records.numbers import StrictModel
from benchmark.store.files import (
    delete,
    first_error,
    open_regular,
    read_regular,
    write_atomically,
)
from benchmark.store.fingerprints import code_fingerprint, definition_of
from methods.base import AnyDetector, HyperparameterError, NotFitted
from methods.errors import UnknownMethod, printable, said
from methods.registry import detector_class

FORMAT = 1
CARD = "detector.json"
LARGEST_CARD = 1 << 26  # bytes
LIBRARIES = ("numpy", "safetensors", "torch")  # said for people: others may round otherwise
_PICKLES = {".bin", ".ckpt", ".joblib", ".npy", ".pickle", ".pkl", ".pt", ".pth", ".th"}
_AGAIN = "fit the detector again and save it with save_detector"


class Card(StrictModel):
    """What `detector.json` says."""

    format: Annotated[int, Field(strict=True, ge=1, le=FORMAT)]
    detector: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,99}$")]
    source: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None  # of the method; None if there was none
    libraries: dict[str, str]
    hyperparameters: dict[str, Any]
    state: dict[str, Any]  # `benchmark.evaluation.state`
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]  # of the tensors' file, which bears it
    extra: dict[str, Any]  # the caller's own

    @property
    def tensors(self) -> str:
        """Name of the tensors' file."""
        return f"detector-{self.sha256[:16]}.safetensors"


class Saved(NamedTuple):
    """A detector as it was saved, and what its card says."""

    detector: AnyDetector
    card: Card


def save_detector(detector: AnyDetector, folder: str | Path, extra: Mapping[str, Any] | None = None) -> None:
    """Save a fitted detector to a folder, in place of the one that is there.

    Parameters
    ----------
    detector : fitted; on any device.
    folder : made if it is not there. Other files in it stay.
    extra : JSON of the caller's own, which `load_saved` gives back.

    Raises
    ------
    UsageError
        If the detector is not fitted, keeps what cannot be saved, or `extra` is no JSON: says what.
    StorageError
        If the folder cannot be written.
    """
    folder = Path(folder)
    try:
        state, tensors = packed(detector)
    except (StateError, NotFitted) as error:
        raise UsageError(f"{detector.name} cannot be saved: {said(error)}") from error
    here = {name: on_cpu(tensor) for name, tensor in tensors.items()}
    content = save(here)
    made = {
        "format": FORMAT,
        "detector": detector.name,
        "source": source_of(type(detector)),
        "libraries": {name: version(name) for name in LIBRARIES},
        "hyperparameters": detector.hyperparameters(),
        "state": state,
        "sha256": hashlib.sha256(content).hexdigest(),
        "extra": dict(extra or {}),
    }
    try:
        text = json.dumps(made, allow_nan=False, indent=1)
        card = Card.model_validate_json(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(
            f"{detector.name} cannot be saved: hyper-parameters and `extra` must be JSON without NaN "
            f"({said(error)})"
        ) from error
    write_atomically(folder / card.tensors, content)
    write_atomically(folder / CARD, text + "\n")
    for old in folder.glob("detector-*.safetensors"):
        if old.name != card.tensors:
            delete(old)


def load_detector(folder: str | Path, *, allow_changed: bool = False) -> AnyDetector:
    """Load the detector that a folder holds; see `load_saved`."""
    return load_saved(folder, allow_changed=allow_changed).detector


def load_saved(folder: str | Path, *, allow_changed: bool = False) -> Saved:
    """Load a detector and what was saved with it. Its state lies on the CPU.

    Parameters
    ----------
    folder : that `save_detector` wrote.
    allow_changed : whether to load a detector whose method computes otherwise today than when it was saved.

    Raises
    ------
    UsageError
        If the folder is none, or the method has changed, or is not there.
    DataError
        If a file is damaged, of a newer version, or none of ours.
    """
    folder = Path(folder)
    card = read_card(folder)
    try:
        cls = detector_class(card.detector)
    except UnknownMethod as error:
        raise UsageError(
            f"{folder}: holds the detector {card.detector!r}, which is not installed here ({said(error)}); "
            "install the package that has it, or put its file into methods/detectors"
        ) from error
    today = source_of(cls)
    if (today is None or card.source != today) and not allow_changed:
        raise UsageError(
            f"{folder}: the code of {card.detector!r} is not what the detector was saved with (source "
            f"{card.source or 'unknown'}, today {today or 'unknown'}): its scores may be others. "
            f"{_AGAIN.capitalize()}, install the version that it was saved with, or pass allow_changed=True"
        )
    try:
        made = cls.configure(card.hyperparameters)
        return Saved(unpacked(made, card.state, _tensors(folder, card)), card)
    except (StateError, HyperparameterError) as error:
        raise DataError(
            f"{folder / CARD}: no state of the detector {card.detector!r}: {said(error)}; {_AGAIN}"
        ) from error


def read_card(folder: str | Path) -> Card:
    """What a saved detector says of itself, without its tensors.

    Raises
    ------
    UsageError
        If the folder holds no detector.
    DataError
        If its card is damaged, of a newer version, or none of ours.
    """
    folder = Path(folder)
    path = folder / CARD
    if not folder.is_dir() or not path.exists():
        raise UsageError(_nothing_there(folder))
    try:
        with open_regular(path) as file:
            content = file.read(LARGEST_CARD + 1)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); expected a regular file") from error
    if len(content) > LARGEST_CARD:
        raise DataError(f"{path}: has more than {LARGEST_CARD} bytes; expected the card of a detector")
    try:
        found = json.loads(content, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        told = "is a pickle, which is never opened" if content[:1] == b"\x80" else f"is no JSON ({error})"
        raise DataError(f"{path}: {printable(told)}; {_AGAIN}") from error
    seen = found.get("format") if isinstance(found, dict) else None
    if isinstance(seen, int) and seen > FORMAT:
        raise DataError(
            f"{path}: of format {seen}, made by a newer oodbench; this one reads up to {FORMAT}: upgrade it "
            "(pip install --upgrade oodbench), or save the detector with this one"
        )
    try:
        return Card.model_validate_json(content)
    except ValidationError as error:
        raise DataError(
            f"{path}: {first_error(error)}; expected the card of a saved detector: {_AGAIN}"
        ) from error


def source_of(cls: type[AnyDetector]) -> str | None:
    """Hash of the code that computes a detector's state and scores; None where there is no source to read.

    As records have it (`benchmark.store.fingerprints`), but of the method alone: the harness's part is to
    hand over features, which a saved detector is given by others.
    """
    try:
        return code_fingerprint(definition_of(cls))
    except (ImportError, LookupError, ValueError, OSError, SyntaxError):
        return None


def _tensors(folder: Path, card: Card) -> dict[str, Tensor]:
    path = folder / card.tensors
    if not path.exists():
        raise DataError(f"{path}: is not there; copy the folder whole, or {_AGAIN}")
    content = read_regular(path)
    seen = hashlib.sha256(content).hexdigest()
    if seen != card.sha256:
        raise DataError(
            f"{path}: damaged: its SHA-256 is {seen[:16]}…, {CARD} says {card.sha256[:16]}… "
            f"({len(content)} bytes); copy it again, or {_AGAIN}"
        )
    try:
        return {name: tensor.clone() for name, tensor in load(content).items()}  # aligned, and its own memory
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: is no safetensors file ({printable(str(error)):.200}); {_AGAIN}") from error


def _nothing_there(folder: Path) -> str:
    if folder.suffix in _PICKLES and folder.is_file():
        return f"{folder}: a file that may hold pickles is never opened; {_AGAIN}"
    if not folder.is_dir():
        return f"{folder}: there is no such folder; expected one that save_detector wrote"
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLES)
    if pickles:
        return f"{folder}: holds {printable(pickles[0])} and no {CARD}: pickles are never opened; {_AGAIN}"
    return f"{folder}: holds no {CARD}; expected a folder that save_detector wrote"


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number")
