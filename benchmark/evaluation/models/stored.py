"""``features:FOLDER``: what a model gave, computed elsewhere; `docs/evaluate_models.md` has the layout.

::

    id_train.npz  id_val.npz  id_test.npz    of the classes that the model knows
    near/NAME.npz  far/NAME.npz              out-of-distribution sets
    head.npz                                 weight (K, D), bias (K,) of the final linear layer
    classes.json                             names of the classes, by index

Each may be ``.safetensors`` instead. Of these only ``id_test`` must be there.
"""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from benchmark.errors import DataError, UsageError
from benchmark.evaluation.models.answers import looks_like
from benchmark.evaluation.models.fingerprint import fingerprint_of
from benchmark.evaluation.models.heads import tolerance_of
from benchmark.store.files import open_regular, read_regular
from methods.errors import InputError, said
from methods.features import Features, Signal
from methods.head import Head

ID_SETS = ("id_train", "id_val", "id_test")
GROUPS = ("near", "far")
SUFFIXES = (".npz", ".safetensors")
NEEDED = "id_test"
ELSEWHERE = "the features were computed elsewhere, and there is no model"
_OF_HEAD = ("weight", "bias")
_STAGE = re.compile(r"stage_(\d+)")
_KEYS = "logits, penultimate, labels, names and stage_0, stage_1, …"


@dataclass(frozen=True)
class StoredSet:
    """The features of one set of images, read when they are asked for.

    Attributes
    ----------
    role
        ``id_train``, ``id_val``, ``id_test``, ``near`` or ``far``.
    """

    name: str
    role: str
    path: Path

    def features(self) -> Features:
        """All of them, checked: logits, and what else there is. They lie in memory at once.

        Raises
        ------
        DataError
            If the file is damaged, or a key is missing or of another form: names file and key.
        """
        return self._read()[0]

    def names(self) -> tuple[str, ...] | None:
        """What the images are called, if the file says."""
        return self._read()[1]

    def _read(self) -> tuple[Features, tuple[str, ...] | None]:
        held = _arrays(self.path)
        names = held.pop("names", None)
        unknown = [
            key
            for key in held
            if key not in ("logits", "penultimate", "labels") and not _STAGE.fullmatch(key)
        ]
        if unknown:
            raise DataError(f"{self.path}: has a key {unknown[0]!r}; expected {_KEYS}")
        if "logits" not in held:
            raise DataError(f"{self.path}: has no key 'logits', expected (N, K); it has {', '.join(held)}")
        for key, value in held.items():
            if key != "labels" and not _is_float(value):
                raise DataError(f"{self.path}: {key!r} is of type {value.dtype}, expected floats")
        stages = sorted((int(m[1]), key) for key in held if (m := _STAGE.fullmatch(key)))
        if [number for number, _ in stages] != list(range(len(stages))):
            keys = ", ".join(key for _, key in stages)
            raise DataError(f"{self.path}: has {keys}; expected the stages numbered from stage_0 on")
        try:
            found = Features(
                held["logits"],
                held.get("penultimate"),
                held.get("labels"),
                stages=[held[key] for _, key in stages] or None,
            )
        except InputError as error:
            raise DataError(f"{self.path}: {error}") from error
        if not len(found):
            raise DataError(f"{self.path}: has no images: 'logits' is of shape {tuple(found.logits.shape)}")
        if why := found.why_not_finite(("logits", "penultimate", "stages")):
            raise DataError(f"{self.path}: {why}")
        if names is not None and names.shape != (len(found),):
            raise DataError(f"{self.path}: 'names' is of shape {names.shape}, expected ({len(found)},)")
        return _single(found), None if names is None else tuple(map(str, names))


@dataclass(frozen=True)
class StoredFeatures:
    """A folder of features: the model's `subject`, and its `sets` by name."""

    subject: StoredSubject
    sets: Mapping[str, StoredSet]

    def of(self, role: str) -> tuple[StoredSet, ...]:
        """The sets that play a role."""
        return tuple(one for one in self.sets.values() if one.role == role)


class StoredSubject:
    """A model that is not there: a `benchmark.evaluation.subject.Subject` that takes no images."""

    prepare: Callable[[Image.Image], Tensor] | None = None
    differentiable: str = ELSEWHERE

    def __init__(
        self,
        title: str,
        given: Features,
        head: Head,
        class_names: tuple[str, ...] | None,
        card: Mapping[str, Any],
        notes: tuple[str, ...],
    ) -> None:
        self.title, self.head, self.class_names, self.notes = title, head, class_names, notes
        self.classes = given.logits.shape[1]
        self.device = given.logits.device
        there = given.collected()
        missing = {s: f"{ELSEWHERE}: the files have no {s}" for s in Signal if s not in there}
        del missing[Signal.HEAD]
        if not head.is_linear:
            missing[Signal.HEAD] = head.reason
        self.missing: Mapping[Signal, str] = missing
        widths = {name: list(map(list, sizes)) for name, sizes in given.widths().items()}
        self.card: Mapping[str, Any] = {**card, "architecture": "not known", "features": widths}
        weights = {"weight": head.weight, "bias": head.bias} if head.is_linear else {}
        # Without a head nothing is known of the model but its shapes.
        self.fingerprint = fingerprint_of(weights or {"logits": given.logits.new_empty(0, self.classes)})

    def features(self, images: Tensor, what: Collection[Signal]) -> Features:
        """There is no model to show images to: raises `UsageError`."""
        raise UsageError(f"{self.title}: takes no images: {ELSEWHERE}")

    def pixels(self, images: Tensor) -> Features:
        """Likewise."""
        return self.features(images, ())


def open_features(folder: Path) -> StoredFeatures:
    """Open a folder of features; see the module's docstring for the layout.

    Raises
    ------
    UsageError
        If it is no such folder.
    DataError
        If a file is damaged or does not fit the others: names file and key.
    """
    if not folder.is_dir():
        raise UsageError(f"features:{folder}: there is no such folder")
    sets = {one.name: one for one in _sets(folder)}
    if NEEDED not in sets:
        raise UsageError(
            f"features:{folder}: has no {NEEDED}.npz or {NEEDED}.safetensors; expected {', '.join(ID_SETS)}, "
            "near/NAME and far/NAME"
        )
    first, counts = sets[NEEDED].features(), dict[str, int]()
    for name, one in sets.items():
        features = first if name == NEEDED else one.features()
        _check_alike(one.path, features, sets[NEEDED].path, first)
        counts[name] = len(features)
    classes = first.logits.shape[1]
    head = _head(folder, sets[NEEDED].path, first)
    names = _class_names(folder, classes)
    notes = tuple(filter(None, [looks_like(first.logits)]))
    card = {"from": "features", "sets": counts}
    subject = StoredSubject(f"features:{folder.name}", first, head, names, card, notes)
    return StoredFeatures(subject, sets)


def _sets(folder: Path) -> Iterator[StoredSet]:
    for name in ID_SETS:
        if (path := _one(folder, name)) is not None:
            yield StoredSet(name, name, path)
    seen: set[str] = set()
    for group in GROUPS:
        inside = folder / group
        names = sorted({p.stem for p in inside.iterdir() if p.suffix in SUFFIXES}) if inside.is_dir() else []
        for name in names:
            if name in seen or name in ID_SETS:
                raise UsageError(f"{inside}: there is another set {name!r}; expected names that differ")
            seen.add(name)
            path = _one(inside, name)
            assert path is not None
            yield StoredSet(name, group, path)


def _one(folder: Path, name: str) -> Path | None:
    there = [path for suffix in SUFFIXES if (path := folder / f"{name}{suffix}").is_file()]
    if len(there) > 1:
        raise UsageError(f"{folder}: has {there[0].name} and {there[1].name}; expected one of them")
    return there[0] if there else None


def _arrays(path: Path) -> dict[str, Any]:
    """Tensors of a file by key; of NumPy's files arrays, of which none is unpickled."""
    if path.suffix == ".safetensors":
        try:
            return dict(load_file(path))
        except (OSError, ValueError, SafetensorError) as error:
            raise DataError(f"{path}: cannot be read as safetensors: {said(error):.200}") from error
    found: dict[str, Any] = {}
    key = ""
    try:
        with open_regular(path) as file, np.load(file, allow_pickle=False) as held:
            for key in held.files:
                found[key] = held[key]
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error, KeyError) as error:
        where = f"{path}: key {key!r}" if key else f"{path}"
        raise DataError(
            f"{where}: cannot be read: {said(error):.200}; expected arrays of numbers, as numpy.savez writes "
            "them, and no objects, which would be pickles"
        ) from error
    return found


def _is_float(value: Any) -> bool:
    return (
        value.is_floating_point()
        if isinstance(value, Tensor)
        else bool(np.issubdtype(value.dtype, np.floating))
    )


def _single(found: Features) -> Features:
    """In float32 what is in float64: as every other model's features are."""
    wide = {n: [p.float() for p in parts] for n, parts in found.collected().items() if n != "labels"}
    labels = found.collected().get("labels")
    made = Features(
        wide["logits"][0],
        wide["penultimate"][0] if "penultimate" in wide else None,
        None if labels is None else labels[0].long(),
        stages=wide.get("stages"),
    )
    made.rounding = max(made.rounding, found.rounding)
    return made


def _check_alike(path: Path, found: Features, first_path: Path, first: Features) -> None:
    ours, theirs = found.widths(), first.widths()
    for key in {**theirs, **ours}:
        if ours.get(key) != theirs.get(key):
            raise DataError(
                f"{path}: {key} is {_width(ours.get(key))} wide, and {_width(theirs.get(key))} in "
                f"{first_path.name}"
            )


def _width(sizes: tuple[tuple[int, ...], ...] | None) -> str:
    return "not there, 0" if sizes is None else " and ".join("×".join(map(str, size)) for size in sizes)


def _head(folder: Path, of: Path, first: Features) -> Head:
    path = _one(folder, "head")
    if path is None:
        return Head.not_linear(f"{ELSEWHERE}: there is no head.npz")
    held = _arrays(path)
    for key in held:
        if key not in _OF_HEAD:
            raise DataError(f"{path}: has a key {key!r}; expected weight (K, D) and bias (K,)")
    if "weight" not in held:
        raise DataError(f"{path}: has no key 'weight', expected (K, D)")
    try:
        weight, bias = (torch.as_tensor(held[key]).float() if key in held else None for key in _OF_HEAD)
        assert weight is not None
        head = Head(weight, bias)
    except (InputError, TypeError) as error:
        raise DataError(f"{path}: {said(error)}") from error
    if "penultimate" not in first.collected():
        raise DataError(
            f"{path}: is there, and {of.name} has no key 'penultimate', which is the head's input"
        )
    expected = (first.logits.shape[1], first.penultimate.shape[1])
    if tuple(head.weight.shape) != expected:
        raise DataError(
            f"{path}: 'weight' is of shape {tuple(head.weight.shape)}, expected {expected} as in {of.name}"
        )
    by_hand = first.penultimate @ head.weight.T + head.bias
    gap, largest = float((by_hand - first.logits).abs().max()), float(first.logits.abs().max())
    if gap > max(tolerance_of(torch.float32), 4 * first.rounding) * max(largest, 1e-12):
        raise DataError(
            f"{path}: penultimate @ weight.T + bias differs from the logits of {of.name} by {gap:.2g}, with "
            f"logits up to {largest:.2g}; expected the same: give the input of the final layer, or no head"
        )
    return head


def _class_names(folder: Path, classes: int) -> tuple[str, ...] | None:
    path = folder / "classes.json"
    if not path.is_file():
        return None
    try:
        names = json.loads(read_regular(path))
    except ValueError as error:
        raise DataError(f"{path}: is no JSON: {error}") from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{path}: expected a list of names")
    if len(names) != classes:
        raise DataError(f"{path}: has {len(names)} names, and the logits have {classes} classes")
    return tuple(names)
