"""What holds for every registered objective. Nothing is written for one: a new file is tested by itself."""

import copy
import math
from dataclasses import replace

import pytest
import torch

import benchmark.backbones.speed as speed
import benchmark.backbones.train as training
from benchmark.backbones import device as module
from benchmark.backbones.batches import LabelledImages
from benchmark.backbones.checkpoint import Checkpoint
from benchmark.backbones.create import create_network
from benchmark.backbones.device import move
from benchmark.backbones.network import to_pixels
from benchmark.backbones.train import train
from benchmark.conformance.pretended import pretended
from benchmark.engines.worker import single_threaded
from methods.objective import NETWORK, Data, Objective
from methods.registry import broken, detectors, family, objectives

SIZE, CLASSES, EPOCHS = 32, 2, 2
LONG = 4  # epochs in which something is learnt
RECIPE = {
    "epochs": EPOCHS, "batch_size": 12, "optimizer": "adamw", "lr": 0.003, "weight_decay": 0.01,
    "scheduler": "cosine", "warmup_epochs": 0, "augment": "none", "tune": "all",
}  # fmt: skip
OBJECTIVES = {**objectives(), **family("corrections")}
FAMILIES = ("test_resnet", "test_vit")  # a convolutional network and a transformer
every_objective = pytest.mark.parametrize("name", OBJECTIVES)


@pytest.fixture(autouse=True)
def _as_in_a_job(monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 0.0)  # after every epoch, however short
    monkeypatch.setattr(speed, "REPORT_EVERY", 0.0)
    with single_threaded():
        yield


def striped(n, seed):
    """Two classes: stripes across, stripes down; noise over both."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % CLASSES
    stripe = 120.0 * (torch.arange(SIZE) // 4 % 2)
    across, down = stripe.expand(SIZE, SIZE), stripe[:, None].expand(SIZE, SIZE)
    images = torch.stack([across, down])[labels][:, None].expand(n, 3, SIZE, SIZE)
    noise = torch.randint(0, 100, (n, 3, SIZE, SIZE), generator=rng)
    return LabelledImages((images + noise).to(torch.uint8), labels)


TRAIN, VAL = striped(48, 0), striped(16, 1)
OUTLIERS = torch.randint(
    0, 256, (40, 3, SIZE, SIZE), generator=torch.Generator().manual_seed(2), dtype=torch.uint8
)


# What a network of a first phase might say of the training images, and every third label known to be right.
FIRST = torch.nn.functional.one_hot(TRAIN.labels, CLASSES) * 0.6 + 0.2
TOLD = replace(TRAIN, trusted=torch.arange(len(TRAIN.labels)) % 3 == 0)


def made(name):
    return OBJECTIVES[name].configure(OBJECTIVES[name].small)


def fresh(objective, family):
    torch.manual_seed(3)
    network = create_network(family, CLASSES, SIZE)
    network.adapt(objective, CLASSES)
    return network


def trained(name, family="test_resnet", **options):
    objective = made(name)
    network = fresh(objective, family)
    network.precision = options.pop("precision", None)
    recipe = RECIPE | options.pop("recipe", {})
    if objective.needs and "outliers" not in options:
        options["outliers"] = OUTLIERS
    if objective.first_phase is not None:
        options["first"] = FIRST
    data = TOLD if objective.trusted else TRAIN
    return network, train(network, objective, data, VAL, recipe, 5, **options)


_whole = {}


def whole(name):
    """One undisturbed training; made once."""
    if name not in _whole:
        _whole[name] = trained(name)
    return _whole[name]


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def test_every_file_of_an_objective_can_be_loaded():
    assert broken() == {}
    assert "cross_entropy" in OBJECTIVES


@every_objective
def test_it_says_what_it_is(name):
    cls = OBJECTIVES[name]
    assert issubclass(cls, Objective)
    assert cls.paper.year > 1900
    assert set(cls.detectors) <= set(detectors())
    assert len(cls.detectors) > 0
    assert cls.cost >= 1
    assert cls.starts_from is None or cls.starts_from in OBJECTIVES
    assert ".. math::" in cls.__doc__


@every_objective
@pytest.mark.parametrize("family", FAMILIES)
def test_the_loss_falls(name, family):
    _, found = trained(name, family, recipe={"epochs": LONG})
    losses = [epoch["loss"] for epoch in found.history]
    assert len(losses) == LONG
    assert all(map(math.isfinite, losses))
    assert losses[-1] < max(losses[:-1])  # not the first: a curriculum adds terms on its way


@every_objective
def test_every_gradient_is_finite_and_every_parameter_is_moved(name):
    """By all steps of an epoch together; a part that nothing trains would be a mistake."""
    before = copy.deepcopy(fresh(made(name), FAMILIES[0]).state_dict())
    network, _ = trained(name, recipe={"epochs": 2, "scheduler": "none"})
    after = network.state_dict()
    assert all(torch.isfinite(value).all() for value in after.values())
    moved = {n for n, p in network.named_parameters() if not torch.equal(before[n], after[n])}
    still = {n for n, p in network.named_parameters()} - moved
    assert not [n for n in still if "layer" in n or ("fc" in n and OBJECTIVES[name].head is Objective.head)]


@every_objective
def test_the_same_seed_gives_the_same_bits(name):
    network, found = whole(name)
    again, repeated = trained(name)
    assert same(network.weights(), again.weights())
    assert found.history == repeated.history
    assert same(dict(found.kept), dict(repeated.kept))


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


@every_objective
def test_outliers_are_asked_for_where_they_are_needed(name):
    if not OBJECTIVES[name].needs:
        assert same(trained(name, outliers=OUTLIERS)[0].weights(), whole(name)[0].weights())
        return
    with pytest.raises(ValueError, match=f"{name}: needs (outliers|unlabelled)"):
        trained(name, outliers=None)


@every_objective
def test_other_outliers_give_other_weights(name):
    if OBJECTIVES[name].needs:
        other, _ = trained(name, outliers=255 - OUTLIERS[:20])
        assert not same(other.weights(), whole(name)[0].weights())


@every_objective
def test_only_known_optimizers_are_asked_to_step(name):
    objective = made(name)
    assert NETWORK not in objective.optimizers()
    assert objective.needs <= set(Data)


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
    network = fresh(objective, FAMILIES[0])
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
