"""What holds for every registered objective. Nothing is written for one: a new file is tested by itself.

The checks are those of `benchmark.conformance.objectives`; what takes longer than a minute is here alone.
"""

import copy
import math
from functools import cache

import pytest
import torch

import benchmark.backbones.speed as speed
import benchmark.backbones.train as training
from benchmark.backbones import device as module
from benchmark.backbones.checkpoint import Checkpoint
from benchmark.backbones.device import move
from benchmark.backbones.network import to_pixels
from benchmark.backbones.train import train
from benchmark.conformance.objectives import (
    EPOCHS,
    NETWORKS,
    RECIPE,
    TRAIN,
    TRAININGS,
    VAL,
    Training,
    fresh,
    same,
)
from benchmark.conformance.objectives import (
    trained as trained_on,
)
from benchmark.conformance.pretended import pretended
from benchmark.engines.worker import single_threaded
from methods.registry import broken, family, objectives

OBJECTIVES = {**objectives(), **family("corrections")}
every_objective = pytest.mark.parametrize("name", OBJECTIVES)


@pytest.fixture(autouse=True)
def _as_in_a_job(monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 0.0)  # after every epoch, however short
    monkeypatch.setattr(speed, "REPORT_EVERY", 0.0)
    with single_threaded():
        yield


subject = cache(lambda name: Training(OBJECTIVES[name]))


def made(name):
    return subject(name).objective


def trained(name, **options):
    return trained_on(made(name), **options)


def whole(name):
    """One undisturbed training; made once."""
    return subject(name).whole


def test_every_file_of_an_objective_can_be_loaded():
    assert broken() == {}
    assert "cross_entropy" in OBJECTIVES


@every_objective
@pytest.mark.parametrize("check", TRAININGS, ids=[check.name for check in TRAININGS])
def test_it_conforms(name, check):
    assert list(map(str, check(subject(name)))) == []


@every_objective
def test_l20_it_trains_on_a_device(name, monkeypatch):
    """Whole: its modules, each step, the end of each epoch, what it keeps; rounded otherwise, perhaps."""
    short = {"epochs": 1}
    _, expected = trained(name, recipe=short)
    with pretended() as device:
        monkeypatch.setattr(module._PROCESS, "device", torch.device(device.type))
        network, found = trained(name, recipe=short)
        losses = [epoch["loss"] for epoch in found.history]
        assert losses == pytest.approx([epoch["loss"] for epoch in expected.history], rel=1e-3)
        assert found.kept.keys() == expected.kept.keys()
        there = copy.deepcopy(network).eval()
        move(there, device)
        pixels = to_pixels(VAL.images)
        made(name).examine(there, pixels.to(device), VAL.labels.to(device), found.kept)


class Killed(BaseException):
    """What a test does to a training."""


@pytest.mark.parametrize(
    ("name", "after"),
    [
        # Before anything is kept it begins again, whatever the objective; that they repeat is tested above.
        *(("cross_entropy", 1), ("joint_confidence_gan", 1)),
        *((name, EPOCHS * 4 - 1) for name in OBJECTIVES),
    ],
)
def test_a_training_that_is_killed_goes_on_to_the_same_weights(name, after, tmp_path, monkeypatch):
    network, found = whole(name)
    step = training._Trainer._step
    count = iter(range(1000))

    def deadly(self, batch):
        if next(count) == after:
            raise Killed
        return step(self, batch)

    folder = Checkpoint(tmp_path / "partial")
    monkeypatch.setattr(training._Trainer, "_step", deadly)
    with pytest.raises(Killed):
        trained(name, checkpoint=folder)
    assert (folder.load() is None) == (after < 4)  # four steps make an epoch
    monkeypatch.setattr(training._Trainer, "_step", step)
    seen = []
    monkeypatch.setattr(training._Trainer, "epoch", _noting(seen, training._Trainer.epoch))
    again, resumed = trained(name, checkpoint=folder)
    assert seen == list(range(after // 4, EPOCHS))
    assert same(network.weights(), again.weights())
    assert found.history == resumed.history
    assert same(dict(found.kept), dict(resumed.kept))


def _noting(seen, epoch):
    def noted(self, number, on_step):
        seen.append(number)
        return epoch(self, number, on_step)

    return noted


@every_objective
def test_it_trains_in_bfloat16(name):
    exact, _ = whole(name)
    network, found = trained(name, precision="bf16")
    assert all(math.isfinite(epoch["loss"]) for epoch in found.history)
    assert all(torch.isfinite(value).all() for value in network.weights().values())
    assert not same(network.weights(), exact.weights())


def test_a_damaged_checkpoint_counts_as_none(tmp_path):
    folder = Checkpoint(tmp_path / "partial")
    folder.save(1, {"a": torch.ones(3)}, {"history": []})
    assert folder.load() is not None
    file = tmp_path / "partial" / "1.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert folder.load() is None
    folder.save(2, {"a": torch.ones(3)}, {"history": [1]})
    assert folder.load()[1] == {"history": [1]}
    assert not file.exists()
    (tmp_path / "partial" / "state.json").write_text("{")
    assert folder.load() is None


def test_a_probe_trains_the_head_alone_and_leaves_the_statistics():
    objective = OBJECTIVES["cross_entropy"].configure({})
    network = fresh(objective, NETWORKS[0])
    before = copy.deepcopy(network.weights())
    train(network, objective, TRAIN, VAL, RECIPE | {"tune": "head"}, 5)
    after = network.weights()
    assert {n for n in after if not torch.equal(after[n], before[n])} == {"fc.weight", "fc.bias"}
    assert all(p.requires_grad for p in network.parameters())


def test_progress_is_reported():
    said = []
    trained("cross_entropy", report=said.append)
    assert {"epoch", "epochs", "loss", "val_accuracy", "images_per_second", "seconds_left"} == said[0].keys()
    assert [s["epoch"] for s in said] == [1 + i // 4 for i in range(4 * EPOCHS)]
    assert said[-1]["seconds_left"] == pytest.approx(0, abs=1e-9)
    assert said[-1]["val_accuracy"] == whole("cross_entropy")[1].history[-2]["val_accuracy"]
    assert all(s["images_per_second"] > 0 for s in said)
