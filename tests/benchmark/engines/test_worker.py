"""Doing one group of jobs: what it leaves, how it ends, and with which settings it computes."""

import errno
import re
import threading
import time

import pytest
import torch
from fake_jobs import fails, names, pauses, perform

from benchmark.engines.environment import environment
from benchmark.engines.pool import Outcome
from benchmark.errors import OodbenchError
from methods.base import ScoreError


@pytest.fixture
def do(fakes, store):
    """Does a job alone."""

    def call(name):
        return perform(store.root, (fakes.told(fakes.jobs[name]),), fresh=False)

    return call


def test_the_manifest_tells_what_was_made_where_and_how_long_it_took(fakes, do, store):
    fakes.add("a")
    fakes.behaviour["a"] = pauses(0.05)
    assert do("a") == Outcome("done")
    made = store.manifest(fakes.key("a"))["made"]
    assert (made["kind"], made["label"]) == ("score", "a")
    assert made["environment"] == environment().model_dump()
    assert made["code"] == fakes.jobs["a"].code
    assert 0.05 <= made["seconds"] < 10
    assert made["peak_memory_mb"] > 10


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OodbenchError("said well"), "said well"),
        (ScoreError("3 of 4 scores are NaN"), "ScoreError: 3 of 4 scores are NaN"),
        (ValueError("two\n  lines"), r"ValueError: two lines \(fake_jobs.py:\d+\)"),
        (MemoryError(), r"MemoryError:  \(fake_jobs.py:\d+\)"),
        (
            OSError(errno.ENOENT, "No such file"),
            r"FileNotFoundError: \[Errno 2\] No such file \(fake_jobs.py:\d+\)",
        ),
    ],
)
def test_the_reason_is_one_line_that_tells_where(fakes, do, error, reason):
    fakes.add("a")
    fakes.behaviour["a"] = fails(error)
    status, message, spoiled = do("a")
    assert (status, spoiled) == ("failed", False)
    assert re.fullmatch(reason, message)


def test_every_job_computes_with_one_thread_whatever_was_set_before(fakes, do):
    seen = []
    fakes.behaviour["a"] = lambda _: seen.append(
        (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())
    )
    fakes.add("a")
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        do("a")
        assert seen == [(1, True)]
        assert torch.get_num_threads() == 2
        assert not torch.are_deterministic_algorithms_enabled()
    finally:
        torch.set_num_threads(before)


def test_a_job_that_another_process_does_meanwhile_is_not_done_again(fakes, do, store):
    job = fakes.add("a")
    locked = threading.Event()

    def the_other():
        with store.lock(job.key):
            locked.set()
            time.sleep(0.2)
            with store.create(job.key, {"kind": "score"}) as draft:
                draft.json("names", ["the other"])

    other = threading.Thread(target=the_other)
    other.start()
    locked.wait()
    assert do("a") == Outcome("done")
    other.join()
    assert fakes.ran == []
    assert names(store, job.key) == ["the other"]
