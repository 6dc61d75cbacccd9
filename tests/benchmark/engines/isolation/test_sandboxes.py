"""Jobs of strangers in every sandbox that works here: what they reach, and what becomes of them."""

import contextlib
import os
import socket
import sys
from functools import cache
from pathlib import Path

import fake_jobs
import hostile_jobs
import pytest
from waiting import descendants, needs_proc, wait_until

import methods
from benchmark.engines.isolation.confinement import SANDBOXES, Bubblewrap, LimitsAlone, strongest, why_not
from benchmark.engines.isolation.limits import Limits
from benchmark.engines.pool import Outcome
from benchmark.engines.processes import STOPPED, Processes
from benchmark.engines.schedule import run_jobs
from benchmark.engines.timeouts import Timeouts
from benchmark.jobs.job import Kind

reason = cache(why_not)
PLENTY = Limits(2**33)
SECRET = "token-of-the-parent-4711"


SANDBOXED = [pytest.param(one, id=one.title) for one in SANDBOXES if not getattr(one, "nested", False)]
each_sandbox = pytest.mark.parametrize("confinement", SANDBOXED, indirect=True)
everywhere = pytest.mark.parametrize(
    "confinement", [*SANDBOXED, pytest.param(LimitsAlone(), id="limits alone")], indirect=True
)


@pytest.fixture
def confinement(request):
    if request.param.sandbox and (why := reason(request.param)) is not None:
        pytest.skip(f"{request.param.title}: {why}")
    return request.param


@pytest.fixture
def do(fakes, store, confinement):
    """Has one job do something; how that ended, and what it found."""

    def call(behaviour, *inputs, limits=PLENTY):
        fakes.add("a", *inputs)
        fakes.behaviour["a"] = behaviour
        group = (fakes.told(fakes.jobs["a"]),)
        does = hostile_jobs.IsolatedStrangers(confinement, limits, hostile_jobs.silent, ())
        outcome = does(store.root, group, fresh=False)
        done = outcome.status == "done" and "found.json" in store.manifest(fakes.key("a"))["files"]
        return outcome, store.open(fakes.key("a")).json("found") if done else None

    return call


@pytest.fixture
def servers(tmp_path):
    """A port, and the path of a socket, that anybody outside reaches."""
    place = tmp_path / "socket"
    with socket.create_server(("127.0.0.1", 0)) as one, socket.socket(socket.AF_UNIX) as other:
        other.bind(str(place))
        other.listen()
        yield one.getsockname()[1], str(place)


@everywhere
def test_a_job_reaches_no_server_not_even_of_this_machine(do, servers, confinement):
    outcome, found = do(hostile_jobs.reaches(*servers))
    assert outcome == Outcome("done")
    if confinement.sandbox:
        assert found == {"port": "ConnectionRefusedError", "path": "FileNotFoundError"} or (
            found["port"] == "OSError"
        )
    else:
        assert found == {"port": "reached", "path": "reached"}


@everywhere
def test_a_job_writes_to_its_own_folders_only(do, fakes, store, tmp_path, confinement):
    fakes.add("input")
    with store.create(fakes.key("input"), {"kind": "score"}) as draft:
        draft.json("names", ["input"])
    of_cache = [store.root, store.root / "objects", store.folder(fakes.key("input")), store.root / "tmp"]
    places = (tmp_path, *of_cache, Path(methods.__file__).parent, Path(sys.prefix))
    outcome, found = do(hostile_jobs.writes(places if confinement.sandbox else (tmp_path,)), "input")
    assert outcome == Outcome("done")
    reached = [place for place in places if (place / "written").exists()]  # its own /tmp is none of ours
    assert reached == ([] if confinement.sandbox else [tmp_path])
    assert len(found) == (7 if confinement.sandbox else 1)


@everywhere
def test_a_job_reads_no_secret(do, tmp_path, monkeypatch, confinement):
    monkeypatch.setenv("HF_TOKEN", SECRET)
    (tmp_path / "credentials").write_text(f"password {SECRET}")
    outcome, found = do(hostile_jobs.reads((tmp_path / "credentials",)))
    assert outcome == Outcome("done")
    assert (SECRET in found["text"]) != confinement.sandbox  # the file is there for all where there is none
    assert f"HF_TOKEN={SECRET}" not in found["text"]
    if confinement.sandbox:
        assert found["processes"] < 5


@pytest.mark.parametrize(
    "confinement", [*SANDBOXED, pytest.param(Bubblewrap(nested=True), id="old")], indirect=True
)
def test_a_sandbox_cannot_be_widened_from_within(do, confinement):
    _, found = do(hostile_jobs.escalates(Path("/usr")))
    assert found["remount"] not in (0, "reached")
    if not getattr(confinement, "nested", True):
        assert found["nested"] != 0


@everywhere
@pytest.mark.parametrize("processes", [1, 4])
def test_a_job_that_takes_too_much_memory_fails(do, processes):
    each = 2**30 if processes == 1 else 2**28
    outcome, _ = do(hostile_jobs.takes_memory(each, processes), limits=Limits(3 * 2**28))
    assert outcome.status == "failed"
    said = "MemoryError" if processes == 1 else r"stopped: it took more than 768 MiB of memory (--memory)"
    assert said in outcome.message


@needs_proc
@everywhere
def test_a_job_that_begins_processes_without_end_is_stopped_with_all_of_them(do):
    before = descendants(os.getpid())
    outcome, _ = do(hostile_jobs.multiplies())
    assert outcome == Outcome("failed", "stopped: it began more than 64 processes")
    wait_until(lambda: descendants(os.getpid()) <= before, "the end of them", seconds=10)


@each_sandbox
def test_nothing_of_a_job_outlives_its_answer(do, fakes, store):
    """Not even what left its session and its parent."""
    before = descendants(os.getpid())
    outcome, _ = do(hostile_jobs.lives_on())
    assert outcome == Outcome("done")
    assert descendants(os.getpid()) <= before
    assert fake_jobs.names(store, fakes.key("a")) == ["a"]


@everywhere
def test_a_link_in_the_place_of_a_file_does_not_get_into_the_cache(do, fakes, store, tmp_path):
    (tmp_path / "victim").write_text("[]")
    outcome, _ = do(hostile_jobs.leaves(tmp_path / "victim"))
    why = "what the job left cannot be an artifact: found.json is not a regular file of its own"
    assert outcome == Outcome("failed", why)
    assert not store.has(fakes.key("a"))
    assert (tmp_path / "victim").read_text() == "[]"


@everywhere
@pytest.mark.parametrize(
    ("text", "status"),
    [
        ('{"took": {"peak_memory_mb": NaN, "least_batch": "<b>", "seconds": -9, "code": 1}}\n', "done"),
        ("[" * 100000 + "\n", "died"),
        ("x" * 100000, "died"),
        ('{"failed": "a\\u001b[31m' + "b" * 30000 + '"}\n', "failed"),
    ],
    ids=["numbers", "depth", "length", "text"],
)
def test_what_a_job_says_of_itself_is_taken_for_no_more_than_it_is(do, fakes, store, text, status):
    outcome, _ = do(hostile_jobs.says(text))
    assert outcome.status == status
    assert outcome.message.isprintable()
    assert len(outcome.message) < 20000
    if status == "done":
        made = store.manifest(fakes.key("a"))["made"]
        assert made["seconds"] >= 0
        assert made["code"] == fakes.jobs["a"].code
        assert made.keys() & {"peak_memory_mb", "least_batch"} == set()


@everywhere
def test_a_progress_that_a_job_invents_harms_nobody(do, fakes, store):
    def shows(text):
        folder = store.root / "partial" / fakes.key("a")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "progress.json").write_text(text)
        return store.progress(fakes.key("a"))

    fakes.add("a")
    assert shows('{"epoch": 3, "loss": "\\u001b[2J", "elapsed": 1e999, "seconds_left": null}') == {
        "epoch": 3, "seconds_left": None,
    }  # fmt: skip
    assert shows("[" * 5000) == {}
    assert shows(f'{{"epoch": {"1" * 70000}}}') == {}
    assert do(hostile_jobs.writes(()))[0] == Outcome("done")


@needs_proc
@pytest.mark.parametrize("how", ["isolated", "plain"])
def test_a_job_that_hangs_is_stopped_with_its_children_and_the_others_go_on(fakes, store, events, how):
    note = fakes.log.parent / "pids"
    for name, inputs in (("hangs", ""), ("needs it", ["hangs"]), ("other", "")):
        fakes.add(name, *inputs, kind=Kind.TRAIN if name == "hangs" else Kind.SCORE)
    fakes.behaviour["hangs"] = hostile_jobs.hangs(note)
    perform = fake_jobs.isolated() if how == "isolated" else fake_jobs.perform
    pool = Processes(1, (), perform, Timeouts({kind: 6.0 if kind == Kind.TRAIN else 90.0 for kind in Kind}))
    failures = run_jobs(store, pool, fakes.plan, list(fakes.plan), events)
    stopped = STOPPED.format("6 s")
    assert failures == {fakes.key("hangs"): stopped, fakes.key("needs it"): stopped}
    assert fake_jobs.names(store, fakes.key("other")) == ["other"]
    assert not store.has(fakes.key("hangs"))
    assert note.exists()
    if how == "plain":
        hung, child = note.read_text().split()
        wait_until(lambda: not Path(f"/proc/{hung}").exists(), "the end of it", seconds=10)
        wait_until(lambda: not Path(f"/proc/{child}").exists(), "the end of its child", seconds=10)
    # A sandbox that is nobody's child any more still has the folders of the cache on its command line.
    wait_until(lambda: not commands_with(str(store.root)), "the end of the sandbox", seconds=10)


def commands_with(text):
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found += [place] if text.encode() in place.read_bytes() else []
    return found


def test_the_strongest_sandbox_that_works_is_taken_and_the_others_are_named():
    class Refuses:
        title, sandbox = "a refusing one", True

        def command(self, view):
            return ["false"]

    class Pretends(Refuses):
        title = "a pretending one"

        def command(self, view):
            return ["env"]

    class IsMissing(Refuses):
        title = "a missing one"

        def command(self, view):
            return ["no-such-program"]

    found, refused = strongest([IsMissing(), Refuses(), Pretends()])
    assert found == LimitsAlone()
    assert refused == [
        "a missing one: no-such-program is not installed",
        "a refusing one: exit code 1",
        "a pretending one: the network can be reached",
    ]
