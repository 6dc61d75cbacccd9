"""A board as a section of the page."""

from __future__ import annotations

from benchmark.spec.leaderboard import Column as Measured
from benchmark.spec.leaderboard import Spec
from reports.boards import tables
from reports.boards.places import Place
from reports.site.cells import Content, Count, Labels, Noted, Number, Position
from reports.site.sections import Column, Paragraph, Row, Section, Table, notes
from reports.site.text import Text, italic

TUNED = (
    " Hyper-parameters were chosen from a declared grid by AUROC on validation OOD sets that no test set "
    "shares a source with; these rows are ranked among themselves only."
)


def board_section(id: str, board: tables.Table, spec: Spec) -> Section:
    """A board with its ranking, what it is about, and notes on what it lacks."""
    about = f"{spec.tracks[board.track].title}. {board.about}{TUNED if board.tuned else ''}"
    ranked = f"Positions are by {board.ranked_by.title}, with 95 % intervals"
    marks = "● is not significantly worse than the first, bold not than the best of its column"
    if not board.rows:
        nothing = Paragraph("Nothing of this board has been measured yet.")
        return Section(id, board.title, (Paragraph(f"{about} {ranked}."), nothing, *notes(board.notes)))
    levels = " · ".join(board.levels).capitalize()
    aside: Text = (f"{ranked}; {marks}; mean ± 95 % ", italic("t"), " interval over seeds.")
    columns = (Column(levels, "text"), Column("Position"), *map(column_of, board.columns))
    table = Table(
        columns=(*columns, Column("Seeds", largest_first=True), Column("Verified", "text")),
        rows=tuple(_row(row, board) for row in board.rows),
        about=about,
        aside=aside,
        sortable=True,
    )
    return Section(id, board.title, (table, *notes(board.notes)))


def column_of(column: Measured) -> Column:
    """The column of a table that shows a measured number."""
    return Column(column.title, better=column.better)


def number_of(value: tables.Value, column: Measured) -> Number | None:
    """A mean over seeds with half its interval; None where there is none."""
    if value.interval is None:
        return None
    half = (value.interval.high - value.interval.low) / 2
    return Number(value.interval.mean, column.percent, half, best=value.best)


def _row(row: tables.Row, board: tables.Table) -> Row:
    label: Content = Noted(Labels(row.labels), row.note) if row.note else Labels(row.labels)
    numbers = (number_of(value, column) for value, column in zip(row.values, board.columns, strict=True))
    seeds = Count(len(row.seeds), len(board.seeds))
    return Row((label, position_of(row.place), *numbers, seeds, row.verified.text))


def position_of(place: Place | None) -> Position | None:
    """Where a row stands; None where it has no place."""
    return None if place is None else Position(place.position, place.low, place.high, place.leads)
