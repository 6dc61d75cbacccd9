"""Jobs that note their names, and what may happen to them."""

from benchmark.jobs.job import Job, Kind, Task
from benchmark.store.artifacts import Store

ENVIRONMENT = {"python": "3"}


class Fakes:
    """Jobs that note their names and add them to those of their inputs, or do what `behaviour` says."""

    def __init__(self):
        self.ran = []
        self.groups = []
        self.behaviour = {}
        self.jobs = {}

    def add(self, name, *inputs, kind=Kind.SCORE, group=""):
        roles = {f"role {other}": self.key(other) for other in inputs}
        job = Job(kind, {"name": name}, roles, (), name, group)
        self.jobs[name] = job
        return job

    def key(self, name):
        return self.jobs[name].key

    @property
    def plan(self):
        return {job.key: job for job in self.jobs.values()}

    def __call__(self, given):
        """Do a task, or those of a group."""
        if not isinstance(given, Task):
            if self.jobs[given[0].config["name"]].group:
                self.groups.append([task.config["name"] for task in given])
            for task in given:
                self(task)
            return
        config, inputs, draft = given
        name = config["name"]
        self.ran.append(name)
        if name in self.behaviour:
            self.behaviour[name](draft)
        draft.json("names", sorted({name, *(n for i in inputs.values() for n in i.json("names"))}))


def names(store, key):
    return Store(store.root).open(key).json("names")


def corrupt(store, key, file="names.json"):
    path = store.folder(key) / file
    path.write_bytes(path.read_bytes().replace(b'"', b"'"))


def fails(error):
    def behave(draft):
        raise error

    return behave
