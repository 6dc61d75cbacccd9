"""Stages by where the resolution changes, or by name."""

import pytest
import torch
import torchvision
from torch import nn
from torchvision.models import vgg

from benchmark.errors import UsageError
from benchmark.evaluation.models.classifier import subject_of
from benchmark.evaluation.models.stages import find_stages
from methods.features import Signal


def names_of(model, *shape):
    images = torch.rand(2, *shape)
    model.eval()
    with torch.no_grad():
        return [stage.name for stage in find_stages(model, lambda: model(images), images)]


@pytest.mark.parametrize("side", [32, 64])
@pytest.mark.parametrize("make", [torchvision.models.resnet18, torchvision.models.resnet50])
def test_a_resnet_has_its_four_layers(make, side):
    """Also where the last map is a single position, which the average pooling keeps as it is."""
    assert names_of(make(num_classes=3), 3, side, side) == ["layer1", "layer2", "layer3", "layer4"]


def test_a_vgg_has_what_goes_into_its_poolings():
    """Of ``features``: the activation before each pooling, and the last pooling."""
    found = names_of(vgg.make_layers(vgg.cfgs["A"]), 3, 64, 64)
    assert found == ["9", "14", "19", "20"]


def test_channels_come_last_in_a_swin():
    swin = torchvision.models.swin_transformer.SwinTransformer(
        [4, 4], 16, [1, 1, 1, 1], [1, 2, 2, 2], [4, 4], num_classes=3
    )
    images = torch.rand(2, 3, 64, 64)
    subject = subject_of(swin.eval(), probe=images)
    assert subject.card["stages"] == ["features.1", "features.3", "features.5", "features.7"]
    maps = subject.features(images, {Signal.MAPS}).maps
    assert [tuple(m.shape[1:]) for m in maps] == [(16, 16, 16), (32, 8, 8), (64, 4, 4), (128, 2, 2)]


def test_a_transformer_has_quarters_of_its_depth_and_no_class_token_in_its_maps():
    vit = torchvision.models.VisionTransformer(32, 8, 8, 2, 16, 32, num_classes=3).eval()
    images = torch.rand(2, 3, 32, 32)
    subject = subject_of(vit, probe=images)
    assert subject.card["stages"] == [f"encoder.layers.encoder_layer_{i}" for i in (1, 3, 5, 7)]
    seen = []
    hook = vit.encoder.layers[7].register_forward_hook(lambda _m, _g, out: seen.append(out))
    maps = subject.features(images, {Signal.MAPS}).maps
    hook.remove()
    grid = seen[0][:, 1:].transpose(1, 2).reshape(2, 16, 4, 4)  # 17 tokens, of which the first is the class's
    assert torch.equal(maps[-1], grid)


def test_where_only_channels_change_they_tell():
    convs = [nn.Conv2d(a, b, 3, padding=1) for a, b in ((3, 4), (4, 4), (4, 8))]
    body = nn.Sequential(convs[0], nn.ReLU(), convs[1], nn.ReLU(), convs[2], nn.ReLU())
    assert names_of(body, 3, 16, 16) == ["3", "5"]


def test_what_is_pooled_to_one_position_is_no_stage():
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.AdaptiveAvgPool2d(1))
    assert names_of(body, 3, 16, 16) == ["0", "1", "2"]


def test_tokens_that_are_pooled_are_no_stage():
    """As in the Swin of transformers, which pools tokens (N, C, T) to (N, C, 1)."""

    class Pyramid(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 40, 4, 4), nn.Conv2d(40, 80, 2, 2)
            self.pooler = nn.AdaptiveAvgPool1d(1)

        def forward(self, x):
            return self.pooler(self.second(self.first(x)).flatten(2)).flatten(1)

    assert names_of(Pyramid(), 3, 16, 16) == ["first", "second"]


def test_a_multilayer_perceptron_has_none():
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 16), nn.ReLU(), nn.Linear(16, 3))
    subject = subject_of(model.eval(), probe=torch.rand(2, 3, 8, 8))
    assert {Signal.STAGES, Signal.GRAM, Signal.MAPS, Signal.RANK_ONE} <= subject.missing.keys()
    assert "--layers" in subject.missing[Signal.STAGES]


def test_what_a_later_layer_does_in_place_is_not_in_the_map():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    ).eval()
    images = torch.rand(2, 3, 9, 9)
    found = subject_of(model, probe=images, layers=["0"]).features(images, {Signal.MAPS, Signal.STAGES})
    with torch.no_grad():
        expected = model[0](images)
    assert expected.min() < 0
    assert torch.equal(found.maps[0], expected)
    torch.testing.assert_close(found.stages[0], expected.mean(dim=(2, 3)))


def test_layers_by_name():
    model = torchvision.models.resnet18(num_classes=3).eval()
    images = torch.rand(2, 3, 64, 64)
    subject = subject_of(model, probe=images, layers=["layer2", "avgpool", "fc"])
    assert subject.card["stages"] == ["layer2", "avgpool", "fc"]
    assert [s.shape[1] for s in subject.features(images, {Signal.STAGES}).stages] == [128, 512, 3]


def test_an_unknown_layer_is_told_its_neighbour():
    model = torchvision.models.resnet18(num_classes=3).eval()
    with pytest.raises(UsageError, match="no module 'layer9'; did you mean 'layer"):
        subject_of(model, probe=torch.rand(2, 3, 64, 64), layers=["layer9"])


def test_a_layer_that_runs_several_times_is_refused():
    model = torchvision.models.resnet18(num_classes=3).eval()
    with pytest.raises(UsageError, match=r"'layer1.0.relu' gives no tensor in one call of a pass"):
        subject_of(model, probe=torch.rand(2, 3, 64, 64), layers=["layer1.0.relu"])
