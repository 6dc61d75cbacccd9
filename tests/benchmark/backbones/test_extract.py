"""The one pass: every image of every set goes through the network once, in order."""

import pytest
import torch
from torch import nn

from benchmark.backbones.extract import BATCH, extract
from benchmark.backbones.network import create_network, to_pixels

SIZE, CLASSES = 16, 3
COUNTS = {"train": 5, "noise": BATCH + 7, "shift.contrast.5": 1}


@pytest.fixture(scope="module")
def sets():
    drawn = torch.Generator().manual_seed(0)
    return {
        name: torch.randint(256, (n, 3, SIZE, SIZE), dtype=torch.uint8, generator=drawn)
        for name, n in COUNTS.items()
    }


@pytest.fixture
def network():
    torch.manual_seed(0)
    return create_network("test_resnet", CLASSES, SIZE)


def test_every_set_has_logits_and_features_of_every_image_in_order(network, sets):
    tensors, head = extract(network, sets)
    assert tensors.keys() == {f"{name}.{part}" for name in sets for part in ("logits", "penultimate")}
    for name, images in sets.items():
        logits, features = tensors[f"{name}.logits"], tensors[f"{name}.penultimate"]
        assert (logits.shape, features.shape) == ((len(images), CLASSES), (len(images), head.weight.shape[1]))
        assert logits.dtype == features.dtype == torch.float32
        with torch.inference_mode():
            one_by_one = torch.cat([network(to_pixels(image[None])) for image in images[:4]])
        torch.testing.assert_close(logits[:4], one_by_one, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(logits, features @ head.weight.T + head.bias, rtol=1e-5, atol=1e-5)


def test_an_image_goes_through_the_network_once(network, sets, monkeypatch):
    """The check of the head, on the first batch, is the one pass more."""
    seen = []
    whole = network.model.forward_features

    def counted(images):
        seen.append(len(images))
        return whole(images)

    monkeypatch.setattr(network.model, "forward_features", counted)
    extract(network, sets)
    assert sum(seen) == sum(COUNTS.values()) + min(BATCH, COUNTS["train"])
    assert max(seen) <= BATCH


def test_the_order_of_the_sets_does_not_matter(network, sets):
    """Not even for the bits: each set is divided into batches by itself."""
    forwards, _ = extract(network, sets)
    backwards, _ = extract(network, dict(reversed(sets.items())))
    assert all(torch.equal(forwards[name], backwards[name]) for name in forwards)


def test_a_network_in_training_mode_is_read_in_eval_mode_and_not_changed(network, sets):
    """Batch statistics and dropout would make a feature depend on its batch."""
    expected, _ = extract(network, sets)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.train()
    tensors, _ = extract(network, sets)
    assert all(torch.equal(tensors[name], expected[name]) for name in expected)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_a_head_that_is_not_linear_leaves_logits_alone(network, sets):
    inputs = network.model.fc.in_features
    network.model.fc = nn.Sequential(nn.Linear(inputs, 4), nn.ReLU(), nn.Linear(4, CLASSES))
    tensors, head = extract(network, sets)
    assert head.reason == "the final layer is Sequential, not one linear layer"
    assert tensors.keys() == {f"{name}.logits" for name in sets}
    with torch.inference_mode():
        torch.testing.assert_close(tensors["train.logits"], network(to_pixels(sets["train"])))
