"""The one pass: every image goes through the network once, and only small statistics of it are kept."""

import pytest
import timm
import torch
from safetensors.torch import load_file
from torch import nn

from benchmark.backbones.create import create_network
from benchmark.backbones.device import move
from benchmark.backbones.extract import Tap, extract
from benchmark.backbones.network import to_pixels
from benchmark.conformance.pretended import pretended
from benchmark.store.artifacts import Draft
from methods.errors import NotApplicable
from methods.statistics import gram, pooled, rank_one
from methods.tensors import BATCH

SIZE, CLASSES = 64, 3  # the last map of test_resnet then has four positions
COUNTS = {"train": 5, "val": BATCH + 7, "test": 1}
LABELS = {name: torch.arange(n) % CLASSES for name, n in COUNTS.items()}


@pytest.fixture(scope="module")
def parts():
    drawn = torch.Generator().manual_seed(0)
    return {
        name: torch.randint(256, (n, 3, SIZE, SIZE), dtype=torch.uint8, generator=drawn)
        for name, n in COUNTS.items()
    }


def network_of(architecture):
    torch.manual_seed(0)
    return create_network(architecture, CLASSES, SIZE)


@pytest.fixture
def tap(parts):
    return Tap(network_of("test_resnet"), to_pixels(parts["train"]))


@pytest.fixture
def read(tmp_path):
    """Extracts into one folder an artifact; the tensors of each."""

    def call(tap, parts, labels=LABELS, what=("base", "gram", "rank_one")):
        folders = {name: tmp_path / f"{name}{len(list(tmp_path.iterdir()))}" for name in what}
        for folder in folders.values():
            folder.mkdir()
        extract(tap, parts, labels, {name: Draft(folder, folder) for name, folder in folders.items()})
        return {name: load_file(folder / "features.safetensors") for name, folder in folders.items()}

    return call


def test_every_part_has_the_features_of_every_image_in_order(tap, parts, read):
    base = read(tap, parts)["base"]
    head = tap.head
    for name, images in parts.items():
        logits, features = base[f"{name}.logits"], base[f"{name}.penultimate"]
        assert (logits.shape, features.shape) == ((len(images), CLASSES), (len(images), head.weight.shape[1]))
        with torch.inference_mode():
            one_by_one = torch.cat([tap.network(to_pixels(image[None])) for image in images[:4]])
        torch.testing.assert_close(logits[:4], one_by_one, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(logits, features @ head.weight.T + head.bias, rtol=1e-5, atol=1e-5)
        assert torch.equal(base[f"{name}.labels"], LABELS[name])
    assert {tensor.dtype for n, tensor in base.items() if not n.endswith("labels")} == {torch.float32}


@pytest.mark.parametrize("architecture", ["test_resnet", "test_vit", "test_efficientnet"])
def test_l20_features_of_a_device_are_those_of_the_cpu(architecture, parts, read):
    few = {"train": parts["train"]}
    labels = {"train": LABELS["train"]}
    network = network_of(architecture)
    probe = to_pixels(parts["train"])
    expected = read(Tap(network, probe), few, labels)
    with pretended() as device:
        move(network, device)
        found = read(Tap(network, probe), few, labels)
    assert found.keys() == expected.keys()
    for what, tensors in found.items():
        torch.testing.assert_close(tensors, expected[what], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("architecture", ["test_resnet", "test_vit"])
def test_l20_a_gradient_comes_back_from_a_device(architecture, parts):
    network, pixels = network_of(architecture), to_pixels(parts["train"])
    slopes = []
    for place in (None, "there"):
        with pretended() as device:
            if place:
                move(network, device)
            x = pixels.clone().requires_grad_()
            found = Tap(network, pixels)(x, maps=True)
            sum(t.square().mean() for tensors in found.collected().values() for t in tensors).backward()
        slopes.append(x.grad)
    torch.testing.assert_close(*slopes, rtol=1e-3, atol=1e-3 * slopes[0].abs().max().item())


def test_the_stages_are_timms_own(tap, parts, read):
    """Against a network that timm itself makes to give feature maps."""
    found = read(tap, parts)
    model = timm.create_model("test_resnet", features_only=True, out_indices=(1, 2, 3, 4)).eval()
    model.load_state_dict(tap.network.model.state_dict(), strict=False)
    with torch.inference_mode():
        maps = model(tap.network.normalised(to_pixels(parts["train"])))
    for i, stage in enumerate(maps):
        torch.testing.assert_close(found["base"][f"train.stages.{i}"], pooled(stage), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found["gram"][f"train.gram.{i}"], gram(stage), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found["rank_one"]["train.rank_one"], rank_one(maps[-1]), rtol=1e-3, atol=1e-4)
    assert "train.stages.4" not in found["base"]


def test_an_image_goes_through_the_network_once_whatever_is_kept_of_it(tap, parts, read, monkeypatch):
    seen = []
    forward = tap.network.model.layer1.forward

    def counted(images):
        seen.append(len(images))
        return forward(images)

    monkeypatch.setattr(tap.network.model.layer1, "forward", counted)
    read(tap, parts)
    assert sum(seen) == sum(COUNTS.values())
    assert max(seen) <= BATCH


def test_the_order_of_the_parts_does_not_matter(tap, parts, read):
    """Not even for the bits: each part is divided into batches by itself."""
    forwards, backwards = (read(tap, p)["base"] for p in (parts, dict(reversed(parts.items()))))
    assert all(torch.equal(forwards[name], backwards[name]) for name in forwards)


def test_what_is_extracted_besides_changes_nothing(tap, parts, read):
    together, alone = read(tap, parts), read(tap, parts, what=("gram",))
    assert all(torch.equal(alone["gram"][name], tensor) for name, tensor in together["gram"].items())


def test_a_network_in_training_mode_is_read_in_eval_mode_and_not_changed(tap, parts, read):
    """Batch statistics and dropout would make a feature depend on its batch."""
    expected = read(tap, parts)["base"]
    before = {name: value.clone() for name, value in tap.network.state_dict().items()}
    tap.network.train()
    found = read(Tap(tap.network, to_pixels(parts["train"])), parts)["base"]
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert all(torch.equal(before[name], value) for name, value in tap.network.state_dict().items())


def test_a_head_that_is_not_linear_leaves_logits_and_stages(parts, read):
    network = network_of("test_resnet")
    inputs = network.model.fc.in_features
    network.model.fc = nn.Sequential(nn.Linear(inputs, 4), nn.ReLU(), nn.Linear(4, CLASSES))
    tap = Tap(network, to_pixels(parts["train"]))
    assert tap.head.reason == tap.why_no_rank_one == "the final layer is Sequential, not one linear layer"
    base = read(tap, parts, what=("base",))["base"]
    assert "train.penultimate" not in base
    with torch.inference_mode():
        torch.testing.assert_close(base["train.logits"], network(to_pixels(parts["train"])))


def test_a_transformer_has_stages_at_the_quarters_of_its_depth(parts):
    tap = Tap(network_of("test_vit"), to_pixels(parts["train"]))
    assert tap.stages == [0, 2, 3, 5]  # of six blocks
    assert tap.why_no_rank_one == "the network ends in tokens and not in a feature map"
    with torch.inference_mode():
        features = tap(to_pixels(parts["train"]), "gram", "rank_one", maps=True)
    assert [m.ndim for m in features.maps] == [4] * 4
    with pytest.raises(NotApplicable, match="not collected"):
        features.rank_one  # noqa: B018


def test_a_network_that_does_more_than_average_its_last_map_has_no_rank_one(parts):
    """ConvNeXt normalises after pooling."""
    tap = Tap(network_of("test_convnext"), to_pixels(parts["train"]))
    assert tap.why_no_rank_one == "the penultimate features are not the average of the last feature map"


def test_features_are_differentiable_in_the_images(tap, parts):
    images = to_pixels(parts["train"]).requires_grad_()
    features = tap(images)
    (gradient,) = torch.autograd.grad(features.stages[0].sum() + features.logits.sum(), images)
    assert gradient.abs().sum() > 0
