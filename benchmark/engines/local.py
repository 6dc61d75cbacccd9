"""Runs jobs on this machine, in worker processes: what a job does to its process is no harm to another."""

from __future__ import annotations

import heapq
import multiprocessing
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from benchmark.engines.undisturbed import undisturbed
from benchmark.engines.worker import Outcome, perform, start_worker
from benchmark.errors import OodbenchError, StorageError
from benchmark.jobs.job import Job, Kind
from benchmark.store.artifacts import Store

# What is ready first runs first in this order: long chains start early, and cells end early.
_ORDER = (
    Kind.DATA,
    Kind.SHIFT,
    Kind.TRAINING_SET,
    Kind.PRETRAIN,
    Kind.MEASURE,
    Kind.ASSESS,
    Kind.CORRUPT,
    Kind.ATTACK,
    Kind.TUNE,
    Kind.SCORE,
    Kind.CLASSIFY,
    Kind.EXTRACT,
    Kind.TRAIN,
    Kind.BOUNDARY,
)
PRELOADED = ("torch", "timm")  # in the process that workers are forked from
# Which of the two it was is not always known: the exit code reaches one of several readers only.
DIED = "its process ended without an answer: the method ended it, or memory ran out"
ATTEMPTS = 3  # at a job whose input was damaged or whose process died

OnEvent = Callable[[str, Job, str], None]  # event ("start", "done", "failed"), job, message


class LocalEngine:
    """Runs the jobs of a plan that the cache lacks.

    Parameters
    ----------
    store
        The cache.
    workers
        How many jobs run at once, each in a process of its own.
    environment
        What the artifacts' manifests say of where they were made.
    """

    def __init__(self, store: Store, workers: int, environment: dict[str, Any]) -> None:
        self.store = store
        self.workers = workers
        self.environment = environment
        self._processes: list[ProcessPoolExecutor] = []  # of one worker each: it is known whose job died
        self._busy: dict[Future[Outcome], ProcessPoolExecutor] = {}

    def missing(self, jobs: Mapping[str, Job], wanted: Iterable[str], *, fresh: bool = False) -> list[Job]:
        """The wanted jobs that must be run, and those that they in turn need, inputs first."""
        found: dict[str, Job] = {}

        def visit(key: str) -> None:
            if key not in found and (fresh or not self.store.has(key)):
                for needed in jobs[key].needs:
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
        running: dict[Future[Outcome], list[str]] = {}
        offered: set[str] = set()  # ready or running
        alone: set[str] = set()  # their group failed: each is tried by itself
        dependants: defaultdict[str, list[str]] = defaultdict(list)
        for key, job in jobs.items():
            for needed in job.needs:
                dependants[needed].append(key)

        def waits(key: str) -> bool:
            return any(needed in todo for needed in todo[key].needs)

        def offer(key: str) -> None:
            if key not in offered and not waits(key):
                offered.add(key)
                heapq.heappush(ready, (_ORDER.index(todo[key].kind), order[key], key))

        def finish(key: str) -> None:
            del todo[key]
            for other in dependants[key]:
                if other in todo:
                    offer(other)

        def fail(key: str, reason: str) -> None:
            job = todo.pop(key)
            failures[key] = reason
            on_event("failed", job, reason)
            for other in dependants[key]:
                if other in todo:
                    fail(other, reason)

        def again(key: str, reason: str) -> None:
            attempts[key] += 1
            if attempts[key] >= ATTEMPTS:
                fail(key, reason)
                return
            for job in self.missing(jobs, jobs[key].needs):
                if job.key not in todo:
                    todo[job.key] = job
                    order.setdefault(job.key, len(order))
                    offer(job.key)
            offer(key)

        def joins(key: str, name: str) -> bool:
            return key in todo and key not in alone and todo[key].group == name

        def take() -> list[str]:
            """The next ready job, and all ready jobs of its group."""
            key = heapq.heappop(ready)[2]
            if key not in todo or waits(key):  # an input turned out to be damaged since
                offered.discard(key)
                return []
            name = "" if key in alone else todo[key].group
            others = [item for item in ready if name and joins(item[2], name)]
            for item in others:
                ready.remove(item)
            heapq.heapify(ready)
            keys = [key, *(item[2] for item in others)]
            offered.difference_update(k for k in keys if waits(k))
            return [k for k in keys if not waits(k)]

        def settle(key: str, outcome: Outcome) -> None:
            job = todo[key]
            if outcome.status == "done":
                finish(key)
                on_event("done", job, "")
            elif outcome.status == "damaged":
                again(key, f"its input {outcome.message} is damaged again and again")
            elif outcome.status == "died":
                again(key, outcome.message)
            else:
                fail(key, outcome.message)

        for key in todo:
            offer(key)
        try:
            while todo:
                while ready and len(running) < self.workers:
                    group = take()
                    for key in group:
                        on_event("start", todo[key], "")
                    if group:
                        running[self._submit([todo[key] for key in group], fresh=fresh)] = group
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    outcome = self._outcome(future)
                    group = running.pop(future)
                    offered.difference_update(group)
                    if outcome.status == "storage":
                        raise StorageError(outcome.message)
                    if outcome.status in ("failed", "died") and len(group) > 1:
                        alone.update(group)
                        for key in todo.keys() & set(group):
                            offer(key)
                        continue
                    for key in group:
                        if key in todo:  # else it failed meanwhile, with an input
                            settle(key, outcome)
        finally:
            self._stop()
        return failures

    def _submit(self, group: list[Job], *, fresh: bool) -> Future[Outcome]:
        arguments = (self.store.root, group, self.environment)
        while True:
            idle = (worker for worker in self._processes if worker not in self._busy.values())
            with undisturbed():
                worker = next(idle, None) or self._start()
                try:
                    future = worker.submit(perform, *arguments, fresh=fresh)
                except BrokenProcessPool:  # it died while it was idle
                    self._end(worker)
                except (EOFError, ConnectionError) as error:
                    raise OodbenchError("the process that starts workers died; run again") from error
                else:
                    self._busy[future] = worker
                    return future

    def _outcome(self, future: Future[Outcome]) -> Outcome:
        worker = self._busy.pop(future)
        try:
            outcome = future.result()
        except BrokenProcessPool:
            outcome = Outcome("died", DIED, spoiled=True)
        if outcome.spoiled:
            self._end(worker)
        return outcome

    def _start(self) -> ProcessPoolExecutor:
        # Forked from a process that has imported the libraries and nothing of ours: a fresh one costs little.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(PRELOADED))
        self._processes.append(ProcessPoolExecutor(1, mp_context=context, initializer=start_worker))
        return self._processes[-1]

    def _end(self, *workers: ProcessPoolExecutor) -> None:
        for worker in workers:
            for process in list((worker._processes or {}).values()):
                process.kill()
        for worker in workers:
            worker.shutdown(wait=True, cancel_futures=True)
            self._processes.remove(worker)

    def _stop(self) -> None:
        """End the workers at once: whatever they were writing appears whole or not at all."""
        self._end(*self._processes)
        self._busy.clear()
