"""Worker processes on this machine: what a job does to its process is no harm to another."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from benchmark.engines.pool import Group, Outcome
from benchmark.engines.undisturbed import undisturbed
from benchmark.engines.worker import Perform, perform, start_worker
from benchmark.errors import OodbenchError

PRELOADED = ("torch", "timm")  # in the process that workers are forked from
# Which of the two it was is not always known: the exit code reaches one of several readers only.
DIED = "its process ended without an answer: the method ended it, or memory ran out"


class Processes:
    """A pool of processes, each of which does one group at a time; they are started when they are needed.

    Parameters
    ----------
    workers
        How many at once.
    perform
        Does a group, in the worker.
    """

    def __init__(self, workers: int, perform: Perform = perform) -> None:
        self.capacity = workers
        self._perform = perform
        self._workers: list[ProcessPoolExecutor] = []  # of one process each: it is known whose job died
        self._busy: dict[Future[Outcome], tuple[ProcessPoolExecutor, Group]] = {}

    def submit(self, root: Path, group: Group, *, fresh: bool) -> None:
        """Give a group to an idle worker, or to a new one.

        Raises
        ------
        OodbenchError
            If the process that starts workers is gone.
        """
        while True:
            busy = [worker for worker, _ in self._busy.values()]
            idle = (worker for worker in self._workers if worker not in busy)
            with undisturbed():
                worker = next(idle, None) or self._start()
                try:
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
        finished, _ = wait(self._busy, return_when=FIRST_COMPLETED)
        return [self._outcome(future) for future in finished]

    def _outcome(self, future: Future[Outcome]) -> tuple[Group, Outcome]:
        worker, group = self._busy.pop(future)
        try:
            outcome = future.result()
        except BrokenProcessPool:
            outcome = Outcome("died", DIED, spoiled=True)
        if outcome.spoiled:
            self._end(worker)
        return group, outcome

    def stop(self) -> None:
        """End the workers at once: whatever they were writing appears whole or not at all."""
        self._end(*self._workers)
        self._busy.clear()

    def _start(self) -> ProcessPoolExecutor:
        # Forked from a process that has imported the libraries and nothing of ours: a fresh one costs little.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(PRELOADED))
        self._workers.append(ProcessPoolExecutor(1, mp_context=context, initializer=start_worker))
        return self._workers[-1]

    def _end(self, *workers: ProcessPoolExecutor) -> None:
        for worker in workers:
            for process in list((worker._processes or {}).values()):
                process.kill()
        for worker in workers:
            worker.shutdown(wait=True, cancel_futures=True)
            self._workers.remove(worker)
