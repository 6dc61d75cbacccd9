"""From what people have to a `Question`: a classifier, ID images, OOD images, each in any of their forms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import torch

from benchmark.datasets.shifts import ShiftKind
from benchmark.errors import DataError, UsageError
from benchmark.evaluation.ask import Question
from benchmark.evaluation.images import ImageSource
from benchmark.evaluation.models.stored import StoredFeatures, StoredSet
from benchmark.evaluation.pictures.classes import ClassMap, numbered
from benchmark.evaluation.pictures.derived import Corrupted, why_not_corrupted
from benchmark.evaluation.pictures.gathering import Disjoint
from benchmark.evaluation.pictures.parts import (
    Parts,
    classes_of_parts,
    list_parts,
    open_parts,
    parts_of,
    sample,
)
from benchmark.evaluation.pictures.sources import classes_of, open_listing, open_source
from benchmark.evaluation.pictures.standins import WARNING, standins
from benchmark.evaluation.shown import Shown, ShownFeatures, ShownImages
from benchmark.evaluation.subject import Subject
from benchmark.studies.detection.measurement import GROUPS, Group
from methods.tensors import at_once

CORRUPTED = (1, 3, 5)  # severities of each corruption
OWN = ("id", "ID, train", "ID, val", "ID, test")  # titles that no OOD set has
UNTIMED = "The features were computed elsewhere: what a forward pass takes is not known, and every cost is 1."
VALIDATING = 5  # of stored training images every fifth is for thresholds, where no others are given


@dataclass(frozen=True)
class Given:
    """What is asked of a classifier's images, and where the pictures of OOD sets are.

    Attributes
    ----------
    id
        A set that is divided, or a mapping of ``train``, ``val`` and ``test``.
    ood
        By group sets of images; None for those that stand in for them.
    fit_images
        Most ID images to fit on, drawn evenly by class; None for all.
    """

    id: Any
    ood: Mapping[str, Any] | None = None
    fit_images: int | None = None
    corruptions: bool = False
    seed: int = 0
    batch: int | None = None


def question_of(subject: Subject, given: Given, **asked: Any) -> tuple[Question, dict[str, ImageSource]]:
    """Ask about images that a classifier sees; `asked` are fields of `Question`.

    Raises
    ------
    UsageError, DataError
        If something is not there, or is of no known form: says what was seen and what was expected.
    """
    batch = given.batch or at_once(torch.empty(1, *subject.card["input"], device="meta"))
    train, val, test = _id_sources(subject, given)
    notes: list[str] = []
    if given.ood is None:
        made = standins(test, subject.prepare, seed=given.seed)
        sources = {one.name: (one.group, one.source) for one in made}
        notes += [WARNING, *(f"{one.name}: {one.warning}" for one in made)]
    else:
        sources = dict(_ood_sources(subject, given.ood))
    shown = {
        title: (group, ShownImages(subject, source, batch)) for title, (group, source) in sources.items()
    }
    shifted: dict[tuple[str, int], Shown] = {}
    if given.corruptions:
        if why := why_not_corrupted(subject.prepare):
            raise UsageError(f"--corruptions: {why}")
        for kind in ShiftKind:
            for severity in CORRUPTED:
                source = Corrupted(test, kind, severity, given.seed)
                shifted[str(kind), severity] = ShownImages(subject, source, batch)
    question = Question(
        title=asked.pop("title", None) or subject.title,
        subject=subject,
        train=ShownImages(subject, train, batch),
        val=ShownImages(subject, val, batch),
        test=ShownImages(subject, test, batch),
        ood=shown,
        seed=given.seed,
        shifted=shifted,
        notes=tuple(notes),
        **asked,
    )
    return question, {title: source for title, (_, source) in sources.items()}


def stored_question(stored: StoredFeatures, seed: int = 0, **asked: Any) -> Question:
    """Ask about features that were computed elsewhere; `asked` are fields of `Question`.

    Raises
    ------
    DataError
        If the folder has no ID test images, or no OOD images.
    """
    sets = stored.sets
    if "id_test" not in sets:
        raise DataError(f"{stored.subject.title}: has no id_test; expected features of ID test images")
    ood: dict[str, tuple[Group, Shown]] = {}
    for group in GROUPS:
        for one in stored.of(group):
            shown = _shown(one)
            title = next(t for t in _numbered(one.name) if t not in (*OWN, *ood))
            ood[title] = group, ShownFeatures(title, shown.features, shown.names)
    if not ood:
        raise DataError(f"{stored.subject.title}: has no OOD sets; expected near/NAME or far/NAME")
    if "id_train" not in sets:
        raise DataError(
            f"{stored.subject.title}: has no id_train; expected features of ID training images, which "
            "detectors learn from"
        )
    train = _shown(sets["id_train"])
    if "id_val" in sets:
        val = _shown(sets["id_val"])
    else:
        rows = torch.arange(len(train.features))
        if len(rows) < VALIDATING:
            raise DataError(
                f"{stored.subject.title}: id_train has {len(rows)} images; expected at least {VALIDATING}, "
                "of which every fifth is for thresholds, or id_val"
            )
        chosen = rows % VALIDATING == VALIDATING - 1
        val = ShownFeatures("id_val (of id_train)", train.features[rows[chosen]])
        train = ShownFeatures(train.title, train.features[rows[~chosen]])
    return Question(
        title=asked.pop("title", None) or stored.subject.title,
        subject=stored.subject,
        train=train,
        val=val,
        test=_shown(sets["id_test"]),
        ood=ood,
        seed=seed,
        notes=(UNTIMED,),
        **asked,
    )


def _shown(one: StoredSet) -> ShownFeatures:
    return ShownFeatures(one.name, one.features(), one.names() or ())


def _id_sources(subject: Subject, given: Given) -> tuple[ImageSource, ImageSource, ImageSource]:
    """For fitting, thresholds and testing."""
    parts = given.id
    if isinstance(parts, str | Path):
        return _of_listings(subject, list_parts(parts, seed=given.seed), given)
    if not isinstance(parts, Mapping):
        raise UsageError(
            f"id: expected a path, or sets called train, val and test, got {type(parts).__name__}; of a "
            "dataset or loader give id_train, id_val and id_test"
        )
    there = {name: one for name, one in parts.items() if one is not None}
    if "train" not in there or len(there) < 2:
        raise UsageError(
            f"ID images: got {', '.join(f'id_{name}' for name in there) or 'none'}; expected one set, id, or "
            "id_train and id_test, perhaps id_val"
        )
    paths = {name: isinstance(one, str | Path) for name, one in there.items()}
    if all(paths.values()):
        named = {name: open_listing(one, role="id_train") for name, one in there.items()}
        return _of_listings(subject, parts_of(named, seed=given.seed), given)
    if len(there) < 3:
        raise UsageError("id_val: give it too where a set is a dataset or loader; the threshold is from it")
    if given.fit_images is not None:
        raise UsageError("fit_images: of a dataset or loader give as many images as are to be fitted on")
    disjoint = Disjoint()
    found = []
    for name in ("train", "val", "test"):
        one, role = there[name], f"id_{name}"
        listing = open_listing(one, role="id_train") if paths[name] else None
        classes: ClassMap | None = numbered(subject.classes, subject.class_names)
        if listing is not None:
            classes = classes_of(listing, subject.class_names, subject.classes)
        found.append(
            open_source(
                one if listing is None else listing,
                title=f"ID, {name}",
                prepare=subject.prepare,
                classes=classes,
                role=role,  # type: ignore[arg-type]
                disjoint=disjoint,
            )
        )
    return found[0], found[1], found[2]


def _of_listings(
    subject: Subject, parts: Parts, given: Given
) -> tuple[ImageSource, ImageSource, ImageSource]:
    classes = classes_of_parts(parts, subject.class_names, subject.classes)
    if given.fit_images is not None:
        parts = replace(parts, train=sample(parts.train, given.fit_images, given.seed))
    return open_parts(parts, title="ID", prepare=subject.prepare, classes=classes)


def _ood_sources(subject: Subject, ood: Mapping[str, Any]) -> Iterator[tuple[str, tuple[Group, ImageSource]]]:
    """By title; titles are the names that people gave, or those of folders and files."""
    if not isinstance(ood, Mapping):
        raise UsageError(f"OOD images: expected a mapping of near and far, got {type(ood).__name__}")
    titles: set[str] = set()
    for group, sets in ood.items():
        if group not in GROUPS:
            raise UsageError(f"OOD images: got {group!r}, expected {' or '.join(map(repr, GROUPS))}")
        for name, one in _named(sets):
            title = next(t for t in _numbered(name) if t not in titles and t not in OWN)
            titles.add(title)
            source = open_source(one, title=title, prepare=subject.prepare, classes=None, role=group)
            yield title, (group, source)
    if not titles:
        raise UsageError("OOD images: got none; leave them out for sets that stand in for them")


def _named(sets: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(sets, Mapping):
        yield from ((str(name), one) for name, one in sets.items())
    elif isinstance(sets, Sequence) and not isinstance(sets, str):
        for one in sets:
            yield _title(one), one
    else:
        yield _title(sets), sets


def _title(one: Any) -> str:
    if isinstance(one, str | Path):
        return str(one) if str(one).startswith("hub:") else Path(one).name or str(one)
    return type(one).__name__.lower()


def _numbered(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name} {i}" for i in count(2))
