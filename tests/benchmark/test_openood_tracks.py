"""The tracks that need the Hub's data and weights, run on small stand-ins in the Hub's layout."""

import os

import numpy as np
import pytest
import timm
import torch
from hub_files import encode, noise, write_split
from huggingface_hub import constants
from places import SHIPPED
from ruamel.yaml import YAML
from safetensors.torch import save_file

from benchmark.datasets import DataMissing, HubDataset, dataset
from benchmark.plan.make import Selection, make_plan
from benchmark.records.results import read_all
from benchmark.run import run_plan
from benchmark.spec.load import load_spec
from benchmark.studies.detection.records import measurement_of

SHA = "0123456789abcdef0123456789abcdef01234567"
SMALLER = {  # what makes a track small, and nothing that says which data it uses
    "cifar10_openood": {
        "split": {"train_per_class": 3, "val_per_class": 2},
        "training": {"epochs": 1, "batch_size": 10, "lr": 0.01, "weight_decay": 0.0, "augment": "flip_crop"},
        "seeds": [0],
        "entries": ["msp", "knn", "odin", "mahalanobis_ensemble", "react_tuned"],
    },
    "imagenet_openood": {
        "image_size": 32,
        "split": {"train_per_class": 1, "val_per_class": 1},
        "backbones": ["test_resnet"],
        "inits": ["hub_small"],
        "entries": ["msp", "knn", "vim", "gram", "odin"],
    },
}

pytestmark = pytest.mark.skipif(not SHIPPED.is_file(), reason=f"no checkout: {SHIPPED} is not there")


@pytest.fixture
def leaderboard(tmp_path):
    """The shipped leaderboard with one track, made small."""

    def make(track):
        tree = YAML(typ="safe", pure=True).load(SHIPPED)
        tree["tracks"] = {track: tree["tracks"][track] | SMALLER[track]}
        if track == "imagenet_openood":
            tree["tracks"][track]["id"]["n"] = 2000
        for source in tree["tracks"][track].get("validation", {}).values():
            source["n"] = min(source["n"], 40)
        tree["inits"]["hub_small"] = {"source": "hub"}
        tree["backbones"]["test_resnet"] = {
            "architecture": "test_resnet",
            "weights": {"hub_small": {"tag": "r160_in1k"}},
            "enlarged": 64,
            "crop": 0.95,
            "interpolation": "bicubic",
        }
        tree["boards"] = {}
        path = tmp_path / "leaderboard.yaml"
        with path.open("w") as file:
            YAML(typ="safe", pure=True).dump(tree, file)
        return load_spec(path)

    return make


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    folder = tmp_path / "mirror"
    folder.mkdir()
    monkeypatch.setenv("OODBENCH_MIRROR", str(folder))
    return folder


def sources(track):
    yield from filter(None, [track.id, track.id_test])
    for group in (track.near, track.far, track.validation):
        yield from group.values()


def stand_in(source):
    """A file of the split with a few images: of each class, where there are classes."""
    known = dataset(source.dataset)
    if not isinstance(known, HubDataset):
        return
    names = known.card.class_names
    many = {"cifar10": 60, "imagenet1k": 2000 if source.split == "train" else 60}.get(source.dataset, 12)
    rng = np.random.default_rng(len(source.dataset))
    forms = ("PNG", "JPEG", "WEBP")
    sizes = rng.integers(20, 50, (many, 2)).tolist()
    shared = [encode(noise(h, w, seed=i), forms[i % 3]) for i, (h, w) in enumerate(sizes[:60])]
    labels = [i % len(names) for i in range(many)] if names else None
    unique = [f"{i} {name}" for i, name in enumerate(names)]  # two of ImageNet's are called alike
    split = source.split or next(iter(known.splits))
    write_split(
        known.place(split), [shared[i % 60] for i in range(many)], labels, unique,
        image=known.image_column, label=known.label_column or "label",
    )  # fmt: skip


def run(spec, folder):
    plan = make_plan(spec, Selection())
    failed = []

    def on_event(event, job, message):
        if event == "failed":
            failed.append((job.label, message))

    run_plan(plan, cache=folder / "cache", results=folder / "results", workers=1, on_event=on_event)
    assert failed == []
    return {file.row: file.records for file in read_all(folder / "results")}


@pytest.mark.long
def test_cifar10_openood_runs_from_files_laid_out_as_on_the_hub(leaderboard, mirror, tmp_path):
    spec = leaderboard("cifar10_openood")
    track = spec.tracks["cifar10_openood"]
    with pytest.raises(DataMissing, match="cifar10"):
        make_plan(spec, Selection())
    for source in sources(track):
        stand_in(source)
    records = run(spec, tmp_path)
    assert records.keys() == set(track.entries)
    for found in records.values():
        assert [record.status for record in found] == ["measured"]
        measured = measurement_of(found[0])
        assert {n: d.group for n, d in measured.detection.items()} == {
            "cifar100": "near", "tiny_imagenet": "near", "mnist": "far", "svhn": "far", "textures": "far",
            "places365": "far",
        }  # fmt: skip
        assert measured.classification.n == 60
        assert measured.robustness == {}
    assert records["react_tuned"][0].settings["hp_mode"] == "proxy_ood"


def test_imagenet_openood_takes_published_weights_as_they_are(leaderboard, mirror, tmp_path, monkeypatch):
    spec = leaderboard("imagenet_openood")
    for source in sources(spec.tracks["imagenet_openood"]):
        stand_in(source)
    cache = tmp_path / "hub"
    snapshot = cache / "models--timm--test_resnet.r160_in1k" / "snapshots" / SHA
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text(SHA)
    torch.manual_seed(0)
    published = timm.create_model("test_resnet", num_classes=1000)
    save_file({n: v.contiguous() for n, v in published.state_dict().items()}, snapshot / "model.safetensors")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    records = run(spec, tmp_path)
    assert {record.status for found in records.values() for record in found} == {"measured"}
    assert set(measurement_of(records["msp"][0]).detection) == {
        "ssb_hard", "ninco", "inaturalist", "textures", "openimage_o"
    }  # fmt: skip
    heads = [p for p in (tmp_path / "cache").rglob("head.safetensors") if p.is_file()]
    from safetensors.torch import load_file

    assert any(torch.equal(load_file(p)["head.weight"], published.fc.weight.detach()) for p in heads)


def test_without_the_data_the_track_is_left_out_and_the_others_run(mirror):
    plan = make_plan(load_spec(SHIPPED), Selection(seeds=(0,), entries=("msp",)))
    here = {planned.cell.track for planned in plan.cells}
    assert "digits" in here
    assert plan.left_out.keys() == load_spec(SHIPPED).tracks.keys() - here
    assert plan.left_out.keys() >= {"cifar10", "cifar10_openood", "imagenet_openood"}
    assert all("oodbench data get" in why for why in plan.left_out.values())


def test_the_mirror_is_what_makes_the_key(leaderboard, mirror):
    """Another file under the same name is other data."""
    spec = leaderboard("cifar10_openood")
    for source in sources(spec.tracks["cifar10_openood"]):
        stand_in(source)
    before = make_plan(spec, Selection())
    path = dataset("svhn").place("test")
    names = dataset("svhn").card.class_names
    write_split(path, [encode(noise(seed=99))] * 12, [0] * 12, names)
    os.utime(path, ns=(1, 1))
    after = make_plan(spec, Selection())
    changed = {after.jobs[key].label for key in after.jobs.keys() - before.jobs.keys()}
    assert "cifar10_openood: images of svhn" in changed
    assert not [label for label in changed if label.endswith(": train")]
