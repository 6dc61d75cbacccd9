"""Which class of the model each class of a set is: by name, by number, or by order."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import DataError
from methods.errors import printable
from methods.names import did_you_mean

BY_ORDER = "classes are matched by order"  # how a note begins that is a warning
_SHOWN = 5  # names in a message


@dataclass(frozen=True)
class ClassMap:
    """From the classes of a set to those of a model.

    Attributes
    ----------
    to_model
        Index of the model's class, for each of the set's.
    names
        What the set calls its classes; where it has numbers only, what the model calls them.
    count
        K, the model's classes.
    how
        By which these were found to be the same.
    notes
        Warnings in plain sentences.
    """

    to_model: tuple[int, ...]
    names: tuple[str, ...]
    count: int
    how: Literal["name", "number", "order"]
    notes: tuple[str, ...] = ()

    def of(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """The model's classes of the set's labels (N,).

        Raises
        ------
        DataError
            If one is no class of the set.
        """
        wrong = np.flatnonzero((labels < 0) | (labels >= len(self.to_model)))
        if wrong.size:
            raise DataError(
                f"label {labels[wrong[0]]}: expected 0 to {len(self.to_model) - 1}, as there are "
                f"{len(self.to_model)} classes; {wrong.size:,} of {len(labels):,} labels are out of range"
            )
        return np.asarray(self.to_model, dtype=np.int64)[labels]


def numbered(count: int, names: Sequence[str] | None = None) -> ClassMap:
    """Labels that are the model's own numbers of its classes."""
    called = tuple(names) if names else tuple(map(str, range(count)))
    return ClassMap(tuple(range(count)), called, count, "number")


def match_classes(folders: Sequence[str], model: Sequence[str] | None, count: int) -> ClassMap:
    """Match the classes of a set to a model's.

    By name where the model has names: capitals, underscores, spaces and hyphens do not count, one of several
    synonyms will do ("tabby" is "tabby, tabby cat"), and so will the WordNet id or a synonym of a class of
    ImageNet. Else by number, where every folder is called by one; else by order, with a warning.

    Parameters
    ----------
    folders : sequence of str
        Of the set, in its order.
    model : sequence of str or None
        By index; None where the model does not know.
    count : int
        K, the model's classes.

    Raises
    ------
    DataError
        If there is one class only, some have a name of the model and others do not, a name is of several
        classes of the model, or numbers of classes differ where there are no names to go by.
    """
    if len(folders) < 2:
        seen = repr(printable(folders[0])) if folders else "none"
        raise DataError(
            f"the ID images have one class only ({seen}); expected one folder for each of the model's "
            f"{count} classes, at least two of them"
        )
    if model is not None and (named := _by_name(folders, model)) is not None:
        return named
    if (by_number := _by_number(folders, count)) is not None:
        return by_number
    if len(folders) != count:
        why = "it does not say what they are called" if model is None else "no name is the same"
        raise DataError(
            f"the images have {len(folders)} classes ({_some(folders)}) and the model has {count}, and "
            f"{why}; expected as many classes, or folders that are called as the model's classes are"
            + (f" ({_some(model)})" if model else "")
        )
    note = (
        f"{BY_ORDER}, folder {printable(folders[0])!r} to the model's class 0, as "
        + (
            "the model has no names"
            if model is None
            else f"none is called as the model's are ({_some(model)})"
        )
        + "; if the accuracy looks wrong, this is why"
    )
    return ClassMap(tuple(range(count)), tuple(folders), count, "order", (note,))


def _by_name(folders: Sequence[str], model: Sequence[str]) -> ClassMap | None:
    """None if no name is the same."""
    levels = _levels(model)
    found: list[int | None] = []
    for folder in folders:
        candidates = next((hit for level in levels if (hit := level.get(_plain(folder)))), None)
        if candidates and len(candidates) > 1:
            names = ", ".join(f"{printable(model[i])!r} ({i})" for i in sorted(candidates))
            raise DataError(
                f"class {printable(folder)!r} may be several classes of the model: {names}; rename the "
                "folder to the whole name, or to the WordNet id"
            )
        found.append(next(iter(candidates)) if candidates else None)
    missing = [folder for folder, index in zip(folders, found, strict=True) if index is None]
    if len(missing) == len(folders):
        return None
    if missing:
        hint = did_you_mean(printable(missing[0]), map(printable, model))
        raise DataError(
            f"{len(missing)} of the {len(folders)} classes are none of the model's: {_some(missing)}; {hint}"
            ". Rename or remove these folders"
        )
    to_model = tuple(index for index in found if index is not None)
    notes = []
    if len(set(to_model)) < len(to_model):
        twice = next(i for i in to_model if to_model.count(i) > 1)
        same = [folder for folder, index in zip(folders, to_model, strict=True) if index == twice]
        notes.append(f"{_some(same)} are one class of the model, {printable(model[twice])!r}")
    if len(set(to_model)) < len(model):
        notes.append(f"the images have {len(set(to_model))} of the model's {len(model)} classes")
    return ClassMap(to_model, tuple(folders), len(model), "name", tuple(notes))


def _by_number(folders: Sequence[str], count: int) -> ClassMap | None:
    """Folders 0 … K-1, or 1 … K; "10" comes before "2" in the order of names, not of numbers."""
    if not all(re.fullmatch(r"[0-9]{1,9}", folder) for folder in folders):
        return None
    numbers = [int(folder) for folder in folders]
    if len(set(numbers)) < len(numbers):
        return None
    if min(numbers) == 1 and max(numbers) == count == len(numbers):
        note = f"folders 1 to {count} are taken for the model's classes 0 to {count - 1}"
        return ClassMap(tuple(n - 1 for n in numbers), tuple(folders), count, "number", (note,))
    if max(numbers) >= count:
        return None
    notes = [f"the images have {len(numbers)} of the model's {count} classes"] if len(numbers) < count else []
    return ClassMap(tuple(numbers), tuple(folders), count, "number", tuple(notes))


def _levels(model: Sequence[str]) -> list[dict[str, set[int]]]:
    """The model's classes by what they may be called, the surest first."""
    whole: dict[str, set[int]] = defaultdict(set)
    parts: dict[str, set[int]] = defaultdict(set)
    words: dict[str, set[int]] = defaultdict(set)
    for index, name in enumerate(model):
        whole[_plain(name)].add(index)
        for part in name.split(","):
            parts[_plain(part)].add(index)
    by_name, ids, synonyms = _imagenet()
    in_order = tuple(map(_plain, model)) == tuple(_plain(", ".join(names)) for names in synonyms)
    for index, name in enumerate(model):
        synsets = {index} if in_order else by_name.get(_plain(name), set())
        if len(synsets) == 1:
            (synset,) = synsets
            for word in (ids[synset], *synonyms[synset]):
                words[_plain(word)].add(index)
    for level in (whole, parts, words):
        level.pop("", None)
    return [whole, parts, words]


@cache
def _imagenet() -> tuple[dict[str, set[int]], tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Classes of ImageNet-1K by what they are called; their WordNet ids; their synonyms."""
    import timm.data

    from benchmark.datasets.imagenet_names import IMAGENET_NAMES

    info: Any = timm.data
    ids = tuple(info.ImageNetInfo().label_names())
    synonyms = tuple(tuple(word.strip() for word in name.split(",")) for name in IMAGENET_NAMES)
    called: dict[str, set[int]] = defaultdict(set)
    for index, (wordnet, names) in enumerate(zip(ids, synonyms, strict=True)):
        for word in (wordnet, ", ".join(names), *names):
            called[_plain(word)].add(index)
    return called, ids, synonyms


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(repr(printable(name)) for name in names[:_SHOWN])
    return shown + (f", … ({len(names)} in all)" if len(names) > _SHOWN else "")
