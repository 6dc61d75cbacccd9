"""What ``oodbench data`` does: fetching and checking the splits of the datasets in the mirror, by name.

Outcomes come one after the other, so that a caller can tell of each when it is there. This module must not
know how they are told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import NamedTuple

from benchmark.datasets.catalog import Dataset, UnknownDatasetError
from benchmark.datasets.declared import datasets_of
from benchmark.datasets.files import DataMissing, StoredDataset
from benchmark.datasets.hub import HubDataset
from benchmark.errors import DataError, UsageError
from benchmark.spec.images import ImageSource
from benchmark.spec.leaderboard import Spec, Track
from methods.names import did_you_mean


class Part(NamedTuple):
    """A split of a dataset that is read from files."""

    dataset: StoredDataset
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
Choose = Callable[[StoredDataset], tuple[str, ...]]


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
    wanted = list(names) or [name for name, entry in known_here(spec) if any(_here(entry))]
    return (Checked(part, tuple(part.dataset.check(part.split))) for part in _parts(wanted, spec, _checkable))


def sources_of(track: Track) -> Iterator[tuple[str, str, ImageSource]]:
    """Role, name and source of each image set of a track."""
    yield "ID", "id", track.id
    if track.id_test is not None:
        yield "ID test", "id_test", track.id_test
    for group, sets in track.sets.items():
        role = {"validation": "validation OOD", "outliers": "outliers"}.get(group, f"{group} OOD")
        for name, source in sets.items():
            yield role, name, source


def known_here(spec: Spec) -> Iterator[tuple[str, Dataset]]:
    """Every dataset that a leaderboard can name, but for its own whose files are not here."""
    datasets = datasets_of(spec)
    for name in datasets.names:
        with suppress(DataMissing):
            yield name, datasets[name]


def splits_of(entry: Dataset, source: ImageSource) -> tuple[str | None, ...]:
    """The split that a source names; all of a dataset in files if it names none; (None,) for an embedded one.

    Raises
    ------
    DataError
        If the dataset has no such split.
    """
    if isinstance(entry, StoredDataset) and source.split is not None:
        entry.place(source.split)  # raises for an unknown one
        return (source.split,)
    return tuple(entry.splits) or (None,)


def _fetched(part: Part, watch: Watch) -> Fetched:
    entry, split = part
    if entry.here(split) or not isinstance(entry, HubDataset):
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
    datasets = datasets_of(spec)
    if name in spec.tracks:
        for _, _, source in sources_of(spec.tracks[name]):
            try:
                entry = datasets[source.dataset]
            except UnknownDatasetError as error:
                raise UsageError(f"a track uses no known dataset: {error}") from error
            if isinstance(entry, StoredDataset):
                yield from (Part(entry, split) for split in splits_of(entry, source) if split is not None)
        return
    title, _, split = name.partition(":")
    if title not in datasets.names:
        hint = did_you_mean(title, [*spec.tracks, *datasets.names], "oodbench data list")
        raise UsageError(f"no track or dataset is called {title!r}; {hint}")
    entry = datasets[title]
    if split and split not in entry.splits:
        raise UsageError(f"dataset {title} has no split {split!r}; {did_you_mean(split, entry.splits)}")
    if isinstance(entry, StoredDataset):
        splits = (split,) if split else choose(entry)
        yield from (Part(entry, one) for one in splits)


def _gettable(entry: StoredDataset) -> tuple[str, ...]:
    """Those on the Hub; all if there are none, so that each says where to get it."""
    on_hub = filter(entry.on_hub, entry.splits) if isinstance(entry, HubDataset) else ()
    return tuple(on_hub) or tuple(entry.splits)


def _checkable(entry: StoredDataset) -> tuple[str, ...]:
    """Those that are here; the first if there are none, so that it says what is missing."""
    return tuple(_here(entry)) or tuple(entry.splits)[:1]


def _here(entry: Dataset) -> Iterator[str]:
    if isinstance(entry, StoredDataset):
        yield from filter(entry.here, entry.splits)
