"""What a terminal shows of records against each other: a reproduction report, a publication, a comparison."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from benchmark.records.comparison import (
    HEADLINES,
    Compared,
    Metric,
    Pairs,
    by_subject,
    gap_of,
    largest,
)
from benchmark.records.place import Place
from benchmark.records.record import DETECTION
from benchmark.studies.registry import study_folders
from reports.boards.provenance import ranges
from reports.site.reproduction import REASONS, Reproduction, headlines

if TYPE_CHECKING:  # publishing plans: with torch
    from benchmark.records.publishing import Publication, Refused
    from benchmark.records.spread import SpreadPart

NAMED = 3  # of the largest changes; and of rows that are not compared


def show(console: Console, lines: Iterable[RenderableType]) -> None:
    """Print; a line of text is never broken, whatever the width."""
    for line in lines:
        console.print(line, soft_wrap=isinstance(line, Text))


def reproduction_lines(report: Reproduction | None) -> Iterator[RenderableType]:
    """How the records of a run compare with the published ones, in a few lines."""
    if report is None:  # the published records themselves
        return
    if report.absent:
        yield Text(f"Not compared with published numbers: {report.absent}")
        return
    yield Text(
        f"Compared with the published records ({report.published}/): {report.compared} of these records, "
        f"{report.equal} equal to the bit, {report.same_network} of the same networks"
    )
    if report.gaps:
        table = _gap_table("|Δ| in percentage points")
        for gap in report.gaps:
            name = f"{gap.title}, {gap.study.replace('_', ' ')}" if gap.study else gap.title
            numbers = [f"{x:.2f}" for x in (gap.median, gap.mean, gap.q95, gap.max)]
            table.add_row(escape(name), str(gap.n), str(gap.equal), *numbers)
        yield table
    if report.tested:
        yield Text(
            f"Rows whose means differ significantly (paired by seed, Holm over the rows of a board): "
            f"{report.differ or 'none'} of {report.tested} on {len(report.boards)} board"
            f"{'s' * (len(report.boards) != 1)}"
        )
    for board in report.boards:
        factor = 100 if board.percent else 1
        for row in board.differ:
            yield Text(
                f"  {board.title}: {' · '.join(row.row)}: {board.column} {factor * row.here:.2f}, published "
                f"{factor * row.published:.2f} (p {_p(row.p_holm)})"
            )
    if report.chosen:
        yield Text(
            f"Other hyper-parameters chosen on validation images: {len(report.chosen)}; the page says which"
        )
    for left in report.not_compared:
        more = len(left.rows) - NAMED
        rows = ", ".join(left.rows[:NAMED]) + (f" and {more} more rows" if more > 0 else "")
        yield Text(f"Not compared: {left.count}: {left.reason}" + (f" ({rows})" if rows else ""))


def publication_lines(found: Publication, written: Sequence[Path] | None) -> Iterator[RenderableType]:
    """What a publication changes, and what it refuses; `written` is None where nothing was to be written."""
    for reason, group in _by_reason(found.refused):
        yield Text(f"refused: {reason}", style="red")
        for refused in group:
            yield Text(f"  {refused.subject}: {_places(refused.places)}")
    for subject, count in found.missing.items():
        yield Text(f"not run: {count} more of {subject} on the leaderboard")
    verb = "would be published" if written is None else "published"
    counts = f"{len(found.new)} new, {len(found.changed)} changed, {len(found.unchanged)} as they are already"
    yield Text(f"{verb}: {counts}; refused: {sum(len(refused.places) for refused in found.refused)}")
    detection = [
        one for one in found.changed if one.place.study == DETECTION and one.a.measured and one.b.measured
    ]
    if detection:
        table = _gap_table("Changed: |Δ| in percentage points")
        for metric in HEADLINES:
            _add_gap(table, metric.title, detection, metric)
        yield table
    yield from _largest_changes(found.changed)
    if written is not None:
        files = f"{len(written)} file{'s' * (len(written) != 1)}"
        yield Text(f"{files} written below {found.published}")


def comparison_lines(pairs: Pairs, part: SpreadPart) -> Iterator[RenderableType]:
    """Two folders of records against each other: all places, each row, and where tuned values flip."""
    same = f"{part.equal} equal to the bit, {part.same_network} of the same networks"
    yield Text(f"{part.compared} places compared, {same}")
    for name, side in (("first", part.a), ("second", part.b)):
        for made in side:
            libraries = ", ".join(
                f"{library} {version}" for library, version in sorted(made.libraries.items())
            )
            instructions = f", {made.instructions}" if made.instructions else ""
            yield Text(f"{name}: {made.processor}{instructions}; Python {made.python}; {libraries}")
    detection = [one for one in pairs.compared if one.place.study == DETECTION]
    for shared in (True, False):
        members = [one for one in detection if one.same_network == shared]
        title = "the same networks scored twice" if shared else "networks of each side's own"
        if members:
            table = _gap_table(f"|Δ| in percentage points, {title}")
            for metric in HEADLINES:
                _add_gap(table, metric.title, members, metric)
            yield table
    metrics = {
        DETECTION: HEADLINES[:2],
        **{study: headlines(study) for study in study_folders() if study != DETECTION},
    }
    for study, shown in metrics.items():
        rows = by_subject(one for one in pairs.compared if one.place.study == study)
        for metric in shown if rows else ():
            of_study = "" if study == DETECTION else f"{study.replace('_', ' ')}, "
            table = _gap_table(f"{of_study}{metric.title} by row")
            for (track, _, row), members in _widest_first(rows, metric):
                _add_gap(table, f"{track} {row}", members, metric)
            yield table
    for flip in pairs.flips:
        values = ", ".join(f"{name} {value} → {flip.b[name]}" for name, value in flip.a.items())
        yield Text(f"chosen otherwise: {flip.place}: {values}")
    for reason, places in pairs.left_out.items():
        yield Text(f"not compared: {len(places)}: {SIDES.get(reason, REASONS[reason])}")


SIDES = {
    "only in the first": "only in the first folder",
    "only in the second": "only in the second folder",
    "not measured": "failed or not applicable on a side",
    "other code": "made by other code",
}


def _p(number: float) -> str:
    return "< 0.001" if number < 0.001 else f"= {number:.3f}"


def _gap_table(title: str) -> Table:
    table = Table(title=escape(title), box=SIMPLE_HEAD, title_justify="left", pad_edge=False)
    table.add_column("", overflow="fold", min_width=11)
    for name in ("n", "Equal", "Median", "Mean", "95 %", "Largest"):
        table.add_column(name, justify="right")
    return table


def _add_gap(table: Table, name: str, members: Iterable[Compared], metric: Metric) -> None:
    gap = gap_of(members, metric.path)
    if gap is not None:
        numbers = [f"{100 * x:.2f}" for x in (gap.median, gap.mean, gap.q95, gap.max)]
        table.add_row(escape(name), str(gap.n), str(gap.equal), *numbers)


def _widest_first(
    rows: dict[tuple[str, str, str], list[Compared]], metric: Metric
) -> list[tuple[tuple[str, str, str], list[Compared]]]:
    def width(item: tuple[tuple[str, str, str], list[Compared]]) -> tuple[float, tuple[str, str, str]]:
        gap = gap_of(item[1], metric.path)
        return -(gap.max if gap else 0.0), item[0]

    return sorted(rows.items(), key=width)


def _largest_changes(changed: Sequence[Compared]) -> Iterator[Text]:
    measured = [one for one in changed if one.a.measured and one.b.measured]
    for study in dict.fromkeys(one.place.study for one in measured):
        of_study = [one for one in measured if one.place.study == study]
        for metric in headlines(study)[:1]:
            for place, before, after in largest(of_study, metric.path, NAMED):
                yield Text(f"  {place}: {metric.title} {100 * before:.2f} → {100 * after:.2f}")


def _by_reason(refused: Iterable[Refused]) -> Iterator[tuple[str, list[Refused]]]:
    groups: dict[str, list[Refused]] = {}
    for one in refused:
        groups.setdefault(one.reason, []).append(one)
    yield from groups.items()


def _places(places: Iterable[Place]) -> str:
    """Every place of one row, with the seeds of a network's place together."""
    seeds: dict[tuple[str, str, str], list[int]] = {}
    for place in places:
        seeds.setdefault((place.backbone, place.init, place.condition), []).append(place.seed)
    return "; ".join(
        f"{' '.join(part for part in where if part)} seed{'s' * (len(of) > 1)} {ranges(of)}".strip()
        for where, of in seeds.items()
    )
