"""A pool whose jobs end as a test says, and when it says."""

from benchmark.engines.pool import Outcome
from benchmark.jobs.job import Lane
from benchmark.store.artifacts import Store


class FakePool:
    """Does nothing; what is done is in the cache.

    Parameters
    ----------
    capacity
        How many groups at once.
    devices
        How many besides of those that run a network; None if those of the CPU do them too.
    ends
        By the name of a group's first job: how the group ends, each time; else it is done.
    order
        Names of jobs whose groups end first, in this order; else what was begun first does.
    """

    def __init__(self, capacity=1, ends=None, order=(), devices=None):
        self.capacity, self.devices, self.order = capacity, devices, order
        self.ends = {name: list(outcomes) for name, outcomes in (ends or {}).items()}
        self.given = []  # names of jobs that were to be done together, in order
        self.most = 0  # groups at once
        self.stopped = False
        self._running = []

    def room(self):
        lanes = [group[0].lane for _, group in self._running]
        if self.devices is None:
            return tuple(Lane) if len(lanes) < self.capacity else ()
        places = {Lane.CPU: self.capacity, Lane.DEVICE: self.devices}
        return [lane for lane in Lane if lanes.count(lane) < places[lane]]

    def submit(self, root, group, *, fresh):
        assert group[0].lane in self.room()
        self._running.append((Store(root), group))
        self.most = max(self.most, len(self._running))
        self.given.append([job.label for job in group])

    def outcomes(self):
        assert self._running, "a schedule would wait for ever"
        running = [group[0].label for _, group in self._running]
        chosen = next((name for name in self.order if name in running), running[0])
        store, group = self._running.pop(running.index(chosen))
        said = self.ends.get(group[0].label)
        outcome = said.pop(0) if said else Outcome("done")
        if outcome.status == "done":
            for job in group:
                with store.create(job.key, {"kind": job.kind}) as draft:
                    draft.json("names", [job.label])
        return [(group, outcome)]

    def stop(self):
        self._running.clear()
        self.stopped = True
