"""What the command line says while it runs, above all of trainings."""

import io
import re
import time
from types import SimpleNamespace

import pytest
from rich.console import Console

from benchmark.jobs.job import Job, Kind
from benchmark.records.place import Place
from benchmark.records.record import Record
from reports.console import progress as console
from reports.console.progress import Progress, describe_training

SAID = {
    "epoch": 3,
    "epochs": 18,
    "loss": 0.51234,
    "val_accuracy": 0.8756,
    "images_per_second": 1234.5,
    "seconds_left": 75.4,
}
WORDS = "epoch 3 of 18, loss 0.512, validation accuracy 87.6%, 1,234 images/s, about 1:15 left"


def job(kind=Kind.TRAIN, label="net: train", number=0):
    return Job(kind, {"number": number}, label=label)


def plain():
    return Console(file=io.StringIO(), force_terminal=False, width=60)


def said(target):
    return target.file.getvalue()


def wait_for(words, target, seconds=30.0):
    """Wait until `words` have been printed; fail with what there is instead."""
    deadline = time.monotonic() + seconds
    while words not in said(target):
        assert time.monotonic() < deadline, f"no {words!r} in {said(target)!r}"
        time.sleep(0.01)


class Clock:
    """Stands still unless it is set."""

    now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    """The clock of the console's own lines; looked at every 20 ms where there is no terminal."""
    clock = Clock()
    monkeypatch.setattr(console, "time", SimpleNamespace(monotonic=clock.monotonic))
    monkeypatch.setattr(console, "PLAIN_EVERY", 0.02)
    return clock


@pytest.fixture
def impatient(clock, monkeypatch):
    """A line at every look."""
    monkeypatch.setattr(console, "SILENT_AT_MOST", -1.0)


# --- what a training reports


def test_a_training_is_described_by_its_numbers():
    assert describe_training(SAID) == f": {WORDS}"


def test_without_a_report_nothing_is_said():
    assert describe_training({}) == ""


def test_before_the_first_epoch_has_ended_there_is_no_accuracy():
    assert describe_training(SAID | {"epoch": 1, "val_accuracy": None}) == (
        ": epoch 1 of 18, loss 0.512, 1,234 images/s, about 1:15 left"
    )


def test_an_accuracy_of_nothing_is_an_accuracy():
    assert ", validation accuracy 0.0%, " in describe_training(SAID | {"val_accuracy": 0.0})


@pytest.mark.parametrize(("seconds", "clock"), [(0, "0:00"), (59.6, "1:00"), (3600, "1:00:00")])
def test_time_left_is_a_clock(seconds, clock):
    assert describe_training(SAID | {"seconds_left": seconds}).endswith(f"about {clock} left")


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_has_gone_astray_is_shown(loss):
    """JSON's reader gives these back; the line is no place to fail."""
    assert f"loss {loss:.3f}" in describe_training(SAID | {"loss": loss})


# --- without a terminal


def test_a_long_job_is_told_of_while_it_runs(impatient):
    """One line however narrow the output is: it may be a log file."""
    target, running = plain(), job()
    reports = {running.key: SAID}
    with Progress(target, [running], 1, lambda key: reports[key]) as progress:
        progress.on_event("start", running, "")
        wait_for(WORDS, target)
        reports[running.key] = SAID | {"epoch": 4}
        wait_for("epoch 4 of 18", target)
    lines = said(target).splitlines()
    assert lines[0] == "1 jobs, 1 at a time"
    assert "0%  0 of 1 jobs, about 0:04 left" in lines[1]
    assert lines[2] == f"  net: train  0:00: {WORDS}"


def test_only_trainings_are_asked(impatient):
    target, asked = plain(), []

    def reported(key):
        asked.append(key)
        return SAID

    jobs = [job(kind, f"of {kind}") for kind in (Kind.SCORE, Kind.TRAIN, Kind.PRETRAIN, Kind.MEASURE)]
    with Progress(target, jobs, 4, reported) as progress:
        for one in jobs:
            progress.on_event("start", one, "")
        wait_for("of measure", target)
    assert set(asked) == {jobs[1].key, jobs[2].key}
    lines = [line for line in said(target).splitlines() if line.startswith("  of ")]
    assert {line.split("  ")[1] for line in lines if WORDS in line} == {"of train", "of pretrain"}
    assert {line.split("  ")[1] for line in lines if WORDS not in line} == {"of score", "of measure"}


def test_a_training_that_has_reported_nothing_has_its_time_alone(impatient):
    target, running = plain(), job()
    with Progress(target, [running], 1) as progress:
        progress.on_event("start", running, "")
        wait_for("net: train  0:00\n", target)


def test_a_label_is_text_and_no_markup(impatient):
    target, running = plain(), job(label="[red]net[/red]")
    with Progress(target, [running], 1) as progress:
        progress.on_event("start", running, "")
        wait_for("  [red]net[/red]  0:00", target)


def test_nothing_is_said_while_nothing_runs_or_after_the_end(impatient):
    target, running = plain(), job()
    with Progress(target, [running], 1, lambda key: SAID) as progress:
        time.sleep(0.2)
        assert said(target) == "1 jobs, 1 at a time\n"
        progress.on_event("start", running, "")
        wait_for(WORDS, target)
    time.sleep(0.1)
    ended = said(target)
    assert ended.endswith("  net: train  0:00: " + WORDS + "\n")
    time.sleep(0.2)
    assert said(target) == ended


def test_a_job_that_has_ended_is_not_running_any_more(impatient):
    target, first, second = plain(), job(label="first"), job(label="second", number=1)
    with Progress(target, [first, second], 2) as progress:
        progress.on_event("start", first, "")
        progress.on_event("start", second, "")
        wait_for("0 of 2 jobs, about 0:04 left\n  first  0:00\n  second  0:00\n", target)
        progress.on_event("done", first, "")
        wait_for("1 of 2 jobs, about 0:00 left\n  second  0:00\n", target)
    assert said(target).endswith("1 jobs done in 0:00\n")


def test_silence_is_broken_after_the_declared_seconds_and_not_before(clock, monkeypatch):
    monkeypatch.setattr(console, "SILENT_AT_MOST", 30.0)
    target, running = plain(), job()
    with Progress(target, [running], 1) as progress:
        progress.on_event("start", running, "")
        clock.now += 30
        time.sleep(0.2)
        assert said(target) == "1 jobs, 1 at a time\n"
        clock.now += 1
        wait_for("  net: train  0:31\n", target)
        clock.now += 30
        time.sleep(0.2)
        clock.now += 1
        wait_for("  net: train  running for 1:02\n", target)
    assert re.findall(r"  net: train  (?:running for )?(\S+)", said(target)) == ["0:31", "1:02"]


def test_jobs_that_end_are_told_of_with_the_last(monkeypatch):
    monkeypatch.setattr(console, "PLAIN_EVERY", -1.0)
    target, jobs = plain(), [job(label=f"[b]job {n}[/b]", number=n) for n in range(4)]
    progress = Progress(target, jobs, 1)
    progress.on_event("start", jobs[0], "")
    progress.on_event("done", jobs[0], "")
    assert " 25%  1 of 4 jobs, about " in said(target)
    assert said(target).endswith("left, last: [b]job 0[/b]\n")


def test_a_failure_is_told_at_once_and_counted(clock):
    target, running = plain(), job(label="[i]net[/i]")
    with Progress(target, [running, job(number=1)], 1) as progress:
        progress.on_event("start", running, "")
        progress.on_event("failed", running, "ValueError: [bold] " + 20 * "long " + "message")
        assert f"failed [i]net[/i]: ValueError: [bold] {20 * 'long '}message\n" in said(target)
    assert said(target).endswith("0 jobs done, 1 failed in 0:00\n")


def test_a_plan_with_nothing_to_do_says_nothing(impatient):
    target = plain()
    with Progress(target, [], 2):
        time.sleep(0.1)
    assert said(target) == ""


# --- time left


def test_time_left_is_of_typical_times_until_there_are_own(clock):
    jobs = [job(number=n) for n in range(5)]
    progress = Progress(plain(), jobs, 2)
    assert progress.seconds_left() == pytest.approx(5 * 4.0 / 2)
    progress.on_event("start", jobs[0], "")
    clock.now = 110.0
    progress.on_event("done", jobs[0], "")
    assert progress.seconds_left() == pytest.approx(4 * 10.0 / 2)
    progress.on_event("start", jobs[1], "")
    clock.now = 200.0
    progress.on_event("failed", jobs[1], "no")  # how long a failure took says nothing of the others
    assert progress.seconds_left() == pytest.approx(3 * 10.0 / 2)


# --- in a terminal


def test_a_terminal_shows_what_runs_live():
    environment = {"TERM": "xterm", "NO_COLOR": "1"}
    target = Console(file=io.StringIO(), force_terminal=True, width=120, _environ=environment)
    running = job()
    with Progress(target, [running], 1, lambda key: SAID) as progress:
        progress.on_event("start", running, "")
        wait_for(WORDS, target)
        assert "0 of 1 jobs" in said(target)
        assert "at a time" not in said(target)
        progress.on_event("done", running, "")
    assert re.search(r"1 jobs done in 0:\d\d\n$", re.sub(r"\x1b\[[\d;?]*\w", "", said(target)))


def test_a_summary_of_a_study_counts_warnings():
    def record(init, warnings):
        return Record(
            backbone="net", init=init, seed=0, key="", numbers={"test.error": 0.25}, warnings=warnings
        )

    def shown(*warnings):
        records = [record(init, found) for init, found in zip("ab", warnings, strict=True)]
        (table,) = console.summaries({Place("toy", "label_noise", "none", *r.cell): r for r in records})
        target = plain()
        target.print(table)
        return said(target)

    assert "2 warnings: the page says which" in shown(["masked"], ["masked"])
    assert "warning" not in shown([], [])
