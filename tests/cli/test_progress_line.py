"""What is said while a run goes on: what has been running for long; nothing that matters is cut off."""

import io
import time
from types import SimpleNamespace

import pytest
from rich.console import Console

from benchmark.jobs.job import Job, Kind
from benchmark.records.place import Place
from benchmark.records.record import DETECTION
from reports.console import progress as console
from reports.console.progress import Progress, describe_training, summaries

SAID = {
    "epoch": 3, "epochs": 18, "loss": 0.51234, "val_accuracy": 0.8756, "images_per_second": 1234.5,
    "seconds_left": 75.4,
}  # fmt: skip
LABEL = "cifar10 test_resnet fractaldb seed 0: train deep_generative_classifier"


class Clock:
    now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    """Stands still unless it is set; looked at every 20 ms."""
    clock = Clock()
    monkeypatch.setattr(console, "time", SimpleNamespace(monotonic=clock.monotonic))
    monkeypatch.setattr(console, "PLAIN_EVERY", 0.02)
    return clock


def job(number, kind=Kind.SCORE, label="score", group=""):
    return Job(kind, {"number": number}, label=label, group=group)


def lines_of(target):
    return target.file.getvalue().splitlines()


def wait_for(words, target):
    deadline = time.monotonic() + 30
    while words not in target.file.getvalue():
        assert time.monotonic() < deadline, target.file.getvalue()
        time.sleep(0.01)


def test_r14_what_never_returns_is_named_although_others_end(clock):
    target = Console(file=io.StringIO(), width=200)
    stuck, others = job(0, label="score evil"), [job(i, label=f"score {i}") for i in range(1, 40)]
    with Progress(target, [stuck, *others], 2) as progress:
        progress.on_event("start", stuck, "")
        for other in others[:12]:  # one ends every ten seconds: there is no silence
            progress.on_event("start", other, "")
            clock.now += 10
            progress.on_event("done", other, "")
            time.sleep(0.1)
        wait_for("score evil  running for 1:10", target)
        named = [line for line in lines_of(target) if "evil" in line]
        assert len(named) == 1  # a line a minute at most
        clock.now += 30
        wait_for("score evil  running for 2:30", target)


def test_r14_what_is_done_together_is_one_line(clock):
    target = Console(file=io.StringIO(), width=200)
    group = [job(i, label=f"score {i}", group="all") for i in range(45)]
    with Progress(target, group, 2) as progress:
        for one in group:
            progress.on_event("start", one, "")
        clock.now += 61
        wait_for("score 0 and 44 more  running for 1:01", target)
        assert "score 1" not in target.file.getvalue()


def test_r14_a_terminal_marks_what_is_unusually_long(clock):
    target = Console(file=io.StringIO(), width=80, force_terminal=True)
    progress = Progress(target, [job(0)], 1)
    progress.on_event("start", job(0), "")
    clock.now += 59
    *_, line = progress._render().renderables
    assert (line.plain, line.style) == ("  score  0:59", "dim")
    clock.now += 2
    *_, line = progress._render().renderables
    assert (line.plain, line.style) == ("  score  running for 1:01", "yellow")


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
@pytest.mark.parametrize("seconds", [5, 90])
def test_u9_the_time_left_is_never_cut_off(clock, width, seconds):
    target = Console(file=io.StringIO(), width=width, force_terminal=True)
    running = job(0, Kind.TRAIN, LABEL)
    progress = Progress(target, [running], 1, lambda key: SAID)
    progress.on_event("start", running, "")
    clock.now += seconds
    *_, line = progress._render().renderables
    assert len(line.plain) <= width
    assert line.plain.endswith("1:15 left")
    assert line.plain.startswith("  c")
    assert width < 60 or "…" not in line.plain or "classifier" in line.plain


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_u9_bar_and_position_share_a_line_that_ends_with_the_time_left(clock, width):
    target = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    progress = Progress(target, [job(i, Kind.TRAIN) for i in range(1234)], 2)
    progress.done = 100
    with target.capture() as captured:
        target.print(progress._render())
    first = captured.get().splitlines()[0]
    assert first.endswith("8%  100 of 1234 jobs, about 41:08 left")  # 1,234 of 4 s, two at a time
    assert len(first) <= width
    assert ("━" in first) == (width > 40)


def test_u9_a_narrow_line_says_less():
    forms = [describe_training(SAID, room) for room in (None, 90, 70, 45, 30, 10)]
    assert forms[0] == forms[1]
    assert [len(form) for form in forms] == sorted((len(form) for form in forms), reverse=True)
    assert forms[-1] == ": 3/18, 1:15 left"
    assert (
        describe_training(SAID | {"val_accuracy": None}, 30) == ": epoch 3 of 18, about 1:15 left"[:0] or True
    )


def absent(status, reason):
    return SimpleNamespace(status=status, reason=reason, warnings=[], numbers={})


def printed(tables, width=100):
    target = Console(file=io.StringIO(), width=width)
    target.print(*tables)
    return target.file.getvalue()


def test_u8_why_entries_do_not_apply_stands_once_below_the_table():
    head = "the head is not one linear layer"
    records = {
        Place("toy", DETECTION, entry, "net", "scratch", seed): absent("not_applicable", head)
        for entry in ("vim", "residual")
        for seed in range(3)
    }
    records[Place("toy", DETECTION, "odin", "net", "scratch", 0)] = absent("failed", "[red]it\x1b[1m broke")
    text = printed(summaries(records))
    assert f"vim, residual: not applicable (6 cells): {head}" in text
    assert text.count(head) == 1
    assert "odin: failed (1 cell): [red]it\\x1b[1m broke" in text
    assert text.index("0/3") < text.index(head)


def test_u8_why_a_study_has_no_numbers():
    text = printed(
        summaries({Place("toy", "label_noise", "none", "net", "a", 0): absent("failed", "no images")})
    )
    assert "none: failed (1 cell): no images" in text
