"""The schedule, with a pool whose jobs end as no real one's do on demand: dead, damaged, out of order."""

import pytest
from fake_pool import FakePool

from benchmark.engines.pool import Outcome
from benchmark.engines.schedule import ATTEMPTS
from benchmark.errors import StorageError

DIED = Outcome("died", "it is gone", spoiled=True)


@pytest.mark.parametrize("capacity", [1, 2, 3, 8])
def test_a_pool_is_given_as_much_as_it_takes_at_once_and_no_more(fakes, run, capacity):
    for name in "abcd":
        fakes.add(name)
    pool = FakePool(capacity)
    assert run(*"abcd", by=pool) == {}
    assert pool.given == [["a"], ["b"], ["c"], ["d"]]
    assert pool.most == min(capacity, 4)
    assert pool.stopped


def test_a_group_is_one_of_what_a_pool_takes_at_once(fakes, run):
    for name in "abc":
        fakes.add(name, group="g")
    fakes.add("d")
    pool = FakePool(2)
    assert run(*"abcd", by=pool) == {}
    assert pool.given == [["a", "b", "c"], ["d"]]
    assert pool.most == 2


def test_what_was_begun_last_may_end_first(fakes, run, events):
    fakes.add("slow")
    fakes.add("quick")
    fakes.add("after", "quick")
    fakes.add("end", "slow", "after")
    assert run("end", by=FakePool(2, order=["quick", "after"])) == {}
    assert [name for event, name in events if event == "done"] == ["quick", "after", "slow", "end"]


def test_a_job_that_died_is_tried_again(fakes, run, events):
    fakes.add("a")
    fakes.add("b", "a")
    pool = FakePool(ends={"a": [DIED] * (ATTEMPTS - 1)})
    assert run("b", by=pool) == {}
    assert pool.given == [["a"]] * ATTEMPTS + [["b"]]
    assert [event for event, _ in events] == [*["start"] * ATTEMPTS, "done", "start", "done"]


def test_a_job_that_dies_each_time_fails_and_what_needs_it_and_no_other(fakes, run, store):
    fakes.add("a")
    fakes.add("b", "a")
    fakes.add("c")
    pool = FakePool(2, {"a": [DIED] * ATTEMPTS})
    assert run("b", "c", by=pool) == dict.fromkeys("ab", "it is gone")
    assert pool.given.count(["a"]) == ATTEMPTS
    assert store.has(fakes.key("c"))


def test_of_a_group_that_died_each_is_tried_alone_and_as_often_as_any(fakes, run):
    for name in "abc":
        fakes.add(name, group="g")
    pool = FakePool(ends={"a": [DIED], "b": [DIED] * ATTEMPTS})
    assert run(*"abc", by=pool) == {"b": "it is gone"}
    assert pool.given == [["a", "b", "c"], ["a"], *[["b"]] * ATTEMPTS, ["c"]]


@pytest.fixture
def damaged(fakes, run, store, events):
    """An input that is there when the run begins, and set aside once ``finder`` has begun; how that ends."""
    fakes.add("input")
    run("input", by=FakePool())
    events.clear()
    fakes.add("finder", "input")
    events.on("start", "finder", lambda: store.set_aside(fakes.key("input")))
    return {"finder": [Outcome("damaged", fakes.key("input"))]}


def test_a_damaged_input_is_made_again_while_others_go_on(fakes, run, events, damaged):
    fakes.add("end", "finder")
    fakes.add("other")
    pool = FakePool(2, damaged)
    assert run("end", "other", by=pool) == {}
    assert pool.given == [["finder"], ["other"], ["input"], ["finder"], ["end"]]
    assert [name for event, name in events if event == "done"] == ["other", "input", "finder", "end"]


def test_a_job_that_fails_with_an_input_while_it_runs_has_failed(fakes, run, events, damaged):
    """Its group was begun before another job found the input damaged, which cannot be made again."""
    fakes.add("a", group="g")
    fakes.add("b", "input", group="g")
    ends = damaged | {"input": [Outcome("failed", "gone")]}
    pool = FakePool(2, ends, order=["finder", "input"])
    assert run("finder", "a", "b", by=pool) == dict.fromkeys(("input", "finder", "b"), "gone")
    assert pool.given == [["finder"], ["a", "b"], ["input"]]
    assert [name for event, name in events if event == "done"] == ["a"]


@pytest.mark.parametrize("capacity", [1, 2])
def test_a_cache_that_cannot_be_written_ends_the_run_whatever_else_is_going_on(fakes, run, store, capacity):
    for name in "abc":
        fakes.add(name)
    pool = FakePool(capacity, {"b": [Outcome("storage", "no room")]})
    with pytest.raises(StorageError, match="no room"):
        run(*"abc", by=pool)
    assert store.has(fakes.key("a"))
    assert pool.stopped


@pytest.mark.parametrize("method", ["submit", "outcomes"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_a_pool_is_stopped_however_the_run_ends(fakes, run, monkeypatch, method, error):
    fakes.add("a")
    pool = FakePool()

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(pool, method, fail)
    with pytest.raises(error):
        run("a", by=pool)
    assert pool.stopped
