"""Runs jobs on this machine: in this process, or in several worker processes."""

from __future__ import annotations

import heapq
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from benchmark.artifacts import Store
from benchmark.engines.worker import Outcome, perform, start_worker
from benchmark.errors import StorageError
from benchmark.plan import Job, Kind

# What is ready first runs first in this order: long chains start early, and cells end early.
_ORDER = (
    Kind.DATA,
    Kind.SHIFT,
    Kind.PRETRAIN,
    Kind.MEASURE,
    Kind.SCORE,
    Kind.CLASSIFY,
    Kind.EXTRACT,
    Kind.TRAIN,
)
ATTEMPTS = 3  # at a job whose input was damaged or whose process died

OnEvent = Callable[[str, Job, str], None]  # event ("start", "done", "failed"), job, message


class LocalEngine:
    """Runs the jobs of a plan that the cache lacks.

    Parameters
    ----------
    store
        The cache.
    workers
        How many jobs run at once; 1 runs them in this process.
    environment
        What the artifacts' manifests say of where they were made.
    """

    def __init__(self, store: Store, workers: int, environment: dict[str, Any]) -> None:
        self.store = store
        self.workers = workers
        self.environment = environment
        self._pool: ProcessPoolExecutor | None = None

    def missing(self, jobs: Mapping[str, Job], wanted: Iterable[str], *, fresh: bool = False) -> list[Job]:
        """The wanted jobs that must be run, and those that they in turn need, inputs first."""
        found: dict[str, Job] = {}

        def visit(key: str) -> None:
            if key not in found and (fresh or not self.store.has(key)):
                for needed in jobs[key].inputs.values():
                    visit(needed)
                found[key] = jobs[key]

        for key in wanted:
            visit(key)
        return list(found.values())

    def run(
        self, jobs: Mapping[str, Job], wanted: Iterable[str], on_event: OnEvent, *, fresh: bool = False
    ) -> dict[str, str]:
        """Run what is missing of the wanted jobs; return the failures, key → reason.

        A job whose input failed fails with the same reason. A damaged input is computed again.

        Raises
        ------
        StorageError
            If the cache cannot be written; what is finished stays.
        KeyboardInterrupt
            Likewise.
        """
        todo = {job.key: job for job in self.missing(jobs, wanted, fresh=fresh)}
        order = {key: i for i, key in enumerate(todo)}
        failures: dict[str, str] = {}
        attempts: Counter[str] = Counter()
        ready: list[tuple[int, int, str]] = []
        running: dict[Future[Outcome], str] = {}

        def offer(key: str) -> None:
            job = todo[key]
            if not any(needed in todo for needed in job.inputs.values()):
                heapq.heappush(ready, (_ORDER.index(job.kind), order[key], key))

        def finish(key: str) -> None:
            done = todo.pop(key)
            for other in list(todo.values()):
                if done.key in other.inputs.values():
                    offer(other.key)

        def fail(key: str, reason: str) -> None:
            job = todo.pop(key)
            failures[key] = reason
            on_event("failed", job, reason)
            for other in list(todo.values()):
                if key in other.inputs.values() and other.key in todo:
                    fail(other.key, reason)

        def again(key: str, reason: str) -> None:
            attempts[key] += 1
            if attempts[key] >= ATTEMPTS:
                fail(key, reason)
                return
            for job in self.missing(jobs, [key], fresh=False):
                if job.key not in todo:
                    todo[job.key] = job
                    order[job.key] = len(order)
                    offer(job.key)
            offer(key)

        for key in todo:
            offer(key)
        try:
            while todo:
                while ready and len(running) < self.workers:
                    key = heapq.heappop(ready)[2]
                    on_event("start", todo[key], "")
                    running[self._submit(todo[key], fresh=fresh)] = key
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                if any(isinstance(future.exception(), BrokenProcessPool) for future in finished):
                    # Which of the workers died is not known: all that ran are tried again.
                    self._stop()
                    lost = list(running.values())
                    running.clear()
                    for key in lost:
                        again(key, "its process died; out of memory?")
                    continue
                for future in finished:
                    key = running.pop(future)
                    job, outcome = todo[key], future.result()
                    if outcome.status == "done":
                        finish(key)
                        on_event("done", job, "")
                    elif outcome.status == "storage":
                        raise StorageError(outcome.message)
                    elif outcome.status == "damaged":
                        again(key, f"its input {outcome.message} is damaged again and again")
                    else:
                        fail(key, outcome.message)
        finally:
            self._stop()
        return failures

    def _submit(self, job: Job, *, fresh: bool) -> Future[Outcome]:
        arguments = (self.store.root, job, self.environment)
        if self.workers == 1:
            future: Future[Outcome] = Future()
            future.set_result(perform(*arguments, fresh=fresh))
            return future
        if self._pool is None:
            spawn = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.workers, mp_context=spawn, initializer=start_worker)
        return self._pool.submit(perform, *arguments, fresh=fresh)

    def _stop(self) -> None:
        """End the workers at once: whatever they were writing appears whole or not at all."""
        if self._pool is not None:
            processes = list((self._pool._processes or {}).values())
            for process in processes:
                process.kill()
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
