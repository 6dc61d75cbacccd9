"""Whole runs of a small leaderboard: what is computed, and what is not computed again."""

import shutil
from functools import cache

import pytest
from small_runs import assert_sound, cells, planned, run

from benchmark.plan.make import Selection, make_plan
from benchmark.records.text import record_path
from benchmark.run import run_plan, wanted_keys
from benchmark.spec.load import load_spec
from benchmark.store import fingerprints, syntax
from benchmark.store.artifacts import Store


def test_a_first_run_measures_every_cell(reference, small):
    plan = planned(small)
    records = reference.records()
    assert sorted(records) == [
        ("small", entry, "tiny", "scratch", seed, "") for entry in ("knn", "msp") for seed in (0, 1)
    ]
    assert {record.status for record in records.values()} == {"measured"}
    assert sorted(p.relative_to(reference.results).as_posix() for p in reference.state()) == [
        "small/knn.json", "small/msp.json", "small/networks/cross_entropy.json",
        "small/trainings/cross_entropy.json",
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
    assert len(cells(summary)) == 4
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
        find = syntax.find_source
        source = find(module).read_text()
        assert old in source
        copy = tmp_path / f"{module}.py"
        copy.write_text(source.replace(old, new))
        monkeypatch.setattr(syntax, "find_source", cache(lambda n: copy if n == module else find(n)))
        fingerprints.forget()

    yield edit
    monkeypatch.undo()
    fingerprints.forget()


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


def test_records_of_other_cells_stay(place, small):
    before = place.records()
    plan = make_plan(load_spec(small), Selection(seeds=(1,), entries=("msp",)))
    shutil.rmtree(place.cache)
    summary = run_plan(plan, cache=place.cache, results=place.results, workers=1, on_event=lambda *_: None)
    assert len(cells(summary)) == 1
    assert place.records() == before


def test_every_artifact_that_a_record_draws_on_is_wanted(small):
    plan = planned(small)
    assert set(wanted_keys(plan)) == set(plan.jobs)
    assert len(wanted_keys(plan)) == len(plan.jobs)
