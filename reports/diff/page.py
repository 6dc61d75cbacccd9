"""A difference as a page, and as Markdown that fits into a comment of GitHub."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from reports.boards.provenance import ranges
from reports.diff.compare import (
    NOT_RUN,
    BoardChange,
    ClaimChange,
    Diff,
    NumberChange,
    ReadingChange,
    RowChange,
    digits_of,
)
from reports.diff.snapshot import Standing
from reports.site.cells import Content, Labels, Noted, Position
from reports.site.markdown import markdown_of
from reports.site.numbers import fixed, signed
from reports.site.sections import Block, Bullets, Column, Page, Paragraph, Row, Section, Table, present
from reports.site.text import Text, code

LIMIT = 60_000  # characters; a comment of GitHub takes 65,536
_OTHERS = 2  # numbers besides the ranking one that a row names
_FAMILY = (
    "A test may read otherwise though no record of its setting changed: Holm’s adjustment is over all tests "
    "of a family that were run."
)
_ROW, _CUT = Column("Row", "text"), "The rest was cut: a comment takes no more. `--json` gives all.\n"


def markdown_of_diff(diff: Diff, limit: int = LIMIT) -> str:
    """A difference as Markdown of at most `limit` characters: the longest tables are cut, with a count."""
    longest = max([0, len(diff.readings), *(_longest(board) for board in diff.boards)])
    text = markdown_of(diff_page(diff, longest))
    if len(text) <= limit:
        return text
    fits, too_long = 0, longest  # rows that a table may have
    while too_long - fits > 1:
        rows = (fits + too_long) // 2
        if len(markdown_of(diff_page(diff, rows))) <= limit:
            fits = rows
        else:
            too_long = rows
    text = markdown_of(diff_page(diff, fits))
    if len(text) <= limit:
        return text
    lines = text[: limit - len(_CUT)].splitlines(keepends=True)[:-1]
    return "".join(lines) + f"\n{_CUT}" if lines else _CUT


def diff_page(diff: Diff, rows: int) -> Page:
    """The page of a difference, with no more than so many rows in a table."""
    heading = f"Results: {diff.before} → {diff.after}"
    sections = present(_claims_section(diff, rows), *(board_section(board, rows) for board in diff.boards))
    return Page("diff", heading, heading, _intro(diff), (), tuple(_body(diff)), sections, _foot())


def _intro(diff: Diff) -> Text:
    if diff.nothing:
        return "No board and no verdict of a claim shows anything else than before."
    return f"{diff.boards_equal} boards show the same as before, {len(diff.boards)} do not."


def _foot() -> Text:
    return (
        "Numbers are means over seeds as the pages show them, shares in points; a number has changed where "
        "what is shown of it has. A place stands with the 95 % interval of the rank; ● is not significantly "
        "worse than the first. How: ",
        code("docs/diff.md"),
        ".",
    )


def _body(diff: Diff) -> Iterator[Block]:
    said = [records_sentence(diff), verdicts_sentence(diff)]
    yield Bullets(tuple(sentence for sentence in said if sentence))
    if diff.boards:
        yield counts_table(diff)


def records_sentence(diff: Diff) -> str:
    """How many records came, went and changed; nothing where that is not known."""
    found = diff.records
    if found is None:
        return ""
    return (
        f"Records: {found.before:,} before, {found.after:,} after: {found.added:,} added, {found.removed:,} "
        f"removed, {found.numbers:,} with other numbers; {found.made:,} changed in keys, settings, cost or "
        "provenance alone, their numbers being the same."
    )


def verdicts_sentence(diff: Diff) -> str:
    """How many verdicts flipped."""
    if not (diff.claims or diff.readings):
        return "Claims: every verdict as before."
    new = sum(one.before == NOT_RUN for one in diff.readings)
    return (
        f"Claims: {len(diff.claims) or 'no'} verdict{'s' * (len(diff.claims) != 1)} flipped. Of their tests, "
        f"setting by setting, {len(diff.readings) - new} read otherwise than before, and {new} were not run "
        "before."
    )


def counts_table(diff: Diff) -> Table:
    """What happened to each board, in numbers, and who is first."""
    heads = ("Rows", "Added", "Removed", "Changed", "Only moved")
    rows = []
    for board in diff.boards:
        sizes = (len(rows) for rows in (board.added, board.removed, board.changed, board.moved))
        count = str(board.rows_after)
        if board.rows_before != board.rows_after:
            count = f"{board.rows_before} → {count}"
        said = Noted(board.title, backbones_of(board)) if board.other_networks else board.title
        rows.append(Row((said, count, *sizes, first_of(board))))
    columns = (Column("Board", "text"), *map(Column, heads), Column("First", "text"))
    return Table(columns, tuple(rows))


def first_of(board: BoardChange) -> str:
    """Which row is first, before and after where it is another."""
    sides = [
        ", ".join(" · ".join(row) for row in first) or ("none placed" if rows else "no rows")
        for first, rows in ((board.first_before, board.rows_before), (board.first_after, board.rows_after))
    ]
    return sides[1] if sides[0] == sides[1] else " → ".join(sides)


def verdict_table(claims: Sequence[ClaimChange]) -> Table:
    """Claims whose verdict flipped."""
    columns = (
        Column("Claim", "text"),
        Column("Statement", "statement"),
        Column("Before", "text"),
        Column("After", "text"),
    )
    rows = tuple(Row((one.claim, one.statement, one.before, one.after)) for one in claims)
    return Table(columns, rows, title="Verdicts that flipped")


def _claims_section(diff: Diff, most: int) -> Section | None:
    blocks: list[Block] = [verdict_table(diff.claims)] if diff.claims else []
    if diff.readings:
        blocks += cut(readings_table(diff.readings), most)
    return Section("claims", "Claims", tuple(blocks)) if blocks else None


def readings_table(readings: Sequence[ReadingChange]) -> Table:
    """Tests of claims that read otherwise, setting by setting."""
    columns = tuple(Column(head, "text") for head in ("Claim", "Test: setting", "Before", "After"))
    rows = tuple(Row((one.claim, one.test, one.before, one.after)) for one in readings)
    return Table(columns, rows, title=f"Tests in single settings: {len(rows)}", aside=_FAMILY)


def board_section(board: BoardChange, most: int) -> Section:
    """What happened on a board: rows by what happened to them, no more than so many of each."""
    blocks: list[Block] = [Paragraph(" ".join(_sentences(board)))]
    for title, rows, table in (
        ("Changed", board.changed, _changed),
        ("Added", board.added, _alone),
        ("Removed", board.removed, _alone),
        ("Moved, with the same numbers", board.moved, _moved),
    ):
        if rows:
            blocks += cut(table(f"{title}: {len(rows)}", board, rows), most)
    name = re.sub("[/~]", "-", board.board)
    return Section(f"board-{name}{'-tuned' if board.tuned else ''}", board.title, tuple(blocks))


def backbones_of(board: BoardChange) -> str:
    """The backbones of a board, before and after."""
    before, after = (", ".join(names) for names in (board.backbones_before, board.backbones_after))
    return f"Other backbones: {before} → {after}"


def _sentences(board: BoardChange) -> Iterator[str]:
    if not board.rows_before:
        yield f"Had no rows before; now {board.rows_after}."
    elif not board.rows_after:
        yield f"Has no rows any more; before {board.rows_before}."
    elif board.equal:
        yield f"{board.equal} of {board.rows_after} rows as before."
    else:
        yield f"No row of {board.rows_after} as before."
    yield f"First by {board.ranked_by}: {first_of(board)}."
    if board.other_networks:
        yield f"{backbones_of(board)}: numbers differ because the networks do."
    for verb, titles in (("New", board.columns_added), ("Gone", board.columns_removed)):
        if titles:
            yield f"{verb} column{'s' * (len(titles) > 1)}: {', '.join(titles)}."


def cut(table: Table, most: int) -> list[Block]:
    """A table, with a count of the rows that it is cut by."""
    more = len(table.rows) - most
    if more <= 0:
        return [table]
    said = Paragraph(f"… and {more} more row{'s' * (more > 1)}")
    if not most:
        return [Paragraph(table.title), said]
    return [replace(table, rows=table.rows[:most]), said]


def _longest(board: BoardChange) -> int:
    return max(len(rows) for rows in (board.added, board.removed, board.changed, board.moved))


def _changed(title: str, board: BoardChange, rows: Sequence[RowChange]) -> Table:
    heads = (f"{board.ranked_by} before", "After", "Difference", "Place before", "After", "Seeds")
    columns = (_ROW, *map(Column, heads), Column("Other numbers", "prose"))
    return Table(columns, tuple(Row(_cells_of(row)) for row in rows), title=title)


def _cells_of(row: RowChange) -> tuple[Content, ...]:
    number = row.ranked
    difference = number.difference
    return (
        Labels(row.row),
        _said(number, number.before),
        _said(number, number.after),
        None if difference is None else signed(difference, percent=False, digits=_digits(number)),
        _position(row.place_before),
        _position(row.place_after),
        _seeds(row),
        _others(row.others) or None,
    )


def largest_table(rows: Sequence[tuple[BoardChange, RowChange]]) -> Table:
    """Changed rows of several boards."""
    heads = ("Before", "After", "Difference", "Place before", "After")
    columns = (Column("Board", "text"), _ROW, Column("Number", "text"), *map(Column, heads))
    shown = tuple(
        Row(
            (board.title, Labels(row.row), board.ranked_by, *_cells_of(row)[1:6]),
            parted=row is board.changed[0],
        )
        for board, row in rows
    )
    return Table(columns, shown)


def _alone(title: str, board: BoardChange, rows: Sequence[RowChange]) -> Table:
    columns = (_ROW, Column(board.ranked_by), Column("Place"), Column("Seeds"))
    cells = (
        (
            Labels(row.row),
            _said(row.ranked, row.ranked.before if row.ranked.after is None else row.ranked.after),
            _position(row.place_after or row.place_before),
            ranges(row.seeds_after or row.seeds_before),
        )
        for row in rows
    )
    return Table(columns, tuple(map(Row, cells)), title=title)


def _moved(title: str, board: BoardChange, rows: Sequence[RowChange]) -> Table:
    columns = (_ROW, Column(board.ranked_by), Column("Place before"), Column("After"))
    cells = (
        (
            Labels(row.row),
            _said(row.ranked, row.ranked.after),
            _position(row.place_before),
            _position(row.place_after),
        )
        for row in rows
    )
    return Table(columns, tuple(map(Row, cells)), title=title)


def _said(number: NumberChange, value: float | None) -> str | None:
    return None if value is None else fixed(value, percent=False, digits=_digits(number))


def _digits(number: NumberChange) -> int:
    return digits_of(percent=number.percent)


def _position(place: Standing | None) -> Position | None:
    return None if place is None else Position(*place)


def _seeds(row: RowChange) -> str:
    before, after = ranges(row.seeds_before), ranges(row.seeds_after)
    return after if before == after else f"{before} → {after}"


def _others(numbers: Sequence[NumberChange]) -> str:
    """The largest differences besides the number of the board."""
    told = [
        f"{one.title} {_said(one, one.before) or '–'} → {_said(one, one.after) or '–'}"
        for one in numbers[:_OTHERS]
    ]
    more = len(numbers) - _OTHERS
    return "; ".join([*told, *([f"{more} more"] if more > 0 else [])])
