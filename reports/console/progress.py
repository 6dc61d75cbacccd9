"""What the command line prints: the progress of a run and its summary."""

from __future__ import annotations

import statistics
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from benchmark.jobs.job import Job, Kind
from benchmark.plan.freshness import State
from benchmark.plan.plan import Plan
from benchmark.records.place import Place
from benchmark.records.record import DETECTION, TRAININGS, Record
from benchmark.run import Work
from benchmark.studies.detection.records import numbers_of
from reports.console.listings import Cell as Shown
from reports.console.listings import Listing
from reports.console.terminal import printable, say
from reports.studies.numbers import numbers_of as of_study

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
    Kind.GATHER: 1.0,
    Kind.CHOOSE: 1.5,
    Kind.TUNE: 1.5,
    Kind.MEASURE: 0.1,
    Kind.STUDY: 1.0,
    Kind.BOUNDARY: 40.0,
    Kind.ATTACK: 10.0,
    Kind.CORRUPT: 3.0,
    Kind.ASSESS: 0.3,
}
_OF_CELLS = ("near.auroc", "far.auroc", "near.fpr95", "classification.accuracy")
PLAIN_EVERY = 5.0  # seconds between two lines where there is no terminal
SILENT_AT_MOST = 60.0  # seconds without a line there, while something runs
LONG = 60.0  # seconds after which a job is unusually long: named, and at most so often, whatever else ends
_BAR = 6  # columns that a bar has at least
_LABEL = 24  # columns that a narrow terminal leaves to what runs

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
        self.left = Counter[Kind]()
        self.total = 0
        self.expect(jobs)
        self.done = self.failed = 0
        self._running: dict[str, tuple[Job, float]] = {}
        self._seconds: dict[Kind, list[float]] = defaultdict(list)
        self._started = self._last_line = self._last_named = time.monotonic()
        self.reported = reported
        self._ended = threading.Event()
        self._live = Live(get_renderable=self._render, console=console, transient=True, refresh_per_second=4)

    def expect(self, jobs: Iterable[Job]) -> None:
        """Count jobs that will be done, besides those that are known."""
        found = Counter(job.kind for job in jobs)
        self.left += found
        self.total += found.total()

    def __enter__(self) -> Progress:
        if self.total:
            if self.console.is_terminal:
                self._live.start()
            else:
                say(self.console, f"{self.total} jobs, {self.workers} at a time")
                threading.Thread(target=self._break_silence, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._live.stop()
        if self.done or self.failed:
            failed = f", {self.failed} failed" if self.failed else ""
            say(self.console, f"{self.done} jobs done{failed} in {_clock(time.monotonic() - self._started)}")

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
            say(self.console, f"failed {job.label}: {message}", style="red")
        if not self.console.is_terminal and now - self._last_line > PLAIN_EVERY:
            self._last_line = now
            say(self.console, f"{self._position()}, last: {job.label}")

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
        width = self.console.width
        position = Text(f" {self._position().strip()}", no_wrap=True)
        room = min(40, width - len(position))  # on the same line; the time left is worth more
        bar = ProgressBar(total=self.total, completed=self.done + self.failed, width=room)
        now = time.monotonic()
        lines = [
            Text(
                self._line(jobs, now - started, width),
                style="yellow" if now - started > LONG else "dim", no_wrap=True, overflow="ellipsis",
            )
            for jobs, started in self._groups()
        ]  # fmt: skip
        return Group(*([bar] if room >= _BAR else []), position, *lines)

    def _groups(self) -> list[tuple[list[Job], float]]:
        """What runs, longest first: jobs that are done together, and since when."""
        groups: dict[tuple[str, float], list[Job]] = {}
        for job, started in sorted(self._running.values(), key=lambda item: item[1]):
            groups.setdefault((job.group or job.key, started), []).append(job)
        return [(jobs, started) for (_, started), jobs in groups.items()]

    def _line(self, jobs: list[Job], seconds: float, width: int | None = None) -> str:
        """What runs, for how long, and what it says of itself; cut so that the times stay in `width`."""
        first = jobs[0]
        label = printable(first.label) + (f" and {len(jobs) - 1} more" if len(jobs) > 1 else "")
        clock = f"  {'running for ' if seconds > LONG else ''}{_clock(seconds)}"
        room = None if width is None else width - 2 - min(len(label), _LABEL) - len(clock)
        asked = self.reported(first.key) if first.kind in (Kind.TRAIN, Kind.PRETRAIN) else {}
        said = describe_training(asked, room)
        if width is not None:
            label = _cut(label, width - 2 - len(clock) - len(said))
        return f"  {label}{clock}{said}"

    def _break_silence(self) -> None:
        """Say how far the jobs are that take long, where there is no terminal."""
        while not self._ended.wait(PLAIN_EVERY):
            now = time.monotonic()
            running = self._groups()
            if now - self._last_line <= SILENT_AT_MOST:  # others end: only what is unusually long is named
                overdue = now - self._last_named > LONG
                running = [(jobs, started) for jobs, started in running if overdue and now - started > LONG]
            if running:
                self._last_line = self._last_named = now
                lines = [self._position(), *(self._line(jobs, now - started) for jobs, started in running)]
                say(self.console, "\n".join(lines))


def describe_training(said: Mapping[str, Any], room: int | None = None) -> str:
    """What a training reports of itself, for one line of `room` columns; empty if it has said nothing."""
    if not said.keys() >= {"epoch", "epochs", "loss", "val_accuracy", "images_per_second", "seconds_left"}:
        return ""
    accuracy = said["val_accuracy"]
    checked = "" if accuracy is None else f", validation accuracy {accuracy:.1%}"
    epoch, loss = f"epoch {said['epoch']} of {said['epochs']}", f"loss {said['loss']:.3f}"
    left = f"{_clock(said['seconds_left'])} left"
    forms = (
        f": {epoch}, {loss}{checked}, {said['images_per_second']:,.0f} images/s, about {left}",
        f": {epoch}, {loss}{checked}, about {left}",
        f": {epoch}, {loss}, about {left}",
        f": {epoch}, about {left}",
        f": {said['epoch']}/{said['epochs']}, {left}",
    )
    return next((form for form in forms if room is None or len(form) <= room), forms[-1])


def _cut(label: str, room: int) -> str:
    """A label without its middle where it is longer than `room`: both ends tell what it is."""
    if len(label) <= room:
        return label
    tail = max(0, room - 1) // 2
    return f"{label[: max(0, room - 1 - tail)]}…{label[len(label) - tail :]}"


Rows = dict[tuple[str, str], list[Record]]  # by row and init


def summaries(records: Mapping[Place, Record]) -> list[Listing]:
    """List for each track and study a row an entry, or a method, and init: mean over all else."""
    groups: dict[tuple[str, str], Rows] = defaultdict(lambda: defaultdict(list))
    for place, record in records.items():
        if place.study != TRAININGS:
            groups[place.track, place.study][place.row, place.init].append(record)
    return [
        _summary(track, rows) if study == DETECTION else _study_summary(track, study, rows)
        for (track, study), rows in sorted(groups.items(), key=lambda group: group[0][1] != DETECTION)
    ]


def _summary(track: str, groups: Mapping[tuple[str, str], list[Record]]) -> Listing:
    rows = []
    for key, members in groups.items():
        measured = [numbers_of(record) for record in members if record.status == "measured"]
        means = [_mean([numbers[path] for numbers in measured]) for path in _OF_CELLS]
        rows.append((*key, *means, f"{len(measured)}/{len(members)}"))
    columns = ("Entry", "Init", "Near\nAUROC", "Far\nAUROC", "Near\nFPR@95", "ID\nacc.", "Measured")
    title = f"{track}: mean over backbones and seeds, ×100"
    return Listing(track, columns, rows, title, _reasons(groups))


def _study_summary(track: str, study: str, groups: Mapping[tuple[str, str], list[Record]]) -> Listing:
    rows, headlines = [], of_study(study).headlines
    for key, members in groups.items():
        measured = [record.numbers for record in members if record.status == "measured"]
        means = [_mean([m[number.path] for m in measured]) for number in headlines.values()]
        rows.append((*key, *means, f"{len(measured)}/{len(members)}"))
    notes = _reasons(groups)
    if warned := sum(len(record.warnings) for members in groups.values() for record in members):
        notes.append(f"{warned} warning{'s' * (warned > 1)}: the page says which")
    columns = ("Row", "Init", *headlines, "Measured")
    title = f"{track}, {study}: mean over backbones, seeds and conditions, ×100"
    return Listing(f"{track}_{study}", columns, rows, title, notes)


def _mean(values: list[float]) -> Shown:
    if not values:
        return Shown(None, "–")
    mean = 100 * statistics.fmean(values)
    return Shown(mean, f"{mean:.1f}")


def _reasons(groups: Mapping[tuple[str, str], Iterable[Record]]) -> list[str]:
    """Why cells have no numbers: each reason once, with the rows that it is of."""
    rows: dict[tuple[str, str | None], Counter[str]] = {}
    for (row, _), members in groups.items():
        for record in members:
            if record.status != "measured":
                rows.setdefault((record.status, record.reason), Counter())[row] += 1
    return [
        f"{', '.join(of)}: {status.replace('_', ' ')} ({of.total()} cell{'s' * (of.total() > 1)}): {reason}"
        for (status, reason), of in rows.items()
    ]


def plan_listings(plan: Plan, work: Work) -> list[Listing]:
    """List a row a track, what it measures; and a row a kind of job, how many there are and must be run."""
    cells = Counter(planned.place.track for planned in plan.cells)
    studies = Counter(planned.place.track for planned in plan.studies)
    tracks = [(name, cells[name], studies[name]) for name in cells | studies]
    needed, cached, missing = (
        Counter(job.kind for job in jobs) for jobs in (work.needed, work.cached, work.missing)
    )
    jobs = [(str(kind), needed[kind], cached[kind], missing[kind]) for kind in Kind]
    jobs.append(("all", needed.total(), cached.total(), missing.total()))
    return [
        Listing("cells", ("Track", "Cells", "Measurements of studies"), tracks, "What is measured"),
        Listing("jobs", ("Job", "Needed", "In the cache", "To run"), jobs, "Jobs"),
    ]


def freshness_listing(found: Mapping[str, Mapping[State, int]]) -> Listing:
    """List a row a track or study: how many of its records a run would write just so."""
    states: tuple[State, ...] = ("current", "failed", "outdated", "missing")
    note = "outdated: of other code, settings or libraries than today's"
    if any(counts.get("misplaced") for counts in found.values()):
        states = (*states, "misplaced")
        note += "; misplaced: with the key of another cell, which no run wrote there"
    rows = [(name, *(counts.get(state, 0) for state in states)) for name, counts in found.items()]
    columns = ("Of", *(state.capitalize() for state in states))
    return Listing("records", columns, rows, "Records", [note])


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
