"""Whole runs: on a device beside the CPU, and where memory does not hold what is computed at once."""

import pytest
import torch
from small_runs import Place, cells, planned, run

from benchmark.backbones import device
from benchmark.backbones.extract import Tap
from benchmark.engines import environment
from benchmark.engines.processes import Processes
from benchmark.jobs.job import Kind
from benchmark.records.results import read_records, record_path
from benchmark.store.artifacts import Store


@pytest.fixture
def holds(monkeypatch):
    """Has a network hold at most so many images at once."""

    def most(count):
        look = Tap.__call__

        def limited(tap, images, *what, maps=False):
            if len(images) > count:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
            return look(tap, images, *what, maps=maps)

        monkeypatch.setattr(Tap, "__call__", limited)

    return most


def test_a_run_on_a_device_comes_to_the_same_as_on_the_cpu(reference, empty, small):
    """Another name of the CPU stands in for an accelerator; it has one worker, and the CPU another."""
    run(small, empty, pool=Processes(1, ["cpu:0"]))
    assert empty.measurements() == reference.measurements()
    assert {r.key for r in empty.records().values()} == {r.key for r in reference.records().values()}


def test_records_say_on_which_device_networks_were_trained_and_what_it_took(empty, small, monkeypatch):
    """As a worker of an invented accelerator says it; all is computed on the CPU."""
    monkeypatch.setattr(device, "accelerator", lambda: "cuda Invented")
    monkeypatch.setattr(device, "_TELL", {"cpu"})
    monkeypatch.setattr(torch.accelerator, "reset_peak_memory_stats", lambda place: None)
    monkeypatch.setattr(torch.accelerator, "max_memory_allocated", lambda place: 3 * 2**20)
    environment.environment.cache_clear()
    try:
        run(small, empty)
    finally:
        environment.environment.cache_clear()
    for row in ("msp", "knn"):
        file = read_records(record_path(empty.results, "small", row))
        for record in file.records:
            assert file.environments[record.provenance.trained_in].accelerator == "cuda Invented"
            assert record.cost.peak_device_memory_mb == 3.0
            assert record.cost.least_batch is None


def test_where_memory_is_short_records_are_the_same_and_say_how_many_images_it_held(
    reference, empty, small, holds
):
    holds(5)
    run(small, empty)
    there = empty.records()
    assert there.keys() == reference.records().keys()
    for cell, record in reference.records().items():
        found = there[cell]
        assert found.key == record.key
        assert found.numbers == pytest.approx(record.numbers, abs=1e-5)
        assert found.cost.least_batch in (3.0, 4.0, 5.0)
        assert record.cost.least_batch is None
    made = [Store(empty.cache).manifest(key)["made"] for key in planned(small).jobs]
    assert {one["kind"] for one in made if "least_batch" in one} == {Kind.EXTRACT}


def test_what_does_not_hold_one_image_is_a_failure_with_that_reason(empty: Place, small, holds):
    holds(0)
    _, summary = run(small, empty)
    found = cells(summary).values()
    assert {record.status for record in found} == {"failed"}
    for record in found:
        assert record.reason == (
            "out of memory at batch size 1: CUDA out of memory. Tried to allocate 20.00 GiB."
        )
