"""What is ready, in which order: jobs after their inputs, groups together, and again what broke on the way.

It knows jobs, keys and the cache, and neither what a job means nor who does it (`benchmark.engines.pool`).
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping

from benchmark.engines.pool import Group, Outcome, Pool
from benchmark.errors import StorageError
from benchmark.jobs.job import Job, Kind, Lane
from benchmark.store.artifacts import Store

_ORDER = tuple(Kind)
ATTEMPTS = 3  # at a job whose input was damaged or whose process died

OnEvent = Callable[[str, Job, str], None]  # event ("start", "done", "failed"), job, message


def missing(
    store: Store, jobs: Mapping[str, Job], wanted: Iterable[str], *, fresh: bool = False
) -> list[Job]:
    """The wanted jobs that must be run, and those that they in turn need, inputs first.

    With `fresh` also those that the cache holds.
    """
    found: dict[str, Job] = {}

    def visit(key: str) -> None:
        if key not in found and (fresh or not store.has(key)):
            for needed in jobs[key].needs:
                visit(needed)
            found[key] = jobs[key]

    for key in wanted:
        visit(key)
    return list(found.values())


def run_jobs(
    store: Store,
    pool: Pool,
    jobs: Mapping[str, Job],
    wanted: Iterable[str],
    on_event: OnEvent,
    *,
    fresh: bool = False,
) -> dict[str, str]:
    """Have a pool do what the cache lacks of the wanted jobs; return the failures, key → reason.

    A job whose input failed fails with the same reason. A damaged input is computed again. The pool is
    stopped however the run ends.

    Raises
    ------
    StorageError
        If the cache cannot be written; what is finished stays.
    KeyboardInterrupt
        Likewise.
    """
    schedule = _Schedule(store, jobs, missing(store, jobs, wanted, fresh=fresh), on_event)
    try:
        while schedule.todo:
            while group := schedule.take(pool.room()):
                for job in group:
                    on_event("start", job, "")
                pool.submit(store.root, group, fresh=fresh)
            for group, outcome in pool.outcomes():
                schedule.settle(group, outcome)
    finally:
        pool.stop()
    return schedule.failures


class _Schedule:
    """What is still to be done; keys are those of jobs."""

    def __init__(self, store: Store, jobs: Mapping[str, Job], todo: Iterable[Job], on_event: OnEvent) -> None:
        self.store, self.jobs, self.on_event = store, jobs, on_event
        self.todo = {job.key: job for job in todo}
        self.failures: dict[str, str] = {}
        self._order = {key: i for i, key in enumerate(self.todo)}
        self._attempts: Counter[str] = Counter()
        self._ready: dict[Lane, list[tuple[int, int, str]]] = {lane: [] for lane in Lane}  # heaps
        self._offered: set[str] = set()  # ready or running
        self._alone: set[str] = set()  # their group failed: each is tried by itself
        self._dependants: defaultdict[str, list[str]] = defaultdict(list)
        for key, job in jobs.items():
            for needed in job.needs:
                self._dependants[needed].append(key)
        for key in self.todo:
            self._offer(key)

    def take(self, lanes: Collection[Lane]) -> Group:
        """The next ready job of these lanes, and all ready jobs of its group; empty if none is ready."""
        while found := [self._ready[lane] for lane in lanes if self._ready[lane]]:
            ready = min(found, key=lambda heap: heap[0])
            key = heapq.heappop(ready)[2]
            if key not in self.todo or self._waits(key):  # an input turned out to be damaged since
                self._offered.discard(key)
                continue
            name = "" if key in self._alone else self.todo[key].group
            others = [item for item in ready if name and self._joins(item[2], name)]
            for item in others:
                ready.remove(item)
            heapq.heapify(ready)
            keys = [key, *(item[2] for item in others)]
            self._offered.difference_update(k for k in keys if self._waits(k))
            return tuple(self.todo[k] for k in keys if not self._waits(k))
        return ()

    def settle(self, group: Group, outcome: Outcome) -> None:
        """Draw the consequences of how a group ended.

        Raises
        ------
        StorageError
            If it ended because the cache cannot be written.
        """
        keys = [job.key for job in group]
        self._offered.difference_update(keys)
        if outcome.status == "storage":
            raise StorageError(outcome.message)
        if outcome.status in ("failed", "died") and len(group) > 1:
            self._alone.update(keys)
            for key in self.todo.keys() & set(keys):
                self._offer(key)
            return
        for key in keys:
            if key in self.todo:  # else it failed meanwhile, with an input
                self._settle(key, outcome)

    def _settle(self, key: str, outcome: Outcome) -> None:
        if outcome.status == "done":
            job = self.todo.pop(key)
            for other in self._dependants[key]:
                if other in self.todo:
                    self._offer(other)
            self.on_event("done", job, "")
        elif outcome.status == "damaged":
            self._again(key, f"its input {outcome.message} is damaged again and again")
        elif outcome.status == "died":
            self._again(key, outcome.message)
        else:
            self._fail(key, outcome.message)

    def _fail(self, key: str, reason: str) -> None:
        job = self.todo.pop(key)
        self.failures[key] = reason
        self.on_event("failed", job, reason)
        for other in self._dependants[key]:
            if other in self.todo:  # still: it may need the job by two ways
                self._fail(other, reason)

    def _again(self, key: str, reason: str) -> None:
        self._attempts[key] += 1
        if self._attempts[key] >= ATTEMPTS:
            self._fail(key, reason)
            return
        for job in missing(self.store, self.jobs, self.jobs[key].needs):
            if job.key not in self.todo:
                self.todo[job.key] = job
                self._order.setdefault(job.key, len(self._order))
                self._offer(job.key)
        self._offer(key)

    def _offer(self, key: str) -> None:
        if key not in self._offered and not self._waits(key):
            self._offered.add(key)
            job = self.todo[key]
            heapq.heappush(self._ready[job.lane], (_ORDER.index(job.kind), self._order[key], key))

    def _waits(self, key: str) -> bool:
        return any(needed in self.todo for needed in self.todo[key].needs)

    def _joins(self, key: str, name: str) -> bool:
        return key in self.todo and key not in self._alone and self.todo[key].group == name
