"""What runs a network goes to the workers of accelerators, all else to those of the CPU, both at once.

Other names of the CPU stand in for accelerators: jobs note where the networks of their process compute.
"""

from contextlib import contextmanager

import fake_jobs
import pytest
import torch
from fake_jobs import ends_its_process, pauses
from fake_pool import FakePool

from benchmark.backbones import device
from benchmark.engines.processes import DIED, Processes
from benchmark.engines.schedule import ATTEMPTS
from benchmark.errors import StorageError
from benchmark.jobs.config import ScoringConfig, ScoringInputs
from benchmark.jobs.job import Job, Kind, Lane


def processes(workers, *devices):
    return Processes(workers, devices, fake_jobs.perform)


@pytest.mark.parametrize("kind", Kind)
def test_kinds_that_run_a_network_are_jobs_of_a_device(kind):
    of_network = {"pretrain", "train", "extract", "choose", "attack", "study"}
    assert Job(kind, None).lane == (Lane.DEVICE if kind in of_network else Lane.CPU)


@pytest.mark.parametrize("kind", [Kind.SCORE, Kind.TUNE])
def test_scores_are_where_they_need_the_network_itself(kind):
    """As planned: what shares the passes of a network is one group."""
    config = ScoringConfig("msp", [{}], [], 0)
    assert Job(kind, config, ScoringInputs([])).lane == Lane.CPU
    assert Job(kind, config, ScoringInputs([]), group="passes of it").lane == Lane.DEVICE


def test_each_lane_takes_what_it_has_room_for_and_waits_for_no_other(fakes, run):
    for name in "ab":
        fakes.add(f"train {name}", kind=Kind.TRAIN)
    for name in "cde":
        fakes.add(f"measure {name}", kind=Kind.MEASURE)
    pool = FakePool(2, devices=1, order=["measure c", "measure d", "measure e"])
    assert run("train a", "train b", "measure c", "measure d", "measure e", by=pool) == {}
    assert pool.given[:3] == [["measure c"], ["measure d"], ["train a"]]
    assert pool.given[3:] == [["measure e"], ["train b"]]
    assert pool.most == 3


def test_a_full_lane_lets_what_comes_later_in_the_order_go_first(fakes, run):
    """The device has two trainings before it, and both workers of the CPU would be idle."""
    fakes.add("train a", kind=Kind.TRAIN)
    fakes.add("train b", kind=Kind.TRAIN)
    fakes.add("plane", kind=Kind.BOUNDARY)
    pool = FakePool(2, devices=1, order=["plane"])
    assert run("train a", "train b", "plane", by=pool) == {}
    assert pool.given == [["train a"], ["plane"], ["train b"]]


@pytest.mark.parametrize("capacity", [1, 2])
def test_without_devices_there_is_one_lane_in_the_order_of_the_kinds(fakes, run, capacity):
    fakes.add("train", kind=Kind.TRAIN)
    fakes.add("plane", kind=Kind.BOUNDARY)
    fakes.add("measure", kind=Kind.MEASURE)
    pool = FakePool(capacity)
    assert run("train", "plane", "measure", by=pool) == {}
    assert pool.given == [["measure"], ["train"], ["plane"]]
    assert pool.most == capacity


def test_processes_do_each_job_where_it_belongs(fakes, run):
    fakes.add("data", kind=Kind.DATA)
    for name in "ab":
        fakes.add(f"train {name}", "data", kind=Kind.TRAIN)
        fakes.add(f"features {name}", f"train {name}", kind=Kind.EXTRACT, group=name)
        fakes.add(f"score {name}", f"features {name}")
    assert run("score a", "score b", by=processes(2, "cpu:0")) == {}
    places = fakes.places
    assert {name: place for name, place in places.items() if place == "cpu:0"} == dict.fromkeys(
        ["train a", "train b", "features a", "features b"], "cpu:0"
    )
    assert {places[name] for name in ("data", "score a", "score b")} == {"cpu"}


def test_every_device_has_a_worker(fakes, run):
    for name in "ab":
        fakes.add(name, kind=Kind.TRAIN)
        fakes.behaviour[name] = pauses(0.5)
    assert run("a", "b", by=processes(1, "cpu:0", "cpu:1")) == {}
    assert set(fakes.places.values()) == {"cpu:0", "cpu:1"}


def test_a_device_has_as_many_workers_as_it_is_named_times(fakes, run):
    at_once = []
    for name in "abc":
        fakes.add(name, kind=Kind.TRAIN)

    class Watched(Processes):
        def submit(self, root, group, *, fresh):
            super().submit(root, group, fresh=fresh)
            at_once.append(len(self._busy))

    pool = Watched(1, ["cpu:0", "cpu:0"], fake_jobs.perform)
    assert run(*"abc", by=pool) == {}
    assert max(at_once) == 2
    assert set(fakes.places.values()) == {"cpu:0"}


def test_without_devices_networks_are_run_on_the_cpu(fakes, run):
    fakes.add("a", kind=Kind.TRAIN)
    assert run("a", by=processes(2)) == {}
    assert fakes.places == {"a": "cpu"}


def test_a_job_whose_process_dies_is_tried_again_on_its_device(fakes, run):
    fakes.add("a", kind=Kind.TRAIN)
    fakes.add("b", kind=Kind.SCORE)
    fakes.behaviour["a"] = ends_its_process()
    assert run("a", "b", by=processes(1, "cpu:0")) == {"a": DIED}
    assert fakes.ran.count("a") == ATTEMPTS
    assert fakes.places == {"a": "cpu:0", "b": "cpu"}


def test_a_device_that_cannot_be_used_ends_the_run_with_its_reason(fakes, run):
    fakes.add("a", kind=Kind.TRAIN)
    with pytest.raises(StorageError, match="nowhere:0 cannot be used: "):
        run("a", by=processes(1, "nowhere:0"))


@pytest.mark.parametrize(
    ("place", "error", "spoiled"),
    [
        ("cuda:0", RuntimeError("device-side assert triggered"), True),
        ("cuda:0", torch.OutOfMemoryError("out of memory"), False),
        ("cuda:0", ValueError("scores: expected (N,)"), False),
        ("cpu", RuntimeError("expected all tensors"), False),
    ],
)
def test_a_process_whose_device_may_be_broken_is_not_used_again(
    fakes, store, monkeypatch, place, error, spoiled
):
    fakes.add("a", kind=Kind.TRAIN)
    fakes.behaviour["a"] = fake_jobs.fails(error)
    monkeypatch.setattr(device._PROCESS, "device", torch.device(place))
    monkeypatch.setattr(device, "accelerator", lambda: None)
    monkeypatch.setattr(device, "accounted", takes_nothing)
    outcome = fake_jobs.perform(store.root, (fakes.told(fakes.jobs["a"]),), fresh=False)
    assert (outcome.status, outcome.spoiled) == ("failed", spoiled)


@contextmanager
def takes_nothing():
    yield {}
