"""What runs a network takes images to its device and gives what comes of it back on the CPU."""

import pytest
import torch
from torch import nn

from benchmark.backbones import extract, network, train
from benchmark.backbones.batches import LabelledImages
from benchmark.backbones.checkpoint import Checkpoint
from benchmark.backbones.device import (
    CPU,
    accelerator,
    autocast,
    autocasts,
    device_of,
    move,
    moved,
    on_cpu,
    random_states,
    restore_random_states,
    training_device,
)
from benchmark.backbones.extract import Tap
from benchmark.backbones.network import BATCH, create_network, logits_of, to_pixels
from benchmark.engines.worker import single_threaded
from methods.objectives.cross_entropy import CrossEntropy

SIZE = 32
HERE = torch.device(CPU)
RECIPE = {
    "epochs": 2, "batch_size": 8, "optimizer": "adamw", "lr": 0.01, "weight_decay": 0.01,
    "scheduler": "cosine", "warmup_epochs": 0, "augment": "none", "tune": "all",
}  # fmt: skip
on_an_accelerator = pytest.mark.skipif(training_device() == CPU, reason="there is no accelerator here")


def images(n):
    return torch.randint(
        256, (n, 3, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(n)
    )


def small_network():
    torch.manual_seed(0)
    return create_network("test_resnet", 3, SIZE)


@pytest.fixture
def moves(monkeypatch):
    """Every tensor that was taken to a device, and every one that was taken back."""
    there, back = [], []  # with the device, and where its numbers lie

    def noting_moved(tensor, place):
        there.append((tensor, place))
        return moved(tensor, place)

    def noting_on_cpu(tensor):
        back.append(on_cpu(tensor).data_ptr())
        return on_cpu(tensor)

    for module in (extract, network):
        monkeypatch.setattr(module, "moved", noting_moved)
        monkeypatch.setattr(module, "on_cpu", noting_on_cpu)
    return there, back


def test_without_an_accelerator_networks_are_trained_on_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    training_device.cache_clear()
    try:
        assert training_device() == CPU
        assert accelerator() is None
    finally:
        training_device.cache_clear()


def test_a_tap_takes_images_to_its_network_and_all_features_back(moves):
    there, back = moves
    pixels = to_pixels(images(4))
    tap = Tap(small_network(), pixels)
    assert [place for _, place in there] == [HERE]  # the probe
    assert {tap.head.weight.data_ptr(), tap.head.bias.data_ptr()} <= set(back)
    there.clear()
    features = tap(pixels, "gram", "rank_one", maps=True)
    assert [(tensor is pixels, place) for tensor, place in there] == [(True, HERE)]
    found = features.collected()
    assert found.keys() == {"logits", "penultimate", "stages", "gram", "rank_one", "maps"}
    assert {tensor.data_ptr() for tensors in found.values() for tensor in tensors} <= set(back)


def test_logits_are_those_of_the_network_batch_by_batch_and_come_back(moves):
    there, back = moves
    given = images(BATCH + 3)
    made = small_network()
    logits = logits_of(made, given)
    assert [(len(tensor), place) for tensor, place in there] == [(BATCH, HERE), (3, HERE)]
    assert len(back) == 2
    with torch.inference_mode():
        assert torch.equal(logits[BATCH:], made(to_pixels(given[BATCH:])))


def test_moving_keeps_the_gradient():
    pixels = to_pixels(images(2)).requires_grad_()
    on_cpu(moved(pixels, HERE).square()).sum().backward()
    assert torch.equal(pixels.grad, 2 * pixels.detach())


def test_a_module_is_moved_in_place():
    layer = nn.Linear(2, 2)
    move(layer, "meta")
    assert device_of(layer) == torch.device("meta")


def test_the_cpu_computes_in_full_precision_whatever_an_accelerator_does():
    before = autocasts()
    with autocast(HERE):
        assert autocasts() == before == (False, False)
    with torch.autocast(CPU, torch.bfloat16):
        assert autocasts() == (True, False)


def test_random_numbers_go_on_where_they_were():
    states = random_states(HERE)
    assert states.keys() == {"rng"}
    first = torch.rand(3)
    restore_random_states(states | {"weights": torch.zeros(2)}, HERE)
    assert torch.equal(first, torch.rand(3))


@on_an_accelerator
def test_features_of_an_accelerator_are_those_of_the_cpu_and_lie_there():
    pixels = to_pixels(images(8))
    here = Tap(small_network(), pixels)(pixels, "gram", maps=True).collected()
    there = small_network()
    move(there, training_device())
    found = Tap(there, pixels)(pixels, "gram", maps=True).collected()
    assert found.keys() == here.keys()
    for name, tensors in found.items():
        for one, other in zip(tensors, here[name], strict=True):
            assert one.device == HERE
            assert torch.allclose(one, other, rtol=1e-2, atol=1e-2 * other.abs().max())


@on_an_accelerator
def test_a_training_on_an_accelerator_goes_on_and_leaves_its_network_on_the_cpu(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "CHECKPOINT_EVERY", 0.0)
    data = LabelledImages(images(24), torch.arange(24) % 3)
    epoch = train._Trainer.epoch

    def trained(**options):
        made = small_network()
        with single_threaded():
            train.train(made, CrossEntropy(), data, data, RECIPE, 5, device=training_device(), **options)
        assert device_of(made) == HERE
        return made.weights()

    def stops(trainer, number, on_step):
        if number == 1:
            raise KeyboardInterrupt
        epoch(trainer, number, on_step)

    whole, kept = trained(), Checkpoint(tmp_path / "partial")
    with monkeypatch.context() as patch:
        patch.setattr(train._Trainer, "epoch", stops)
        with pytest.raises(KeyboardInterrupt):
            trained(checkpoint=kept)
    resumed = trained(checkpoint=kept)
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
