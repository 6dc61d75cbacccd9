"""Jobs that note their names, in whatever process, and what may happen to them."""

import json
import os
import sys
import time
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

from benchmark.engines import worker
from benchmark.engines.isolation.confinement import strongest
from benchmark.engines.isolation.isolated import Isolated
from benchmark.engines.isolation.limits import Limits
from benchmark.engines.isolation.view import view_of
from benchmark.jobs.config import NOT_IN_KEY
from benchmark.jobs.job import GROUPED, Job, Kind, Task
from benchmark.store.artifacts import Store


@dataclass(frozen=True)
class Config:
    """The name of a job, and what it is told for this run."""

    name: str
    log: str = field(default="", metadata=NOT_IN_KEY)
    group: str = field(default="", metadata=NOT_IN_KEY)
    does: Any = field(default=None, metadata=NOT_IN_KEY)  # called with the draft


class Fakes:
    """Jobs that note their names and add them to those of their inputs, or do what `behaviour` says.

    What they note is in a file, and behaviour can be sent to other processes: `perform` does them anywhere.
    """

    def __init__(self, log):
        self.log = log
        self.behaviour = {}
        self.jobs = {}

    def add(self, name, *inputs, kind=Kind.SCORE, group=""):
        roles = {f"role {other}": self.key(other) for other in inputs}
        module = "benchmark.studies.plane.job" if kind == Kind.BOUNDARY else ""
        job = Job(kind, Config(name), roles, (), name, group, module=module)
        self.jobs[name] = job
        return job

    def key(self, name):
        return self.jobs[name].key

    @property
    def plan(self):
        return {job.key: self.told(job) for job in self.jobs.values()}

    def told(self, job):
        does = self.behaviour.get(job.label)
        return replace(job, config=Config(job.label, str(self.log), job.group, does))

    @property
    def groups(self):
        """The names of jobs that were done together, in order; only of jobs that have a group."""
        return [names for group, names, _ in self._noted() if group]

    @property
    def ran(self):
        """The names of all jobs, in the order in which they were begun."""
        return [name for _, names, _ in self._noted() for name in names]

    @property
    def places(self):
        """Where the networks of a job's process compute, by its name."""
        return {name: place for _, names, place in self._noted() for name in names}

    def forget(self):
        self.log.unlink()

    def _noted(self):
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return map(json.loads, lines)


def perform(root, group, *, fresh):
    """As workers do it, but that jobs of every kind are fakes."""
    with mock.patch.object(Job, "run", property(lambda _: _fake)):
        return worker.perform(root, group, fresh=fresh)


def compute(jobs, inputs, drafts):
    """What is done in a sandbox: fakes, without torch, which takes seconds to load."""
    tasks = [Task(job.config, job.opened(inputs.__getitem__), d) for job, d in zip(jobs, drafts, strict=True)]
    _fake(tasks if jobs[0].kind in GROUPED else tasks[0])
    return {"seconds": 0.0}


@dataclass(frozen=True)
class IsolatedFakes(Isolated):
    """Fakes in sandboxes, which may write what they note, and all that lies beside it."""

    def view(self, jobs, inputs, drafts, scratch):
        seen = view_of(jobs, inputs, drafts, scratch, ["fake_jobs", "hostile_jobs"])
        return replace(seen, writable=(*seen.writable, Path(jobs[0].config.log).parent))


@cache
def isolated():
    """A pool's `perform`: in the strongest sandbox that there is here."""
    return IsolatedFakes(strongest()[0], Limits(2**33), compute, ())


def _fake(given):
    tasks = [given] if isinstance(given, Task) else given
    about = tasks[0].config
    with Path(about.log).open("a") as log:
        log.write(json.dumps([about.group, [task.config.name for task in tasks], _here()]) + "\n")
    for task in tasks:
        if task.config.does is not None:
            task.config.does(task.draft)
        found = {task.config.name, *(n for i in task.inputs.values() for n in i.json("names"))}
        task.draft.json("names", sorted(found))


def _here():
    if "torch" not in sys.modules:
        return "cpu"
    from benchmark.backbones.device import here

    return str(here())


def names(store, key):
    return Store(store.root).open(key).json("names")


def corrupt(store, key, file="names.json"):
    path = store.folder(key) / file
    path.write_bytes(path.read_bytes().replace(b'"', b"'"))


@dataclass
class fails:
    error: Exception

    def __call__(self, draft):
        raise self.error


@dataclass
class pauses:
    seconds: float

    def __call__(self, draft):
        time.sleep(self.seconds)


@dataclass
class blocks:
    """Puts a file in the place of a folder."""

    folder: Path

    def __call__(self, draft):
        self.folder.rename(self.folder.with_name("elsewhere"))
        self.folder.touch()


@dataclass
class ends_its_process:
    def __call__(self, draft):
        os._exit(1)
