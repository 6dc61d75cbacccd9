"""The boards: a page for each track and backbone, and one that leads to them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import isnan
from typing import Any

from benchmark.metrics.statistics import Interval
from benchmark.spec.leaderboard import Board, Spec
from methods.cards import KINDS, MethodCard, cards, kind_of
from reports.boards.explore import SHOWN, Explored, Line, Measure
from reports.boards.places import Place
from reports.boards.sections import number_of, position_of
from reports.pages.method_text import path_of as path_of_method
from reports.pages.parts import Parts, Shown
from reports.pages.topics import of_networks
from reports.select import Counted
from reports.site.cells import Count, Labels, Noted
from reports.site.frame import page_of, view_links
from reports.site.sections import Column, Live, Page, Paragraph, Row, Section, Table, notes, of_track
from reports.site.text import Link, Piece, Text
from reports.uses import objective_of

FOLDER = "boards"
PLOTS = ("histograms", "roc", "robustness")


def track_pages(spec: Spec, counted: Counted, parts: Parts) -> list[Page]:
    """A page for each track that has records; of each backbone by itself too, where there are several."""
    return [page for name in spec.tracks for page in _pages(spec, counted, parts, name)]


def boards_page(spec: Spec, counted: Counted, parts: Parts) -> Page:
    """The page that leads to the boards."""
    columns = (
        Column("Track", "text"),
        Column("First", "text"),
        Column("Near AUROC", better="higher"),
        Column("Entries"),
        Column("Seeds"),
        Column("Cells"),
        Column("ID", "text"),
        Column("Near OOD", "statement"),
        Column("Far OOD", "statement"),
        Column("Backbones", "statement"),
        Column("Inits", "text"),
    )
    rows = [_listed(spec, counted, several[0]) for several in parts.explored.values() if several]
    about = "The row with the highest mean near AUROC with published values, over all backbones of the track"
    listed = Section("tracks", "Tracks", (Table(columns, tuple(rows), about=about),))
    page = page_of(FOLDER, "Boards", "A board for each track: its ID set and its OOD sets.", listed)
    assert page is not None
    return page


def _listed(spec: Spec, counted: Counted, one: Explored) -> Row:
    """What a track's board holds, and its first row."""
    track, cells = spec.tracks[one.track], counted.of_track(one.track)
    first = one.lines[0]
    near = None if first.place is None else number_of(first.row.values[0], one.measures[0].column)
    used = {cell.backbone for cell in cells}
    return Row(
        (
            (Link(track.title, f"{FOLDER}/{one.track}"),),
            None if first.place is None else Labels((first.entry, first.init)),
            near,
            len({line.entry for line in one.lines}),
            len(one.seeds),
            len(cells),
            track.id.dataset,
            ", ".join(track.groups.get("near", ())),
            ", ".join(track.groups.get("far", ())),
            ", ".join(name for name in track.backbones if name in used),
            ", ".join(one.inits),
        )
    )


def _pages(spec: Spec, counted: Counted, parts: Parts, name: str) -> Iterator[Page]:
    explored = parts.explored[name]
    for one in explored:
        title = spec.tracks[name].title
        heading = title if one.backbone is None or len(explored) == 1 else f"{title}, {one.backbone}"
        page = page_of(
            path_of(one, explored),
            heading,
            (*_intro(spec, one, explored), *_others(spec, parts, name)),
            _board(spec, one, explored),
            *(of_track(parts.plot(id), name) for id in PLOTS if one is explored[0]),
        )
        assert page is not None
        file = f"data/{page.name}"
        yield replace(page, files={f"{file}.csv": csv_of(one), f"{file}.json": json_of(one)})


def path_of(one: Explored, explored: Sequence[Explored]) -> str:
    """The page of a board; the first of a track's bears the track's name."""
    return f"{FOLDER}/{one.track}" if one is explored[0] else f"{FOLDER}/{one.track}~{one.backbone}"


def _intro(spec: Spec, one: Explored, explored: Sequence[Explored]) -> tuple[Piece, ...]:
    track = spec.tracks[one.track]
    sets = "; ".join(f"{group}: {', '.join(members)}" for group, members in track.groups.items())
    text: list[Piece] = [f"ID: {track.id.dataset}. {sets[:1].upper()}{sets[1:]}. Each number is a mean over "]
    text.append(f"{len(one.seeds)} seeds")
    text.append(", ± half the 95 % interval. " if len(one.seeds) > 1 else ". ")
    if len(explored) > 1:
        text.append("Averaged over the backbones. " if one.backbone is None else f"On {one.backbone}. ")
        paths = {other.backbone or "mean of all": path_of(other, explored) for other in explored}
        text += ["Backbones: ", *view_links(paths, path_of(one, explored)), "."]
    return tuple(text)


def _board(spec: Spec, one: Explored, explored: Sequence[Explored]) -> Section:
    """The board that a script of ours makes, with tables for readers without it."""
    shown = _shown(spec, one)
    tables = [_table(one, shown, tuned) for tuned in (False, True)]
    file = f"data/{path_of(one, explored)}"
    download: Text = (
        "Everything that this board can show: ",
        Link("CSV", file=f"{file}.csv"),
        ", ",
        Link("JSON", file=f"{file}.json"),
        ".",
    )
    live = Live("board", data_of(spec, one, shown), tuple(table for table in tables if table.rows))
    return Section("board", "Board", (live, Paragraph(download), *notes(one.notes)))


def _shown(spec: Spec, one: Explored) -> list[int]:
    """The columns shown at first: those of the track's board in leaderboard.yaml, where it has one."""
    declared = _declared(spec, one.track)
    wanted = [column.metric for column in declared.columns] if declared else list(SHOWN)
    there = [measure.column.metric for measure in one.measures]
    return [there.index(metric) for metric in wanted if metric in there]


def _declared(spec: Spec, track: str) -> Board | None:
    """The board of all entries that leaderboard.yaml declares for a track."""
    for board in spec.boards.values():
        of_all = board.entries is None and board.backbones is None and board.inits is None
        if (board.track, board.study) == (track, None) and board.rows == ["entry", "init"] and of_all:
            return board
    return None


def _table(one: Explored, shown: Sequence[int], tuned: bool) -> Table:
    columns = [one.measures[i] for i in shown]
    heads = (Column(title_of(measure), better=measure.column.better) for measure in columns)
    return Table(
        columns=(
            Column("Entry · init", "text"),
            Column("Position"),
            *heads,
            Column("Seeds"),
            Column("Verified", "text"),
        ),
        rows=tuple(_row(line, one, shown) for line in one.lines if line.tuned == tuned),
        title="Tuned on validation OOD sets" if tuned else "With published hyper-parameters",
        about="" if tuned else f"Positions are by {title_of(one.measures[0])}.",
    )


def title_of(measure: Measure) -> str:
    """The title of a column by itself."""
    return f"{measure.group} {measure.column.title}"


def _row(line: Line, one: Explored, shown: Sequence[int]) -> Row:
    labels = Labels((line.entry, line.init))
    numbers = (number_of(line.row.values[i], one.measures[i].column) for i in shown)
    label = Noted(labels, line.row.note) if line.row.note else labels
    seeds = Count(len(line.row.seeds), len(one.seeds))
    return Row((label, position_of(line.place), *numbers, seeds, line.row.verified.text))


# What a script of ours shows, and what can be downloaded


def data_of(spec: Spec, one: Explored, shown: Sequence[int]) -> dict[str, Any]:
    """A board for `board.js`, rounded as on the pages."""
    entries = list(dict.fromkeys(line.entry for line in one.lines))
    described = [_entry(spec, entry) for entry in entries]
    return {
        "title": f"{spec.tracks[one.track].title}: board",
        "track": one.track,
        "backbone": one.backbone,
        "seeds": len(one.seeds),
        "ranked_by": one.measures[0].column.metric,
        "shown": [one.measures[i].column.metric for i in shown],
        "inits": list(one.inits),
        "needs": [kind for kind in KINDS if any(entry["needs"] == kind for entry in described)],
        "objectives": list(dict.fromkeys(entry["objective"] for entry in described)),
        "columns": [
            {
                "id": measure.column.metric,
                "title": measure.column.title,
                "group": measure.group,
                "better": measure.column.better,
                "percent": measure.column.percent,
            }
            for measure in one.measures
        ],
        "entries": described,
        "rows": [
            {
                "entry": entries.index(line.entry),
                "init": line.init,
                "place": _places(line.place),
                "within": _places(line.within),
                "seeds": len(line.row.seeds),
                "verified": [line.row.verified.n, line.row.verified.of],
                "note": line.row.note,
                "mean": _rounded(line, one.measures, "mean"),
                "half": _rounded(line, one.measures, "half"),
            }
            for line in one.lines
        ],
    }


def _entry(spec: Spec, name: str) -> dict[str, Any]:
    entry = spec.entries[name]
    detector, objective = entry.detector, cards("objectives").get(objective_of(entry.objective, spec))
    return {
        "name": name,
        "title": detector,
        "objective": entry.objective,
        "needs": kind_of(cards("detectors").get(detector, MethodCard("detectors", detector)), objective),
        "tuned": entry.tune is not None,
        "page": f"../{path_of_method('detectors', detector)}.html",
    }


def _places(place: Place | None) -> list[Any] | None:
    return None if place is None else [place.position, place.low, place.high, place.leads]


def _rounded(line: Line, measures: Sequence[Measure], what: str) -> list[int | None]:
    """The means of a row, or half their intervals, as the pages show them; None where there are none."""
    return [
        None if value.interval is None else _of_page(value.interval, measure.column.percent, what)
        for value, measure in zip(line.row.values, measures, strict=True)
    ]


def _of_page(interval: Interval, percent: bool, what: str) -> int | None:
    """In units of the last digit that pages show: hundredths of a point, thousandths of another number."""
    value = interval.mean if what == "mean" else (interval.high - interval.low) / 2
    if isnan(value):  # of a single seed
        return None
    return round(10_000 * value) if percent else round(1000 * value)


def csv_of(one: Explored) -> str:
    """All numbers of a board as CSV: a row a line; of each number mean, ends of the 95 % interval."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    rows = list(_objects(one))
    writer.writerow(rows[0])
    writer.writerows(row.values() for row in rows)
    return out.getvalue()


def json_of(one: Explored) -> str:
    """The same as JSON, with what the columns are."""
    columns = {
        measure.column.metric: {
            "title": title_of(measure),
            "better": measure.column.better,
            "percent": measure.column.percent,
        }
        for measure in one.measures
    }
    about = {"track": one.track, "backbone": one.backbone, "seeds": list(one.seeds), "columns": columns}
    return json.dumps({**about, "rows": list(_objects(one))}, indent=1, ensure_ascii=False) + "\n"


def _objects(one: Explored) -> Iterator[Mapping[str, Any]]:
    for line in one.lines:
        place = line.place
        numbers: dict[str, float | None] = {}
        for value, measure in zip(line.row.values, one.measures, strict=True):
            for end in ("mean", "low", "high"):
                found = None if value.interval is None else getattr(value.interval, end)
                path = measure.column.metric if end == "mean" else f"{measure.column.metric}.{end}"
                numbers[path] = None if found is None or isnan(found) else found
        yield {
            "entry": line.entry,
            "init": line.init,
            "backbone": one.backbone,
            "tuned": line.tuned,
            "seeds": len(line.row.seeds),
            "position": None if place is None else place.position,
            "position.low": None if place is None else place.low,
            "position.high": None if place is None else place.high,
            "verified": line.row.verified.word,
            "verified.records": line.row.verified.n,
            "records": line.row.verified.of,
            "note": line.row.note or None,
            **numbers,
        }


# The other boards that leaderboard.yaml declares


def declared_pages(spec: Spec, parts: Parts) -> list[Page]:
    """A page for each board of detectors that is not the one that a track's page shows."""
    found = []
    for track in spec.tracks:
        for path, shown in _declared_of(spec, parts, track).items():
            there: Text = (
                "All that was measured: ",
                Link(spec.tracks[track].title, f"{FOLDER}/{track}"),
                ".",
            )
            page = page_of(path, shown[0].board.title, there, *(one.section for one in shown))
            assert page is not None
            found.append(page)
    return found


def _others(spec: Spec, parts: Parts, name: str) -> Iterator[str | Link]:
    for i, (path, shown) in enumerate(_declared_of(spec, parts, name).items()):
        yield " Other boards: " if i == 0 else ", "
        yield Link(shown[0].board.title, path)


def _declared_of(spec: Spec, parts: Parts, track: str) -> dict[str, list[Shown]]:
    """By page, the boards of a track that have rows."""
    found = {}
    for name, several in parts.boards.items():
        declared = spec.boards[name]
        ours = (declared.track, declared.study) == (track, None) and not of_networks(spec, name)
        shown = [one for one in several if one.board.rows]
        if ours and shown and declared is not _declared(spec, track):
            found[f"{FOLDER}/{track}/{name}"] = shown
    return found
