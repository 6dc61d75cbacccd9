"""Architectures of ours, and published ImageNet weights where a mirror has them."""

from pathlib import Path

import pytest
import timm
import torch
from places import SHARED
from safetensors.torch import load_file
from timm.data import ImageNetInfo

from benchmark.backbones.create import create_network
from benchmark.backbones.looks import Looks
from benchmark.backbones.network import load_weights
from benchmark.backbones.pretrain import published_weights
from benchmark.datasets.mirror import Columns, MirrorFile
from benchmark.datasets.pixels import decode_images
from benchmark.errors import DataError

MIRROR = SHARED / "data"
IMAGES = 200
LITE0 = Looks("tf_efficientnet_lite0.in1k", "timm", 224)
V1 = Looks("mobilenetv1_025", "timm", 224, options={"pad_type": "same"}, mean=[0.5] * 3, std=[0.5] * 3)
V2 = Looks("mobilenetv2_035", "timm", 224, options={"pad_type": "same"}, mean=[0.5] * 3, std=[0.5] * 3)


@pytest.fixture
def mirror(monkeypatch):
    if not (MIRROR / "weights").is_dir():
        pytest.skip(f"the local mirror of ImageNet weights is not here: {MIRROR}")
    monkeypatch.setenv("OODBENCH_MIRROR", str(MIRROR))


def test_a_quarter_of_a_mobilenet():
    """Half a million parameters (Howard et al. 2017, table 7: 0.5 million)."""
    network = create_network("mobilenetv1_025", 1000, 64)
    assert sum(p.numel() for p in network.parameters()) == 470_072
    assert network.dimension == 256
    assert timm.is_model("mobilenetv1_025")
    with pytest.raises(DataError, match="timm publishes no weights of mobilenetv1_025"):
        create_network("mobilenetv1_025", 1000, 64, weights=Path("none"))


@pytest.mark.parametrize(
    ("looks", "init", "published", "expected"),
    [
        (LITE0, {"tag": "in1k"}, "74.8 / 92.2 (timm's results, 224 px)", (0.45, 0.70)),
        (V1, {"repository": "weights/mobilenetv1_025.keras_in1k"}, "41.5 (paper, 128 px)", (0.25, 0.50)),
    ],
    ids=["lite0", "mobilenetv1_025"],
)
def test_imagenet_weights_are_what_they_say(mirror, looks, init, published, expected, record_property):
    """One image of each of some classes, enlarged from 64 pixels: less than published, far above chance."""
    weights, about = published_weights(looks, init, None)
    network = create_network(
        looks.architecture, 1000, 224, options=looks.options, mean=looks.mean, std=looks.std
    )
    load_weights(network, weights, source="published", with_classifier=True)
    file = MirrorFile(MIRROR / "local/imagenet_samples/test.parquet", Columns("image", "label"))
    order = {name: i for i, name in enumerate(ImageNetInfo().label_names())}
    labels = torch.tensor([order[file.class_names[label]] for label in file.labels()[:IMAGES]])
    encoded = [data for _, data in file.images()][:IMAGES]
    images = torch.from_numpy(decode_images(encoded, 224)).float() / 255
    with torch.inference_mode():
        logits = torch.cat([network(part) for part in images.split(50)])
    right = logits.topk(5).indices == labels[:, None]
    top = right[:, 0].float().mean().item(), right.any(dim=1).float().mean().item()
    told = f"{looks.architecture}: top-1/top-5 {top[0]:.1%}/{top[1]:.1%} of {IMAGES}; published {published}"
    record_property("accuracy", told)
    print(told)
    assert all(found > least for found, least in zip(top, expected, strict=True)), told
    assert about["sha256"]


def test_weights_without_a_classifier_leave_it_fresh(mirror):
    weights, _ = published_weights(V2, {"repository": "weights/mobilenetv2_035.keras_in1k"}, None)
    network = create_network("mobilenetv2_035", 10, 32, options=V2.options, enlarged=64)
    told = load_weights(network, weights, source="published")
    assert (told["fresh"], told["unused"]) == (["classifier.weight", "classifier.bias"], [])
    file = MIRROR / "weights/mobilenetv2_035.keras_in1k/model.safetensors"
    assert torch.equal(network.model.conv_stem.weight, load_file(file)["conv_stem.weight"])
