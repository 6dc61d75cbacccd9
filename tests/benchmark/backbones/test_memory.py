"""Where memory runs out, half as much is computed at once, down to one image; a training's batch stays."""

import threading

import pytest
import torch

from benchmark.attacks import attack_accuracy, attack_detector
from benchmark.backbones import device
from benchmark.backbones.batches import LabelledImages
from benchmark.backbones.create import create_network
from benchmark.backbones.device import accounted, ahead, batches, in_batches, in_pieces, ran_out
from benchmark.backbones.extract import Tap
from benchmark.backbones.network import logits_of, to_pixels
from benchmark.backbones.train import train
from benchmark.errors import OutOfMemory
from methods.attack import gradient
from methods.objectives.cross_entropy import CrossEntropy
from methods.registry import attack
from methods.tensors import at_once


def of_a_device():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nMore lines")


def of_the_cpu():
    torch.empty(2**50)  # more than any machine has


def of_python():
    raise MemoryError


OUT = {"a device": of_a_device, "the CPU": of_the_cpu, "Python": of_python}
every_kind = pytest.mark.parametrize("fail", OUT.values(), ids=OUT)


class Limited:
    """Something that is given images and holds at most so many; notes how many it was given."""

    def __init__(self, most, fail=of_a_device, of=None):
        self.most, self.fail, self.of, self.seen = most, fail, of or (lambda images: images * 2.0), []

    def __call__(self, images):
        self.seen.append(len(images))
        if len(images) > self.most:
            self.fail()
        return self.of(images)


def halved(limited, numbers, size):
    with accounted() as took:
        found = torch.cat(list(in_batches(limited, batches(numbers, size))))
    return found, took


@every_kind
def test_batches_are_halved_and_stay_so(fail):
    limited, numbers = Limited(3, fail), torch.arange(20.0)
    found, took = halved(limited, numbers, 8)
    assert torch.equal(found, numbers * 2)
    assert limited.seen == [8, 4, *[2] * 10]
    assert took == {"least_batch": 2}


def test_where_memory_suffices_batches_are_as_asked_for():
    limited = Limited(8)
    assert halved(limited, torch.arange(20.0), 8)[1] == {}
    assert limited.seen == [8, 8, 4]


def test_without_rows_there_is_one_empty_batch():
    limited = Limited(8)
    assert len(halved(limited, torch.empty(0), 8)[0]) == 0
    assert limited.seen == [0]


def test_on_an_accelerator_the_next_batch_is_read_while_this_one_is_computed(monkeypatch):
    """Pretended: reading waits until the batch before it is in use."""
    monkeypatch.setattr(device._PROCESS, "device", torch.device("cuda:0"))
    told, in_use = [], threading.Event()
    monkeypatch.setattr(torch.accelerator, "set_device_index", told.append)

    def read():
        yield "first"
        assert in_use.wait(timeout=60)  # unless they are read one after the other
        yield "second"

    given = ahead(read())
    assert next(given) == "first"
    in_use.set()
    assert list(given) == ["second"]
    assert told == [torch.device("cuda:0")]


def test_on_the_cpu_no_batch_is_read_before_it_is_asked_for():
    read = []
    given = ahead(read.append(i) or i for i in range(3))
    assert next(given) == 0
    assert read == [0]
    assert list(given) == [1, 2]


@pytest.mark.parametrize("place", ["cpu", "cuda:0"])
def test_what_fails_while_it_is_read_is_raised(monkeypatch, place):
    monkeypatch.setattr(device._PROCESS, "device", torch.device(place))
    monkeypatch.setattr(torch.accelerator, "set_device_index", lambda device: None)

    def read():
        yield 1
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(ahead(read()))


@pytest.mark.parametrize("place", ["cpu", "cuda:0"])
def test_who_stops_early_leaves_no_thread(monkeypatch, place):
    monkeypatch.setattr(device._PROCESS, "device", torch.device(place))
    monkeypatch.setattr(torch.accelerator, "set_device_index", lambda device: None)
    before = threading.active_count()
    given = ahead(iter(range(9)))
    assert next(given) == 0
    given.close()
    assert threading.active_count() == before


@every_kind
def test_what_does_not_even_hold_one_says_so(fail):
    limited = Limited(0, fail)
    with pytest.raises(OutOfMemory, match=r"^out of memory at batch size 1: .") as told:
        halved(limited, torch.arange(20.0), 8)
    assert limited.seen == [8, 4, 2, 1]
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("no")])
def test_other_errors_are_not_tried_again(error):
    def fail():
        raise error

    limited = Limited(0, fail)
    with pytest.raises(type(error), match=str(error)):
        halved(limited, torch.arange(20.0), 8)
    assert limited.seen == [8]
    assert not ran_out(error)


@pytest.mark.parametrize(
    ("side", "rows"), [(8, 256), (32, 256), (64, 256), (71, 256), (72, 252), (224, 26), (4000, 1)]
)
def test_large_images_are_fewer_at_once(side, rows):
    """At most 256 × 5 × 32² pixels, counted by hand."""
    assert at_once(torch.empty(0, 3, side, side)) == rows


# ---- a network


IMAGES = torch.randint(256, (11, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(11) % 3


@pytest.fixture
def network():
    torch.manual_seed(0)
    made = create_network("test_resnet", 3, 16).requires_grad_(requires_grad=False)
    return made.eval()


@pytest.fixture
def limit(network, monkeypatch):
    """Has the network hold at most so many images; how many it was given."""

    def most(count, fail=of_a_device):
        limited = Limited(count, fail, network.normalised)
        monkeypatch.setattr(network, "normalised", limited)
        return limited

    return most


def close(one, other):
    """But for how sums of a convolution are rounded, which may differ with the size of the batch."""
    return torch.allclose(one, other, rtol=1e-5, atol=1e-6)


def test_logits_do_not_depend_on_it(network, limit):
    whole = logits_of(network, IMAGES)
    limited = limit(3)
    assert close(logits_of(network, IMAGES), whole)
    assert limited.seen == [11, 5, *[2] * 5, 1]


def test_the_gradient_of_pieces_is_that_of_the_whole(network):
    pixels = to_pixels(IMAGES)
    limited = Limited(4, of=network)

    def loss_of(shown):
        return gradient(lambda x: shown(x).square().sum(dim=1), pixels)

    found, losses = in_pieces(loss_of, limited, len(pixels))
    expected, whole = loss_of(network)
    assert max(limited.seen[1:]) == 5
    assert limited.seen[-1] <= 2
    assert close(found, expected)
    assert close(losses, whole)


@pytest.mark.parametrize("name", ["pgd", "apgd_ce", "square"])
def test_attacks_draw_the_same_random_numbers(network, limit, name):
    """Of which they would draw others for other batches: these start or search at random, in many steps."""
    tried = {name: attack(name, epsilon=0.1)}
    whole = attack_accuracy(network, to_pixels(IMAGES), LABELS, tried, seed=3)
    limited = limit(4)
    with accounted() as took:
        parts = attack_accuracy(network, to_pixels(IMAGES), LABELS, tried, seed=3)
    assert took == {"least_batch": 2}
    assert min(limited.seen) < max(limited.seen) == 11
    assert parts.robust == whole.robust
    assert parts.losses[name] == pytest.approx(whole.losses[name], rel=1e-3)


def test_attacks_on_detectors_likewise(network, limit):
    tap = Tap(network, to_pixels(IMAGES))

    def score(images):
        return tap(images).logits.logsumexp(dim=1)

    whole = attack_detector(score, to_pixels(IMAGES), to_pixels(255 - IMAGES), seed=3)
    limit(4)
    parts = attack_detector(score, to_pixels(IMAGES), to_pixels(255 - IMAGES), seed=3)
    for name in ("id_clean", "id_attacked", "ood_clean", "ood_attacked"):
        assert torch.allclose(getattr(parts, name), getattr(whole, name), rtol=1e-3)


@every_kind
def test_a_training_says_that_its_batch_is_too_large_and_halves_nothing(network, limit, fail):
    data = LabelledImages(IMAGES, LABELS)
    recipe = {
        "epochs": 1, "batch_size": 6, "optimizer": "adamw", "lr": 0.01, "weight_decay": 0.01,
        "scheduler": "cosine", "warmup_epochs": 0, "augment": "none", "tune": "all",
    }  # fmt: skip
    limited = limit(5, fail)
    network.requires_grad_(requires_grad=True)
    with pytest.raises(OutOfMemory, match="in training at batch_size 6, which belongs to the recipe"):
        train(network, CrossEntropy(), data, None, recipe, 5)
    assert limited.seen == [6]
