"""What ``oodbench data`` lists, gets and checks: the splits of the datasets in the mirror."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from rich.console import Console
from rich.progress import Progress, TaskID

from benchmark.datasets import Dataset, HubDataset, dataset, dataset_names
from benchmark.errors import DataError, UsageError
from benchmark.spec.leaderboard import ImageSource, Spec, Track
from methods.names import did_you_mean
from reports.console.listings import Cell, Column, Listing
from reports.console.terminal import say

_LICENCE = 40  # columns; `oodbench show` tells the whole
Choose = Callable[[HubDataset], tuple[str, ...]]


class Part(NamedTuple):
    """A split of a Hub dataset."""

    dataset: HubDataset
    split: str

    def __str__(self) -> str:
        return self.dataset.asked(self.split)


def listings(spec: Spec) -> list[Listing]:
    """List each track's image sets, all datasets, and their licences and citations.

    They say what is in the mirror and what is not.

    Raises
    ------
    DataError
        If a track names a split that its dataset does not have.
    """
    used = []
    for name, track in spec.tracks.items():
        for role, source in _sources(track):
            entry = _dataset(source.dataset)
            for split in _named(entry, source):
                used.append((name, *_row(entry, split, role, source.n)))
    everything, terms = [], []
    for name in dataset_names():
        entry = dataset(name)
        for split in tuple(entry.splits) or (None,):
            role = "outliers" if entry.card.outlier_source else "ID, OOD"
            everything.append(_row(entry, split, role, None))
        terms.append((name, entry.card.licence, entry.card.citation))
    columns = (
        Column("Dataset", whole=True), "Split", Column("Role", whole=True), "Images",
        Column("On disk", whole=True), Column("Here", whole=True), Column("Licence", most=_LICENCE),
    )  # fmt: skip
    by_hand = "by hand: on no Hub repository that we know; oodbench data get NAME tells where from"
    return [
        Listing("tracks", ("Track", *columns), used, "Tracks", parted=True),
        Listing("datasets", columns, everything, "All datasets", [by_hand]),
        Listing("licences", ("Dataset", "Licence", "Citation"), terms, "Licences and citations"),
    ]


def get(names: Iterable[str], spec: Spec, console: Console) -> int:
    """Fetch what the mirror lacks of the named tracks, datasets (``cifar10``) or splits (``cifar10:test``).

    What is here already is not fetched again. A failure is told and the rest is fetched.

    Returns
    -------
    int
        How many splits could not be fetched.

    Raises
    ------
    UsageError
        If a name is unknown; nothing has been fetched then.
    """
    failed = 0
    for part in _parts(names, spec, _gettable):
        entry, split = part
        if entry.here(split):
            say(console, f"{part} is here already: {entry.path(split)}")
            continue
        try:
            with _progress(console, part) as (progress, task):
                entry.download(split, lambda rows: progress.update(task, completed=rows))
            size = entry.path(split).stat().st_size
            say(console, f"{part}: {entry.splits[split]:,} images, {_megabytes(size)}: {entry.path(split)}")
        except DataError as error:
            failed += 1
            say(console, f"{part} failed: {error}", style="red")
    return failed


def check(names: Iterable[str], spec: Spec, console: Console) -> int:
    """Verify the mirror's files of the named tracks, datasets or splits; all that are here if none is named.

    Returns
    -------
    int
        How many splits have something wrong.

    Raises
    ------
    UsageError
        If a name is unknown; nothing has been verified then.
    """
    chosen = list(names)
    wanted = chosen or [name for name in dataset_names() if any(_here(dataset(name)))]
    wrong = 0
    for part in _parts(wanted, spec, _checkable):
        faults = part.dataset.check(part.split)
        wrong += bool(faults)
        if not faults:
            say(console, f"{part} is fine: {part.dataset.splits[part.split]:,} images")
        for fault in faults:
            say(console, f"{part}: {fault}", style="red")
    if not wanted:
        say(console, "nothing is here yet: oodbench data list tells what there is")
    return wrong


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
        for _, source in _sources(spec.tracks[name]):
            entry = _dataset(source.dataset)
            if isinstance(entry, HubDataset):
                yield from (Part(entry, split) for split in _named(entry, source) if split is not None)
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


def _sources(track: Track) -> Iterator[tuple[str, ImageSource]]:
    """Role and source of each image set of a track."""
    yield "ID", track.id
    id_test = getattr(track, "id_test", None)
    if id_test is not None:
        yield "ID test", id_test
    for role, key in (
        ("near OOD", "near"),
        ("far OOD", "far"),
        ("validation OOD", "validation"),
        ("outliers", "outliers"),
    ):
        for source in getattr(track, key, {}).values():
            yield role, source


def _named(entry: Dataset, source: ImageSource) -> tuple[str | None, ...]:
    """The split that a source names; all of a Hub dataset if it names none; (None,) for an embedded one."""
    split = getattr(source, "split", None)
    if isinstance(entry, HubDataset) and split is not None:
        entry.place(split)  # raises for an unknown one
        return (split,)
    return tuple(entry.splits) or (None,)


def _dataset(name: str) -> Dataset:
    if name not in dataset_names():
        hint = did_you_mean(name, dataset_names(), "oodbench list datasets")
        raise UsageError(f"a track uses no known dataset: {name!r}; {hint}")
    return dataset(name)


def _row(entry: Dataset, split: str | None, role: str, n: int | None) -> tuple[object, ...]:
    """What is said of a split, or of an embedded dataset."""
    size: Cell | None = None
    if isinstance(entry, HubDataset) and split is not None:
        images = n or entry.splits[split]
        here = entry.here(split)
        if here:
            there = entry.path(split).stat().st_size
            size = Cell(there, _megabytes(there))
        state = "yes" if here else "no" if entry.on_hub(split) else "by hand"
    else:
        images, state = n or entry.card.size, "built in"
    return entry.card.name, split, role, images, size, state, entry.card.licence


@contextmanager
def _progress(console: Console, part: Part) -> Iterator[tuple[Progress, TaskID]]:
    """A bar of the rows that are there, in a terminal; else a line that says what is fetched."""
    if not console.is_terminal:
        say(console, f"getting {part} from {part.dataset.repository} …")
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        yield progress, progress.add_task(str(part), total=part.dataset.splits[part.split])


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
