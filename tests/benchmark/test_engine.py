"""The local engine: what runs, in which order, and what a failing job, file, disk or process comes to."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from multiprocessing import active_children

import pytest
from waiting import descendants, is_alive, kill, needs_proc, wait_until

from benchmark import jobs
from benchmark.artifacts import MANIFEST, Store
from benchmark.engines.local import ATTEMPTS, LocalEngine
from benchmark.engines.worker import perform, start_worker
from benchmark.errors import OodbenchError, StorageError
from benchmark.job import Job, Kind
from methods.base import ScoreError

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

    def __call__(self, config, inputs=None, draft=None):
        if inputs is None:  # tasks of a group, or one alone
            if self.jobs[config[0].config["name"]].group:
                self.groups.append([task.config["name"] for task in config])
            for task in config:
                self(*task)
            return
        name = config["name"]
        self.ran.append(name)
        if name in self.behaviour:
            self.behaviour[name](draft)
        draft.json("names", sorted({name, *(n for i in inputs.values() for n in i.json("names"))}))


@pytest.fixture
def fakes(monkeypatch):
    fake = Fakes()
    for kind in Kind:
        monkeypatch.setattr(jobs, kind, fake)
    return fake


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "cache")
    made.prepare()
    return made


@pytest.fixture
def events():
    """An `on_event` that remembers; ``events.on(event, label)`` names something to do at one."""

    class Events(list):
        def __init__(self):
            self.todo = {}

        def __call__(self, event, job, message):
            self.append((event, job.label))
            self.todo.get((event, job.label), lambda: None)()

        def on(self, event, label, action):
            self.todo[event, label] = action

    return Events()


@pytest.fixture
def run(fakes, store, events):
    """Runs the wanted jobs in this process; failures by name."""

    def call(*wanted, **options):
        engine = LocalEngine(store, 1, ENVIRONMENT)
        failures = engine.run(fakes.plan, [fakes.key(name) for name in wanted], events, **options)
        return {fakes.plan[key].label: reason for key, reason in failures.items()}

    return call


def names(store, key):
    return Store(store.root).open(key).json("names")


def corrupt(store, key, file="names.json"):
    path = store.folder(key) / file
    path.write_bytes(path.read_bytes().replace(b'"', b"'"))


def fails(error):
    def behave(draft):
        raise error

    return behave


# What runs, and in which order.


def test_inputs_run_before_what_needs_them_and_only_what_is_wanted_runs(fakes, run, store, events):
    fakes.add("a")
    fakes.add("b", "a")
    fakes.add("c", "a", "b")
    fakes.add("not wanted", "a")
    assert run("c") == {}
    assert fakes.ran == ["a", "b", "c"]
    assert names(store, fakes.key("c")) == ["a", "b", "c"]
    assert not store.has(fakes.key("not wanted"))
    assert events == [(event, name) for name in "abc" for event in ("start", "done")]


def test_what_ends_cells_runs_before_what_begins_others(fakes, run):
    for seed in "01":
        fakes.add(f"train {seed}", kind=Kind.TRAIN)
        fakes.add(f"extract {seed}", f"train {seed}", kind=Kind.EXTRACT)
        fakes.add(f"score {seed}", f"extract {seed}", kind=Kind.SCORE)
        fakes.add(f"measure {seed}", f"score {seed}", kind=Kind.MEASURE)
    fakes.add("data", kind=Kind.DATA)
    run("measure 1", "measure 0", "data")
    assert fakes.ran == [
        "data", *(f"{kind} {seed}" for seed in "10" for kind in ("train", "extract", "score", "measure"))
    ]  # fmt: skip


def test_ready_jobs_of_a_group_are_done_together(fakes, run, store):
    fakes.add("network")
    fakes.add("late")
    fakes.add("features of late", "network", "late", group="g")
    for name in "abc":
        fakes.add(name, "network", group="g")
    fakes.add("other", "network", group="h")
    fakes.add("end", *"abc", "other", "features of late")
    assert run("late", "end") == {}
    assert sorted(map(sorted, fakes.groups)) == [["a", "b", "c", "features of late"], ["other"]]
    assert sorted(fakes.ran).count("a") == 1
    assert all(store.manifest(fakes.key(name))["made"]["seconds"] >= 0 for name in "abc")


def test_what_is_stored_of_a_group_is_not_done_again(fakes, run):
    for name in "abc":
        fakes.add(name, group="g")
    run("a")
    run("a", "b", "c")
    assert fakes.groups == [["a"], ["b", "c"]]


def test_a_job_of_a_group_waits_for_its_own_inputs_alone(fakes, run):
    fakes.add("slow", kind=Kind.TRAIN)
    fakes.add("a", group="g")
    fakes.add("b", "slow", group="g")
    assert run("a", "b") == {}
    assert fakes.groups == [["a"], ["b"]]


def test_a_failure_in_a_group_is_of_the_one_that_fails_by_itself(fakes, run, store):
    for name in "abc":
        fakes.add(name, group="g")
    fakes.behaviour["b"] = fails(OodbenchError("no such image"))
    assert run("a", "b", "c") == {"b": "no such image"}
    assert fakes.groups == [["a", "b", "c"], ["a"], ["b"], ["c"]]
    assert [store.has(fakes.key(name)) for name in "abc"] == [True, False, True]


def test_a_damaged_input_of_one_job_of_a_group_is_made_again_for_all(fakes, run, store):
    fakes.add("input")
    run("input")
    corrupt(store, fakes.key("input"))
    fakes.add("a", group="g")
    fakes.add("b", "input", group="g")
    assert run("a", "b") == {}
    assert fakes.ran.count("input") == 2
    assert names(store, fakes.key("b")) == ["b", "input"]


def test_an_input_of_several_runs_once(fakes, run):
    fakes.add("a")
    for name in "bcd":
        fakes.add(name, "a")
    fakes.add("e", *"bcd")
    run("e", "b", "e")
    assert sorted(fakes.ran) == list("abcde")
    assert fakes.ran[0] == "a"
    assert fakes.ran[-1] == "e"


def test_one_input_may_have_two_roles(fakes, run, store):
    fakes.add("a")
    job = Job(Kind.SCORE, {"name": "b"}, {"one": fakes.key("a"), "two": fakes.key("a")}, (), "b")
    fakes.jobs["b"] = job
    assert run("b") == {}
    assert fakes.ran == ["a", "b"]


def test_a_second_run_runs_nothing(fakes, run, events):
    fakes.add("a")
    fakes.add("b", "a")
    run("b")
    fakes.ran.clear()
    events.clear()
    assert run("b") == {}
    assert fakes.ran == events == []


def test_fresh_runs_everything_once_more(fakes, run, store):
    fakes.add("a")
    fakes.add("b", "a")
    run("b")
    before = store.manifest(fakes.key("a"))["made"]["seconds"]
    assert run("b", fresh=True) == {}
    assert fakes.ran == ["a", "b", "a", "b"]
    assert store.manifest(fakes.key("a"))["made"]["seconds"] != before
    assert store.usage()[0] == 2


def test_what_is_missing(fakes, run, store):
    for name, inputs in (("a", ""), ("b", "a"), ("c", "b"), ("d", "a")):
        fakes.add(name, *inputs)
    engine = LocalEngine(store, 1, ENVIRONMENT)

    def missing(*wanted, **options):
        found = engine.missing(fakes.plan, [fakes.key(name) for name in wanted], **options)
        return [job.label for job in found]

    assert missing("c") == ["a", "b", "c"]
    assert missing("d", "c", "a") == ["a", "d", "b", "c"]
    run("b")
    assert missing("c", "b") == ["c"]
    store.set_aside(fakes.key("a"))
    assert missing("c") == ["c"]  # b is there: what it was made from is not needed
    assert missing("d") == ["a", "d"]
    assert missing("c", fresh=True) == ["a", "b", "c"]
    assert missing() == []


def test_the_manifest_tells_what_was_made_where_and_how_long_it_took(fakes, run, store):
    fakes.add("a")
    fakes.behaviour["a"] = lambda draft: time.sleep(0.05)
    run("a")
    made = store.manifest(fakes.key("a"))["made"]
    assert (made["kind"], made["label"], made["environment"]) == ("score", "a", ENVIRONMENT)
    assert made["code"] == fakes.jobs["a"].code
    assert 0.05 <= made["seconds"] < 10
    assert made["peak_memory_mb"] > 10


def test_every_job_computes_with_one_thread_whatever_was_set_before(fakes, run):
    import torch

    seen = []
    fakes.behaviour["a"] = lambda _: seen.append(
        (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())
    )
    fakes.add("a")
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        run("a")
        assert seen == [(1, True)]
        assert torch.get_num_threads() == 2
        assert not torch.are_deterministic_algorithms_enabled()
    finally:
        torch.set_num_threads(before)


# Jobs that fail.


def test_dependants_of_a_failed_job_fail_with_its_reason_and_the_others_go_on(fakes, run, store, events):
    fakes.add("a")
    fakes.add("bad")
    fakes.add("b", "a", "bad")
    fakes.add("c", "b")
    fakes.add("d", "a")
    fakes.behaviour["bad"] = fails(OodbenchError("no luck"))
    assert run("c", "d") == dict.fromkeys(("bad", "b", "c"), "no luck")
    assert sorted(fakes.ran) == ["a", "bad", "d"]
    assert names(store, fakes.key("d")) == ["a", "d"]
    assert [name for event, name in events if event == "failed"] == ["bad", "b", "c"]
    assert not list(store.root.glob("tmp/*"))


def test_a_failure_is_not_cached(fakes, run, store):
    fakes.add("a")
    fakes.add("b", "a")
    fakes.behaviour["a"] = fails(OodbenchError("no luck"))
    assert run("b").keys() == {"a", "b"}
    del fakes.behaviour["a"]
    assert run("b") == {}
    assert names(store, fakes.key("b")) == ["a", "b"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OodbenchError("said well"), "said well"),
        (ScoreError("3 of 4 scores are NaN"), "ScoreError: 3 of 4 scores are NaN"),
        (ValueError("two\n  lines"), r"ValueError: two lines \(test_engine.py:\d+\)"),
        (MemoryError(), r"MemoryError:  \(test_engine.py:\d+\)"),
        (
            OSError(errno.ENOENT, "No such file"),
            r"FileNotFoundError: \[Errno 2\] No such file \(test_engine.py:\d+\)",
        ),
    ],
)
def test_the_reason_is_one_line_that_tells_where(fakes, run, error, reason):
    import re

    fakes.add("a")
    fakes.behaviour["a"] = fails(error)
    assert re.fullmatch(reason, run("a")["a"])


# Files that are damaged.


@pytest.mark.parametrize("file", ["names.json", MANIFEST])
def test_an_input_damaged_between_two_runs_is_computed_again(fakes, run, store, file):
    for name, inputs in (("a", ""), ("b", "a"), ("c", "b")):
        fakes.add(name, *inputs)
    run("b")
    corrupt(store, fakes.key("b"), file)
    fakes.ran.clear()
    assert run("c") == {}
    assert fakes.ran == ["b", "c"]
    assert names(store, fakes.key("c")) == ["a", "b", "c"]


def test_a_damaged_input_whose_own_inputs_are_gone_is_computed_from_the_beginning(fakes, run, store):
    for name, inputs in (("a", ""), ("b", "a"), ("c", "b")):
        fakes.add(name, *inputs)
    run("b")
    corrupt(store, fakes.key("b"))
    store.set_aside(fakes.key("a"))
    fakes.ran.clear()
    assert run("c") == {}
    assert fakes.ran == ["a", "b", "c"]


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("kind", [Kind.DATA, Kind.EXTRACT])
def test_an_input_of_several_damaged_during_the_run_is_computed_again_once(
    fakes, run, store, events, kind, fresh
):
    """A data job goes before what is ready already, an extract job after it."""
    fakes.add("a", kind=kind)
    for name in "bcd":
        fakes.add(name, "a")
    if fresh:
        run(*"bcd")
        fakes.ran.clear()
    damage = [1]
    events.on("done", "a", lambda: damage and corrupt(store, fakes.key("a")) is damage.pop())
    assert run(*"bcd", fresh=fresh) == {}
    assert sorted(fakes.ran) == ["a", "a", "b", "c", "d"]
    assert all(names(store, fakes.key(name)) == ["a", name] for name in "bcd")


def test_an_input_damaged_again_and_again_is_given_up(fakes, run, store, events):
    fakes.add("a")
    fakes.add("b", "a")
    fakes.add("c", "b")
    fakes.add("d")
    events.on("done", "a", lambda: corrupt(store, fakes.key("a")))
    failures = run("c", "d")
    assert failures.keys() == {"b", "c"}
    reason = f"its input {fakes.key('a')} is damaged again and again"
    assert set(failures.values()) == {reason}
    assert fakes.ran.count("a") == ATTEMPTS
    assert "b" not in fakes.ran
    assert names(store, fakes.key("d")) == ["d"]


def test_a_damaged_input_that_cannot_be_computed_again_fails_what_needs_it(fakes, run, store):
    fakes.add("a", kind=Kind.DATA)
    for name in "bcd":
        fakes.add(name, "a")
    run("a")
    corrupt(store, fakes.key("a"))
    fakes.behaviour["a"] = fails(OodbenchError("gone"))
    assert run(*"bcd") == dict.fromkeys("abcd", "gone")


# Disks that are full, and runs that are interrupted.


def test_a_full_disk_ends_the_run_and_keeps_what_is_finished(fakes, run, store):
    for name in "abc":
        fakes.add(name)
    fakes.behaviour["b"] = fails(StorageError("the disk is full"))
    with pytest.raises(StorageError):
        run(*"abc")
    assert fakes.ran == ["a", "b"]
    assert names(store, fakes.key("a")) == ["a"]
    assert not list(store.root.glob("tmp/*"))
    del fakes.behaviour["b"]
    assert run(*"abc") == {}
    assert fakes.ran == ["a", "b", "b", "c"]


def test_an_interrupt_ends_the_run_and_keeps_what_is_finished(fakes, run, store, events):
    for name in "abc":
        fakes.add(name)

    def interrupt():
        raise KeyboardInterrupt

    events.on("done", "b", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(*"abc")
    assert fakes.ran == ["a", "b"]
    assert names(store, fakes.key("a")) == ["a"]
    events.todo.clear()
    assert run(*"abc") == {}
    assert fakes.ran == ["a", "b", "c"]


@pytest.mark.parametrize("place", ["lock", "write"])
def test_a_cache_that_can_no_longer_be_written_ends_the_run(fakes, run, store, place):
    """Not being able to lock is no fault of the job."""
    fakes.add("a")
    fakes.add("b")

    def spoil(_):
        folder = store.root / ("locks" if place == "lock" else "tmp")
        folder.rename(store.root / "elsewhere")
        folder.touch()

    fakes.behaviour["a"] = spoil
    with pytest.raises(StorageError, match=r"Not a directory|File exists"):
        run("a", "b")


# Several processes. Their jobs are real ones: images of noise.


def noise(seed, *inputs, n=4):
    config = {"dataset": "uniform_noise", "classes": None, "n": n, "image_size": 8, "seed": seed}
    return Job(Kind.DATA, config, {str(i): job.key for i, job in enumerate(inputs)}, (), f"noise {seed}")


def plan_of(*noises):
    return {job.key: job for job in noises}


@pytest.fixture
def put(store):
    """Stores what a job would make, so that a worker finds it there and need not load torch."""

    def call(job):
        with store.create(job.key, {"kind": job.kind}) as draft:
            draft.json("card", {})

    return call


def workers():
    """The worker processes of an engine in this process."""
    return [process.pid for process in active_children()]


class Meanwhile(threading.Thread):
    """Does something while the engine runs, holding locks; an error in it is an error of the test."""

    def __init__(self, action, *locks):
        super().__init__(daemon=True)
        self.action, self.locks, self.error = action, locks, None
        self.ready = threading.Event()

    def run(self):
        try:
            with ExitStack() as held:
                for lock in self.locks:
                    held.enter_context(lock)
                self.ready.set()
                self.action()
        except BaseException as error:
            self.error = error
        self.ready.set()

    def __enter__(self):
        self.start()
        self.ready.wait()

    def __exit__(self, *_):
        self.join()
        assert self.error is None, self.error


def test_two_workers_do_what_one_does(store, events, tmp_path):
    first, second = noise(0), noise(1)
    third = noise(2, first, second)
    plan = plan_of(first, second, third)
    assert LocalEngine(store, 2, ENVIRONMENT).run(plan, plan, events) == {}
    assert workers() == []
    assert sorted(events[:2]) == [("start", "noise 0"), ("start", "noise 1")]
    assert events[-2:] == [("start", "noise 2"), ("done", "noise 2")]
    alone = Store(tmp_path / "alone")
    alone.prepare()
    assert LocalEngine(alone, 1, ENVIRONMENT).run(plan, plan, events) == {}
    for key in plan:
        assert store.open(key).manifest["files"] == alone.open(key).manifest["files"]


@needs_proc
def test_a_job_whose_process_dies_is_tried_again_and_idle_processes_may_die_too(store, events, put):
    slow, quick = noise(0), noise(1)
    last = noise(2, slow, quick)
    plan = plan_of(slow, quick, last)
    engine = LocalEngine(store, 2, ENVIRONMENT)
    events.on("start", "noise 1", lambda: put(quick))
    events.on("start", "noise 2", lambda: put(last))

    def kill_both():
        wait_until(lambda: ("done", "noise 1") in events and len(workers()) == 2, "the quick job")
        for pid in workers():
            kill(pid)
        wait_until(lambda: events.count(("start", "noise 0")) >= 2, "another attempt")
        put(slow)

    with Meanwhile(kill_both, store.lock(slow.key)):
        assert engine.run(plan, plan, events) == {}
    assert events.count(("start", "noise 1")) == events.count(("start", "noise 2")) == 1
    assert [event for event, _ in events].count("done") == 3
    assert workers() == []


@needs_proc
def test_a_job_whose_process_always_dies_fails_and_takes_no_other_with_it(store, events, put):
    """The other one runs all the while."""
    deadly, innocent = noise(0), noise(1)
    needs_it = noise(2, deadly)
    plan = plan_of(deadly, innocent, needs_it)
    engine = LocalEngine(store, 2, ENVIRONMENT)

    def busy():
        return list(engine._busy.values())

    def kill_whoever_does_the_deadly_job():
        wait_until(lambda: len(busy()) == 2, "two busy workers")
        first, others = busy()
        for attempt in range(1, ATTEMPTS + 1):
            wait_until(lambda n=attempt: events.count(("start", "noise 0")) == n, "an attempt")
            wait_until(
                lambda: len(busy()) == 2 and all(worker._processes for worker in busy()), "its process"
            )
            (its,) = [worker for worker in busy() if worker is not others]
            assert (its is first) == (attempt == 1)
            kill(next(iter(its._processes)))
        wait_until(lambda: ("failed", "noise 0") in events, "the failure")
        put(innocent)

    with Meanwhile(kill_whoever_does_the_deadly_job, store.lock(deadly.key), store.lock(innocent.key)):
        failures = engine.run(plan, plan, events)
    assert failures == dict.fromkeys((deadly.key, needs_it.key), "its process died; out of memory?")
    assert events.count(("start", "noise 0")) == ATTEMPTS
    assert events.count(("start", "noise 1")) == 1
    assert workers() == []


@needs_proc
def test_an_interrupt_ends_the_workers_at_once(store, events):
    job = noise(0)
    seen = []

    def interrupt():
        wait_until(workers, "a worker")
        seen.extend(workers())
        os.kill(os.getpid(), signal.SIGINT)

    with store.lock(job.key), Meanwhile(interrupt), pytest.raises(KeyboardInterrupt):
        LocalEngine(store, 2, ENVIRONMENT).run(plan_of(job), [job.key], events)
    assert len(seen) == 1
    assert workers() == []
    assert not is_alive(seen[0])
    assert not store.has(job.key)


def test_a_worker_leaves_an_interrupt_to_its_parent():
    code = (
        "import os, signal, time\n"
        "from benchmark.engines.worker import start_worker\n"
        "start_worker.__globals__['threading'].Thread.start = lambda thread: None\n"
        "start_worker()\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
        "print(os.environ['OMP_NUM_THREADS'])\n"
    )
    assert start_worker.__module__ == "benchmark.engines.worker"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "1\n")


RUNNING = """
import sys
from pathlib import Path
from benchmark.artifacts import Store
from benchmark.engines.local import LocalEngine
from benchmark.job import Job, Kind

if __name__ == "__main__":
    jobs = [Job(Kind.DATA, {"seed": seed}) for seed in range(2)]
    print(*(job.key for job in jobs), flush=True)
    sys.stdin.readline()
    plan = {job.key: job for job in jobs}
    LocalEngine(Store(Path(sys.argv[1])), 2, dict()).run(plan, plan, lambda *_: None)
"""


@needs_proc
def test_workers_end_when_their_parent_is_killed(store, tmp_path):
    (tmp_path / "running.py").write_text(RUNNING)
    parent = subprocess.Popen(
        [sys.executable, tmp_path / "running.py", store.root],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    one, two = parent.stdout.readline().split()
    with store.lock(one), store.lock(two):
        parent.stdin.write("go\n")
        parent.stdin.flush()
        wait_until(lambda: len(descendants(parent.pid)) >= 3, "two workers and what tracks their resources")
        time.sleep(0.5)  # so that they are on their way, wherever that is
        children = descendants(parent.pid)
        kill(parent.pid)
        parent.communicate()
        wait_until(lambda: not any(map(is_alive, children)), "the end of the workers", seconds=30)
    assert store.usage()[0] == 0


def test_a_full_disk_ends_the_workers_and_keeps_what_is_finished(small_disk, events):
    store = Store(small_disk("size=256k"))
    store.prepare()
    small, large = noise(0), noise(1, n=4000)
    after = noise(2, small, large)
    plan = plan_of(small, large, after)
    alone = LocalEngine(store, 1, ENVIRONMENT).run(plan, [small.key], events)
    with pytest.raises(StorageError, match="No space left"):
        LocalEngine(store, 2, ENVIRONMENT).run(plan, plan, events)
    assert alone == {}
    assert workers() == []
    assert store.open(small.key).json("card")["n"] == 4
    assert not store.has(large.key)
    small_disk("size=8m")
    assert LocalEngine(store, 1, ENVIRONMENT).run(plan, plan, events) == {}


def test_a_job_that_another_process_does_meanwhile_is_not_done_again(fakes, store):
    fakes.add("a")
    job = fakes.jobs["a"]

    def the_other():
        time.sleep(0.2)
        with store.create(job.key, {"kind": "score"}) as draft:
            draft.json("names", ["the other"])

    with Meanwhile(the_other, store.lock(job.key)):
        assert perform(store.root, [job], ENVIRONMENT, fresh=False).status == "done"
    assert fakes.ran == []
    assert names(store, job.key) == ["the other"]
