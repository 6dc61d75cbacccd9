"""What a terminal shows of an evaluation: the best detectors, which to use at which threshold, warnings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from benchmark.evaluation.outcome import DetectorOutcome, Interval, Outcome
from methods.errors import printable
from reports.evaluation.answer import answer
from reports.evaluation.report import HTML
from reports.evaluation.words import counted, ood_sets, readable
from reports.site.numbers import fixed
from reports.site.text import plain

SHOWN = 10  # detectors
VERDICTS = {"best": "best", "worse": "worse", "undecided": "not told apart"}


def evaluation_lines(outcome: Outcome, folder: Path | None = None) -> Iterator[RenderableType]:
    """The end of an evaluation, for `reports.console.results.show`.

    Parameters
    ----------
    folder : that the report was written to; None: none was.
    """
    found = readable(outcome)
    yield from (Text(f"Warning: {warning}", style="yellow") for warning in found.warnings)
    yield Text(f"{found.title}: AUROC in %, best mean first; ◀ is recommended")
    yield _table(found)
    more = len(found.detectors) - SHOWN
    if more > 0:
        yield Text(f"… and {counted(more, 'more detector')}", style="dim")
    if found.not_applicable:
        names = ", ".join(one.name for one in found.not_applicable)
        yield Text(f"Not applicable here: {names}", style="dim")
    yield Text(plain(answer(found)), style="bold")
    if folder is not None:
        yield Text(f"Report: {printable(str(folder / HTML))}")


def _table(outcome: Outcome) -> Table:
    groups = [one.role for one in ood_sets(outcome)]
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("Detector", overflow="fold", min_width=8)
    for name in ("Mean [95 %]", *(group for group in ("Near", "Far") if group.lower() in groups), "Cost"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("Against best", overflow="fold", min_width=7)
    for one in outcome.detectors[:SHOWN]:
        table.add_row(*_cells(one, groups, outcome.recommended.name == one.name))
    return table


def _cells(one: DetectorOutcome, groups: Sequence[str], chosen: bool) -> Iterator[Text]:
    style = "bold" if chosen else ""
    yield Text(f"{one.name}{' ◀' if chosen else ''}", style=style)
    ends = f"[{fixed(one.mean.low, digits=1)}, {fixed(one.mean.high, digits=1)}]"
    yield Text(f"{fixed(one.mean.value, digits=1)} {ends}", style=style)
    for group, interval in (("near", one.near), ("far", one.far)):
        if group in groups:
            yield Text(_number(interval), style=style)
    yield Text(fixed(one.cost, percent=False, digits=2), style=style)
    yield Text(VERDICTS[one.against_best.verdict], style=style)


def _number(interval: Interval | None) -> str:
    return "–" if interval is None else fixed(interval.value, digits=1)
