"""The reproduction report as a section of the page."""

from __future__ import annotations

from collections.abc import Iterator

from reports.site.cells import Labels, Number
from reports.site.numbers import p_value
from reports.site.reproduction import BoardTest, MetricGap, NotCompared, Reproduction
from reports.site.sections import Block, Bullets, Column, Fold, Paragraph, Row, Section, Table
from reports.site.text import code, italic


def reproduction_section(report: Reproduction, source: str) -> Section:
    """How the records in folder `source` compare with the published ones."""
    return Section("reproduction", "Compared with the published numbers", tuple(_body(report, source)))


def _body(report: Reproduction, source: str) -> Iterator[Block]:
    if report.absent:
        yield Paragraph(f"These are records of your own; {report.absent} to compare them with.")
        return
    yield Paragraph(
        (
            "These are records of your own, in ",
            code(f"{source}/"),
            f". {report.compared} of them were measured in the same way as published ones in ",
            code(f"{report.published}/"),
            f": {report.equal} are equal to the bit, and {report.same_network} score the very network of the "
            "published record. Networks that are trained on another machine differ as if by another seed, so "
            "that numbers of single cells move; the means of rows over seeds should not.",
        )
    )
    if report.gaps:
        yield _gaps(report.gaps)
    if report.boards:
        differ = (
            "differs significantly in its mean"
            if report.differ < 2
            else "differ significantly in their means"
        )
        tested = tuple(f"{board.title}: {board.rows}" for board in report.boards)
        yield Paragraph(
            (
                f"{report.differ or 'None'} of {report.tested} rows {differ}: two-sided ",
                italic("t"),
                " tests of the number that ranks a board, paired by seed, Holm-adjusted at 5 % over the rows "
                "of each board, of rows with two or more shared seeds.",
            )
        )
        yield Fold("How many rows were tested, by board", (Bullets(tested),))
    if report.differ:
        yield _differing(report.boards)
    if report.chosen:
        yield Paragraph(
            "On validation images other hyper-parameters were chosen than in the published records, here → "
            "published:"
        )
        yield Bullets(
            tuple(
                f"{flip.place}: "
                + ", ".join(f"{name} {value} → {flip.published[name]}" for name, value in flip.here.items())
                for flip in report.chosen
            )
        )
    if report.not_compared:
        yield Paragraph("Not compared:")
        yield Bullets(tuple(map(_left_out, report.not_compared)))


def _left_out(left: NotCompared) -> str:
    rows = f" ({', '.join(left.rows)})" if left.rows else ""
    return f"{left.count}: {left.reason}{rows}"


def _gaps(gaps: list[MetricGap]) -> Table:
    heads = ("Compared", "Equal", "Median", "Mean", "95 % quantile", "Largest")
    rows = []
    for i, gap in enumerate(gaps):
        name = (gap.title, gap.study.replace("_", " ")) if gap.study else (gap.title,)
        numbers = (f"{points:.2f}" for points in (gap.median, gap.mean, gap.q95, gap.max))
        parted = bool(gap.study) and i > 0 and gap.study != gaps[i - 1].study
        rows.append(Row((Labels(name), gap.n, gap.equal, *numbers, gap.largest or None), parted))
    return Table(
        columns=(Column("Number", "text"), *map(Column, heads), Column("Where", "prose")),
        rows=tuple(rows),
        id="reproduction-gaps",
        title="How far numbers lie apart",
        aside="|Δ| in percentage points over cells; what belongs to a network counts once a network.",
    )


def _differing(boards: list[BoardTest]) -> Table:
    return Table(
        columns=(
            Column("Row", "text"),
            Column("Here"),
            Column("Published"),
            Column("Difference"),
            Column((italic("p"), ", adjusted")),
            Column("Seeds"),
            Column("Number", "text"),
            Column("Board", "text"),
        ),
        rows=tuple(
            Row(
                (
                    Labels(tuple(row.row)),
                    Number(row.here, board.percent),
                    Number(row.published, board.percent),
                    Number(row.difference, board.percent, signed=True),
                    p_value(row.p_holm),
                    row.seeds,
                    board.column,
                    board.title,
                )
            )
            for board in boards
            for row in board.differ
        ),
        id="reproduction-boards",
        title="Rows whose means differ",
    )
