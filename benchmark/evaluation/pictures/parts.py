"""ID images for fitting, for thresholds and for measuring: as their folders say, else divided by names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.datasets.folder import SUFFIXES
from benchmark.errors import DataError
from benchmark.evaluation.images import ImageSource
from benchmark.evaluation.pictures.classes import ClassMap
from benchmark.evaluation.pictures.gathering import Disjoint, Prepare, Role
from benchmark.evaluation.pictures.listings import Listing, list_folder
from benchmark.evaluation.pictures.sources import classes_of, open_listing, open_source
from benchmark.evaluation.pictures.tables import HUB, HubName, hub_splits, list_hub
from methods.errors import printable

NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
VAL, TEST = 0.2, 0.2  # shares of what is divided; the rest is for fitting


@dataclass(frozen=True)
class Parts:
    """The listings of one ID set; no image is in two of them by name, and `notes` say how they came about."""

    train: Listing
    val: Listing
    test: Listing
    notes: tuple[str, ...]


def list_parts(where: str | Path | Listing, *, seed: int = 0) -> Parts:
    """The three parts of an ID set.

    Folders called ``train``, ``val`` (``valid``, ``validation``) and ``test``, if there are no others, are
    these; so are splits of a Hub set of which none is named. A missing ``val`` is a fifth of ``train``; of
    ``train`` and ``val`` alone, ``val`` is for testing, as with ImageNet. Anything else is divided: of each
    class 60 % for fitting, 20 % for thresholds, 20 % for measuring, in the order of hashed names, so that
    another file moves at most two of its class.

    Parameters
    ----------
    where
        See `open_listing`.
    seed : int
        Of what is divided.

    Raises
    ------
    UsageError, DataError
        See `open_listing`; and where there is no part for fitting or too few images to divide.
    """
    named = {} if isinstance(where, Listing) else _named(where)
    if not named:
        listing = where if isinstance(where, Listing) else open_listing(where, role="id_train")
        train, val, test = _divided(listing, VAL, TEST, seed)
        note = (
            f"divided by hashed names, seed {seed}: {len(train):,} images for fitting, {len(val):,} for "
            f"thresholds, {len(test):,} for testing"
        )
        return Parts(train, val, test, (note,))
    if "train" not in named or len(named) < 2:
        raise DataError(
            f"{printable(str(where))} has {', '.join(map(repr, named))} alone; expected 'train', and "
            "'val' or 'test' or both"
        )
    return parts_of(named, seed=seed)


def parts_of(named: dict[str, Listing], *, seed: int = 0) -> Parts:
    """The three parts of an ID set of which ``train`` is given, and ``val`` or ``test`` or both.

    Raises
    ------
    DataError
        If one has names of classes and another numbers.
    """
    named = _same_classes(named)
    if len(named) == 3:
        return Parts(named["train"], named["val"], named["test"], ("parts as their names say",))
    train, val, _ = _divided(named["train"], VAL, 0.0, seed)
    test = named.get("test") or named["val"]
    called = "test" if "test" in named else "val"
    note = f"{called!r} is for testing; {len(val):,} images of 'train' are for thresholds (seed {seed})"
    return Parts(train, val, test, (note,))


def classes_of_parts(parts: Parts, model: tuple[str, ...] | None, count: int) -> ClassMap | None:
    """The model's classes of those of the parts, which are numbered alike: see `classes_of`."""
    labelled = (part for part in (parts.train, parts.test, parts.val) if part.labels is not None)
    return classes_of(next(labelled, parts.train), model, count)


def open_parts(
    parts: Parts, *, title: str, prepare: Prepare | None, classes: ClassMap | None
) -> tuple[ImageSource, ImageSource, ImageSource]:
    """Sources for fitting, thresholds and testing; none repeats the pixels that an earlier one has shown."""
    disjoint = Disjoint()
    roles: tuple[tuple[str, Role, Listing], ...] = (
        ("train", "id_train", parts.train),
        ("val", "id_val", parts.val),
        ("test", "id_test", parts.test),
    )
    train, val, test = (
        open_source(
            replace(listing, notes=(*listing.notes, *parts.notes)),
            title=f"{title}, {part}",
            prepare=prepare,
            classes=classes,
            role=role,
            disjoint=disjoint,
        )
        for part, role, listing in roles
    )
    return train, val, test


def sample(listing: Listing, n: int, seed: int = 0) -> Listing:
    """At most `n` images, as many of each class as can be, by hashed names: more have fewer among them."""
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    if n >= len(listing):
        return listing
    rank, drawn = _ranks(listing, f"sample {seed}")
    chosen = np.sort(np.lexsort((drawn, rank))[:n])
    return listing.chosen(chosen, f"{n:,} of {len(listing):,} images, as many of each class as can be")


def _named(where: str | Path) -> dict[str, Listing]:
    """Parts by the names of folders or of splits; none where these are other names too."""
    text = str(where)
    if text.startswith(HUB):
        name = HubName.parse(text)
        splits = [] if name.split else hub_splits(name)
        found = {part: list_hub(name, split, labelled=True) for split, part in _recognised(splits).items()}
        return found if len(found) > 1 else {}
    try:
        inside = [p for p in sorted(Path(where).iterdir()) if not p.name.startswith(".")]
        folders = [p.name for p in inside if p.is_dir()]
    except (OSError, ValueError):  # no folder, or it cannot be read: who opens it says so
        return {}
    if any(p.suffix.lower() in SUFFIXES for p in inside if p.name not in folders):
        return {}
    return {
        part: list_folder(Path(where) / folder, labelled=True)
        for folder, part in _recognised(folders).items()
    }


def _recognised(names: list[str]) -> dict[str, str]:
    """Each name with the part that it is; empty unless all of them are parts, and no two the same."""
    parts = {name: NAMES[name.lower()] for name in names if name.lower() in NAMES}
    return parts if len(parts) == len(names) and len(set(parts.values())) == len(parts) else {}


def _same_classes(named: dict[str, Listing]) -> dict[str, Listing]:
    """One numbering of the classes for all parts, which may lack some of them."""
    known = [listing.class_names for listing in named.values() if listing.labels is not None]
    if all(names == known[0] for names in known):
        return named
    if any(names is None for names in known):
        raise DataError(
            f"of {', '.join(map(repr, named))}, some parts have names of classes and others numbers; "
            "expected one kind"
        )
    union = tuple(sorted({name for names in known for name in names or ()}))
    number = {name: index for index, name in enumerate(union)}
    result = {}
    for part, listing in named.items():
        labels, names = listing.labels, listing.class_names
        if labels is not None and names is not None:
            labels = np.array([number[name] for name in names], dtype=np.int64)[labels]
            missing = len(union) - len(names)
            notes = (
                (*listing.notes, f"{missing} of the {len(union)} classes are not here")
                if missing
                else listing.notes
            )
            listing = replace(listing, labels=labels, class_names=union, notes=notes)
        result[part] = listing
    return result


def _divided(listing: Listing, val: float, test: float, seed: int) -> tuple[Listing, Listing, Listing]:
    """Divide each class by the ranks of its hashed names; of two images none is for thresholds."""
    rank, _ = _ranks(listing, f"divide {seed}")
    strata = _strata(listing)
    sizes = np.bincount(strata)[strata]
    to_test = _count(sizes, test, least=2)
    to_val = _count(sizes, val, least=3 if test else 2)
    tested = rank < to_test
    validated = rank >= sizes - to_val  # from the other end, so that neither part moves the other
    chosen = (~tested & ~validated, validated, tested)
    train, validation, testing = (listing.chosen(np.flatnonzero(part)) for part in chosen)
    if not len(validation) or (test and not len(testing)):
        raise DataError(
            f"{len(listing):,} ID images of {len(np.unique(strata)):,} classes cannot be divided into parts "
            f"for fitting, thresholds and testing; expected at least {3 if test else 2} of a class"
        )
    return train, validation, testing


def _count(sizes: NDArray[np.int64], share: float, least: int) -> NDArray[np.int64]:
    """Images of a part, for classes of these sizes: at least one of `least` or more."""
    if not share:
        return np.zeros_like(sizes)
    return np.where(sizes >= least, np.maximum(1, np.rint(sizes * share)), 0).astype(np.int64)


def _ranks(listing: Listing, purpose: str) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Place of each image in its class in the order of hashed names, and the hashes."""
    drawn = _hashed(listing.names, purpose)
    strata = _strata(listing)
    order = np.lexsort((drawn, strata))
    sizes = np.bincount(strata)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return rank, drawn


def _strata(listing: Listing) -> NDArray[np.int64]:
    if listing.labels is None:
        return np.zeros(len(listing), dtype=np.int64)
    _, strata = np.unique(listing.labels, return_inverse=True)
    return strata.ravel()


def _hashed(names: Iterable[str], purpose: str) -> NDArray[np.uint64]:
    digests = (hashlib.blake2b(f"{purpose}\0{name}".encode(), digest_size=8).digest() for name in names)
    return np.array([int.from_bytes(digest, "big") for digest in digests], dtype=np.uint64)
