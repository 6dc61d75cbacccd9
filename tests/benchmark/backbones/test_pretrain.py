"""Pre-training: fractals made here, and timm's weights from a Hub cache, laid out as the Hub lays it out."""

import hashlib
import json
import math
import pickle
import shutil
import sys
import warnings

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

import oodbench
from benchmark.backbones import pretrain
from benchmark.backbones.create import create_network
from benchmark.backbones.looks import Looks
from benchmark.backbones.network import load_weights
from benchmark.backbones.pretrain import (
    fetch_from_hub,
    fractals,
    labelled,
    pretrain_on,
    published_weights,
)
from benchmark.datasets.fractals import FractalConfig, fractal_images
from benchmark.engines.worker import single_threaded
from benchmark.errors import DataError
from benchmark.records.results import read_all
from benchmark.store.artifacts import Artifact
from methods.objectives.cross_entropy import CrossEntropy

SIZE = 32
SHA = "0123456789abcdef0123456789abcdef01234567"
RECIPE = {
    "epochs": 2, "batch_size": 16, "optimizer": "adamw", "lr": 0.003, "weight_decay": 0.01,
    "scheduler": "cosine", "warmup_epochs": 1, "augment": "none",
}  # fmt: skip
SEEDS = {"images": 1, "weights": 2, "order": 3}
FEW = FractalConfig(5, 12, 64, 500, 0.1, 64, 2_000, padding=4)


@pytest.fixture(autouse=True)
def _few_fractals(monkeypatch):
    monkeypatch.setattr(pretrain, "FRACTAL_PRESETS", {"few": FEW})


def pretrained(**seeds):
    with single_threaded():
        seeds = SEEDS | seeds
        images, source = fractals(SIZE, "few", seeds["images"])
        looks = Looks("test_resnet", "timm", SIZE)
        network, history = pretrain_on(images, looks, CrossEntropy(), RECIPE, seeds)
        return network, history, source


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_network_learns_the_fractals_of_its_preset():
    network, history, source = pretrained()
    assert source["images"] == 5 * 12
    assert network.weights()["fc.weight"].shape[0] == 5
    assert [epoch["epoch"] for epoch in history] == [1, 2]
    assert history[1]["loss"] < history[0]["loss"] < 2 * math.log(5)
    assert not network.training


def test_fractals_are_drawn_in_the_size_of_the_track():
    _, _, source = pretrained()
    config = FractalConfig(5, 12, SIZE, 500, 0.1, 64, 2_000, padding=4)
    assert source["fingerprint"] == fractal_images(config, SEEDS["images"]).fingerprint()


def test_pre_training_repeats_itself_to_the_bit():
    first, again = pretrained(), pretrained()
    assert same(first[0].weights(), again[0].weights())
    assert first[1:] == again[1:]


@pytest.mark.parametrize("purpose", ["images", "weights", "order"])
def test_each_seed_counts(purpose):
    first, other = pretrained(), pretrained(**{purpose: 9})
    assert not same(first[0].weights(), other[0].weights())
    assert (first[2] == other[2]) == (purpose != "images")


def test_a_network_starts_from_what_the_fractals_taught():
    weights = pretrained()[0].weights()
    network = create_network("test_resnet", 3, SIZE)
    head = network.weights()["fc.weight"].clone()
    load_weights(network, weights, source="fractals")
    loaded = network.weights()
    assert torch.equal(loaded["fc.weight"], head)
    assert all(torch.equal(loaded[n], weights[n]) for n in loaded if not n.startswith("fc."))


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty Hub cache, an empty mirror, and no network."""
    monkeypatch.setenv("OODBENCH_MIRROR", str(tmp_path / "mirror"))
    cache = tmp_path / "hub"
    cache.mkdir()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return cache


def publish(hub, name, file, content, revision=SHA):
    """Put a file into the cache as `hf download timm/<name> <file>` does."""
    repository = hub / f"models--timm--{name}"
    snapshot = repository / "snapshots" / revision
    for folder in (snapshot, repository / "refs", repository / "blobs"):
        folder.mkdir(parents=True, exist_ok=True)
    (repository / "refs" / "main").write_text(revision)
    blob = repository / "blobs" / f"blob-of-{revision}-{file}"
    if isinstance(content, bytes):
        blob.write_bytes(content)
    else:
        save_file(content, blob)
    (snapshot / file).unlink(missing_ok=True)
    (snapshot / file).symlink_to(blob)
    return snapshot / file


def timm_weights(architecture, seed=0, classes=1000, **options):
    torch.manual_seed(seed)
    model = timm.create_model(architecture, num_classes=classes, **options)
    return {name: value.contiguous() for name, value in model.state_dict().items()}


def source(tag=None, revision=None):
    return {"source": "hub", "tag": tag, "revision": revision}


def weights_from_hub(architecture, size, init):
    tag = f".{init['tag']}" if init["tag"] else ""
    return published_weights(Looks(architecture + tag, "timm", size), init, None)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_weights_from_the_cache_are_exactly_those_published(hub):
    weights = timm_weights("test_resnet")
    path = publish(hub, "test_resnet.r160_in1k", "model.safetensors", weights)
    assert fetch_from_hub("test_resnet", None)[:2] == (path, 1000)
    loaded, about = weights_from_hub("test_resnet", SIZE, source())
    assert same(loaded, weights)
    assert about == {
        "weights": "test_resnet.r160_in1k",
        "repository": "timm/test_resnet.r160_in1k",
        "revision": SHA,
        "licence": "apache-2.0",
        "sha256": sha256(path),
    }


def test_the_first_weights_of_the_global_generator_do_not_matter(hub):
    publish(hub, "test_resnet.r160_in1k", "model.safetensors", timm_weights("test_resnet"))
    torch.manual_seed(1)
    first, _ = weights_from_hub("test_resnet", SIZE, source())
    torch.manual_seed(2)
    assert same(first, weights_from_hub("test_resnet", SIZE, source())[0])


def test_weights_are_adapted_to_the_image_size(hub):
    """A vision transformer has a position for each patch: 10×10 of 160 pixels, 2×2 of 32."""
    weights = timm_weights("test_vit")
    publish(hub, "test_vit.r160_in1k", "model.safetensors", weights)
    loaded, _ = weights_from_hub("test_vit", SIZE, source())
    assert weights["pos_embed"].shape[1] - loaded["pos_embed"].shape[1] == 100 - 4
    assert loaded.keys() == weights.keys()
    assert all(torch.equal(loaded[name], weights[name]) for name in weights if name != "pos_embed")


def test_weights_that_timm_published_in_another_format_first_are_read(hub):
    """For these timm has a loader of its own, of NumPy archives; on the Hub they are like all others."""
    name = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
    assert timm.models.get_pretrained_cfg(name).custom_load
    weights = timm_weights("vit_tiny_patch16_224")
    publish(hub, name, "model.safetensors", weights)
    loaded, _ = weights_from_hub("vit_tiny_patch16_224", SIZE, source())
    assert all(torch.equal(loaded[key], weights[key]) for key in weights if key != "pos_embed")


def test_a_tag_and_a_revision_are_found(hub):
    other = SHA[::-1]
    weights = timm_weights("test_resnet", seed=1)
    publish(hub, "test_resnet.r160_in1k", "model.safetensors", weights, revision=other)
    publish(hub, "test_resnet.r160_in1k", "model.safetensors", timm_weights("test_resnet"))
    loaded, about = weights_from_hub("test_resnet", SIZE, source("r160_in1k", other))
    assert same(loaded, weights)
    assert about["revision"] == other
    assert not same(loaded, weights_from_hub("test_resnet", SIZE, source("r160_in1k"))[0])


@pytest.mark.parametrize("revision", [None, "f" * 40], ids=["no repository", "no such revision"])
def test_absent_weights_are_an_error_that_says_what_to_do(hub, revision):
    if revision:
        publish(hub, "test_resnet.r160_in1k", "model.safetensors", timm_weights("test_resnet"))
    with pytest.raises(DataError) as caught:
        weights_from_hub("test_resnet", SIZE, source(revision=revision))
    message = str(caught.value)
    assert message.startswith("timm/test_resnet.r160_in1k: model.safetensors cannot be had (")
    assert "run `hf download timm/test_resnet.r160_in1k model.safetensors`" in message
    assert "HF_HOME" in message


class Trap:
    """Says so when it is unpickled."""

    def __reduce__(self):
        return (warnings.warn, ("unpickled",))  # an error under pytest


def test_the_trap_works():
    with pytest.raises(UserWarning, match="unpickled"):
        pickle.loads(pickle.dumps(Trap()))


def test_a_repository_of_pickles_is_refused_unread(hub):
    name = "test_resnet.r160_in1k"
    publish(hub, name, "pytorch_model.bin", pickle.dumps(Trap()))
    with pytest.raises(DataError, match=r"timm/test_resnet.r160_in1k: model.safetensors cannot be had"):
        weights_from_hub("test_resnet", SIZE, source())


def test_a_pickle_under_the_name_of_safetensors_is_refused_unread(hub, tmp_path):
    torch.save(timm_weights("test_resnet"), tmp_path / "weights")
    for content in (pickle.dumps(Trap()), (tmp_path / "weights").read_bytes()):
        path = publish(hub, "test_resnet.r160_in1k", "model.safetensors", content)
        with pytest.raises(
            DataError, match=r"^test_resnet\.r160_in1k at 32×32 pixels with the weights "
        ) as caught:
            weights_from_hub("test_resnet", SIZE, source())
        assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "weights",
    [
        timm_weights("test_efficientnet"),
        timm_weights("test_resnet", classes=10),
        {k: v for k, v in timm_weights("test_resnet").items() if not k.startswith("layer4")},
        {},
    ],
    ids=["another architecture", "another shape", "a part", "nothing"],
)
def test_a_file_that_does_not_fit_is_refused(hub, weights):
    path = publish(hub, "test_resnet.r160_in1k", "model.safetensors", weights)
    with pytest.raises(
        DataError, match=r"^test_resnet\.r160_in1k at 32×32 pixels with the weights "
    ) as caught:
        weights_from_hub("test_resnet", SIZE, source())
    assert str(path) in str(caught.value)


def test_a_truncated_file_is_refused(hub):
    path = publish(hub, "test_resnet.r160_in1k", "model.safetensors", timm_weights("test_resnet"))
    publish(hub, "test_resnet.r160_in1k", "model.safetensors", path.read_bytes()[:-10])
    with pytest.raises(DataError, match="with the weights"):
        weights_from_hub("test_resnet", SIZE, source())


def test_the_mirror_comes_before_the_hubs_cache(hub, tmp_path):
    publish(hub, "test_resnet.r160_in1k", "model.safetensors", timm_weights("test_resnet"))
    mirrored = tmp_path / "mirror" / "timm" / "test_resnet.r160_in1k" / "model.safetensors"
    mirrored.parent.mkdir(parents=True)
    weights = timm_weights("test_resnet", seed=1)
    save_file(weights, mirrored)
    loaded, about = weights_from_hub("test_resnet", SIZE, source())
    assert same(loaded, weights)
    assert (about["revision"], about["sha256"]) == (None, sha256(mirrored))


def test_weights_of_another_repository_are_read_as_they_are(hub, tmp_path):
    """Without a head, as many are published; the prefix of a wrapper is taken off."""
    weights = timm_weights("test_resnet", classes=0)
    path = tmp_path / "mirror" / "lab" / "small" / "model.safetensors"
    path.parent.mkdir(parents=True)
    save_file({f"module.{name}": tensor for name, tensor in weights.items()}, path)
    init = {"source": "hub", "repository": "lab/small", "trained_on": ["imagenet1k"], "licence": "MIT"}
    loaded, about = published_weights(Looks("test_resnet", "timm", SIZE), init, None)
    assert same(loaded, weights)
    assert about == {
        "repository": "lab/small",
        "revision": None,
        "sha256": sha256(path),
        "trained_on": ["imagenet1k"],
        "licence": "MIT",
    }


@pytest.mark.parametrize("where", ["a repository", "timm's", "a file"])
def test_weights_that_are_not_those_planned_with_are_refused(hub, tmp_path, where):
    path = publish(hub, "test_resnet.r160_in1k", "model.safetensors", timm_weights("test_resnet"))
    looks, init = Looks("test_resnet", "timm", SIZE), {"source": "hub", "sha256": "0" * 64}
    if where == "a repository":
        init["repository"] = "timm/test_resnet.r160_in1k"
    with pytest.raises(DataError, match=f"has SHA-256 {sha256(path)}, expected 0000"):
        published_weights(looks, init, str(path) if where == "a file" else None)


def test_an_unknown_tag_is_answered_with_those_that_there_are(hub):
    with pytest.raises(DataError) as caught:
        weights_from_hub("test_resnet", SIZE, source("in21k"))
    assert str(caught.value) == (
        "timm publishes no weights 'test_resnet.in21k' on the Hub; of test_resnet there are: "
        "test_resnet.r160_in1k"
    )


def test_an_architecture_without_weights_says_so(hub):
    with pytest.raises(
        DataError, match=r"publishes no weights 'test_coatnet' on the Hub; .* there are: none"
    ):
        weights_from_hub("test_coatnet", SIZE, source())


@pytest.fixture
def leaderboard(small):
    """The small leaderboard on 32 pixels with the Hub's weights, one seed, one entry."""
    text = small.read_text()
    for old, new in [
        ("image_size: 16", "image_size: 32"),
        ("architecture: test_efficientnet", "architecture: test_resnet"),
        ("seeds: [0, 1]", "seeds: [0]"),
        ("inits: [scratch]", "inits: [scratch, hub]"),
        ("entries: [msp, knn]", "entries: [msp]"),
        (
            "  scratch: {source: scratch}",
            "  scratch: {source: scratch}\n  hub: {source: hub}",
        ),
        (
            "{architecture: test_resnet}",
            "{architecture: test_resnet, weights: {hub: {tag: r160_in1k}}}",
        ),
    ]:
        assert old in text
        text = text.replace(old, new)
    small.write_text(text)
    return small


def command(monkeypatch, *arguments):
    """Run the command line in this process; return its exit code."""
    monkeypatch.setattr(sys, "argv", ["oodbench", *map(str, arguments)])
    monkeypatch.setattr(oodbench.signal, "signal", lambda *_: None)  # the handlers are pytest's
    with pytest.raises(SystemExit) as done:
        oodbench.main()
    return done.value.code or 0


def test_a_run_from_the_hub_through_the_command_line(hub, leaderboard, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = ("run", "--all", "--jobs", "1", "--cache", tmp_path / "cache", "--leaderboard", leaderboard)

    assert command(monkeypatch, *run) == 1
    err = capsys.readouterr().err
    assert "hf download timm/test_resnet.r160_in1k model.safetensors" in " ".join(err.split())
    assert "1 of 2 cells failed; the others are finished" in err
    status = {r.init: r.status for file in read_all(tmp_path / "runs") for r in file.records}
    assert status == {"scratch": "measured", "hub": "failed"}

    publish(hub, "test_resnet.r160_in1k", "model.safetensors", timm_weights("test_resnet"))
    assert command(monkeypatch, *run) == 0
    [file] = read_all(tmp_path / "runs")
    hubs, scratch = sorted(file.records, key=lambda record: record.init)
    assert (hubs.status, scratch.status) == ("measured", "measured")
    assert hubs.provenance.checkpoint != scratch.provenance.checkpoint
    assert hubs.provenance.seeds == scratch.provenance.seeds
    assert hubs.cost.pretrain_seconds is not None

    shutil.rmtree(hub)  # the artifacts are enough
    assert command(monkeypatch, *run) == 0


def labelled_artifact(folder):
    images = torch.arange(6 * 3 * 4 * 4, dtype=torch.uint8).reshape(6, 3, 4, 4)
    save_file({"images": images, "labels": torch.tensor([0, 1, 2, 2, 1, 0])}, folder / "images.safetensors")
    (folder / "card.json").write_text(json.dumps({"classes": ["a", "b", "c"], "n": 6}))
    return Artifact("k", folder, {"files": {"images.safetensors": {}, "card.json": {}}}), images


def test_excluded_classes_are_left_out_and_the_others_counted_anew(tmp_path):
    stored, images = labelled_artifact(tmp_path)
    found, card = labelled(stored, [1])
    assert found.labels.tolist() == [0, 1, 1, 0]
    assert torch.equal(found.images, images[[0, 2, 3, 5]])
    assert (card["excluded"], card["n"]) == (["b"], 4)


def test_a_source_must_keep_two_classes(tmp_path):
    stored, _ = labelled_artifact(tmp_path)
    with pytest.raises(DataError, match="exclude_classes: leaves 1 of 3 classes"):
        labelled(stored, [0, 2])
