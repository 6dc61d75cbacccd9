"""Which devices there are; what runs a network takes images there and brings back what comes of them."""

import pytest
import torch
from torch import nn

from benchmark.backbones import device, extract, network, train
from benchmark.backbones.batches import LabelledImages
from benchmark.backbones.checkpoint import Checkpoint
from benchmark.backbones.create import create_network
from benchmark.backbones.device import (
    CPU,
    accelerator,
    accelerators,
    autocast,
    autocasts,
    chosen_devices,
    compute_on,
    device_of,
    here,
    move,
    moved,
    on_cpu,
    random_states,
    restore_random_states,
)
from benchmark.backbones.extract import Tap
from benchmark.backbones.network import logits_of, to_pixels
from benchmark.engines.worker import single_threaded
from benchmark.errors import UsageError
from benchmark.jobs.config import NetworkConfig
from benchmark.jobs.inputs import trained_network
from methods.objectives.cross_entropy import CrossEntropy
from methods.tensors import BATCH

SIZE = 32
HERE = torch.device(CPU)
META = torch.device("meta")  # stands in for an accelerator where nothing need be computed
RECIPE = {
    "epochs": 2, "batch_size": 8, "optimizer": "adamw", "lr": 0.01, "weight_decay": 0.01,
    "scheduler": "cosine", "warmup_epochs": 0, "augment": "none", "tune": "all",
}  # fmt: skip
TWO = ("cuda:0", "cuda:1")
on_an_accelerator = pytest.mark.skipif(not accelerators(), reason="there is no accelerator here")


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


@pytest.fixture
def there(monkeypatch):
    """Pretends that there are some accelerators."""

    def pretend(*names):
        monkeypatch.setattr(device, "accelerators", lambda: names)

    return pretend


@pytest.fixture
def elsewhere(monkeypatch):
    """Has the networks of this process compute elsewhere until the end of the test."""
    before = here()
    yield lambda place: monkeypatch.setattr(device._PROCESS, "device", torch.device(place))
    monkeypatch.undo()
    assert here() == before


# ---- which


@pytest.mark.parametrize(
    ("names", "asked", "chosen"),
    [
        ((), "auto", ()),
        ((), "cpu", ()),
        (TWO, "auto", TWO),
        (TWO, "cpu", ()),
        (TWO, "cuda", TWO),
        (TWO, "cuda:1", ("cuda:1",)),
        (TWO, "cuda:1,cuda:0", ("cuda:1", "cuda:0")),
        (("mps:0",), "mps", ("mps:0",)),
        (("xpu:0",), "auto", ("xpu:0",)),
    ],
)
def test_a_run_takes_what_is_asked_for(there, names, asked, chosen):
    there(*names)
    assert chosen_devices(asked) == chosen


@pytest.mark.parametrize(
    ("names", "asked", "problem"),
    [
        ((), "cuda", "there is no cuda here; there is no accelerator, the CPU alone"),
        (TWO, "mps", "there is no mps here; there is cuda:0, cuda:1"),
        (TWO, "cuda:3", "there is no cuda:3 here; there is cuda:0, cuda:1"),
        (TWO, "cuda:0,cuda:2", "there is no cuda:2 here"),
        (
            TWO,
            "gpu",
            "got 'gpu'; expected auto, cpu, one of cuda, mps, xpu, or some by number: cuda:0,cuda:1",
        ),
        (TWO, "", "got ''; expected"),
        (TWO, "cuda:", "got 'cuda:'; expected"),
        (TWO, "cuda:-1", "got 'cuda:-1'; expected"),
        (TWO, "cuda:0,", "got ''; expected"),
        (TWO, "cpu,cuda:0", "got 'cpu'; expected"),
        (TWO, "cuda:0,cuda:0", "names one twice; --jobs-per-device has several jobs share it"),
        (TWO, "cuda,cuda:1", "names one twice"),
        (TWO, "cuda:0,mps", "cuda:0,mps are of several types; expected one"),
    ],
)
def test_what_cannot_be_had_is_refused(there, names, asked, problem):
    there(*names)
    with pytest.raises(UsageError, match=f"^--device: .*{problem}"):
        chosen_devices(asked)


@pytest.mark.parametrize(("found", "names"), [(None, ()), ("cuda", TWO)])
def test_torch_says_which_there_are(monkeypatch, found, names):
    asked = []

    def current(*, check_available):
        asked.append(check_available)
        return None if found is None else torch.device(found)

    monkeypatch.setattr(torch.accelerator, "current_accelerator", current)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    assert accelerators() == names
    assert asked == [True]


def test_records_name_the_device_of_the_process(elsewhere, monkeypatch):
    assert accelerator() is None
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda place: f"Invented {place.index}")
    elsewhere("cuda:1")
    assert accelerator() == "cuda Invented 1"


def test_a_process_that_is_told_where_to_compute_does_so_in_full_precision(elsewhere):
    elsewhere(CPU)  # which also sets it back
    backends = torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn
    before = [one.fp32_precision for one in backends]
    try:
        for one in backends:
            one.fp32_precision = "tf32"
        compute_on("meta")
        assert here() == META
        assert [one.fp32_precision for one in backends] == ["ieee"] * 3
    finally:
        for one, was in zip(backends, before, strict=True):
            one.fp32_precision = was


# ---- there and back


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
    assert device_of(layer) == META


class Kept:
    """The artifact of a trained network."""

    def json(self, name):
        return {"classes": 3, "objective": "cross_entropy", "hyperparameters": {}}

    def tensors(self, name):
        return small_network().weights()


def test_a_network_that_is_read_lies_where_the_process_computes(elsewhere):
    config = NetworkConfig("test_resnet", "timm", SIZE)
    assert device_of(trained_network(config, Kept())) == HERE
    elsewhere("meta")
    assert device_of(trained_network(config, Kept())) == META


def test_a_network_is_trained_where_the_process_computes(elsewhere, monkeypatch):
    """As far as one batch: the rest needs numbers."""
    seen = []

    def look(trainer, number, on_step):
        seen.append((device_of(trainer.network), next(trainer.batches.epoch(0, {}))))
        raise KeyboardInterrupt

    monkeypatch.setattr(train._Trainer, "epoch", look)
    elsewhere("meta")
    data = LabelledImages(images(24), torch.arange(24) % 3)
    with pytest.raises(KeyboardInterrupt):
        train.train(small_network(), CrossEntropy(), data, data, RECIPE, 5)
    ((place, batch),) = seen
    assert {place, batch.images.device, batch.labels.device} == {META}


# ---- precision and random numbers


@pytest.mark.parametrize(("precision", "reduced"), [(None, False), ("bf16", True)])
def test_precision_is_reduced_where_it_is_asked_for_and_nowhere_else(precision, reduced):
    assert not any(autocasts())
    with autocast(HERE, precision):
        assert autocasts() == (reduced, False, False, False)
    assert not any(autocasts())


def test_without_a_precision_what_is_around_holds():
    with torch.autocast(CPU, torch.bfloat16), autocast(HERE, None):
        assert autocasts()[0]


def test_random_numbers_go_on_where_they_were():
    states = random_states(HERE)
    assert states.keys() == {"rng"}
    first = torch.rand(3)
    restore_random_states(states | {"weights": torch.zeros(2)}, HERE)
    assert torch.equal(first, torch.rand(3))


# ---- on an accelerator


@on_an_accelerator
def test_features_of_an_accelerator_are_those_of_the_cpu_and_lie_there():
    pixels = to_pixels(images(8))
    at_home = Tap(small_network(), pixels)(pixels, "gram", maps=True).collected()
    there = small_network()
    move(there, accelerators()[0])
    found = Tap(there, pixels)(pixels, "gram", maps=True).collected()
    assert found.keys() == at_home.keys()
    for name, tensors in found.items():
        for one, other in zip(tensors, at_home[name], strict=True):
            assert one.device == HERE
            assert torch.allclose(one, other, rtol=1e-2, atol=1e-2 * other.abs().max())


@on_an_accelerator
def test_a_training_on_an_accelerator_goes_on_and_leaves_its_network_on_the_cpu(
    tmp_path, monkeypatch, elsewhere
):
    monkeypatch.setattr(train, "CHECKPOINT_EVERY", 0.0)
    elsewhere(accelerators()[0])
    data = LabelledImages(images(24), torch.arange(24) % 3)
    epoch = train._Trainer.epoch

    def trained(**options):
        made = small_network()
        with single_threaded():
            train.train(made, CrossEntropy(), data, data, RECIPE, 5, **options)
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
