"""The datasets: a page for each that a track uses, with card, samples, results and uses; and a list."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from benchmark.datasets.catalog import Dataset, DatasetCard
from benchmark.datasets.files import StoredDataset
from benchmark.datasets.hub import HubDataset
from benchmark.spec.datasets import Declared, Folder, HubRepository
from benchmark.spec.leaderboard import Spec
from reports.pages.dataset_results import accuracy_section, answer, auroc_section, on_tracks
from reports.pages.dataset_samples import COLOURS, SIDE, Samples, samples_of
from reports.pages.dataset_uses import (
    APART,
    ID,
    PRETRAINING,
    Use,
    by_role,
    classes_of,
    count_of,
    known_of,
    left_out,
    uses_of,
)
from reports.pages.method_results import TrackResults
from reports.select import Counted
from reports.site.cells import Content
from reports.site.sections import (
    Block,
    Column,
    Facts,
    Fold,
    Page,
    Paragraph,
    Row,
    Section,
    Table,
    present,
)
from reports.site.text import Link, Piece, Text, code

FOLDER = "datasets"
MANY = 20  # names of classes, of which a list is folded
_DIGITS = 16  # of a fingerprint that are shown
_URL = re.compile(r"(https://[^\s\"'<>`()]+)")

Fingerprints = Mapping[tuple[str, str], Counter[str]]  # by track and set; how many records have each


@dataclass(frozen=True)
class About:
    """A dataset and what the leaderboard does with it."""

    name: str
    known: Dataset | None  # None where a declared one's files are not here, or nothing is known of it
    card: DatasetCard | Declared | None
    uses: Sequence[Use]

    @property
    def title(self) -> str:
        """What it is called."""
        return self.name if self.card is None else self.card.title

    @property
    def licence(self) -> str:
        """As its card has it; empty where there is none."""
        return "" if self.card is None else self.card.licence

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of its classes; none where it has none, or they are not known."""
        return () if self.card is None else tuple(self.card.class_names or ())

    @property
    def kind(self) -> str:
        """Where its images come from."""
        if isinstance(self.known, HubDataset) or isinstance(self.card, HubRepository):
            return "file in the mirror"
        if self.known is None or isinstance(self.known, StoredDataset):
            return "folder" if isinstance(self.card, Folder) else "unknown" if self.card is None else "file"
        return "embedded"

    @property
    def splits(self) -> Mapping[str, int]:
        """Number of images of each split, as far as it is known."""
        return {} if self.known is None else self.known.splits

    @property
    def size(self) -> int | None:
        """How many images there are in all; None for an embedded set that is drawn as large as asked."""
        if self.known is None:
            return None
        return sum(self.known.splits.values()) or sum(self.known.class_sizes(None)) or None

    @cached_property
    def samples(self) -> Samples | str:
        """Some of its images, or why there are none."""
        return samples_of(self.name, self.known, self.title, self.licence)


def dataset_pages(spec: Spec, counted: Counted, results: Sequence[TrackResults]) -> list[Page]:
    """A page for each dataset that a track uses, and one that leads to them.

    Parameters
    ----------
    results : of every track, as `results_of` gives them.
    """
    of_tracks = {one.name: one for one in results}
    every = _every(spec)
    pages = {one.name for one in every}
    seen = _fingerprints(counted)
    made = [_page(spec, one, of_tracks, seen, pages) for one in every]
    return [_list_page(spec, every, of_tracks), *made]


def path_of(name: str) -> str:
    """The page of a dataset."""
    return f"{FOLDER}/{name}"


def _every(spec: Spec) -> list[About]:
    found = []
    for name, uses in uses_of(spec).items():
        known = known_of(spec, name)
        found.append(About(name, known, known.card if known else spec.datasets.get(name), uses))
    return found


def _fingerprints(counted: Counted) -> dict[tuple[str, str], Counter[str]]:
    found: dict[tuple[str, str], Counter[str]] = {}
    for cell, one in counted.measured.items():
        made = one.record.provenance
        for item, fingerprint in ({} if made is None else made.data).items():
            found.setdefault((cell.track, item), Counter())[fingerprint] += 1
    return found


# The list


def _list_page(spec: Spec, every: Sequence[About], of_tracks: Mapping[str, TrackResults]) -> Page:
    columns = (
        Column("Name", "text"),
        Column("Title", "text"),
        Column("Kind", "text"),
        Column("Images", largest_first=True),
        Column("Classes", largest_first=True),
        Column("Tracks, by role", "statement"),
        Column("Licence", "statement"),
    )
    rows = tuple(
        Row(
            (
                (Link(one.name, path_of(one.name)),),
                one.title,
                one.kind,
                one.size,
                len(one.classes) or None,
                _roles(one.uses, of_tracks),
                one.licence or None,
            )
        )
        for one in every
    )
    about = (
        "Every dataset that a track uses, with the images of all its splits together; without a number, an "
        "embedded set that is drawn as large as a track asks."
    )
    table = Table(columns, rows, about=about, sortable=True)
    section = Section("all", "All datasets", (table,))
    title = "Which images are the methods tested on?"
    return Page(FOLDER, "Datasets · oodbench", title, _summary(spec, every), (), (), (section,), "")


def _summary(spec: Spec, every: Sequence[About]) -> str:
    roles = Counter(role for one in every for role in by_role(one.uses))
    tested = sum(any(use.is_ood for use in one.uses) for one in every)
    embedded = sum(one.kind == "embedded" for one in every)
    shown = sum(isinstance(one.samples, Samples) for one in every)
    return (
        f"{len(every)} datasets are used on {on_tracks(len(spec.tracks))}: {roles[ID]} as ID sets, {tested} "
        f"as OOD sets ({roles['near']} near, {roles['far']} far, {roles[APART]} apart), "
        f"{roles['validation']} for validation, {roles['outliers']} as outliers in training, and "
        f"first weights come from {roles[PRETRAINING]}. {embedded} are embedded: computed on any "
        f"machine, without a network. Samples of {shown} are shown here."
    )


def _roles(uses: Sequence[Use], of_tracks: Mapping[str, TrackResults]) -> Text:
    text: list[Piece] = []
    for role, tracks in by_role(uses).items():
        text.append(f"{'; ' if text else ''}{role}: ")
        for i, track in enumerate(tracks):
            text += [", "] if i else []
            text.append(_track(track, of_tracks))
    return tuple(text)


def _track(name: str, of_tracks: Mapping[str, TrackResults]) -> str | Link:
    """A track, as a link where it has a board."""
    return Link(name, f"boards/{name}") if name in of_tracks else name


# The page of one


def _page(
    spec: Spec, one: About, of_tracks: Mapping[str, TrackResults], seen: Fingerprints, pages: set[str]
) -> Page:
    sections = present(
        auroc_section(spec, one.uses, of_tracks),
        accuracy_section(one.uses, of_tracks),
        _uses_section(one, of_tracks, seen),
    )
    body = (*_samples(one), *_description(one), Facts(tuple(_facts(spec, one, pages))), *_classes(one))
    nav = tuple(section.link for section in sections) if len(sections) > 1 else ()
    intro = answer(one.uses, of_tracks)
    return Page(path_of(one.name), f"{one.title} · oodbench", one.title, intro, nav, body, sections, "")


def _samples(one: About) -> Iterator[Block]:
    found = one.samples
    if isinstance(found, str):
        yield Paragraph(found, small=True)
        return
    yield found.picture
    where = "" if found.split is None else f" from split {found.split}"
    order = ", in the order of their classes" if one.classes else ""
    colours = f", in {COLOURS} colours together" if found.reduced else ""
    yield Paragraph(f"Drawn at random{where}{order}; {SIDE} × {SIDE} pixels each{colours}.", small=True)


def _description(one: About) -> Iterator[Block]:
    if one.card is not None:
        yield from (Paragraph(text) for text in (one.card.description, one.card.notes) if text)


def _facts(spec: Spec, one: About, pages: set[str]) -> Iterator[tuple[str, Text]]:
    yield "Name", (code(one.name),)
    yield "Kind", one.kind
    yield "Images", _images(one)
    if one.classes:
        listed = f": {', '.join(one.classes)}" if len(one.classes) <= MANY else ""
        yield "Classes", f"{len(one.classes):,}{listed}"
    sides = dict.fromkeys(spec.tracks[use.track].image_size for use in one.uses if use.role != PRETRAINING)
    if sides:
        yield "As tracks take them", ", ".join(f"{side} × {side} pixels" for side in sides)
    if one.card is None:
        return
    yield "Licence", linked(one.card.licence)
    yield "Source", linked(one.card.source)
    yield "Cite", one.card.citation
    if one.card.part_of:
        yield "Part of", _joined([Link(n, path_of(n)) if n in pages else n for n in one.card.part_of])
    if isinstance(one.known, HubDataset):
        yield from _mirror(one.known)


def _images(one: About) -> str:
    if one.known is None:
        return "not known before the files are at hand"
    if one.size is None:
        return "as many as a track asks for"
    if len(one.splits) == 1:
        return f"{one.size:,} (split {next(iter(one.splits))})"
    return "; ".join(f"{split}: {n:,}" for split, n in one.splits.items()) or f"{one.size:,}"


def _mirror(known: HubDataset) -> Iterator[tuple[str, Text]]:
    folder = "/".join(part for part in (known.repository, known.config) if part)
    yield "In the mirror", _joined([code(f"{folder}/{split}.parquet") for split in known.splits])
    there = [split for split in known.splits if known.on_hub(split)]
    if there:
        yield "Got by", _joined([code(f"oodbench data get {known.asked(split)}") for split in there])


def _classes(one: About) -> Iterator[Block]:
    if len(one.classes) > MANY:
        yield Fold(f"All {len(one.classes):,} classes", (Paragraph(", ".join(one.classes), small=True),))


def linked(text: str) -> Text:
    """A text in which what is an https address is a link."""
    parts = _URL.split(text)
    return tuple(Link(p, url=p) if i % 2 else p for i, p in enumerate(parts) if p) or text


def _joined(parts: Sequence[Piece]) -> Text:
    return tuple(piece for i, part in enumerate(parts) for piece in ((", ", part) if i else (part,)))


# Where it is used


def _uses_section(one: About, of_tracks: Mapping[str, TrackResults], seen: Fingerprints) -> Section:
    columns = (
        Column("Track", "text"),
        Column("Role", "text"),
        Column("Set or init", "text"),
        Column("Which images", "statement"),
        Column("Images", largest_first=True),
        Column("Fingerprint", "text"),
    )
    rows = []
    for use in one.uses:
        cells: tuple[Content, ...] = (
            (_track(use.track, of_tracks),),
            use.says,
            use.item,
            _which(one, use),
            _count(one, use, of_tracks),
            _fingerprint(use, seen),
        )
        rows.append(Row(cells))
    about = (
        f"Fingerprint: the first {_DIGITS} digits of the SHA-256 over the pixels and labels of the set, as "
        "the records have it; none where no record counts."
    )
    blocks: list[Block] = [Table(columns, tuple(rows), about=about, sortable=True)]
    without: dict[tuple[str, ...], list[str]] = {}
    for use in one.uses:
        if use.source is not None and (gone := left_out(use.source, one.classes)):
            without.setdefault(gone, []).append(use.track)
    for gone, tracks in without.items():
        title = f"Classes left out on {', '.join(dict.fromkeys(tracks))} ({len(gone)})"
        blocks.append(Fold(title, (Paragraph(", ".join(gone), small=True),)))
    return Section("uses", "Where it is used", tuple(blocks))


def _which(one: About, use: Use) -> str:
    if use.role == PRETRAINING:
        return f"first weights of {', '.join(use.backbones)}"
    source = use.source
    assert source is not None
    said = [f"split {source.split}"] if source.split else []
    if source.without is not None:
        total = f" of {len(one.classes)}" if one.classes else ""
        said.append(f"without {len(source.without)}{total} classes")
    elif source.classes is not None:
        said.append(f"classes {', '.join(classes_of(source, one.classes))}")
    if source.n is not None and (one.splits or one.size is None):
        part = source.without is not None or source.classes is not None
        drawn = "drawn at random" if one.splits else "drawn anew"
        said.append(f"{'of ' if part else ''}{source.n:,} {drawn}")
    if use.blend is not None:
        said.append(f"mixed with ID images, {use.blend:.0%} of each image from this set")
    return ", ".join(said) or "all"


def _count(one: About, use: Use, of_tracks: Mapping[str, TrackResults]) -> int | None:
    """How many images a set has: as the records have it, where they do."""
    if use.is_ood and use.track in of_tracks:
        for lines in of_tracks[use.track].lines.values():
            n = lines[0].cells[0].numbers.get(f"detection.{use.item}.n_out")
            if n is not None:
                return int(n)
    return None if use.source is None or use.role == PRETRAINING else count_of(use.source, one.known)


def _fingerprint(use: Use, seen: Fingerprints) -> Text | None:
    there = seen.get((use.track, use.item))
    if use.role == PRETRAINING or not there:
        return None
    return _joined([code(text[:_DIGITS]) for text, _ in there.most_common()])
