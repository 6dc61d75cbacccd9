"""What ``oodbench data`` lists, gets and checks: the splits of the datasets in the mirror."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, TaskID
from rich.table import Table
from rich.text import Text

from benchmark.datasets import Dataset, HubDataset, dataset, dataset_names
from benchmark.errors import DataError, UsageError
from benchmark.spec import ImageSource, Spec, Track
from methods.names import did_you_mean

_LICENCE = 40  # columns; `oodbench show` tells the whole
Choose = Callable[[HubDataset], tuple[str, ...]]


class Part(NamedTuple):
    """A split of a Hub dataset."""

    dataset: HubDataset
    split: str

    def __str__(self) -> str:
        return self.dataset.asked(self.split)


def listing(spec: Spec) -> Iterator[Table]:
    """Tables of each track's image sets, of all datasets, and of their licences and citations.

    They say what is in the mirror and what is not.

    Raises
    ------
    DataError
        If a track names a split that its dataset does not have.
    """
    for name, track in spec.tracks.items():
        table = _table(f"Track {escape(name)}")
        for role, source in _sources(track):
            entry = _dataset(source.dataset)
            for split in _named(entry, source):
                _add(table, entry, split, role, source.n)
        yield table
    table = _table("All datasets")
    for name in dataset_names():
        entry = dataset(name)
        for split in tuple(entry.splits) or (None,):
            _add(table, entry, split, "outliers" if entry.card.outlier_source else "ID, OOD", None)
    table.caption = "by hand: on no Hub repository that we know; oodbench data get NAME tells where from"
    yield table
    table = Table(title="Licences and citations", box=SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for column in ("Dataset", "Licence", "Citation"):
        table.add_column(column, overflow="fold")
    for name in dataset_names():
        card = dataset(name).card
        table.add_row(name, escape(card.licence), escape(card.citation))
    yield table


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
            _say(console, f"{part} is here already: {entry.path(split)}")
            continue
        try:
            with _progress(console, part) as (progress, task):
                entry.download(split, lambda rows: progress.update(task, completed=rows))
            size = entry.path(split).stat().st_size
            _say(console, f"{part}: {entry.splits[split]:,} images, {_megabytes(size)}: {entry.path(split)}")
        except DataError as error:
            failed += 1
            _say(console, f"{part} failed: {error}", style="red")
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
            _say(console, f"{part} is fine: {part.dataset.splits[part.split]:,} images")
        for fault in faults:
            _say(console, f"{part}: {fault}", style="red")
    if not wanted:
        _say(console, "nothing is here yet: oodbench data list tells what there is")
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
        raise UsageError(f"no track or dataset is called {title!r}; {did_you_mean(title, known)}")
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
        raise UsageError(f"a track uses no known dataset: {name!r}; {did_you_mean(name, dataset_names())}")
    return dataset(name)


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("Dataset", no_wrap=True)
    table.add_column("Split", overflow="fold")
    table.add_column("Role", no_wrap=True)
    for column in ("Images", "On disk"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("Here", no_wrap=True)
    table.add_column("Licence", max_width=_LICENCE)
    return table


def _add(table: Table, entry: Dataset, split: str | None, role: str, n: int | None) -> None:
    """Add the row of a split, or of an embedded dataset."""
    card = entry.card
    if isinstance(entry, HubDataset) and split is not None:
        images = n or entry.splits[split]
        here = entry.here(split)
        size = _megabytes(entry.path(split).stat().st_size) if here else "–"
        state = "yes" if here else "no" if entry.on_hub(split) else "by hand"
    else:
        images, size, state = n or card.size, "–", "built in"
    licence = Text(card.licence, no_wrap=True, overflow="ellipsis")
    table.add_row(card.name, split or "–", role, f"{images:,}", size, state, licence)


@contextmanager
def _progress(console: Console, part: Part) -> Iterator[tuple[Progress, TaskID]]:
    """A bar of the rows that are there, in a terminal; else a line that says what is fetched."""
    if not console.is_terminal:
        _say(console, f"getting {part} from {part.dataset.repository} …")
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        yield progress, progress.add_task(str(part), total=part.dataset.splits[part.split])


def _say(console: Console, text: str, style: str | None = None) -> None:
    # No emoji: rich would draw a tramcar for the `:train:` of a message.
    console.print(text, style=style, markup=False, emoji=False, highlight=False, soft_wrap=True)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
