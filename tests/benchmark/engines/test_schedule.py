"""The schedule, with every pool: what is done, in which order, and what a failing job or file comes to."""

import pytest
from fake_jobs import blocks, corrupt, fails, names

from benchmark.engines.schedule import ATTEMPTS, missing
from benchmark.errors import OodbenchError, StorageError
from benchmark.jobs.job import Job, Kind
from benchmark.store.artifacts import MANIFEST

# What any pool must pass; two groups at once may be done in any order.
any_pool = pytest.mark.parametrize(
    "pool", ["this process", "one worker", "two workers", "a device", "isolated"], indirect=True
)


@any_pool
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


@any_pool
def test_an_input_of_several_runs_once(fakes, run):
    fakes.add("a")
    for name in "bcd":
        fakes.add(name, "a")
    fakes.add("e", *"bcd")
    run("e", "b", "e")
    assert sorted(fakes.ran) == list("abcde")
    assert fakes.ran[0] == "a"
    assert fakes.ran[-1] == "e"


@any_pool
def test_ready_jobs_of_a_group_are_done_together(fakes, run, store):
    fakes.add("network")
    for name in "abc":
        fakes.add(name, "network", group="g")
    fakes.add("other", "network", group="h")
    fakes.add("end", *"abc", "other")
    assert run("end") == {}
    assert sorted(map(sorted, fakes.groups)) == [["a", "b", "c"], ["other"]]
    assert fakes.ran.count("a") == 1
    assert names(store, fakes.key("end")) == ["a", "b", "c", "end", "network", "other"]


@any_pool
def test_a_failure_in_a_group_is_of_the_one_that_fails_by_itself(fakes, run, store):
    for name in "abc":
        fakes.add(name, group="g")
    fakes.behaviour["b"] = fails(OodbenchError("no such image"))
    assert run("a", "b", "c") == {"b": "no such image"}
    assert fakes.groups[0] == ["a", "b", "c"]
    assert sorted(fakes.groups[1:]) == [["a"], ["b"], ["c"]]
    assert [store.has(fakes.key(name)) for name in "abc"] == [True, False, True]


@any_pool
def test_a_second_run_runs_nothing_and_a_fresh_one_everything(fakes, run, store, events):
    fakes.add("a")
    fakes.add("b", "a")
    run("b")
    before = store.manifest(fakes.key("a"))["made"]["seconds"]
    events.clear()
    assert run("b") == {}
    assert fakes.ran == ["a", "b"]
    assert events == []
    assert run("b", fresh=True) == {}
    assert fakes.ran == ["a", "b", "a", "b"]
    assert store.manifest(fakes.key("a"))["made"]["seconds"] != before
    assert store.usage()[0] == 2


@any_pool
def test_dependants_of_a_failed_job_fail_with_its_reason_and_the_others_go_on(fakes, run, store, events):
    fakes.add("a")
    fakes.add("bad")
    fakes.add("b", "a", "bad")
    fakes.add("c", "b", "bad")
    fakes.add("d", "a")
    fakes.behaviour["bad"] = fails(OodbenchError("no luck"))
    assert run("c", "d") == dict.fromkeys(("bad", "b", "c"), "no luck")
    assert sorted(fakes.ran) == ["a", "bad", "d"]
    assert names(store, fakes.key("d")) == ["a", "d"]
    assert [name for event, name in events if event == "failed"] == ["bad", "b", "c"]
    assert not list(store.root.glob("tmp/*"))


@any_pool
def test_a_failure_is_not_cached(fakes, run, store):
    fakes.add("a")
    fakes.add("b", "a")
    fakes.behaviour["a"] = fails(OodbenchError("no luck"))
    assert run("b").keys() == {"a", "b"}
    del fakes.behaviour["a"]
    assert run("b") == {}
    assert names(store, fakes.key("b")) == ["a", "b"]


@any_pool
def test_a_damaged_input_is_computed_again_and_what_it_needs_from_the_beginning(fakes, run, store):
    for name, inputs in (("a", ""), ("b", "a"), ("c", "b")):
        fakes.add(name, *inputs)
    run("b")
    corrupt(store, fakes.key("b"))
    store.set_aside(fakes.key("a"))
    fakes.forget()
    assert run("c") == {}
    assert fakes.ran == ["a", "b", "c"]


@any_pool
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


@any_pool
def test_a_damaged_input_of_one_job_of_a_group_is_made_again_for_all(fakes, run, store):
    fakes.add("input")
    run("input")
    corrupt(store, fakes.key("input"))
    fakes.add("a", group="g")
    fakes.add("b", "input", group="g")
    assert run("a", "b") == {}
    assert fakes.ran.count("input") == 2
    assert names(store, fakes.key("b")) == ["b", "input"]


@any_pool
def test_a_full_disk_ends_the_run_and_keeps_what_is_finished(fakes, run, store):
    for name, inputs in (("a", ""), ("b", "a"), ("c", "b")):
        fakes.add(name, *inputs)
    fakes.behaviour["b"] = fails(StorageError("the disk is full"))
    with pytest.raises(StorageError, match="the disk is full"):
        run("c")
    assert fakes.ran == ["a", "b"]
    assert names(store, fakes.key("a")) == ["a"]
    assert not list(store.root.glob("tmp/*"))
    del fakes.behaviour["b"]
    assert run("c") == {}  # by the same pool
    assert fakes.ran == ["a", "b", "b", "c"]


@any_pool
@pytest.mark.parametrize("place", ["locks", "tmp"])
def test_a_cache_that_can_no_longer_be_written_ends_the_run(fakes, run, store, place):
    """Not being able to lock is no fault of the job."""
    fakes.add("a")
    fakes.add("b", "a")
    fakes.behaviour["a"] = blocks(store.root / place)
    with pytest.raises(StorageError, match=r"Not a directory|File exists"):
        run("b")


@any_pool
def test_an_interrupt_ends_the_run_and_keeps_what_is_finished(fakes, run, store, events):
    for name, inputs in (("a", ""), ("b", "a"), ("c", "b")):
        fakes.add(name, *inputs)

    def interrupt():
        raise KeyboardInterrupt

    events.on("done", "b", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run("c")
    assert fakes.ran == ["a", "b"]
    assert names(store, fakes.key("a")) == ["a"]
    events.todo.clear()
    assert run("c") == {}
    assert fakes.ran == ["a", "b", "c"]


# What follows is of the schedule alone: one group at a time, in this process.


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


def test_a_job_joins_its_group_once_its_inputs_are_there(fakes, run, store):
    fakes.add("network")
    fakes.add("late")
    fakes.add("features of late", "network", "late", group="g")
    for name in "abc":
        fakes.add(name, "network", group="g")
    assert run("late", "features of late", *"abc") == {}
    assert sorted(map(sorted, fakes.groups)) == [["a", "b", "c", "features of late"]]
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


def test_one_input_may_have_two_roles(fakes, run, store):
    fakes.add("a")
    job = Job(Kind.SCORE, {"name": "b"}, {"one": fakes.key("a"), "two": fakes.key("a")}, (), "b")
    fakes.jobs["b"] = job
    assert run("b") == {}
    assert fakes.ran == ["a", "b"]


@pytest.mark.parametrize("file", ["names.json", MANIFEST])
def test_an_input_damaged_between_two_runs_is_computed_again(fakes, run, store, file):
    for name, inputs in (("a", ""), ("b", "a"), ("c", "b")):
        fakes.add(name, *inputs)
    run("b")
    corrupt(store, fakes.key("b"), file)
    fakes.forget()
    assert run("c") == {}
    assert fakes.ran == ["b", "c"]
    assert names(store, fakes.key("c")) == ["a", "b", "c"]


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
        fakes.forget()
    damage = [1]
    events.on("done", "a", lambda: damage and corrupt(store, fakes.key("a")) is damage.pop())
    assert run(*"bcd", fresh=fresh) == {}
    assert sorted(fakes.ran) == ["a", "a", "b", "c", "d"]
    assert all(names(store, fakes.key(name)) == ["a", name] for name in "bcd")


def test_a_damaged_input_that_cannot_be_computed_again_fails_what_needs_it(fakes, run, store):
    fakes.add("a", kind=Kind.DATA)
    for name in "bcd":
        fakes.add(name, "a")
    run("a")
    corrupt(store, fakes.key("a"))
    fakes.behaviour["a"] = fails(OodbenchError("gone"))
    assert run(*"bcd") == dict.fromkeys("abcd", "gone")


def test_what_is_missing(fakes, run, store):
    for name, inputs in (("a", ""), ("b", "a"), ("c", "b"), ("d", "a")):
        fakes.add(name, *inputs)

    def lacking(*wanted, **options):
        found = missing(store, fakes.plan, [fakes.key(name) for name in wanted], **options)
        return [job.label for job in found]

    assert lacking("c") == ["a", "b", "c"]
    assert lacking("d", "c", "a") == ["a", "d", "b", "c"]
    run("b")
    assert lacking("c", "b") == ["c"]
    store.set_aside(fakes.key("a"))
    assert lacking("c") == ["c"]  # b is there: what it was made from is not needed
    assert lacking("d") == ["a", "d"]
    assert lacking("c", fresh=True) == ["a", "b", "c"]
    assert lacking() == []
