"""Starting processes that a person's signals are not meant for."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextmanager
def undisturbed() -> Iterator[None]:
    """Start processes within: they never see Ctrl-C or that the terminal is gone, and no start is cut short.

    A terminal sends both to all of its processes. A worker that is still being imported would answer with a
    traceback, and multiprocessing's tracker of semaphores would die and leave them. What comes meanwhile is
    handled afterwards: this process ends its workers itself.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    handlers = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in handlers:  # other threads may still be given what is blocked in this one
        signal.signal(number, lambda *received: came.append(received))
    kept = {number for number in SIGNALS if number != signal.SIGTERM}  # that one ends a worker by its number
    before = signal.pthread_sigmask(signal.SIG_BLOCK, kept)
    try:
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, kept)  # again: where that starts it, it unblocks SIGINT
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number, frame in came[:1]:  # also where a start failed because of it
            handler = handlers[number]
            if callable(handler):
                handler(number, frame)
