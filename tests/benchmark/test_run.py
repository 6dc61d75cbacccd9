"""Whole runs of a small leaderboard: what is computed again, what survives accidents, what is recorded."""

import errno
import importlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from waiting import descendants, is_alive, kill, needs_proc, wait_until

import oodbench
from benchmark import fingerprints, jobs
from benchmark.artifacts import MANIFEST, Store
from benchmark.errors import DataError, StorageError
from benchmark.job import Kind
from benchmark.plan import Selection, make_plan
from benchmark.results import read_all, read_records, record_path
from benchmark.run import run_plan, wanted_keys
from benchmark.spec import load_spec
from methods import registry


class Place(NamedTuple):
    """Where a run keeps things."""

    cache: Path
    results: Path

    def records(self):
        """Every record by cell, once each."""
        found = {}
        for file in read_all(self.results):
            for record in file.records:
                cell = (file.track, file.entry, *record.cell)
                assert cell not in found
                found[cell] = record
        return found

    def measurements(self):
        return {cell: record.measurement.model_dump_json() for cell, record in self.records().items()}

    def state(self):
        """Content and time of every record file."""
        return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in self.results.rglob("*.json")}


class Events(list):
    def __call__(self, event, job, message):
        self.append((event, job.label))

    def done(self):
        return sorted(label for event, label in self if event == "done")


def planned(leaderboard):
    return make_plan(load_spec(leaderboard), Selection())


def run(leaderboard, place, workers=1, **options):
    """Run everything in this process; the labels of the jobs that were done, and the summary."""
    events = Events()
    done = run_plan(
        planned(leaderboard),
        cache=place.cache,
        results=place.results,
        workers=workers,
        on_event=events,
        **options,
    )
    return events.done(), done


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An uninterrupted run by one process: made once, never changed."""
    return Place(tmp_path_factory.mktemp("cache"), tmp_path_factory.mktemp("results"))


@pytest.fixture
def reference(made, small):
    if not made.records():
        run(small, made)
    return made


@pytest.fixture
def empty(tmp_path):
    return Place(tmp_path / "cache", tmp_path / "results")


@pytest.fixture
def place(reference, empty):
    """A copy of the finished run."""
    shutil.copytree(reference.cache, empty.cache)
    shutil.copytree(reference.results, empty.results)
    return empty


@pytest.fixture
def features(place):
    """A copy of the finished run up to the features: nothing is scored yet."""
    lose(place, *(key for key, kind in artifacts(place).items() if kind in ("score", "measure")))
    shutil.rmtree(place.results)
    return place


@pytest.fixture
def cli(small, tmp_path, monkeypatch, capsys):
    """The command line in this process, without its workers: exit code and what it said on standard error."""
    before = signal.getsignal(signal.SIGTERM)

    def call(place, *arguments):
        monkeypatch.setattr(sys, "argv", ["oodbench", *command(small, place, tmp_path, *arguments)])
        monkeypatch.setenv("COLUMNS", "300")
        with pytest.raises(SystemExit) as ended:
            oodbench.main()
        return ended.value.code or 0, capsys.readouterr().err

    yield call
    signal.signal(signal.SIGTERM, before)


def command(small, place, tmp_path, *arguments):
    folders = {"--cache": place.cache, "--results": place.results, "--site": tmp_path / "site"}
    options = [str(part) for pair in folders.items() for part in pair if str(pair[0]) not in arguments]
    return ["run", "--all", "--jobs", "1", "--leaderboard", str(small), *options, *map(str, arguments)]


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


def lose(place, *keys):
    for key in keys:
        shutil.rmtree(place.cache / "objects" / key[:2] / key)


def artifacts(place):
    """The kind of every artifact, by key."""
    found = {}
    for path in place.cache.glob(f"objects/*/*/{MANIFEST}"):
        found[path.parent.name] = json.loads(path.read_text())["made"]["kind"]
    return found


def assert_sound(place, plan):
    """The cache holds each artifact of the plan, whole, and nothing else that passes for one."""
    store = Store(place.cache)
    assert {path.name for path in place.cache.glob("objects/*/*")} == set(plan.jobs)
    for key in plan.jobs:
        store.open(key)


# What is computed, and what is not computed again.


def test_a_first_run_measures_every_cell(reference, small):
    plan = planned(small)
    records = reference.records()
    assert sorted(records) == [
        ("small", entry, "tiny", "scratch", seed) for entry in ("knn", "msp") for seed in (0, 1)
    ]
    assert {record.status for record in records.values()} == {"measured"}
    assert sorted(p.relative_to(reference.results).as_posix() for p in reference.state()) == [
        "small/knn.json", "small/msp.json", "small/trainings/cross_entropy.json",
    ]  # fmt: skip
    assert {r.key for r in records.values()} == {cell.key for cell in plan.cells}
    assert_sound(reference, plan)
    assert not list(reference.cache.glob("tmp/*"))
    assert not list(reference.cache.glob("damaged/*"))


def test_a_second_run_computes_nothing_and_leaves_the_files_as_they_are(place, small):
    before = place.state()
    done, summary = run(small, place)
    assert done == []
    assert summary.written == []
    assert len(summary.records) == 4
    assert place.state() == before


def test_one_and_two_processes_measure_the_same(reference, empty, small):
    run(small, empty, workers=2)
    assert empty.measurements() == reference.measurements()
    for key in planned(small).jobs:
        files = [Store(place.cache).manifest(key)["files"] for place in (empty, reference)]
        assert files[0] == files[1]


def test_fresh_computes_everything_again_and_comes_to_the_same(place, small):
    before = place.measurements()
    files = place.state()
    done, summary = run(small, place, fresh=True)
    assert done == sorted(job.label for job in planned(small).jobs.values())
    assert summary.written == []
    assert place.measurements() == before
    assert place.state() == files


def test_lost_records_are_written_again_from_the_cache(place, small):
    before = place.state()
    shutil.rmtree(place.results)
    done, summary = run(small, place)
    assert done == []
    assert len(summary.written) == 4  # of two entries, their networks, and the trainings of these
    assert {p: content for p, (content, _) in place.state().items()} == {p: c for p, (c, _) in before.items()}


def test_a_lost_cache_does_not_change_the_records(place, small):
    before = place.state()
    shutil.rmtree(place.cache)
    done, summary = run(small, place)
    assert len(done) == len(planned(small).jobs)
    assert summary.written == []
    assert place.state() == before


@pytest.fixture
def edited(tmp_path, monkeypatch):
    """Makes the fingerprints see an edited copy of one of our modules."""

    def edit(module, old, new):
        find = fingerprints._source
        source = find(module).read_text()
        assert old in source
        copy = tmp_path / f"{module}.py"
        copy.write_text(source.replace(old, new))
        monkeypatch.setattr(fingerprints, "_source", lambda name: copy if name == module else find(name))
        fingerprints._parse.cache_clear()
        fingerprints.code_fingerprint.cache_clear()

    yield edit
    fingerprints._parse.cache_clear()
    fingerprints.code_fingerprint.cache_clear()


def test_a_changed_detector_is_all_that_is_computed_again(place, small, edited):
    before = place.state()
    edited("methods.detectors.knn", "-kth_distance(", "-1.0 * kth_distance(")
    done, summary = run(small, place)
    assert done == sorted(
        f"small tiny scratch seed {seed}: {what} knn" for seed in (0, 1) for what in ("scores of", "measure")
    )
    # The edit does not change a score, but the key that the record carries.
    assert summary.written == [record_path(place.results, "small", "knn")]
    unchanged = record_path(place.results, "small", "msp")
    assert place.state()[unchanged] == before[unchanged]


# Accidents.


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
    del expected["small", "knn", "tiny", "scratch", 1]
    assert place.measurements() == expected
    done, _ = run(small, place)
    assert done == ["small tiny scratch seed 1: measure knn", "small tiny scratch seed 1: scores of knn"]
    assert place.measurements() == reference.measurements()


NURSERY = """
import os, sys
from pathlib import Path
import sklearn.datasets, timm, torch
from benchmark import jobs
from benchmark.job import Kind
from benchmark.plan import Selection, make_plan
from benchmark.run import run_plan
from benchmark.spec import load_spec

def noting(log, kind, function):
    def call(*given):
        tasks = given[0] if len(given) == 1 else [jobs.Task(*given)]
        with open(log, "a") as file:
            file.writelines(f"{kind} {task.draft.folder.name[:12]}\\n" for task in tasks)
        function(*given)
    return call

def run(leaderboard, cache, results, log):
    for kind in Kind:
        setattr(jobs, kind, noting(log, kind, getattr(jobs, kind)))
    plan = make_plan(load_spec(Path(leaderboard)), Selection())
    run_plan(plan, cache=Path(cache), results=Path(results), workers=1, on_event=lambda *_: None)

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


OF_STUDIES = {Kind.TRAINING_SET, Kind.ATTACK, Kind.CORRUPT, Kind.ASSESS}
ELSEWHERE = {Kind.PRETRAIN, Kind.TUNE, Kind.BOUNDARY, *OF_STUDIES}  # that the small leaderboard has not


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in ELSEWHERE])
def test_a_damaged_file_of_any_kind_is_computed_again(place, reference, small, kind):
    """Lost records make the run look at what the cache holds."""
    key = next(job.key for job in planned(small).jobs.values() if job.kind == kind)
    for path in (place.cache / "objects" / key[:2] / key).iterdir():
        if path.name != MANIFEST:
            path.write_bytes(path.read_bytes()[:-1] + b"!")
    shutil.rmtree(place.results)
    # A network is read again only for features that are not there.
    readers = {"score", "measure", "classify", *(["extract"] if kind == Kind.TRAIN else [])}
    later = [k for k, made in artifacts(place).items() if made in readers]
    lose(place, *(k for k in later if k != key))
    done, _ = run(small, place)
    assert planned(small).jobs[key].label in done
    assert place.measurements() == reference.measurements()
    assert [path.name.partition("-")[0] for path in place.cache.glob("damaged/*")] == [key]
    assert_sound(place, planned(small))


def test_a_damaged_measurement_is_found_when_its_record_is_read(place, reference, small):
    plan = planned(small)
    for file in ("cell.json", MANIFEST):
        path = place.cache / "objects" / plan.cells[0].key[:2] / plan.cells[0].key / file
        path.write_text(path.read_text()[:-10])
        done, summary = run(small, place)
        assert done == [plan.jobs[plan.cells[0].key].label]
        assert len(summary.records) == 4
    assert place.measurements() == reference.measurements()


def test_a_disk_that_damages_what_is_written_is_an_error_and_no_cell_is_lost_silently(
    place, small, monkeypatch
):
    plan = planned(small)
    victim = plan.cells[0].key

    def forget_the_checksum(self, key, temporary, made, commit=Store._commit):
        commit(self, key, temporary, made)
        if key == victim:
            (self.folder(key) / "cell.json").write_text("{}")

    monkeypatch.setattr(Store, "_commit", forget_the_checksum)
    Store(place.cache).set_aside(victim)
    with pytest.raises(StorageError, match="damaged when it is read, 3 times over; check the disk"):
        run(small, place)
    monkeypatch.undo()
    assert len(run(small, place)[1].records) == 4


# Detectors that fail.

PLUGIN = """
from dataclasses import dataclass
import torch
from methods.base import Detector, NotApplicable, Paper, Signal
from methods.registry import register


@register("odd")
@dataclass(frozen=True)
class Odd(Detector):
    paper = Paper(title="t", authors="a", venue="v", year=2000)
    needs = frozenset({{Signal.LOGITS}})

    def fit(self, train, val, head, rng=None):
        {fit}
        return self

    def score(self, features):
        {score}
        return features.logits[:, 0].double()
"""


@pytest.fixture
def odd(small, tmp_path, monkeypatch):
    """Writes, and writes anew, a detector that somebody contributed; the leaderboard has an entry for it."""
    folder = tmp_path / "contributed"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(registry, "_found", {name: dict(found) for name, found in registry._found.items()})
    text = small.read_text().replace("entries: [msp, knn]", "entries: [msp, odd, knn]")
    small.write_text(
        text.replace("  msp: {detector: msp}\n", "  msp: {detector: msp}\n  odd: {detector: odd}\n")
    )

    def forget():
        sys.modules.pop("oodbench_test_odd", None)
        importlib.invalidate_caches()
        fingerprints._parse.cache_clear()
        fingerprints.code_fingerprint.cache_clear()
        fingerprints._source.cache_clear()

    def write(fit="pass", score="pass"):
        (folder / "oodbench_test_odd.py").write_text(PLUGIN.format(fit=fit, score=score))
        forget()
        importlib.import_module("oodbench_test_odd")

    yield write
    forget()


FAULTS = {
    "score raises": (
        {"score": "raise ZeroDivisionError('by nothing')"},
        r"ZeroDivisionError: by nothing (oodbench_test_odd.py:19)",
    ),
    "fit raises": (
        {"fit": "raise RuntimeError('no fit')"},
        r"RuntimeError: no fit (oodbench_test_odd.py:15)",
    ),
    "NaN": (
        {"score": "return features.logits[:, 0].double() * float('nan')"},
        "ScoreError: noise: 12 of 12 scores are NaN or infinite; every score must be finite",
    ),
    "wrong shape": (
        {"score": "return features.logits.double()"},
        "ScoreError: noise: expected scores of shape (12,), got (12, 3)",
    ),
    "no tensor": (
        {"score": "return None"},
        "ScoreError: noise: expected scores of shape (12,), got NoneType",
    ),
}


@pytest.mark.parametrize(
    ("fault", "reason"),
    list(FAULTS.values()),
    ids=list(FAULTS),
)
def test_a_detector_that_fails_is_recorded_so_and_the_others_are_measured(
    features, reference, small, odd, fault, reason
):
    odd(**fault)
    _, summary = run(small, features)
    failed = {str(cell): record for cell, record in summary.records.items() if record.status == "failed"}
    assert failed.keys() == {f"small tiny scratch seed {seed} odd" for seed in (0, 1)}
    assert {record.reason for record in failed.values()} == {reason}
    assert all(record.measurement is None and record.provenance is None for record in failed.values())
    recorded = read_records(record_path(features.results, "small", "odd"))
    assert [record.reason for record in recorded.records] == [reason, reason]
    others = {
        cell: r.measurement.model_dump_json() for cell, r in features.records().items() if cell[1] != "odd"
    }
    assert others == reference.measurements()
    before = features.state()
    again, _ = run(small, features)  # a failure is not cached, and nothing new is said of it
    assert again == []
    assert features.state() == before
    odd()
    mended, _ = run(small, features)
    assert mended == sorted(
        f"small tiny scratch seed {seed}: {what} odd" for seed in (0, 1) for what in ("scores of", "measure")
    )
    assert all(record.status == "measured" for record in features.records().values())


def test_a_failure_that_goes_away_by_itself_is_tried_again(place, small, monkeypatch):
    """The key stays the same: the code did not change."""
    lose(place, *(key for key, kind in artifacts(place).items() if kind == "measure"))
    files = place.state()
    shutil.rmtree(place.results)

    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(jobs, "measure", fail)
        _, summary = run(small, place)
    assert {record.status for record in summary.records.values()} == {"failed"}
    keys = {cell: record.key for cell, record in place.records().items()}
    run(small, place)
    assert {record.status for record in place.records().values()} == {"measured"}
    assert {cell: record.key for cell, record in place.records().items()} == keys
    assert len(place.state()) == len(files)


def test_r21_what_cannot_be_made_again_is_replaced_by_the_failure_and_named(place, small, monkeypatch):
    cells = [f"small {entry} tiny scratch {seed}" for entry in ("msp", "knn") for seed in (0, 1)]
    lose(place, *(key for key, kind in artifacts(place).items() if kind == "measure"))

    def fail(*_):
        raise RuntimeError("today it does not work")

    monkeypatch.setattr(jobs, "measure", fail)
    _, summary = run(small, place)
    assert {record.status for record in summary.records.values()} == {"failed"}
    assert {record.status for record in place.records().values()} == {"failed"}
    assert sorted(summary.withdrawn) == sorted(cells)
    assert run(small, place)[1].withdrawn == []  # told once


def test_what_does_not_apply_is_recorded_with_the_reason_and_is_no_failure(features, small, odd, cli):
    odd(fit="raise NotApplicable('the head is not linear')")
    code, said = cli(features)
    assert code == 0
    assert "failed" not in said
    recorded = read_records(record_path(features.results, "small", "odd"))
    assert [(r.status, r.reason) for r in recorded.records] == [
        ("not_applicable", "the head is not linear")
    ] * 2
    assert all(record.measurement is None and record.provenance is not None for record in recorded.records)
    assert run(small, features)[0] == []


def test_the_command_line_exits_with_1_if_a_cell_failed(features, odd, cli):
    odd(score="raise ZeroDivisionError('by nothing')")
    code, said = cli(features)
    assert code == 1
    assert "2 of 6 cells failed; the others are finished" in said
    assert "failed small tiny scratch seed 0: scores of odd: ZeroDivisionError: by nothing" in said
    odd()
    assert cli(features)[0] == 0


# Folders that cannot be written, records that cannot be read: said before anything is computed.


def assert_nothing_computed(place):
    assert not list(place.cache.glob("objects/*/*"))


@pytest.mark.parametrize("which", ["--cache", "--results", "--site"])
def test_a_folder_below_a_file_is_refused_before_anything_is_computed(empty, cli, tmp_path, which):
    (tmp_path / "file").touch()
    code, said = cli(empty, which, tmp_path / "file" / "folder")
    assert code == 1
    assert f"oodbench: {tmp_path / 'file' / 'folder'}" in said
    assert "Not a directory; a part of the path is a file, expected folders" in said
    assert "Traceback" not in said
    assert_nothing_computed(empty)


@pytest.mark.parametrize("which", ["--cache", "--results", "--site"])
@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_folder_that_may_not_be_written_is_refused_before_anything_is_computed(
    empty, cli, tmp_path, monkeypatch, which, number
):
    folder = tmp_path / "refused"
    real = Path.mkdir

    def refuse(self, *arguments, **options):
        if folder in (self, *self.parents):
            raise OSError(number, os.strerror(number))
        real(self, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", refuse)
    code, said = cli(empty, which, folder)
    assert code == 1
    assert f"{os.strerror(number)}; choose a folder" in said
    assert "Traceback" not in said
    assert_nothing_computed(empty)


@pytest.mark.parametrize("which", ["--cache", "--results", "--site"])
def test_a_disk_that_is_really_read_only_is_refused_before_anything_is_computed(
    empty, cli, small_disk, which
):
    folder = small_disk("size=64k")
    small_disk("ro")
    code, said = cli(empty, which, folder / "below")
    assert code == 1
    assert "Read-only file system; choose a folder that can be written" in said
    assert_nothing_computed(empty)


def test_a_cache_that_fills_up_ends_the_run_and_the_next_goes_on(reference, empty, small, cli, small_disk):
    disk = Place(small_disk("size=1400k") / "cache", empty.results)
    code, said = cli(disk)
    assert code == 1
    assert "No space left" in said
    assert str(disk.cache) in said
    assert "Traceback" not in said
    kept = set(artifacts(disk))
    assert 0 < len(kept) < len(planned(small).jobs)
    small_disk("size=32m")
    done, _ = run(small, disk)
    assert len(done) == len(planned(small).jobs) - len(kept)
    assert disk.measurements() == reference.measurements()
    assert not list(disk.cache.glob("damaged/*"))


def test_results_that_fill_up_are_reported_and_nothing_is_computed_twice(place, small, cli, small_disk):
    disk = Place(place.cache, small_disk("size=24k"))
    code, said = cli(disk)
    assert code == 1
    assert "No space left on device; free some space and run again; finished work is kept" in said
    small_disk("size=1m")
    assert run(small, disk)[0] == []
    assert disk.measurements() == place.measurements()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "the file: "),
        ("", "the file: "),
        ("<<<<<<< HEAD\n{}", "the file: "),
        ('{"schema_version": 1}', "schema_version: got 1, of an older oodbench"),
    ],
)
def test_a_record_file_that_cannot_be_read_is_named_before_anything_is_computed(
    empty, cli, small, text, complaint
):
    path = record_path(empty.results, "small", "knn")
    path.parent.mkdir(parents=True)
    path.write_text(text)
    code, said = cli(empty)
    assert code == 1
    assert f"oodbench: {path}: {complaint}" in said
    assert path.read_text() == text
    assert_nothing_computed(empty)
    with pytest.raises(DataError, match=r"knn\.json"):
        run(small, empty)


def test_records_of_other_cells_stay(place, small):
    before = place.records()
    plan = make_plan(load_spec(small), Selection(seeds=(1,), entries=("msp",)))
    shutil.rmtree(place.cache)
    summary = run_plan(plan, cache=place.cache, results=place.results, workers=1, on_event=lambda *_: None)
    assert len(summary.records) == 1
    assert place.records() == before


def test_every_artifact_that_a_record_draws_on_is_wanted(small):
    plan = planned(small)
    assert set(wanted_keys(plan)) == set(plan.jobs)
    assert len(wanted_keys(plan)) == len(plan.jobs)
