"""What the command line prints: the progress of a run and its summary."""

from __future__ import annotations

import statistics
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from benchmark.freshness import State
from benchmark.job import Job, Kind
from benchmark.plan import Plan, PlannedStudy
from benchmark.results import Cell, Record
from benchmark.spec_studies import StudyName
from benchmark.studies.records import StudyRecord

# Seconds of each kind of job until this run has measured its own.
_TYPICAL = {
    Kind.DATA: 0.5,
    Kind.SHIFT: 1.0,
    Kind.TRAINING_SET: 0.1,
    Kind.PRETRAIN: 40.0,
    Kind.TRAIN: 4.0,
    Kind.EXTRACT: 1.5,
    Kind.CLASSIFY: 0.1,
    Kind.SCORE: 0.3,
    Kind.TUNE: 1.5,
    Kind.MEASURE: 0.1,
    Kind.BOUNDARY: 40.0,
    Kind.ATTACK: 10.0,
    Kind.CORRUPT: 3.0,
    Kind.ASSESS: 0.3,
}
_HEADLINES: Mapping[StudyName, Mapping[str, str]] = {  # column title → number of a study's records
    "adversarial": {"Clean\nacc.": "clean.accuracy", "Robust\nacc.": "worst.accuracy"},
    "corruptions": {"Clean\nacc.": "clean.accuracy", "Corrupted\nacc.": "mean.accuracy"},
    "label_noise": {"Test\nerror": "test.error"},
    "imbalance": {"Total\nerror": "total.error", "Minority\nerror": "minority.error"},
}
PLAIN_EVERY = 5.0  # seconds between two lines where there is no terminal
SILENT_AT_MOST = 30.0  # seconds without a line there, while something runs

Reported = Callable[[str], Mapping[str, Any]]  # how far the job of a key says it is


class Progress:
    """Shows what runs, how far the run is and how long it will take: live in a terminal, else as lines.

    Of a training it shows epoch, loss, validation accuracy, images a second and time left, as `reported`.
    """

    def __init__(
        self, console: Console, jobs: Iterable[Job], workers: int, reported: Reported = lambda key: {}
    ) -> None:
        self.console = console
        self.workers = workers
        self.left = Counter(job.kind for job in jobs)
        self.total = self.left.total()
        self.done = self.failed = 0
        self._running: dict[str, tuple[Job, float]] = {}
        self._seconds: dict[Kind, list[float]] = defaultdict(list)
        self._started = self._last_line = time.monotonic()
        self.reported = reported
        self._ended = threading.Event()
        self._live = Live(get_renderable=self._render, console=console, transient=True, refresh_per_second=4)

    def __enter__(self) -> Progress:
        if self.total:
            if self.console.is_terminal:
                self._live.start()
            else:
                self.console.print(f"{self.total} jobs, {self.workers} at a time")
                threading.Thread(target=self._break_silence, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._live.stop()
        if self.done or self.failed:
            failed = f", {self.failed} failed" if self.failed else ""
            self.console.print(f"{self.done} jobs done{failed} in {_clock(time.monotonic() - self._started)}")

    def on_event(self, event: str, job: Job, message: str) -> None:
        """Take note of a job that starts, is done or has failed."""
        now = time.monotonic()
        if event == "start":
            self._running[job.key] = (job, now)
            return
        _, started = self._running.pop(job.key, (job, now))
        self.left[job.kind] = max(0, self.left[job.kind] - 1)
        if event == "done":
            self.done += 1
            self._seconds[job.kind].append(now - started)
        else:
            self.failed += 1
            self.console.print(f"[red]failed[/] {escape(job.label)}: {escape(message)}", soft_wrap=True)
        if not self.console.is_terminal and now - self._last_line > PLAIN_EVERY:
            self._last_line = now
            self.console.print(f"{self._position()}, last: {job.label}", markup=False, soft_wrap=True)

    def seconds_left(self) -> float:
        """Estimate from this run's own jobs of each kind, and typical times until there are any."""
        return sum(
            count * (statistics.fmean(self._seconds[kind]) if self._seconds[kind] else _TYPICAL[kind])
            for kind, count in self.left.items()
        ) / max(1, self.workers)

    def _position(self) -> str:
        ended = self.done + self.failed
        share = ended / max(1, self.total)
        return f"{share:4.0%}  {ended} of {self.total} jobs, about {_clock(self.seconds_left())} left"

    def _render(self) -> RenderableType:
        bar = ProgressBar(total=self.total, completed=self.done + self.failed, width=40)
        now = time.monotonic()
        lines = [
            Text(self._line(job, now - started), style="dim", no_wrap=True, overflow="ellipsis")
            for job, started in sorted(self._running.values(), key=lambda item: item[1])
        ]
        return Group(bar, Text(self._position()), *lines)

    def _line(self, job: Job, seconds: float) -> str:
        said = describe_training(self.reported(job.key)) if job.kind in (Kind.TRAIN, Kind.PRETRAIN) else ""
        return f"  {job.label}  {_clock(seconds)}{said}"

    def _break_silence(self) -> None:
        """Say how far the jobs are that take long, where there is no terminal."""
        while not self._ended.wait(PLAIN_EVERY):
            now = time.monotonic()
            running = list(self._running.values())
            if running and now - self._last_line > SILENT_AT_MOST:
                self._last_line = now
                lines = [self._position(), *(self._line(job, now - started) for job, started in running)]
                self.console.print("\n".join(lines), markup=False, soft_wrap=True)


def describe_training(said: Mapping[str, Any]) -> str:
    """What a training reports of itself, for one line; empty if it has said nothing."""
    if not said.keys() >= {"epoch", "epochs", "loss", "val_accuracy", "images_per_second", "seconds_left"}:
        return ""
    accuracy = said["val_accuracy"]
    checked = "" if accuracy is None else f", validation accuracy {accuracy:.1%}"
    return (
        f": epoch {said['epoch']} of {said['epochs']}, loss {said['loss']:.3f}{checked}, "
        f"{said['images_per_second']:,.0f} images/s, about {_clock(said['seconds_left'])} left"
    )


def summaries(records: Mapping[Cell, Record]) -> list[Table]:
    """A table for each track: a row an entry and init, mean over backbones and seeds, and how many cells."""
    groups: dict[str, dict[tuple[str, str], list[Record]]] = defaultdict(lambda: defaultdict(list))
    for cell, record in records.items():
        groups[cell.track][cell.entry, cell.init].append(record)
    return [_summary(track, rows) for track, rows in groups.items()]


def _summary(track: str, rows: Mapping[tuple[str, str], list[Record]]) -> Table:
    title = f"{escape(track)}: mean over backbones and seeds, ×100"
    table = Table(title=title, box=SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for name in ("Entry", "Init"):
        table.add_column(name, overflow="fold")
    for name in ("Near\nAUROC", "Far\nAUROC", "Near\nFPR@95", "ID\nacc.", "Measured"):
        table.add_column(name, justify="right")
    for key, members in rows.items():
        measured = [record.measurement for record in members if record.measurement]
        columns = (
            [m.near.auroc for m in measured],
            [m.far.auroc for m in measured],
            [m.near.fpr95 for m in measured],
            [m.classification.accuracy for m in measured],
        )
        means = [f"{100 * statistics.fmean(values):.1f}" if values else "–" for values in columns]
        table.add_row(*map(escape, key), *means, f"{len(measured)}/{len(members)}")
    return table


def study_summaries(records: Mapping[PlannedStudy, StudyRecord]) -> list[Table]:
    """A table for each track and study: a row a method and init, mean over all else."""
    groups: dict[tuple[str, StudyName], dict[tuple[str, str], list[StudyRecord]]] = {}
    for planned, record in records.items():
        rows = groups.setdefault((planned.track, planned.study), {})
        rows.setdefault((planned.row, planned.init), []).append(record)
    tables = []
    for (track, study), rows in groups.items():
        title = f"{escape(track)}, {study}: mean over backbones, seeds and conditions, ×100"
        table = Table(title=title, box=SIMPLE_HEAD, title_justify="left", pad_edge=False)
        for name in ("Row", "Init"):
            table.add_column(name, overflow="fold")
        for name in (*_HEADLINES[study], "Measured"):
            table.add_column(name, justify="right")
        for key, members in rows.items():
            measured = [record.numbers for record in members if record.status == "measured"]
            columns = [[m[number] for m in measured] for number in _HEADLINES[study].values()]
            means = [f"{100 * statistics.fmean(values):.1f}" if values else "–" for values in columns]
            table.add_row(*map(escape, key), *means, f"{len(measured)}/{len(members)}")
        if warned := sum(len(record.warnings) for members in rows.values() for record in members):
            table.caption = f"{warned} warning{'s' * (warned > 1)}: the page says which"
        tables.append(table)
    return tables


def plan_table(plan: Plan, missing: Iterable[Job]) -> Table:
    """One row a kind of job: how many the plan needs, and how many of them must be run."""
    to_run = Counter(job.kind for job in missing)
    kinds = Counter(job.kind for job in plan.jobs.values())
    named = [*(planned.cell.track for planned in plan.cells), *(planned.track for planned in plan.studies)]
    studies = f" and {len(plan.studies)} measurements of studies" if plan.studies else ""
    table = Table(title=f"{len(plan.cells)} cells{studies} on {escape(', '.join(dict.fromkeys(named)))}")
    table.add_column("Job")
    for name in ("Needed", "In the cache", "To run"):
        table.add_column(name, justify="right")
    for kind in Kind:
        table.add_row(kind, *(str(n) for n in (kinds[kind], kinds[kind] - to_run[kind], to_run[kind])))
    table.add_section()
    table.add_row("all", *(str(n) for n in (kinds.total(), kinds.total() - to_run.total(), to_run.total())))
    return table


def freshness_table(found: Mapping[str, Mapping[State, int]]) -> Table:
    """One row a track or study: how many of its records a run would write just so."""
    table = Table(title="Records", caption="outdated: of other code, settings or libraries than today's")
    table.add_column("Of")
    states: tuple[State, ...] = ("current", "failed", "outdated", "missing")
    if any(counts.get("misplaced") for counts in found.values()):
        states = (*states, "misplaced")
        table.caption = f"{table.caption}; misplaced: with the key of another cell, which no run wrote there"
    for state in states:
        table.add_column(state.capitalize(), justify="right")
    for name, counts in found.items():
        table.add_row(escape(name), *(str(counts.get(state, 0)) for state in states))
    return table


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
