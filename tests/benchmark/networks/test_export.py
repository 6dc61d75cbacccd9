"""What is exported is whole or not there, says what it was made from, and leaves nothing to train."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from network_files import card, folder_of, index_of, keys
from safetensors.torch import save_file
from small_leaderboard import SMALL
from small_runs import Place, planned, run

from benchmark.backbones.create import create_network
from benchmark.errors import StorageError
from benchmark.jobs.job import Kind
from benchmark.networks.asked import asked_of
from benchmark.networks.check import check
from benchmark.networks.export import export
from benchmark.networks.get import get
from benchmark.networks.shelf import Shelf
from benchmark.spec.load import load_spec
from benchmark.store.artifacts import Store

RECIPE = "{epochs: 1, batch_size: 60, lr: 0.003, weight_decay: 0.01}"
GOING_ON = (
    SMALL.replace("    seeds: [0, 1]\n", "    seeds: [0]\n")
    .replace("    inits: [scratch]", "    inits: [fractal, file]")
    .replace("    entries: [msp, knn]", "    entries: [msp, finetune+energy]")
    .replace("    near:", "    outliers: {strokes: {dataset: strokes, n: 12}}\n    near:")
    .replace("test_efficientnet", "test_resnet")
    .replace("  scratch: {source: scratch}", "  scratch: {source: scratch}\n"
        f"  fractal: {{source: fractaldb, preset: fractaldb_tiny, training: {RECIPE}}}\n"
        "  file: {source: checkpoint, file: mine.safetensors, trained_on: my images, licence: CC BY-NC 4.0}")
    .replace("entries:\n  msp", "objectives:\n  finetune: {objective: energy_finetune, outliers: [strokes]}\n"
        "entries:\n  finetune+energy: {objective: finetune, detector: energy}\n  msp")
)  # fmt: skip


@pytest.fixture(scope="module")
def going_on(tmp_path_factory):
    """A run of networks that go on from others, exported: never changed."""
    tmp_path = tmp_path_factory.mktemp("going_on")
    (tmp_path / "leaderboard.yaml").write_text(GOING_ON)
    torch.manual_seed(1)
    save_file(create_network("test_resnet", 7, 16).weights(), tmp_path / "mine.safetensors")
    place = Place(tmp_path / "cache", tmp_path / "runs")
    _, summary = run(tmp_path / "leaderboard.yaml", place)
    assert summary.failed == 0
    plan, spec = planned(tmp_path / "leaderboard.yaml"), load_spec(tmp_path / "leaderboard.yaml")
    export(plan, spec, Store(place.cache), tmp_path / "nets", "mit")
    return tmp_path, place, plan, spec


def test_what_networks_go_on_from_comes_with_them_and_nothing_is_trained_or_pre_trained(going_on, tmp_path):
    folder, place, plan, spec = going_on
    asked = asked_of([plan])
    assert sorted(one.job.kind for one in asked.values()) == [Kind.PRETRAIN] * 2 + [Kind.TRAIN] * 4
    got = get(asked, Store(tmp_path / "cache"), Shelf(folder / "nets"))
    assert [card.key for card in got.fetched] == list(asked)  # those that others go on from first

    elsewhere = Place(tmp_path / "cache", tmp_path / "runs")
    done, _ = run(folder / "leaderboard.yaml", elsewhere)
    assert done
    assert not [label for label in done if "train" in label]
    assert elsewhere.measurements() == place.measurements()
    first = {cell: record.provenance.first_weights for cell, record in place.records().items()}
    assert first == {cell: record.provenance.first_weights for cell, record in elsewhere.records().items()}

    found = check(Shelf(folder / "nets"), spec, lambda track: plan, (), place.results)
    assert found.findings == []
    assert (found.networks, found.unpublished) == (6, 0)


def test_a_card_says_what_the_network_was_made_from_and_under_which_licence(going_on):
    folder, _, _, _ = going_on
    cards = [card(folder / "nets", key) for key in keys(folder / "nets")]
    by_place = {(one["place"]["init"], one["place"]["kind"], one["place"]["objective"]): one for one in cards}
    file = by_place["file", "pretrain", None]
    [(weights, licence)] = file["made_from"].items()
    assert (file["licence"], licence) == ("CC BY-NC 4.0", "CC BY-NC 4.0")
    assert weights.startswith("weights test_resnet ")
    tuned = by_place["file", "train", "finetune"]
    assert tuned["licence"] == "mit"
    assert tuned["made_from"].keys() == {weights, "dataset digits", "dataset strokes"}
    fractal = by_place["fractal", "pretrain", None]
    assert (fractal["licence"], fractal["made_from"], fractal["training"]) == ("mit", {}, None)
    assert tuned["training"]["starts_from"]["objective"] == "cross_entropy"
    assert tuned["environment"]["libraries"]["torch"] == torch.__version__.partition("+")[0]
    assert "| small | tiny | fractal | (pre-trained) | 1 |" in (folder / "nets" / "README.md").read_text()


def test_a_network_without_what_it_goes_on_from_is_found(going_on, tmp_path):
    folder, place, plan, spec = going_on
    lost = next(key for key, job in plan.jobs.items() if job.kind == Kind.PRETRAIN)
    nets = shutil.copytree(folder / "nets", tmp_path / "nets")
    index = json.loads((nets / "index.json").read_text())
    index["networks"].pop(lost)
    (nets / "index.json").write_text(json.dumps(index))
    findings = check(Shelf(nets), spec, lambda track: plan, (), place.results).findings
    assert any("index.json does not list it" in finding for finding in findings)
    assert any(f"goes on from {lost}, which is not among" in finding for finding in findings)


def test_the_index_and_the_model_card_follow_what_is_added(ran, plan, spec, tmp_path):
    store, nets = Store(ran.folder / "cache"), tmp_path / "nets"
    part = planned(ran.folder / "leaderboard.yaml")
    one = type(part)(part.measured, part.jobs, trainings=part.trainings[:1])
    first = export(one, spec, store, nets, "mit")
    assert index_of(nets).networks.keys() == {first.written[0].key}
    second = export(plan, spec, store, nets, "mit")
    assert (len(second.written), len(second.there)) == (1, 1)
    assert len(index_of(nets).networks) == 2
    assert second.index == Shelf(nets).sha256 != first.index
    text = (nets / "README.md").read_text()
    assert text.startswith('---\nlicense: "mit"\nlibrary_name: timm\ntags: [')
    assert "| small | tiny | scratch | cross_entropy | 2 |" in text
    assert export(plan, spec, store, nets, "mit").index == second.index


def test_what_a_kill_leaves_is_no_network_and_goes_with_the_next_export(
    ran, plan, spec, monkeypatch, tmp_path
):
    import benchmark.networks.export as module

    def stop(*_):
        raise KeyboardInterrupt

    store, nets = Store(ran.folder / "cache"), tmp_path / "nets"
    with monkeypatch.context() as patch:
        patch.setattr(module.shutil, "copyfile", stop)
        with pytest.raises(KeyboardInterrupt):
            export(plan, spec, store, nets, "mit")
    assert [*(nets / "networks").iterdir()] == []
    (nets / "networks" / ".draft-killed").mkdir()
    export(plan, spec, store, nets, "mit")
    assert sorted(path.name for path in (nets / "networks").iterdir()) == keys(nets)


def test_two_exports_at_once_are_refused(ran, plan, spec, tmp_path):
    nets = tmp_path / "nets"
    (nets / "networks").mkdir(parents=True)
    script = (
        "import fcntl, os, sys\nhandle = os.open(sys.argv[1], os.O_RDONLY)\n"
        "fcntl.flock(handle, fcntl.LOCK_EX)\nprint('held', flush=True)\nsys.stdin.read()"
    )
    command = [sys.executable, "-c", script, os.fspath(nets / "networks")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(StorageError, match="another process is writing there"):
            export(plan, spec, Store(ran.folder / "cache"), nets, "mit")
        other.stdin.close()
        other.wait()
    assert len(export(plan, spec, Store(ran.folder / "cache"), nets, "mit").written) == 2
    assert folder_of(nets, keys(nets)[0]).is_dir()
