"""The local engine: what a failing job, file or disk comes to."""

import errno

import pytest
from fake_jobs import corrupt, fails, names

from benchmark.engines.local import ATTEMPTS
from benchmark.errors import OodbenchError, StorageError
from benchmark.jobs.job import Kind
from benchmark.store.artifacts import MANIFEST
from methods.base import ScoreError


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
        (ValueError("two\n  lines"), r"ValueError: two lines \(fake_jobs.py:\d+\)"),
        (MemoryError(), r"MemoryError:  \(fake_jobs.py:\d+\)"),
        (
            OSError(errno.ENOENT, "No such file"),
            r"FileNotFoundError: \[Errno 2\] No such file \(fake_jobs.py:\d+\)",
        ),
    ],
)
def test_the_reason_is_one_line_that_tells_where(fakes, run, error, reason):
    import re

    fakes.add("a")
    fakes.behaviour["a"] = fails(error)
    assert re.fullmatch(reason, run("a")["a"])


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
