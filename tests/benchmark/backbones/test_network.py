"""timm models as the harness sees them: normalisation inside, logits linear in the penultimate features."""

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional

from benchmark.backbones.create import create_network
from benchmark.backbones.extract import Tap
from benchmark.backbones.network import load_weights, to_pixels
from benchmark.errors import DataError, UsageError

ARCHITECTURES = ("test_resnet", "test_efficientnet", "test_vit")  # a plain head, pooled and a class token
SIZE, CLASSES = 32, 5


@pytest.fixture(params=ARCHITECTURES)
def network(request):
    torch.manual_seed(0)
    return create_network(request.param, CLASSES, SIZE)


@pytest.fixture(scope="module")
def images():
    return torch.rand(6, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def test_a_network_gives_a_logit_for_each_class(network, images):
    assert network(images).shape == (6, CLASSES)


def test_a_network_comes_in_eval_mode(network, images):
    assert not any(module.training for module in network.modules())
    assert torch.equal(network(images), network(images))


def test_first_weights_come_from_the_global_generator():
    def weights(seed):
        torch.manual_seed(seed)
        return create_network("test_resnet", CLASSES, SIZE).weights()

    first, again, other = weights(3), weights(3), weights(4)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["fc.weight"], other["fc.weight"])


def test_normalisation_is_inside(network, images):
    """Against timm's own model and the mean and deviation that timm publishes for the architecture."""
    cfg = network.model.pretrained_cfg
    mean, std = (torch.tensor(cfg[key])[:, None, None] for key in ("mean", "std"))
    torch.testing.assert_close(network(images), network.model((images - mean) / std))
    assert not torch.allclose(network(images), network.model(images))


def test_a_weight_tag_brings_its_own_normalisation():
    """Weights trained with another mean than the default ones of the architecture."""
    means = {}
    for name in ("mobilenetv4_conv_small", "mobilenetv4_conv_small.e3600_r256_in1k"):
        means[name] = create_network(name, 2, SIZE).mean.flatten().tolist()
        assert means[name] == pytest.approx(timm.models.get_pretrained_cfg(name).mean)
    one, other = means.values()
    assert one != other


def test_normalisation_is_no_part_of_the_weights(network):
    assert network.weights().keys() == network.model.state_dict().keys()


@torch.inference_mode()
def test_logits_are_linear_in_the_features_and_those_of_the_forward_pass(network, images):
    head = network.read_head(images)
    features = Tap(network, images)(images)
    logits, penultimate = features.logits, features.penultimate
    by_hand = penultimate @ head.weight.T + head.bias
    torch.testing.assert_close(logits, by_hand, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(logits, network(images), rtol=1e-5, atol=1e-5)
    assert penultimate.shape == (6, head.weight.shape[1])
    assert head.weight.shape[0] == CLASSES


@torch.inference_mode()
def test_features_and_head_leave_the_network_as_it_was(network, images):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.read_head(images)
    Tap(network, images)(images, "gram", "rank_one", maps=True)
    after = network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not network.training
    assert not network.model._forward_hooks


class Cosine(nn.Linear):
    """Looks like a linear layer and is none."""

    def forward(self, features):
        return 10 * functional.linear(
            functional.normalize(features), functional.normalize(self.weight), self.bias
        )


class Layered(nn.Sequential):
    def __init__(self, inputs):
        super().__init__(nn.Linear(inputs, 8), nn.ReLU(), nn.Linear(8, CLASSES))


class Convolution(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.layer = nn.Conv2d(inputs, CLASSES, 1)

    def forward(self, features):
        return self.layer(features[:, :, None, None]).flatten(1)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (Layered, "the final layer is Layered, not one linear layer"),
        (Convolution, "the final layer is Convolution, not one linear layer"),
        (lambda inputs: Cosine(inputs, CLASSES), "the logits are not linear in the penultimate features"),
    ],
    ids=["two layers", "convolution", "cosine"],
)
@torch.inference_mode()
def test_a_head_that_is_not_linear_says_so(images, layer, reason):
    network = create_network("test_resnet", CLASSES, SIZE)
    network.model.fc = layer(network.model.fc.in_features)
    head = network.read_head(images)
    assert not head.is_linear
    assert head.reason.startswith(reason)
    features = Tap(network, images)(images)
    assert "penultimate" not in features.collected()
    torch.testing.assert_close(features.logits, network(images))


@torch.inference_mode()
def test_features_that_are_no_vectors_are_no_penultimate_features(images):
    network = create_network("test_resnet", CLASSES, SIZE)
    network.model.forward_head = lambda maps, pre_logits=False: maps  # keeps the map (N, C, H, W)
    assert network.read_head(images).reason.startswith("the penultimate features have shape (6, ")


@torch.inference_mode()
def test_a_linear_head_without_bias_has_zeros(images):
    network = create_network("test_resnet", CLASSES, SIZE)
    network.model.fc = nn.Linear(network.model.fc.in_features, CLASSES, bias=False)
    head = network.read_head(images)
    assert head.is_linear
    assert head.bias.tolist() == [0.0] * CLASSES


def test_an_unknown_architecture_is_answered_with_the_nearest():
    with pytest.raises(
        UsageError, match="timm has no architecture 'test_resnett'; did you mean 'test_resnet'"
    ):
        create_network("test_resnett", CLASSES, SIZE)


def test_an_unknown_architecture_is_not_answered_with_a_thousand():
    with pytest.raises(UsageError) as caught:
        create_network("alexnet_of_2012", CLASSES, SIZE)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("architecture", "size"),
    [("test_vit", 33), ("test_convnext", 8), ("test_resnet.r2d2", 32)],
    ids=["patches", "too small", "tag"],
)
def test_what_timm_cannot_make_is_refused(architecture, size):
    with pytest.raises(DataError, match=f"^{architecture} at {size}×{size} pixels: "):
        create_network(architecture, CLASSES, size)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_other_weights_replace_all_but_the_classifier(architecture, images):
    torch.manual_seed(0)
    source = create_network(architecture, 7, SIZE)
    torch.manual_seed(1)
    network = create_network(architecture, CLASSES, SIZE)
    own = {name: value.clone() for name, value in network.weights().items()}
    load_weights(network, source.weights(), source="elsewhere")
    classifier = network.model.pretrained_cfg["classifier"]
    for name, value in network.weights().items():
        expected = own[name] if name.startswith(f"{classifier}.") else source.weights()[name]
        assert torch.equal(value, expected), name
    with torch.inference_mode():
        torch.testing.assert_close(
            Tap(network, images)(images).penultimate, Tap(source, images)(images).penultimate
        )


@pytest.mark.parametrize("change", ["missing", "misshapen", "another architecture"])
def test_weights_that_do_not_fit_are_refused_and_nothing_is_loaded(change):
    network = create_network("test_resnet", CLASSES, SIZE)
    before = {name: value.clone() for name, value in network.weights().items()}
    weights = create_network("test_resnet", CLASSES, SIZE).weights()
    first = next(iter(weights))
    if change == "missing":
        del weights[first]
    elif change == "misshapen":
        weights[first] = weights[first][:-1]
    else:
        weights = create_network("test_efficientnet", CLASSES, SIZE).weights()
    message = (
        rf"^the pre-trained weights: \d+ of {len(before)} parameters missing or misshapen, first {first}$"
    )
    with pytest.raises(DataError, match=message):
        load_weights(network, weights, source="the pre-trained weights")
    assert all(torch.equal(before[name], value) for name, value in network.weights().items())


def test_pixels_are_shares_of_255():
    images = torch.tensor([0, 51, 255], dtype=torch.uint8)
    assert to_pixels(images).tolist() == pytest.approx([0.0, 0.2, 1.0])
    assert images.tolist() == [0, 51, 255]


def test_timm_knows_the_classifier_of_every_architecture_used_here():
    for architecture in ARCHITECTURES:
        assert timm.models.get_pretrained_cfg(architecture).classifier


def test_the_classifier_is_loaded_too_if_it_is_asked_for():
    source, network = (create_network("test_resnet", CLASSES, SIZE) for _ in range(2))
    load_weights(network, source.weights(), source="elsewhere", with_classifier=True)
    assert all(torch.equal(value, source.weights()[name]) for name, value in network.weights().items())
    other = create_network("test_resnet", CLASSES + 1, SIZE)
    with pytest.raises(DataError, match=r"2 of .* parameters missing or misshapen, first fc\.weight"):
        load_weights(other, source.weights(), source="elsewhere", with_classifier=True)
