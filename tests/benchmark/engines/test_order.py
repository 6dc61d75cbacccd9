"""The local engine: what runs, and in which order."""

import time

from fake_jobs import ENVIRONMENT, corrupt, fails, names

from benchmark.engines.local import LocalEngine
from benchmark.errors import OodbenchError
from benchmark.jobs.job import Job, Kind


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
