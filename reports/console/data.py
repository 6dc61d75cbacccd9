"""What ``oodbench data`` shows: the splits of the datasets, and what became of fetching and checking them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress

from benchmark.datasets import DataMissing, Dataset, HubDataset, StoredDataset, UnknownDatasetError
from benchmark.datasets.declared import datasets_of
from benchmark.datasets.fetch import Part, sources_of, splits_of
from benchmark.datasets.fetch import check as checked
from benchmark.datasets.fetch import fetch as fetched
from benchmark.errors import UsageError
from benchmark.spec.leaderboard import Spec
from reports.console.listings import Cell, Column, Listing
from reports.console.terminal import say

_LICENCE = 40  # columns; `oodbench show` tells the whole


def listings(spec: Spec) -> list[Listing]:
    """List each track's image sets, all datasets, and their licences and citations.

    They say what is in the mirror and what is not.

    Raises
    ------
    DataError
        If a track names a split that its dataset does not have.
    UsageError
        If a track uses no known dataset.
    """
    datasets = datasets_of(spec)
    used = []
    for name, track in spec.tracks.items():
        for role, _, source in sources_of(track):
            try:
                entry = datasets[source.dataset]
            except UnknownDatasetError as error:
                raise UsageError(f"{spec.where('tracks', name)}: {error}") from error
            except DataMissing:
                used.append((name, *_not_here(source.dataset, spec, source.split, role)))
                continue
            used += [(name, *_row(entry, split, role, source.n)) for split in splits_of(entry, source)]
    everything, terms = [], []
    for name in datasets.names:
        try:
            entry = datasets[name]
        except DataMissing:
            role = "outliers" if spec.datasets[name].outlier_source else "ID, OOD"
            everything.append(_not_here(name, spec, None, role))
            terms.append((name, spec.datasets[name].licence, spec.datasets[name].citation))
            continue
        role = "outliers" if entry.card.outlier_source else "ID, OOD"
        everything += [_row(entry, split, role, None) for split in tuple(entry.splits) or (None,)]
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
    """Fetch splits, and tell of each; returns how many could not be fetched.

    Raises
    ------
    UsageError
        If a name is unknown; nothing has been fetched then.
    """
    failed = 0
    for outcome in fetched(names, spec, lambda part: _progress(console, part)):
        part = outcome.part
        entry, split = part
        if outcome.failure:
            failed += 1
            say(console, f"{part} failed: {outcome.failure}", style="red")
        elif outcome.was_here:
            say(console, f"{part} is here already: {entry.path(split)}")
        else:
            size = _megabytes(entry.size_of(split))
            say(console, f"{part}: {entry.splits[split]:,} images, {size}: {entry.path(split)}")
    return failed


def check(names: Iterable[str], spec: Spec, console: Console) -> int:
    """Verify splits, and tell of each; returns how many have something wrong.

    Raises
    ------
    UsageError
        If a name is unknown; nothing has been verified then.
    """
    chosen = list(names)
    wrong, found = 0, False
    for outcome in checked(chosen, spec):
        part, found = outcome.part, True
        wrong += bool(outcome.faults)
        if not outcome.faults:
            say(console, f"{part} is fine: {part.dataset.splits[part.split]:,} images")
        for fault in outcome.faults:
            say(console, f"{part}: {fault}", style="red")
    if not chosen and not found:
        say(console, "nothing is here yet: oodbench data list tells what there is")
    return wrong


def _row(entry: Dataset, split: str | None, role: str, n: int | None) -> tuple[object, ...]:
    """What is said of a split, or of an embedded dataset."""
    size: Cell | None = None
    if isinstance(entry, StoredDataset) and split is not None:
        images = n or entry.splits[split]
        here = entry.here(split)
        if here:
            there = entry.size_of(split)
            size = Cell(there, _megabytes(there))
        on_hub = isinstance(entry, HubDataset) and entry.on_hub(split)
        state = "yes" if here else "no" if on_hub else "by hand"
    else:
        images, state = n or entry.card.size, "built in"
    return entry.card.name, split, role, images, size, state, entry.card.licence


def _not_here(name: str, spec: Spec, split: str | None, role: str) -> tuple[object, ...]:
    """What is said of a dataset that the leaderboard declares, where its files are not."""
    return name, split, role, None, None, "no", spec.datasets[name].licence


@contextmanager
def _progress(console: Console, part: Part) -> Iterator[Callable[[int], None]]:
    """A bar of the rows that are there, in a terminal; else a line that says what is fetched."""
    if not console.is_terminal:
        repository = getattr(part.dataset, "repository", part.dataset.card.source)
        say(console, f"getting {part} from {repository} …")
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(str(part), total=part.dataset.splits[part.split])
        yield lambda rows: progress.update(task, completed=rows)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
