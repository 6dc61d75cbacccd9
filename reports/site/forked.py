"""Work that several processes share: each is a copy of this one, and sees all that this one holds."""

from __future__ import annotations

import multiprocessing
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

T = TypeVar("T")

_TASKS: list[Callable[[], object]] = []  # what the copies find when they are asked for one by its place


def all_of(tasks: Sequence[Callable[[], T]], workers: int) -> list[T]:
    """What each task returns, in their order.

    Parameters
    ----------
    tasks : functions that change nothing outside themselves; those that take longest first.
    workers : processes at a time. This process does them all with one, where processes cannot be copied (not
        on Linux), and where it has other threads: a copy might wait for what they held.

    Raises
    ------
    Exception
        The error of the first of the tasks that failed.
    """
    if workers == 1 or len(tasks) < 2 or sys.platform != "linux" or threading.active_count() > 1:
        return [task() for task in tasks]
    assert not _TASKS, "tasks of tasks"
    _TASKS.extend(tasks)
    try:
        with warnings.catch_warnings():
            # Numerical libraries keep threads, which a copy lacks; they wait for work and hold nothing.
            warnings.filterwarnings("ignore", ".*multi-threaded.*fork", DeprecationWarning)
            context = multiprocessing.get_context("fork")
            with ProcessPoolExecutor(min(workers, len(tasks)), mp_context=context) as pool:
                found: list[T] = list(pool.map(_do, range(len(tasks))))  # type: ignore[arg-type]
                return found
    finally:
        _TASKS.clear()


def _do(place: int) -> object:
    return _TASKS[place]()
