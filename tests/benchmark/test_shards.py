"""Large image sets are cut into jobs of bounded work, which are committed one by one and come to the same."""

import re
import shutil
import sys

import pytest
import torch

from benchmark.census import Census
from benchmark.datasets import HubDataset
from benchmark.engines.in_process import InProcess
from benchmark.engines.worker import perform
from benchmark.jobs import gather, shards
from benchmark.jobs.job import Kind, Task
from benchmark.jobs.shards import Bins, shards_of, share
from benchmark.plan.make import Selection, make_plan
from benchmark.plan.networks import NetworkPlanner
from benchmark.records.results import read_all
from benchmark.run import run_plan
from benchmark.spec.load import load_spec
from benchmark.store.artifacts import Store
from benchmark.studies.adversarial.study import PASSES
from methods import tensors
from reports.console.progress import _TYPICAL

LEADERBOARD = """\
version: 1
tracks:
  small:
    title: A few digits
    image_size: 32
    id: {dataset: digits, classes: [0, 1, 2]}
    split: {train_per_class: 12, val_per_class: 6}
    near:
      threes: {dataset: digits, classes: [3], n: 50}
    far:
      noise: {dataset: uniform_noise, n: 12}
    validation:
      strokes_val: {dataset: strokes, n: 14}
    shifts: {kinds: [contrast], scale: cifar_c, images_per_class: 7}
    training: {epochs: 1, batch_size: 6, lr: 0.003, weight_decay: 0.01}
    backbones: [tiny]
    inits: [scratch]
    seeds: [0]
    entries: [energy, odin, odin_tuned, godin, nac, gram]
backbones:
  tiny: {architecture: test_resnet}
inits:
  scratch: {source: scratch}
entries:
  energy: {detector: energy}
  odin: {detector: odin}
  odin_tuned: {detector: odin, tune: {epsilon: [0.0014, 0.0, 0.05]}}
  godin: {detector: godin, objective: generalized_odin}
  nac: {detector: nac}
  gram: {detector: gram}
"""
ATTACKED = """\
    entries: [energy]
    studies:
      adversarial:
        networks: {cross_entropy: [scratch]}
        images_per_class: 15
        attacks:
          pgd: {method: pgd, hyperparameters: {steps: 3}}
          square: {method: square, hyperparameters: {queries: 8}}
          autoattack: {method: autoattack}
        curves: pgd
        epsilons: [0.01]
        steps: [1, 2, 3]
        transfer: {source: cross_entropy, to: [cross_entropy]}
        detectors: [msp, openmax]
        ood_images: 20
"""
EVERY = Selection()
CUT = 100 * 32 * 32  # pixels


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(tensors, "BATCH", 16)


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "leaderboard.yaml"
    path.write_text(LEADERBOARD)
    return load_spec(path)


class Killed(BaseException):
    """As if the process had been."""


def run(spec, folder, selection=EVERY, groups=None):
    """Run all, or so many groups of jobs; the plan and the labels of what was done."""
    plan, done = make_plan(spec, selection), []

    def limited(root, group, *, fresh):
        if groups is not None and len(done) >= groups:
            raise Killed
        done.append([job.label for job in group])
        return perform(root, group, fresh=fresh)

    def on_event(event, job, message):
        assert event != "failed", (job.label, message)

    run_plan(
        plan, cache=folder / "cache", results=folder / "results", on_event=on_event, pool=InProcess(limited)
    )
    return plan, done


def records(folder, *studies):
    return {
        (f.row, r.cell): (r.numbers, r.series, r.settings, getattr(r, "warnings", ()))
        for f in read_all(folder / "results", *studies)
        for r in f.records
    }


@pytest.mark.long
def test_records_are_the_same_to_the_bit(spec, tmp_path, monkeypatch):
    whole, _ = run(spec, tmp_path / "whole")
    monkeypatch.setattr(shards, "PIXELS", CUT)
    cut, done = run(spec, tmp_path / "cut")
    kinds = [job.kind for job in cut.jobs.values()]
    assert Kind.GATHER not in {job.kind for job in whole.jobs.values()}
    assert kinds.count(Kind.GATHER) >= 6
    assert kinds.count(Kind.CHOOSE) >= 1
    assert records(tmp_path / "cut") == records(tmp_path / "whole")
    store = Store(tmp_path / "cut" / "cache")
    for job in cut.jobs.values():
        for part in job.needs if job.kind == Kind.GATHER else ():
            shutil.rmtree(store.folder(part), ignore_errors=True)  # nobody needs them any more
    assert run(spec, tmp_path / "cut")[1] == []
    images = [sum("features of" in label for label in group) for group in done]
    assert max(images) < sum(images)  # not all of a network at once
    for planned in cut.cells:
        record = next(
            r
            for f in read_all(
                tmp_path / "cut" / "results",
            )
            for r in f.records
            if r.key == planned.key
        )
        assert record.cost.extract_seconds > 0
        scored = cut.jobs[planned.chain[Kind.SCORE]]
        code = cut.jobs[scored.needs[0]].code if scored.kind == Kind.GATHER else scored.code
        assert record.provenance.method_source == code


@pytest.mark.long
def test_a_kill_loses_one_shard(spec, tmp_path, monkeypatch):
    entries = Selection(entries=("energy", "odin"))
    monkeypatch.setattr(shards, "PIXELS", CUT)
    _, everything = run(spec, tmp_path / "undisturbed", entries)
    groups = len(everything) // 2
    with pytest.raises(Killed):
        run(spec, tmp_path / "killed", entries, groups)
    _, rest = run(spec, tmp_path / "killed", entries)
    assert len(rest) == len(everything) - groups
    assert records(tmp_path / "killed") == records(tmp_path / "undisturbed")


@pytest.mark.long
def test_attacks_come_in_shards_of_which_a_kill_loses_one(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyautoattack", None)  # and what does not apply is left out as ever
    path = tmp_path / "leaderboard.yaml"
    text = LEADERBOARD.replace("seeds: [0]", "seeds: [0, 1]")
    path.write_text(re.sub(r"    entries: \[.*\]\n", ATTACKED, text))
    spec, attacks = load_spec(path), Selection(studies=("adversarial",), seeds=(0,))
    run(spec, tmp_path / "whole", attacks)
    expected = records(tmp_path / "whole", "adversarial")
    assert any(sign.startswith("autoattack: left out") for *_, signs in expected.values() for sign in signs)
    monkeypatch.setattr(shards, "PIXELS", 30 * PASSES * 32 * 32)  # 85 images are attacked
    plan, everything = run(spec, tmp_path / "cut", attacks)
    assert [labels for labels in everything if labels[0].endswith("adversarial 2/3")]
    assert records(tmp_path / "cut", "adversarial") == expected
    with pytest.raises(Killed):
        run(spec, tmp_path / "killed", attacks, len(everything) - 2)
    _, rest = run(spec, tmp_path / "killed", attacks)
    assert [label.rpartition(" ")[2] for (label,) in rest] == ["3/3", "adversarial"]
    assert records(tmp_path / "killed", "adversarial") == expected
    ((record,),) = [f.records for f in read_all(tmp_path / "cut" / "results", "adversarial")]
    parts = [Store(tmp_path / "cut" / "cache").manifest(key)["made"] for key in plan.studies[0].inputs]
    assert record.cost.measure_seconds >= sum(
        made["seconds"] for made in parts if made["kind"] == Kind.ATTACK
    )


def test_every_kind_of_job_has_a_typical_time():
    assert _TYPICAL.keys() == set(Kind)


def test_a_small_set_is_not_cut_and_keeps_its_key(spec, monkeypatch):
    keys = make_plan(spec, Selection()).jobs.keys()
    monkeypatch.setattr(shards, "PIXELS", 10**6 * 32 * 32)
    assert make_plan(spec, Selection()).jobs.keys() == keys


@pytest.mark.parametrize("count", [1, 3, 7, 100])
def test_shards_are_whole_batches_and_hold_each_row_once(count):
    parts = {"train": range(83), "val": range(0), "test": range(16), "noise": range(33)}
    found = {name: [] for name in parts}
    for i in range(count):
        for name, rows in share(parts, 16, (i, count)).items():
            assert rows.start % 16 == 0
            found[name] += parts[name][rows]
    assert found == {name: list(part) for name, part in parts.items()}
    assert share(parts, 16, None).keys() == parts.keys()


@pytest.mark.parametrize(
    ("source", "most"),
    [
        ("{dataset: glyphs, classes: [3], n: 50}", 50),  # whose classes are of unknown sizes
        ("{dataset: uniform_noise, n: 5000}", 5000),  # as many as are asked for
        ("{dataset: digits, classes: [4, 5]}", 181 + 182),
        ("{dataset: mnist, split: test, classes: [0]}", 10_000),
    ],
)
def test_how_many_images_a_set_has_at_most(spec, tmp_path, monkeypatch, source, most):
    path = tmp_path / "leaderboard.yaml"
    path.write_text(LEADERBOARD.replace("{dataset: uniform_noise, n: 12}", source))
    monkeypatch.setattr(HubDataset, "digest", lambda self, split: "0" * 64)
    spec = load_spec(path)
    planner = NetworkPlanner(Census(spec), "small", spec.tracks["small"].look(spec.backbones["tiny"]), {}, {})
    planner.plan_images()
    assert planner.sizes[planner.data["noise"]] == most


def test_sizes_of_shards_are_bounded():
    assert shards_of(1_281_167, 224)[-1] == (312, 313)
    assert shards_of(4096, 224) == shards_of(200_000, 32) == [None]
    bins = Bins()
    amounts = {"a": shards.PIXELS // 2, "b": shards.PIXELS // 2, "c": 5}
    assert [bins.of(key, amount) for key, amount in amounts.items()] == [0, 0, 1]
    assert [bins.of(key, shards.PIXELS - 9) for key in "def"] == [1, 2, 3]
    assert bins.of("a", amounts["a"]) == 0


def test_shards_are_joined_with_all_else_of_the_first(tmp_path):
    store = Store(tmp_path)
    store.prepare()

    def made(key, tensors, about):
        with store.lock(key), store.create(key, {"label": key}) as draft:
            draft.json("about", about)
            if tensors:
                draft.tensors("scores", tensors)
        return store.open(key)

    first = made("a", {"test": torch.arange(3.0), "noise": torch.ones(2)}, {"status": "measured"})
    second = made("b", {"noise": torch.zeros(1), "far": torch.ones(4)}, {"status": "other"})
    joined = {"test": [0.0, 1, 2], "noise": [1.0, 1, 0], "far": [1.0] * 4}
    with store.lock("c"), store.create("c", {}) as draft:
        gather.run(Task(gather.Config("scores"), gather.Inputs([first, second]), draft))
    found = store.open("c")
    assert found.json("about") == {"status": "measured"}
    assert found.json("parts") == [{"label": "a"}, {"label": "b"}]
    assert {name: tensor.tolist() for name, tensor in found.tensors("scores").items()} == joined
    absent = [made(key, {}, {"status": "not_applicable"}) for key in "de"]
    with store.lock("f"), store.create("f", {}) as draft:
        gather.run(Task(gather.Config("scores"), gather.Inputs(absent), draft))
    assert store.open("f").json("about") == {"status": "not_applicable"}
    assert store.open("f").manifest["files"].keys() == {"about.json", "parts.json"}
