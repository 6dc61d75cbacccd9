"""Inits that start from another dataset or from a file, tuned whole or in the head alone."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmark.backbones.create import create_network
from benchmark.errors import DataError, SpecError
from benchmark.jobs.job import Kind
from benchmark.plan.make import Selection, make_plan
from benchmark.records.record import TRAININGS
from benchmark.records.results import read_all
from benchmark.run import run_plan
from benchmark.spec.load import load_spec
from benchmark.store.artifacts import Store

RECIPE = "{epochs: 1, batch_size: 16, lr: 0.003, weight_decay: 0.01}"
LEADERBOARD = f"""\
version: 1
tracks:
  small:
    title: A few digits
    image_size: 32
    id: {{dataset: digits, classes: [0, 1, 2]}}
    split: {{train_per_class: 6, val_per_class: 4}}
    near:
      threes: {{dataset: digits, classes: [3]}}
    far:
      noise: {{dataset: uniform_noise, n: 12}}
      glyphs: {{dataset: glyphs, n: 12}}
    training: {RECIPE}
    backbones: [tiny]
    inits: [scratch, others, probe, file]
    seeds: [0, 1]
    entries: [msp]
backbones:
  tiny: {{architecture: test_resnet}}
inits:
  scratch: {{source: scratch}}
  others: &others
    source: dataset
    images: {{dataset: digits, classes: [5, 6, 7, 8]}}
    training: {RECIPE}
  probe:
    <<: *others
    tune: head
  file: {{source: checkpoint, file: mine.safetensors, trained_on: my own images, licence: MIT}}
entries:
  msp: {{detector: msp}}
"""
CLASSIFIER = ["fc.weight", "fc.bias"]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "leaderboard.yaml").write_text(LEADERBOARD)
    torch.manual_seed(1)
    save_file(create_network("test_resnet", 7, 32).weights(), tmp_path / "mine.safetensors")
    return tmp_path


def plan_of(folder, **selection):
    return make_plan(load_spec(folder / "leaderboard.yaml"), Selection(**selection))


def run(folder, **selection):
    plan, failed = plan_of(folder, **selection), []

    def on_event(event, job, message):
        if event == "failed":
            failed.append(message)

    run_plan(plan, cache=folder / "cache", results=folder / "results", workers=1, on_event=on_event)
    return plan, failed


def weights(folder, plan, init, kind=Kind.TRAIN, seed=0):
    planned = next(c for c in plan.cells if (c.cell.init, c.cell.seed) == (init, seed))
    return Store(folder / "cache").open(planned.chain[kind]).tensors("model")


def test_each_source_is_used_and_said(folder):
    plan, failed = run(folder)
    assert failed == []
    [file] = read_all(folder / "results")
    assert {r.status for r in file.records} == {"measured"}
    checkpoints = {(r.init, r.seed): r.provenance.checkpoint for r in file.records}
    assert len(set(checkpoints.values())) == 8

    source = weights(folder, plan, "others", Kind.PRETRAIN)
    assert source["fc.weight"].shape[0] == 4
    probed = weights(folder, plan, "probe")
    assert {n for n in probed if not torch.equal(probed[n], source[n])} == set(CLASSIFIER)
    assert probed["fc.weight"].shape[0] == 3
    tuned = weights(folder, plan, "others")
    assert not torch.equal(tuned["conv1.0.weight"], source["conv1.0.weight"])

    [training] = read_all(folder / "results", TRAININGS)
    said = {(r.init, r.seed): r.provenance.first_weights for r in training.records}
    assert said["scratch", 0] is None
    for init in ("others", "probe", "file"):
        assert said[init, 0]["fresh"] == CLASSIFIER
        assert said[init, 0]["loaded"] == len(tuned) - 2
    assert said["file", 0]["source"]["trained_on"] == "my own images"
    assert said["file", 0]["source"]["licence"] == "MIT"
    assert said["others", 0]["overlap"] == ["test", "threes"]
    assert "overlap" not in said["file", 0]


def test_pre_training_is_shared_by_seeds_and_by_what_is_tuned(folder):
    plan = plan_of(folder)
    keys = {(c.cell.init, c.cell.seed): c.chain.get(Kind.PRETRAIN) for c in plan.cells}
    assert keys["others", 0] == keys["others", 1] == keys["probe", 0] == keys["probe", 1]
    assert len({*keys.values()}) == 3  # none, of the dataset, of the file
    trainings = {c.chain[Kind.TRAIN] for c in plan.cells}
    assert len(trainings) == 8


def test_another_file_of_the_same_name_makes_new_keys(folder):
    before = plan_of(folder, inits=("file",)).cells[0].chain
    torch.manual_seed(2)
    save_file(create_network("test_resnet", 7, 32).weights(), folder / "mine.safetensors")
    after = plan_of(folder, inits=("file",)).cells[0].chain
    assert before[Kind.PRETRAIN] != after[Kind.PRETRAIN]
    assert before[Kind.TRAIN] != after[Kind.TRAIN]


@pytest.mark.parametrize("prefix", ["module.", "model."])
def test_a_prefix_of_a_wrapper_is_taken_off(folder, prefix):
    mine = folder / "mine.safetensors"
    plan, _ = run(folder, inits=("file",), seeds=(0,))
    plain = weights(folder, plan, "file")
    save_file({f"{prefix}{name}": value for name, value in load_file(mine).items()}, mine)
    plan, failed = run(folder, inits=("file",), seeds=(0,))
    assert failed == []
    assert all(torch.equal(plain[n], value) for n, value in weights(folder, plan, "file").items())


def test_a_part_that_fits_is_loaded_and_the_rest_stays_fresh(folder):
    mine = folder / "mine.safetensors"
    given = {n: v for n, v in load_file(mine).items() if not n.startswith("layer4")} | {"own": torch.ones(2)}
    save_file(given, mine)
    _, failed = run(folder, inits=("file",), seeds=(0,))
    assert failed == []
    [record] = read_all(folder / "results", TRAININGS)[0].records
    first = record.provenance.first_weights
    assert first["unused"] == 3  # its classifier, and what the network does not have
    assert all(name.startswith(("layer4", "fc")) for name in first["fresh"])
    assert any(name.startswith("layer4") for name in first["fresh"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": torch.ones(1)}, "parameters missing or misshapen, first conv1.0.weight"),
        ({}, "parameters missing or misshapen"),
        (b"\x80\x04N.", "cannot be read as safetensors"),
        (b"", "cannot be read as safetensors"),
    ],
    ids=["nothing fits", "empty", "a pickle", "no bytes"],
)
def test_a_file_that_gives_nothing_is_an_error(folder, content, message):
    mine = folder / "mine.safetensors"
    if isinstance(content, bytes):
        mine.write_bytes(content)
    else:
        save_file(content, mine)
    _, failed = run(folder, inits=("file",), seeds=(0,))
    assert failed
    assert message in failed[0]


def test_an_absent_file_is_an_error_that_names_the_key(folder):
    (folder / "mine.safetensors").unlink()
    message = r"leaderboard\.yaml:\d+: inits\.file\.file: .*mine\.safetensors cannot"
    with pytest.raises(DataError, match=message):
        plan_of(folder)


def test_a_dataset_without_classes_cannot_pre_train(folder):
    path = folder / "leaderboard.yaml"
    text = path.read_text().replace("{dataset: digits, classes: [5, 6, 7, 8]}", "{dataset: dead_leaves}")
    path.write_text(text)
    with pytest.raises(SpecError, match=r"inits\.others\.images\.dataset: dead_leaves has no labels"):
        plan_of(folder)
