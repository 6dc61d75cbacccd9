"""Worker processes: what a dying one, an interrupt or a full disk comes to."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from multiprocessing import active_children

import pytest
from fake_jobs import ends_its_process
from waiting import descendants, is_alive, kill, needs_proc, wait_until

from benchmark.engines import environment
from benchmark.engines.processes import DIED, Processes
from benchmark.engines.schedule import ATTEMPTS, run_jobs
from benchmark.engines.worker import start_worker
from benchmark.errors import StorageError
from benchmark.jobs import data
from benchmark.jobs.job import Job, Kind
from benchmark.store.artifacts import Store


def noise(seed, *inputs, n=4):
    config = data.Config("uniform_noise", image_size=8, seed=seed, n=n)
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
    """The worker processes of a pool of this process."""
    return [process.pid for process in active_children()]


class Meanwhile(threading.Thread):
    """Does something while the pool runs, holding locks; an error in it is an error of the test."""

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
    assert run_jobs(store, Processes(2), plan, plan, events) == {}
    assert workers() == []
    assert sorted(events[:2]) == [("start", "noise 0"), ("start", "noise 1")]
    assert events[-2:] == [("start", "noise 2"), ("done", "noise 2")]
    alone = Store(tmp_path / "alone")
    alone.prepare()
    assert run_jobs(alone, Processes(1), plan, plan, events) == {}
    for key in plan:
        assert store.open(key).manifest["files"] == alone.open(key).manifest["files"]


def test_a_worker_reports_its_own_environment_and_its_parent_is_not_asked(store, events, monkeypatch):
    job = noise(0)
    here = environment.environment()

    def refuse():
        raise AssertionError("this process makes nothing")

    monkeypatch.setattr(environment, "environment", refuse)
    assert run_jobs(store, Processes(1), plan_of(job), [job.key], events) == {}
    assert store.manifest(job.key)["made"]["environment"] == here.model_dump()


@pytest.mark.parametrize("pool", ["one worker", "two workers", "isolated"], indirect=True)
def test_a_job_that_ends_its_process_takes_no_other_with_it_not_even_of_its_group(fakes, run):
    for name in "abc":
        fakes.add(name, group="g")
    fakes.add("d")
    fakes.behaviour["b"] = ends_its_process()
    assert run(*"abcd") == {"b": DIED}
    assert fakes.ran.count("b") == 1 + ATTEMPTS  # with its group, and then alone
    assert workers() == []


@needs_proc
def test_a_job_whose_process_dies_is_tried_again_and_idle_processes_may_die_too(store, events, put):
    slow, quick = noise(0), noise(1)
    last = noise(2, slow, quick)
    plan = plan_of(slow, quick, last)
    events.on("start", "noise 1", lambda: put(quick))
    events.on("start", "noise 2", lambda: put(last))

    def kill_both():
        wait_until(lambda: ("done", "noise 1") in events and len(workers()) == 2, "the quick job")
        for pid in workers():
            kill(pid)
        wait_until(lambda: events.count(("start", "noise 0")) >= 2, "another attempt")
        put(slow)

    with Meanwhile(kill_both, store.lock(slow.key)):
        assert run_jobs(store, Processes(2), plan, plan, events) == {}
    assert events.count(("start", "noise 1")) == events.count(("start", "noise 2")) == 1
    assert [event for event, _ in events].count("done") == 3
    assert workers() == []


@needs_proc
def test_a_job_whose_process_always_dies_fails_and_takes_no_other_with_it(store, events, put):
    """The other one runs all the while."""
    deadly, innocent = noise(0), noise(1)
    needs_it = noise(2, deadly)
    plan = plan_of(deadly, innocent, needs_it)
    pool = Processes(2)

    def busy():
        return [worker for worker, _ in list(pool._busy.values())]

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
        failures = run_jobs(store, pool, plan, plan, events)
    assert failures == dict.fromkeys((deadly.key, needs_it.key), DIED)
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
        run_jobs(store, Processes(2), plan_of(job), [job.key], events)
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
from benchmark.store.artifacts import Store
from benchmark.engines.processes import Processes
from benchmark.engines.schedule import run_jobs
from benchmark.jobs.job import Job, Kind

if __name__ == "__main__":
    jobs = [Job(Kind.DATA, {"seed": seed}) for seed in range(2)]
    print(*(job.key for job in jobs), flush=True)
    sys.stdin.readline()
    plan = {job.key: job for job in jobs}
    run_jobs(Store(Path(sys.argv[1])), Processes(2), plan, plan, lambda *_: None)
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
    alone = run_jobs(store, Processes(1), plan, [small.key], events)
    with pytest.raises(StorageError, match="No space left"):
        run_jobs(store, Processes(2), plan, plan, events)
    assert alone == {}
    assert workers() == []
    assert store.open(small.key).json("card")["n"] == 4
    assert not store.has(large.key)
    small_disk("size=8m")
    assert run_jobs(store, Processes(1), plan, plan, events) == {}
