"""``hf:``: a small ViT of transformers, made from a configuration and saved in the Hub's layout."""

import json
import sys

import huggingface_hub
import numpy as np
import pytest
import torch
from PIL import Image

from benchmark.errors import DataError, UsageError
from benchmark.evaluation.models.open import open_subject
from methods.features import Signal

NAMES = ("ant", "bee", "cat", "dog")


@pytest.fixture
def transformers():
    return pytest.importorskip("transformers", reason="oodbench[transformers] is not installed")


@pytest.fixture
def saved(tmp_path, transformers, monkeypatch):
    """Folder of a model and its processor, of other options each."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def save(folder=tmp_path / "vit", *, names=NAMES, processor=None, layers=3):
        torch.manual_seed(0)
        how = {
            "hidden_size": 32,
            "num_attention_heads": 2,
            "intermediate_size": 64,
        }
        labels = {"id2label": dict(enumerate(names)), "label2id": {n: i for i, n in enumerate(names)}}
        config = transformers.ViTConfig(
            image_size=32, patch_size=8, num_hidden_layers=layers, **how, **labels
        )
        model = transformers.ViTForImageClassification(config).eval()
        model.save_pretrained(folder)
        options = {"size": {"height": 32, "width": 32}, **(processor or {})}
        transformers.ViTImageProcessor(**options).save_pretrained(folder)
        return model, folder

    return save


def picture():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8))


PROCESSORS = [
    {},
    {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]},
    {"do_normalize": False},
    {"rescale_factor": 1 / 127.5},
    {"do_rescale": False, "image_mean": [120.0] * 3, "image_std": [60.0] * 3},
]


@pytest.mark.parametrize("processor", PROCESSORS)
def test_logits_are_those_of_transformers_with_its_processor(saved, transformers, processor):
    """Against the processor as a whole: geometry and normalisation were taken apart."""
    model, folder = saved(processor=processor)
    subject = open_subject(f"hf:{folder}")
    whole = transformers.AutoImageProcessor.from_pretrained(folder, local_files_only=True)
    with torch.no_grad():
        expected = model(**whole(images=picture(), return_tensors="pt")).logits
    pixels = subject.prepare(picture())
    assert pixels.dtype == torch.uint8
    torch.testing.assert_close(subject.features(pixels[None], ()).logits, expected, rtol=1e-4, atol=1e-4)


def test_head_stages_and_names_are_found(saved):
    _, folder = saved()
    subject = open_subject(f"hf:{folder}")
    assert subject.class_names == NAMES
    assert json.loads(json.dumps(subject.card)) == subject.card
    assert subject.card["head"] == {"layer": "classifier", "features": 32}
    assert len(subject.card["stages"]) == 3
    found = subject.features(subject.prepare(picture())[None], {Signal.MAPS})
    assert [tuple(m.shape) for m in found.maps] == [(1, 32, 4, 4)] * 3
    x = torch.rand(1, 3, 32, 32, requires_grad=True)
    [slope] = torch.autograd.grad(subject.pixels(x).logits.sum(), x)
    assert slope.abs().sum() > 0


def test_classes_without_names_have_none(saved):
    _, folder = saved(names=("LABEL_0", "LABEL_1"))
    assert open_subject(f"hf:{folder}").class_names is None


def test_a_repository_in_the_mirror(saved, tmp_path, monkeypatch):
    monkeypatch.setenv("OODBENCH_MIRROR", str(tmp_path))
    saved(tmp_path / "me" / "vit")
    subject = open_subject("hf:me/vit")
    assert subject.card["from"] == "the mirror"
    assert subject.title == "hf:me/vit"


def test_a_repository_in_the_hubs_cache(saved, tmp_path, monkeypatch):
    """In the layout in which `hf download` leaves it."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    commit = "0123456789abcdef" * 2 + "01234567"
    kept = tmp_path / "models--me--vit"
    saved(kept / "snapshots" / commit)
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text(commit)
    subject = open_subject("hf:me/vit")
    assert (subject.card["from"], subject.card["revision"]) == ("the Hub's cache", commit)
    with pytest.raises(
        DataError, match=r"hf:me/not-here: is not on this machine: .*`hf download me/not-here`"
    ):
        open_subject("hf:me/not-here")


def test_weights_without_a_head_are_no_classifier(saved):
    from safetensors.torch import load_file, save_file

    _, folder = saved()
    weights = load_file(folder / "model.safetensors")
    kept = {k: v for k, v in weights.items() if not k.startswith("classifier")}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(DataError, match="2 weights are missing or of another shape, first classifier"):
        open_subject(f"hf:{folder}")


def test_a_pickle_is_not_opened(saved):
    from safetensors.torch import load_file

    _, folder = saved()
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(DataError, match=r"cannot be opened: .*model\.safetensors"):
        open_subject(f"hf:{folder}")


def test_a_damaged_configuration(saved):
    _, folder = saved()
    (folder / "config.json").write_text(json.dumps({"model_type": "no such thing"}))
    with pytest.raises(DataError, match="cannot be opened"):
        open_subject(f"hf:{folder}")


def test_a_path_is_no_repository(transformers):
    with pytest.raises(UsageError, match="no such folder, and it is no name of a repository"):
        open_subject("hf:../else/where/x")


def test_without_transformers_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UsageError, match=r"pip install 'oodbench\[transformers\]'"):
        open_subject(f"hf:{tmp_path}")
