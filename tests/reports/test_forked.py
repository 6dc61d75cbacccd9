"""Work that processes share comes back in order, with all that this one holds at hand; so do its errors."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from benchmark.errors import DataError
from reports.site.forked import all_of

LINUX = sys.platform == "linux"


def test_the_answers_come_in_the_order_of_the_tasks(alone):
    assert all_of([lambda i=i: i * i for i in range(20)], 2) == [i * i for i in range(20)]


@pytest.fixture
def alone(monkeypatch):
    """As if this process had no other threads, of the tests."""
    monkeypatch.setattr(threading, "active_count", lambda: 1)


@pytest.mark.skipif(not LINUX, reason="processes are copied on Linux only")
def test_others_do_the_work(alone):
    assert os.getpid() not in all_of([os.getpid] * 4, 2)


@pytest.mark.parametrize(("workers", "tasks"), [(1, 3), (2, 1)])
def test_one_worker_or_one_task_needs_no_other_process(alone, workers, tasks):
    assert all_of([os.getpid] * tasks, workers) == [os.getpid()] * tasks


@pytest.mark.parametrize("workers", [1, 2])
def test_the_error_of_the_first_that_failed_is_raised(alone, workers):
    def fail(name):
        raise DataError(f"{name} is wrong")

    tasks = [lambda: 1, lambda: fail("this"), lambda: fail("that")]
    with pytest.raises(DataError, match="this is wrong"):
        all_of(tasks, workers)
    assert all_of(tasks[:1] * 2, workers) == [1, 1]


def test_a_process_with_threads_is_not_copied():
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        assert all_of([os.getpid] * 3, 2) == [os.getpid()] * 3
    finally:
        done.set()
        thread.join()
