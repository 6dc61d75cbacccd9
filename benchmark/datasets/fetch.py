"""What ``oodbench data`` does: fetching and checking the splits of the datasets in the mirror, by name.

Outcomes come one after the other, so that a caller can tell of each when it is there. This module must not
know how they are told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple

from benchmark.datasets.catalog import Dataset, dataset, dataset_names
from benchmark.datasets.hub import HubDataset
from benchmark.errors import DataError, UsageError
from benchmark.spec.leaderboard import ImageSource, Spec, Track
from methods.names import did_you_mean


class Part(NamedTuple):
    """A split of a Hub dataset."""

    dataset: HubDataset
    split: str

    def __str__(self) -> str:
        return self.dataset.asked(self.split)


@dataclass(frozen=True)
class Fetched:
    """What came of fetching a split."""

    part: Part
    was_here: bool = False  # and was not fetched again
    failure: str = ""  # empty: it is here now


@dataclass(frozen=True)
class Checked:
    """What is wrong with a split."""

    part: Part
    faults: tuple[str, ...]


Watch = Callable[[Part], AbstractContextManager[Callable[[int], None]]]
Choose = Callable[[HubDataset], tuple[str, ...]]


def fetch(names: Iterable[str], spec: Spec, watch: Watch) -> Iterator[Fetched]:
    """Fetch what the mirror lacks of the named tracks, datasets (``cifar10``) or splits (``cifar10:test``).

    What is here already is not fetched again. After a failure the rest is fetched.

    Parameters
    ----------
    watch : entered for as long as a split is being fetched; its function is told how many rows there are.

    Raises
    ------
    UsageError
        If a name is unknown; nothing has been fetched then.
    """
    return (_fetched(part, watch) for part in _parts(names, spec, _gettable))


def check(names: Iterable[str], spec: Spec) -> Iterator[Checked]:
    """Verify the mirror's files of the named tracks, datasets or splits; all that are here if none is named.

    Raises
    ------
    UsageError
        If a name is unknown; nothing has been verified then.
    """
    wanted = list(names) or [name for name in dataset_names() if any(_here(dataset(name)))]
    return (Checked(part, tuple(part.dataset.check(part.split))) for part in _parts(wanted, spec, _checkable))


def sources_of(track: Track) -> Iterator[tuple[str, str, ImageSource]]:
    """Role, name and source of each image set of a track."""
    yield "ID", "id", track.id
    if track.id_test is not None:
        yield "ID test", "id_test", track.id_test
    for role, sets in (
        ("near OOD", track.near),
        ("far OOD", track.far),
        ("validation OOD", track.validation),
        ("outliers", track.outliers),
    ):
        for name, source in sets.items():
            yield role, name, source


def splits_of(source: ImageSource) -> tuple[str | None, ...]:
    """The split that a source names; all of a Hub dataset if it names none; (None,) for an embedded one.

    Raises
    ------
    DataError
        If the dataset has no such split.
    UsageError
        If there is no such dataset.
    """
    entry = _dataset(source.dataset)
    if isinstance(entry, HubDataset) and source.split is not None:
        entry.place(source.split)  # raises for an unknown one
        return (source.split,)
    return tuple(entry.splits) or (None,)


def _fetched(part: Part, watch: Watch) -> Fetched:
    entry, split = part
    if entry.here(split):
        return Fetched(part, was_here=True)
    try:
        with watch(part) as on_rows:
            entry.download(split, on_rows)
    except DataError as error:
        return Fetched(part, failure=str(error))
    return Fetched(part)


def _parts(names: Iterable[str], spec: Spec, choose: Choose) -> list[Part]:
    """Resolve names to splits, each once; `choose` picks those of a dataset that is named without a split."""
    found: dict[tuple[str, str], Part] = {}
    for name in names:
        for part in _resolve(name, spec, choose):
            found.setdefault((part.dataset.card.name, part.split), part)
    return list(found.values())


def _resolve(name: str, spec: Spec, choose: Choose) -> Iterator[Part]:
    """The splits of a track, of a dataset, or the one that ``dataset:split`` is. A track comes first."""
    if name in spec.tracks:
        for _, _, source in sources_of(spec.tracks[name]):
            entry = _dataset(source.dataset)
            if isinstance(entry, HubDataset):
                yield from (Part(entry, split) for split in splits_of(source) if split is not None)
        return
    title, _, split = name.partition(":")
    known = [*spec.tracks, *dataset_names()]
    if title not in dataset_names():
        hint = did_you_mean(title, known, "oodbench data list")
        raise UsageError(f"no track or dataset is called {title!r}; {hint}")
    entry = dataset(title)
    if split and split not in entry.splits:
        raise UsageError(f"dataset {title} has no split {split!r}; {did_you_mean(split, entry.splits)}")
    if isinstance(entry, HubDataset):
        splits = (split,) if split else choose(entry)
        yield from (Part(entry, one) for one in splits)


def _gettable(entry: HubDataset) -> tuple[str, ...]:
    """Those on the Hub; all if there are none, so that each says where to get it."""
    return tuple(filter(entry.on_hub, entry.splits)) or tuple(entry.splits)


def _checkable(entry: HubDataset) -> tuple[str, ...]:
    """Those in the mirror; the first if there are none, so that it says what is missing."""
    return tuple(_here(entry)) or tuple(entry.splits)[:1]


def _here(entry: Dataset) -> Iterator[str]:
    if isinstance(entry, HubDataset):
        yield from filter(entry.here, entry.splits)


def _dataset(name: str) -> Dataset:
    if name not in dataset_names():
        hint = did_you_mean(name, dataset_names(), "oodbench list datasets")
        raise UsageError(f"a track uses no known dataset: {name!r}; {hint}")
    return dataset(name)
