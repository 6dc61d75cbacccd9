"""``timm:NAME``, with weights of a file or with published ones."""

import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import timm
import torch
from PIL import Image
from places import SHARED
from safetensors.torch import save_file
from timm.data import create_transform, resolve_model_data_config

from benchmark.datasets.mirror import mirror_folder
from benchmark.errors import DataError, UsageError
from benchmark.evaluation.models.open import open_subject

CLASSES = 6


def picture(height=70, width=50):
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(noise)


@pytest.fixture
def trained(tmp_path):
    """Writes the weights of a fresh model; the model and the file."""

    def make(name="test_resnet", prefix="", suffix=".safetensors", **options):
        torch.manual_seed(0)
        model = timm.create_model(name, num_classes=CLASSES, **options).eval()
        state = {prefix + key: value for key, value in model.state_dict().items()}
        path = tmp_path / f"best{suffix}"
        save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
        return model, path

    return make


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_logits_are_those_of_timm_with_its_own_preprocessing(trained, prefix, suffix):
    """Against timm's own transform, normalisation included: geometry and normalisation were taken apart."""
    model, path = trained(prefix=prefix, suffix=suffix)
    subject = open_subject("timm:test_resnet", weights=path)
    config = resolve_model_data_config(model)
    with torch.no_grad():
        expected = model(create_transform(**config, is_training=False)(picture())[None])
    pixels = subject.prepare(picture())
    assert pixels.dtype == torch.uint8
    assert tuple(pixels.shape) == config["input_size"]
    torch.testing.assert_close(subject.features(pixels[None], ()).logits, expected, rtol=1e-4, atol=1e-5)
    assert subject.classes == CLASSES
    assert subject.title == "timm:test_resnet"
    assert bool(prefix) == any(repr(prefix) in note for note in subject.notes)
    assert subject.card["preprocessing"]["mean"] == list(config["mean"])


def test_the_fingerprint_does_not_depend_on_the_file(trained):
    seen = set()
    for prefix, suffix in (("", ".safetensors"), ("module.", ".pt")):
        _, path = trained(prefix=prefix, suffix=suffix)
        seen.add(open_subject("timm:test_resnet", weights=path).fingerprint)
    assert len(seen) == 1


def test_grey_weights_make_a_grey_model(trained):
    _, path = trained(in_chans=1)
    subject = open_subject("timm:test_resnet", weights=path, normalise=((0.5,), (0.5,)))
    assert subject.card["preprocessing"]["grey"] == "luminance"
    assert subject.features(subject.prepare(picture())[None], ()).logits.shape == (1, CLASSES)


def test_a_transformer_is_made_for_the_images_of_its_positions(trained):
    model, path = trained("test_vit", img_size=48)
    subject = open_subject("timm:test_vit", weights=path)
    pixels = subject.prepare(picture())[None]
    assert tuple(pixels.shape) == (1, 3, 48, 48)
    with torch.no_grad():
        expected = model((pixels / 255 - 0.5) / 0.5)
    torch.testing.assert_close(subject.features(pixels, ()).logits, expected, rtol=1e-4, atol=1e-5)
    assert any("48×48" in note for note in subject.notes)


def test_size_and_normalisation_can_be_said(trained):
    _, path = trained()
    subject = open_subject("timm:test_resnet", weights=path, size=32, normalise=((0.1,), (0.2,)))
    assert tuple(subject.prepare(picture()).shape) == (3, 32, 32)
    assert subject.card["preprocessing"] == {
        "mean": [0.1], "std": [0.2], "geometry": "32×32 pixels, center, bilinear",
    }  # fmt: skip


def test_what_timm_wrote_beside_the_weights_counts(trained):
    _, path = trained()
    names = [f"class {i}" for i in range(CLASSES)]
    cfg = {"input_size": [3, 40, 40], "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "crop_pct": 1.0}
    beside = path.parent / "config.json"
    beside.write_text(json.dumps({"pretrained_cfg": cfg, "label_names": names}))
    subject = open_subject("timm:test_resnet", weights=path)
    assert subject.class_names == tuple(names)
    assert subject.card["preprocessing"]["mean"] == [0.1, 0.2, 0.3]
    assert tuple(subject.prepare(picture()).shape) == (3, 40, 40)
    beside.write_text("{")
    with pytest.raises(DataError, match=r"config\.json: is no JSON"):
        open_subject("timm:test_resnet", weights=path)


def test_weights_of_another_architecture(trained):
    _, path = trained("test_vit", img_size=32)
    with pytest.raises(DataError, match=r"holds no fc\.weight, .*it holds blocks"):
        open_subject("timm:test_resnet", weights=path)


def test_weights_that_lack_a_layer(trained):
    model, path = trained()
    state = model.state_dict()
    del state["layer1.0.conv1.weight"]
    save_file(state, path)
    with pytest.raises(DataError, match=r"1 missing: layer1\.0\.conv1\.weight"):
        open_subject("timm:test_resnet", weights=path)


def test_another_number_of_classes_than_is_asked_for(trained):
    _, path = trained()
    with pytest.raises(UsageError, match="has 6 classes, and 7 are asked for"):
        open_subject("timm:test_resnet", weights=path, classes=7)


def test_an_unknown_architecture_is_told_its_neighbour(trained):
    _, path = trained()
    with pytest.raises(UsageError, match="no architecture 'test_resnot'; did you mean 'test_resnet'"):
        open_subject("timm:test_resnot", weights=path)


def test_published_weights_lie_in_the_mirror(tmp_path, monkeypatch):
    """In the layout of the mirror, without a network."""
    config = timm.models.get_pretrained_cfg("test_resnet")
    monkeypatch.setenv("OODBENCH_MIRROR", str(tmp_path))
    folder = mirror_folder() / config.hf_hub_id
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    model = timm.create_model("test_resnet").eval()
    save_file(model.state_dict(), folder / "model.safetensors")
    subject = open_subject("timm:test_resnet")
    assert subject.classes == 1000
    assert json.loads(json.dumps(subject.card)) == subject.card
    assert subject.class_names[:2] == ("tench", "goldfish")
    assert len(set(subject.class_names)) == 1000
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(subject.features(x, ()).logits, model(x), rtol=1e-4, atol=1e-5)


def test_real_weights_know_a_real_picture(monkeypatch):
    """Of 1,000 classes a guess is right once in a thousand; the pictures are enlarged from 64 pixels."""
    folder = SHARED / "data"
    if not (folder / "timm/tf_efficientnet_lite0.in1k/model.safetensors").is_file():
        pytest.skip(f"{folder} has no weights of tf_efficientnet_lite0")
    parquet = folder / "local/imagenet_samples/test.parquet"
    if not parquet.is_file():
        pytest.skip(f"{folder} has no ImageNet samples")
    monkeypatch.setenv("OODBENCH_MIRROR", str(folder))
    subject = open_subject("timm:tf_efficientnet_lite0", weights=None)
    rows = next(pq.ParquetFile(parquet).iter_batches(10)).to_pylist()
    images = [subject.prepare(Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB")) for row in rows]
    found = subject.features(torch.stack(images), ()).logits.argmax(1).tolist()
    right = sum(f == row["label"] for f, row in zip(found, rows, strict=True))
    assert right >= 3, right
