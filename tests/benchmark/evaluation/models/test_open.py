"""Models by what the command line calls them, those of the user's own code among them."""

import sys

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import resolve_model_data_config

from benchmark.errors import DataError, UsageError
from benchmark.evaluation.models.open import open_subject

CODE = """
import torch
from torch import nn
import torchvision.transforms as T

NUMBER = 3

def network():
    torch.manual_seed(0)
    body = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*body, nn.Linear(4, 2))

ready = network()

def of_timm():
    import timm
    return timm.create_model("test_resnet", num_classes=2)

def with_transform():
    return network(), T.Compose([T.Resize((20, 24)), T.ToTensor(), T.Normalize([0.5] * 3, [0.5] * 3)])

def with_a_bad_transform():
    return network(), lambda image: image

def broken():
    return 1 / 0

def wrong():
    return "a model"

def pair():
    return network(), 3
"""


@pytest.fixture
def code(tmp_path, monkeypatch):
    """A package of the user's in the current folder."""
    (package := tmp_path / "my_models").mkdir()
    (package / "__init__.py").write_text("")
    (package / "nets.py").write_text(CODE)
    (package / "typo.py").write_text("import no_such_thing")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield "python:my_models.nets:"
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_models"]:
        del sys.modules[name]


def picture():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8))


def test_a_module_of_the_users_own(code):
    subject = open_subject(f"{code}network", size=32)
    pixels = subject.prepare(picture())
    assert tuple(pixels.shape) == (3, 32, 32)
    model = sys.modules["my_models.nets"].network().eval()
    with torch.no_grad():
        expected = model(pixels[None] / 255)
    torch.testing.assert_close(subject.features(pixels[None], ()).logits, expected)
    assert "pixels in [0, 1], not normalised" in subject.notes[0]


def test_a_model_of_timm_knows_its_preprocessing(code):
    """Scaling and normalisation are timm's; the size may be said."""
    config = resolve_model_data_config(timm.create_model("test_resnet"))
    for how, size in (({}, config["input_size"][1:]), ({"size": 48}, (48, 48))):
        subject = open_subject(f"{code}of_timm", **how)
        assert tuple(subject.prepare(picture()).shape[1:]) == size
        assert subject.card["preprocessing"]["std"] == list(config["std"])


def test_a_module_that_is_no_function(code):
    assert open_subject(f"{code}ready", size=16).classes == 2


def test_a_module_and_its_transform(code):
    subject = open_subject(f"{code}with_transform")
    made = subject.prepare(picture())
    assert tuple(made.shape) == (3, 20, 24)
    model, transform = sys.modules["my_models.nets"].with_transform()
    with torch.no_grad():
        expected = model.eval()(transform(picture())[None])
    torch.testing.assert_close(subject.features(made[None], ()).logits, expected)
    assert "Normalize" in subject.card["preprocessing"]["geometry"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("netwerk", "has no function 'netwerk'; did you mean 'network'"),
        ("NUMBER", "has no function 'NUMBER'"),
        ("broken", r"broken\(\) failed: ZeroDivisionError"),
        ("wrong", r"wrong\(\) returned str; expected an nn.Module"),
        ("pair", r"pair\(\) returned Sequential, int; expected"),
    ],
)
def test_a_function_that_gives_no_model(code, name, why):
    with pytest.raises(UsageError, match=why):
        open_subject(f"{code}{name}")


def test_a_transform_that_gives_no_tensor(code):
    with pytest.raises(DataError, match="the transform gave Image; expected a tensor"):
        open_subject(f"{code}with_a_bad_transform")


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("my_models.typo:network", "importing my_models.typo failed: ModuleNotFoundError.*no_such_thing"),
        ("my_models.none:network", "importing my_models.none failed"),
        ("my_models", "expected python:package.module:function"),
        ("my_models.nets:", "expected python:package.module:function"),
    ],
)
def test_a_place_that_is_none(code, place, why):
    with pytest.raises(UsageError, match=why):
        open_subject(f"python:{place}")


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("resnet18", "expected KIND:WHAT; for example timm:resnet18"),
        ("tim:resnet18", "did you mean 'timm'"),
        ("timm:", "expected KIND:WHAT"),
    ],
)
def test_a_spec_that_is_none(spec, why):
    with pytest.raises(UsageError, match=why):
        open_subject(spec)


def test_weights_are_for_timm_alone(tmp_path):
    with pytest.raises(UsageError, match="--weights is for timm: models"):
        open_subject(f"features:{tmp_path}", weights=tmp_path / "w.pt")


def test_layers_are_handed_on(code):
    assert open_subject(f"{code}network", size=16, layers=["1"]).card["stages"] == ["1"]
    with pytest.raises(UsageError, match="--layers: the model has no module 'x'"):
        open_subject(f"{code}network", size=16, layers=["x"])


def test_the_number_of_classes_is_compared(code):
    with pytest.raises(UsageError, match="has 2 classes, and 5 are asked for"):
        open_subject(f"{code}network", size=16, classes=5)
