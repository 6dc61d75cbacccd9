"""Worker processes on this machine: what a job does to its process is no harm to another."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

from benchmark.engines.pool import Group, Outcome
from benchmark.engines.timeouts import Timeouts, duration
from benchmark.engines.undisturbed import undisturbed
from benchmark.engines.worker import Perform, end_group, perform, start_worker
from benchmark.errors import OodbenchError
from benchmark.jobs.job import Lane

PRELOADED = ("torch", "timm")  # in the process that workers are forked from
# Which of the two it was is not always known: the exit code reaches one of several readers only.
DIED = "its process ended without an answer: the method ended it, or memory ran out"

STOPPED = "stopped after {}: it hangs, or needs more time than --timeout gives it"
_STARTING = 0.2  # seconds between two looks at whether a process has been started


class Processes:
    """A pool of processes, each of which does one group at a time; they are started when they are needed.

    Parameters
    ----------
    workers
        How many at once, on the CPU.
    devices
        Accelerators that have a worker besides, for jobs that run a network; one for each time it is named.
        Without any, the workers of the CPU do these jobs too.
    perform
        Does a group, in the worker.
    timeouts
        How long a group may take. One that takes longer is stopped, with all processes that it has begun,
        and has failed.
    """

    def __init__(
        self,
        workers: int,
        devices: Sequence[str] = (),
        perform: Perform = perform,
        timeouts: Timeouts | None = None,
    ) -> None:
        self._perform = perform
        self._timeouts = timeouts or Timeouts()
        cpu = Counter[str | None]({None: workers})
        self._places = {Lane.CPU: cpu, Lane.DEVICE: Counter[str | None](devices) or cpu}
        # Of one process each, so that it is known whose job died; with the device, None for the CPU.
        self._workers: dict[ProcessPoolExecutor, str | None] = {}
        self._busy: dict[Future[Outcome], tuple[ProcessPoolExecutor, Group]] = {}
        self._ready: dict[ProcessPoolExecutor, Future[int]] = {}  # done once the process is there
        self._begun: dict[Future[Outcome], float] = {}  # when the worker was seen to be at it

    def room(self) -> Collection[Lane]:
        """The lanes that have an idle worker, or may have one more."""
        return [lane for lane in Lane if self._free(lane)]

    def _free(self, lane: Lane) -> Counter[str | None]:
        """How many more groups each device of a lane takes."""
        return self._places[lane] - Counter(self._workers[worker] for worker, _ in self._busy.values())

    def submit(self, root: Path, group: Group, *, fresh: bool) -> None:
        """Give a group to an idle worker of its lane, or to a new one.

        Raises
        ------
        OodbenchError
            If the process that starts workers is gone.
        """
        free = self._free(group[0].lane)
        while True:
            busy = [worker for worker, _ in self._busy.values()]
            idle = (one for one, device in self._workers.items() if one not in busy and device in free)
            with undisturbed():
                worker = next(idle, None) or self._start(next(iter(free)))
                try:
                    if worker not in self._ready:
                        self._ready[worker] = worker.submit(os.getpid)
                    future = worker.submit(self._perform, root, group, fresh=fresh)
                except BrokenProcessPool:  # it died while it was idle
                    self._end(worker)
                except (EOFError, ConnectionError) as error:
                    raise OodbenchError("the process that starts workers died; run again") from error
                else:
                    self._busy[future] = worker, group
                    return

    def outcomes(self) -> list[tuple[Group, Outcome]]:
        """Wait for a worker; a process that died, or must not be used again, is replaced when need be."""
        while True:
            left = {future: self._left(future) for future in self._busy}
            late = [future for future, seconds in left.items() if seconds is not None and seconds <= 0]
            patience = min((seconds for seconds in left.values() if seconds is not None), default=None)
            finished, _ = wait(self._busy, timeout=patience and max(0, patience), return_when=FIRST_COMPLETED)
            ended = [self._outcome(future) for future in finished]
            ended += [self._stopped(future) for future in late if future not in finished]
            if ended:
                return ended

    def _left(self, future: Future[Outcome]) -> float | None:
        """Seconds that a group still has; None if nobody counts them."""
        worker, group = self._busy[future]
        limit = self._timeouts.seconds(group)
        if limit is None:
            return None
        if not self._ready[worker].done():  # a process that is being started takes no time of the group's
            return _STARTING
        return self._begun.setdefault(future, time.monotonic()) + limit - time.monotonic()

    def _outcome(self, future: Future[Outcome]) -> tuple[Group, Outcome]:
        worker, group = self._forget(future)
        try:
            outcome = future.result()
        except BrokenProcessPool:
            outcome = Outcome("died", DIED, spoiled=True)
        if outcome.spoiled:
            self._end(worker)
        return group, outcome

    def _stopped(self, future: Future[Outcome]) -> tuple[Group, Outcome]:
        worker, group = self._forget(future)
        self._end(worker)
        limit = self._timeouts.seconds(group)
        assert limit is not None
        return group, Outcome("failed", STOPPED.format(duration(limit)), spoiled=True)

    def _forget(self, future: Future[Outcome]) -> tuple[ProcessPoolExecutor, Group]:
        self._begun.pop(future, None)
        return self._busy.pop(future)

    def stop(self) -> None:
        """End the workers at once: whatever they were writing appears whole or not at all."""
        self._end(*self._workers)
        self._busy.clear()
        self._begun.clear()

    def _start(self, device: str | None) -> ProcessPoolExecutor:
        # Forked from a process that has imported the libraries and nothing of ours: a fresh one costs little.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(PRELOADED))
        worker = ProcessPoolExecutor(1, mp_context=context, initializer=partial(start_worker, device))
        self._workers[worker] = device
        return worker

    def _end(self, *workers: ProcessPoolExecutor) -> None:
        for worker in workers:
            for process in list((worker._processes or {}).values()):
                end_group(process)
        for worker in workers:
            worker.shutdown(wait=True, cancel_futures=True)
            del self._workers[worker]
            self._ready.pop(worker, None)
