"""The jobs of a plan: what an empty cache, a full one, and one that lacks what was built on leave to do."""

import shutil

import pytest

from benchmark.plan.make import Selection, make_plan
from benchmark.run import work
from benchmark.spec.load import load_spec
from benchmark.store.artifacts import Store


@pytest.fixture
def plan(small):
    """Only msp: the jobs of the tracks that it does not rest on are no work."""
    return make_plan(load_spec(small), Selection(entries=("msp",)))


def finish(store, jobs):
    for job in jobs:
        store.prepare()
        with store.create(job.key, {"kind": job.kind}) as draft:
            draft.json("made", {})


def counts(found):
    return len(found.needed), len(found.cached), len(found.missing)


def test_u6_an_empty_cache_holds_nothing(plan, tmp_path):
    found = work(plan, tmp_path / "none")
    needed = len(found.needed)
    assert counts(found) == (needed, 0, needed)
    assert {job.key for job in found.needed} <= plan.jobs.keys()
    assert not (tmp_path / "none").exists()


def test_u6_what_is_cached_is_counted_and_not_what_is_not_needed(plan, tmp_path):
    everything = work(plan, tmp_path / "cache").needed
    store = Store(tmp_path / "cache")
    finish(store, everything[:3])
    total = len(everything)
    assert counts(work(plan, store.root)) == (total, 3, total - 3)
    finish(store, everything[3:])
    assert counts(work(plan, store.root)) == (total, total, 0)
    assert counts(work(plan, store.root, fresh=True)) == (total, total, total)


def test_u6_what_was_built_on_may_be_gone(plan, tmp_path):
    everything = work(plan, tmp_path / "cache").needed
    store = Store(tmp_path / "cache")
    finish(store, everything)
    first = next(job for job in everything if not job.needs)
    shutil.rmtree(store.folder(first.key))
    wanted = {key for cell in plan.cells for key in cell.keys}
    again = 1 if first.key in wanted else 0
    assert counts(work(plan, store.root)) == (len(everything), len(everything) - 1, again)
