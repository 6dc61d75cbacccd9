"""Runs that are killed or interrupted go on; two at once share the work."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
from small_runs import artifacts, assert_sound, command, lose, planned, run
from waiting import descendants, is_alive, kill, needs_proc, wait_until

from benchmark.jobs.job import Kind
from benchmark.store.artifacts import Store


@pytest.fixture
def start(small, tmp_path):
    """Starts the command line as a process with a group of its own, as a terminal does."""
    started = []

    def call(place, *arguments):
        line = [sys.executable, "-m", "oodbench", *command(small, place, tmp_path, *arguments)]
        process = subprocess.Popen(
            line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        started.append(process)
        return process

    yield call
    for process in started:
        with process:
            process.kill()


@pytest.mark.long
@needs_proc
def test_the_command_line_goes_on_after_it_was_killed(reference, place, small, start):
    """The networks are there, which spares loading timm."""
    early = {key for key, kind in artifacts(place).items() if kind in ("data", "classify", "measure")}
    lose(place, *early)
    shutil.rmtree(place.results)
    process = start(place, "--jobs", 2)
    wait_until(lambda: early & set(artifacts(place)) or process.poll() is not None, "a first artifact")
    children = descendants(process.pid)
    assert len(children) >= 2
    kill(process.pid)
    process.wait()
    wait_until(lambda: not any(map(is_alive, children)), "the end of the workers")
    kept = early & set(artifacts(place))
    assert kept
    assert place.records() == {}
    done, _ = run(small, place)
    assert len(done) == len(early) - len(kept)
    assert_sound(place, planned(small))
    assert place.measurements() == reference.measurements()


@pytest.mark.long
@needs_proc
def test_an_interrupted_run_writes_what_is_finished_and_goes_on(reference, place, small, start):
    """As Ctrl-C does it: every process of the group gets the signal."""
    plan = planned(small)
    last = next(cell for cell in plan.cells if cell.cell.entry == "knn" and cell.cell.seed == 1)
    lose(place, *(cell.key for cell in plan.cells), last.chain[Kind.SCORE])
    shutil.rmtree(place.results)
    with Store(place.cache).lock(last.chain[Kind.SCORE]):
        process = start(place, "--jobs", 2)
        wait_until(
            lambda: list(artifacts(place).values()).count("measure") == 3 or process.poll() is not None,
            "three measured cells",
        )
        children = descendants(process.pid)
        os.killpg(process.pid, signal.SIGINT)
        said = process.stderr.read()
        process.wait()
    assert process.returncode == 130, said
    assert "interrupted; what is finished is kept" in said
    assert "Traceback" not in said
    wait_until(lambda: not any(map(is_alive, children)), "the end of the workers")
    expected = reference.measurements()
    del expected["small", "knn", "tiny", "scratch", 1, ""]
    assert place.measurements() == expected
    done, _ = run(small, place)
    assert done == ["small tiny scratch seed 1: measure knn", "small tiny scratch seed 1: scores of knn"]
    assert place.measurements() == reference.measurements()


NURSERY = """
import os, sys
from pathlib import Path
import sklearn.datasets, timm, torch
from benchmark.engines.in_process import InProcess
from benchmark.jobs.job import Job, Task
from benchmark.plan.make import Selection, make_plan
from benchmark.run import run_plan
from benchmark.spec.load import load_spec

def noting(log, kind, function):
    def call(given):
        tasks = [given] if isinstance(given, Task) else given
        with open(log, "a") as file:
            file.writelines(f"{kind} {task.draft.folder.name[:12]}\\n" for task in tasks)
        function(given)
    return call

def run(leaderboard, cache, results, log):
    run_of = Job.run.fget
    Job.run = property(lambda job: noting(log, job.kind, run_of(job)))
    plan = make_plan(load_spec(Path(leaderboard)), Selection())
    run_plan(plan, cache=Path(cache), results=Path(results), pool=InProcess(), on_event=lambda *_: None)

for line in sys.stdin:
    what, *words = line.split()
    if what == "wait":
        print(os.waitstatus_to_exitcode(os.waitpid(int(words[0]), 0)[1]), flush=True)
    elif (child := os.fork()) == 0:
        status = 1
        try:
            run(*words)
            status = 0
        finally:
            os._exit(status)
    else:
        print(child, flush=True)
"""


class Nursery:
    """A process that has loaded everything, and whose children each run the small leaderboard at once."""

    def __init__(self, log):
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", NURSERY],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.log = log

    def _ask(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def start(self, leaderboard, place):
        return self._ask("run", leaderboard, place.cache, place.results, self.log)

    def wait(self, child):
        """Exit code, or minus the signal."""
        return self._ask("wait", child)

    def computed(self):
        """What was begun, a line each, in whatever process."""
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture(scope="module")
def only_nursery(tmp_path_factory):
    if not hasattr(os, "fork"):
        pytest.skip("processes cannot be forked here")
    nursery = Nursery(tmp_path_factory.mktemp("nursery") / "computed")
    with nursery.process:
        yield nursery
        nursery.process.stdin.close()


@pytest.fixture
def nursery(only_nursery):
    only_nursery.log.unlink(missing_ok=True)
    return only_nursery


@pytest.mark.long
@needs_proc
def test_a_run_that_is_killed_at_random_times_goes_on(reference, empty, small, nursery):
    rng = random.Random(20)
    plan = planned(small)
    known = set()
    codes = []
    for _ in range(6):
        enough = len(nursery.computed()) + rng.randint(2, 4)
        child = nursery.start(small, empty)
        wait_until(lambda n=enough, c=child: len(nursery.computed()) >= n or not is_alive(c), "some jobs")
        time.sleep(rng.uniform(0, 0.05))
        kill(child)
        codes.append(nursery.wait(child))
        before, known = known, set(artifacts(empty))
        assert before <= known <= set(plan.jobs)
        if known == set(plan.jobs):
            break
    assert codes[:2] == [-signal.SIGKILL] * 2
    assert set(codes) <= {-signal.SIGKILL, 0}
    assert empty.measurements().items() <= reference.measurements().items()
    began = [line.split()[1] for line in nursery.computed()]
    # Begun twice is only what was killed while it was made: a job, or the four of a network's features.
    assert len(began) - len(set(began)) <= 4 * len(codes)
    assert len(known) > 4
    done, _ = run(small, empty)
    assert len(done) == len(plan.jobs) - len(known)
    assert_sound(empty, plan)
    assert not list(empty.cache.glob("damaged/*"))
    assert empty.measurements() == reference.measurements()
    assert run(small, empty)[0] == []


def test_two_runs_at_once_share_the_work(reference, empty, small, nursery):
    children = [nursery.start(small, empty) for _ in range(2)]
    assert [nursery.wait(child) for child in children] == [0, 0]
    computed = nursery.computed()
    assert len(computed) == len(set(computed)) == len(planned(small).jobs)
    assert empty.measurements() == reference.measurements()
    assert_sound(empty, planned(small))
