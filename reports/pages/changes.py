"""The history of the published records: what moved between their tagged versions, and since the last one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from reports.diff.compare import BoardChange, Diff, RowChange
from reports.diff.history import History, Step
from reports.diff.page import (
    counts_table,
    cut,
    first_of,
    largest_table,
    readings_table,
    records_sentence,
    verdict_table,
    verdicts_sentence,
)
from reports.diff.snapshot import Snapshot, snapshot_of
from reports.pages.parts import Parts
from reports.site.frame import page_of
from reports.site.sections import Block, Bullets, Fold, Page, Paragraph, Section
from reports.site.text import Link, Text, code

NAME = "changes"
INTRO: Text = (
    "Published results carry versions, which are tags of git. Here is what moved from each to the next, on "
    "boards and in verdicts of claims: all read by today’s code, each with its own leaderboard.yaml. Between "
    "any two: ",
    code("oodbench diff BASE HEAD"),
    ".",
)
ROWS = 5  # of a board that are named
MOST = 40  # rows of a table
FIRSTS = 5  # first places that the start page names


def shown_today(parts: Parts) -> Snapshot:
    """What the boards and claims of this site show."""
    tables = (shown.board for several in parts.boards.values() for shown in several)
    explored = (one for several in parts.explored.values() for one in several)
    return snapshot_of(tables, explored, parts.verdicts)


def changes_page(history: History | None) -> Page | None:
    """A section for each step from a tagged version to the next, the newest first; None without tags."""
    if history is None or not history.steps:
        return None
    sections = [_section(step) for step in history.steps]
    if history.older:
        s = "s" * (history.older != 1)
        sections.append(
            Section("older", "Older", (Paragraph(f"{history.older} older version{s}: not shown."),))
        )
    return page_of(NAME, "Changes of the results", INTRO, *sections)


def latest_changes(history: History | None) -> Section | None:
    """What is new since the last tagged version; in it, where nothing is new since. For the start page."""
    for step in () if history is None else history.steps[:2]:
        if step.diff is not None and not step.diff.nothing:
            title = f"New in {step.after}" if step.after else f"New since {step.before}"
            items = tuple(_sentences(step.diff))
            link = Paragraph((Link("All changes of the results", NAME, _id(step)), "."))
            return Section("new", title, (Bullets(items), link), short="New")
    return None


def _id(step: Step) -> str:
    return step.after or "today"


def _section(step: Step) -> Section:
    title = f"{step.after}, since {step.before}" if step.after else f"Not yet tagged, since {step.before}"
    short = step.after or "Not yet tagged"
    blocks = [Paragraph(step.problem)] if step.diff is None else list(_blocks(step.diff))
    return Section(_id(step), title, tuple(blocks), subtitle=step.date, short=short)


def _blocks(diff: Diff) -> Iterator[Block]:
    if diff.nothing:
        yield Paragraph("Nothing has moved on any board, and no verdict.")
        return
    said = (records_sentence(diff), verdicts_sentence(diff))
    yield Bullets(tuple(sentence for sentence in said if sentence))
    if diff.boards:
        yield counts_table(diff)
    if diff.claims:
        yield verdict_table(diff.claims)
    changed = [(board, row) for board in diff.boards for row in board.changed[:ROWS]]
    largest = [(board, row) for board, row in changed if row.ranked.before != row.ranked.after]
    if largest:
        yield Fold("The rows that changed most", tuple(cut(largest_table(largest), MOST)))
    if diff.readings:
        yield Fold("Tests of claims, setting by setting", tuple(cut(readings_table(diff.readings), MOST)))


def _sentences(diff: Diff) -> Iterator[str]:
    if diff.boards:
        kinds = (
            (_total(board.added for board in diff.boards), "added"),
            (_total(board.removed for board in diff.boards), "removed"),
            (_total(board.changed for board in diff.boards), "changed"),
        )
        counts = ", ".join(f"{n:,} {kind}" for n, kind in kinds if n) or "none changed, some moved"
        yield f"Rows on {len(diff.boards)} board{'s' * (len(diff.boards) != 1)}: {counts}."
    moved = [board for board in diff.boards if _first_moved(board)]
    if moved:
        told = "; ".join(f"{board.title}: {first_of(board)}" for board in moved[:FIRSTS])
        more = len(moved) - FIRSTS
        yield f"First places: {told}{f'; and on {more} more' if more > 0 else ''}."
    if diff.claims:
        told = ", ".join(f"{one.claim} {one.before} → {one.after}" for one in diff.claims)
        yield f"Verdicts: {told}."
    elif diff.readings:
        yield verdicts_sentence(diff)


def _total(groups: Iterable[tuple[RowChange, ...]]) -> int:
    return sum(map(len, groups))


def _first_moved(board: BoardChange) -> bool:
    """Whether a board has another first row; not where it had none before."""
    return bool(board.first_before) and board.first_before != board.first_after
