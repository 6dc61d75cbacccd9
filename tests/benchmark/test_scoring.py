"""Scoring one cell: tuned hyper-parameters, feature maps, several networks, and whole runs of them."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score

from benchmark.backbones import device
from benchmark.census.compare import refusal
from benchmark.census.settings import Census
from benchmark.conformance.pretended import DEVICE, pretended
from benchmark.jobs import scoring
from benchmark.jobs.job import Kind
from benchmark.jobs.scoring import Scoring, score_together
from benchmark.metrics import detection_metrics
from benchmark.plan.make import Selection, make_plan
from benchmark.records.record import RecordFile
from benchmark.records.results import read_all
from benchmark.run import run_plan
from benchmark.spec.load import load_spec
from benchmark.store.artifacts import Store
from benchmark.studies.detection.records import Scored
from methods.detectors.knn import KNN
from methods.detectors.odin import ODIN
from methods.features import evenly

LEADERBOARD = """\
version: 1
tracks:
  small:
    title: A few digits
    image_size: 32
    id: {dataset: digits, classes: [0, 1, 2]}
    split: {train_per_class: 6, val_per_class: 6}
    near:
      threes: {dataset: digits, classes: [3], n: 50}
    far:
      noise: {dataset: uniform_noise, n: 12}
    validation:
      strokes_val: {dataset: strokes, n: 14}
      leaves_val: {dataset: dead_leaves, n: 10}
    training: {epochs: 1, batch_size: 6, lr: 0.003, weight_decay: 0.01, augment: flip_crop}
    backbones: [tiny]
    inits: [scratch]
    seeds: [0, 1, 2]
    entries: [energy, odin, odin_tuned, react_tuned, ncd, ncd_9, knn_6, rankfeat, gram, mahalanobis_ensemble,
      ensemble]
backbones:
  tiny: {architecture: test_resnet}
inits:
  scratch: {source: scratch}
entries:
  energy: {detector: energy}
  odin: {detector: odin}
  odin_tuned: {detector: odin, tune: {epsilon: [0.0014, 0.0, 0.05], temperature: [1000.0, 1.0]}}
  react_tuned: {detector: react, tune: {percentile: [90.0, 40.0, 99.0]}}
  ncd: {detector: ncd}
  ncd_9: {detector: ncd, fit_limit: 9}
  knn_6: {detector: knn, hyperparameters: {k: 2}, fit_limit: 6}
  rankfeat: {detector: rankfeat}
  gram: {detector: gram}
  mahalanobis_ensemble: {detector: mahalanobis_ensemble}
  ensemble: {detector: ensemble, hyperparameters: {members: 2}}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One run of it all: plan, cache, records by cell."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "leaderboard.yaml").write_text(LEADERBOARD)
    plan = make_plan(load_spec(folder / "leaderboard.yaml"), Selection())
    failed = []

    def on_event(event, job, message):
        if event == "failed":
            failed.append((job.label, message))

    run_plan(plan, cache=folder / "cache", results=folder / "results", workers=1, on_event=on_event)
    assert not failed
    records = {(f.row, r.seed): r for f in read_all(folder / "results") for r in f.records}
    return plan, Store(folder / "cache"), records


@pytest.fixture
def job(made):
    """Config and inputs of one score job."""
    plan, store, _ = made

    def find(entry, seed=0):
        planned = next(c for c in plan.cells if (c.cell.entry, c.cell.seed) == (entry, seed))
        found = plan.jobs[planned.chain[Kind.SCORE]]
        return found.config, found.opened(store.open)

    return find


def chain_of(plan, entry, seed=0):
    return next(c for c in plan.cells if (c.cell.entry, c.cell.seed) == (entry, seed)).chain


def auroc(inside, outside):
    return detection_metrics(inside, outside).auroc


def scored(*tasks):
    """Scores and what is said of them of one score job, or those of several that are done together."""
    chosen = [(task, *task.choose()) for task in tasks]
    scores = score_together([(task, scorer) for task, scorer, _ in chosen])
    made = [(found, about) for found, (_, _, about) in zip(scores, chosen, strict=True)]
    return made if len(tasks) > 1 else made[0]


def test_every_entry_is_measured_or_says_why_not(made):
    _, _, records = made
    status = {cell: record.status for cell, record in records.items()}
    assert {cell for cell, found in status.items() if found == "not_applicable"} == {
        ("rankfeat", seed) for seed in (0, 1, 2)
    }
    assert "failed" not in status.values()
    assert "one position" in records["rankfeat", 0].reason


def test_an_ensemble_takes_disjoint_groups_of_seeds(made, job):
    """Three seeds and two members: one ensemble, and a seed that is left over."""
    _, _, records = made
    assert [seed for entry, seed in records if entry == "ensemble"] == [0]
    assert records["ensemble", 0].networks == 2
    assert records["ensemble", 0].settings["hp_mode"] == "declared"
    config, inputs = job("ensemble")
    stored = (member["base"]["noise"].folder for member in inputs.features)
    members = [load_file(folder / "features.safetensors") for folder in stored]
    by_hand = (
        torch.stack([m["noise.logits"].double().softmax(dim=1) for m in members]).mean(dim=0).amax(dim=1)
    )
    scores, _ = scored(Scoring(config, inputs))
    torch.testing.assert_close(scores["noise"], by_hand)
    assert not torch.equal(members[0]["noise.logits"], members[1]["noise.logits"])


def test_the_tuned_point_is_the_best_on_the_validation_sets(made, job):
    _, _, records = made
    for entry, points in (("odin_tuned", 6), ("react_tuned", 3)):
        for seed in (0, 1, 2):
            record = records[entry, seed]
            assert record.settings["hp_mode"] == "proxy_ood"
            scored = Scored.model_validate(record.settings)
            assert len(scored.tuning) == points
            best = max(point.auroc for point in scored.tuning)
            first = next(p for p in scored.tuning if p.auroc == best)
            assert scored.hyperparameters == first.hyperparameters


def test_the_validation_auroc_is_the_mean_over_the_sets(made, job):
    _, _, records = made
    config, inputs = job("react_tuned")
    found = Scored.model_validate(records["react_tuned", 0].settings).tuning[1]
    assert found.hyperparameters["percentile"] == 40.0
    point = Scoring(replace(config, points=[found.hyperparameters]), inputs)
    fitted = point._fit(scoring.detector("react", **found.hyperparameters))
    inside, *outside = (point.scores([fitted], part)[0] for part in ("val", "strokes_val", "leaves_val"))
    aurocs = [roc_auc_score([1] * len(inside) + [0] * len(o), torch.cat([inside, o])) for o in outside]
    assert found.auroc == pytest.approx(np.mean(aurocs), abs=1e-9)


def test_a_tuned_cell_scores_as_its_point_alone_would(job, made):
    _, _, records = made
    config, inputs = job("odin_tuned")
    chosen = records["odin_tuned", 0].settings["hyperparameters"]
    alone, about = scored(Scoring(replace(config, points=[chosen]), inputs))
    tuned, _ = scored(Scoring(config, inputs, auroc))
    assert about == {"hyperparameters": chosen}
    assert alone.keys() == tuned.keys()
    assert all(torch.equal(alone[part], tuned[part]) for part in alone)


def test_the_first_of_equal_points_is_taken(job):
    config, inputs = job("react_tuned")
    points = [{**config.points[0], "percentile": p} for p in (100.0, 100, 99.999999)]
    _, about = scored(Scoring(replace(config, points=points), inputs, auroc))
    assert about["tuning"][0]["auroc"] == about["tuning"][1]["auroc"]
    assert about["hyperparameters"]["percentile"] == 100.0


def test_points_that_differ_in_the_step_alone_share_the_gradient(job, monkeypatch):
    config, inputs = job("odin_tuned")
    calls = []
    direction = ODIN.direction

    def counted(self, network, images):
        calls.append(self.temperature)
        return direction(self, network, images)

    monkeypatch.setattr(ODIN, "direction", counted)
    scorer = Scoring(config, inputs)
    fitted = [scorer._fit(scoring.detector("odin", **point)) for point in config.points]
    scorer.scores(fitted, "val")
    assert sorted(calls) == [1.0, 1000.0]  # one batch, two temperatures; epsilon 0 needs none


def test_entries_of_one_network_share_the_passes_of_the_test_images(made, job, monkeypatch):
    """A job for each, one group; together they score as each would alone, with one gradient for both."""
    plan, _, _ = made
    jobs = [
        plan.jobs[planned.chain[Kind.SCORE]]
        for planned in plan.cells
        if planned.cell.entry in ("odin", "odin_tuned") and planned.cell.seed == 0
    ]
    assert len(jobs) == 2
    assert len({job.group for job in jobs}) == 1
    assert jobs[0].group
    tasks = [Scoring(*job("odin")), Scoring(*job("odin_tuned"), auroc)]
    alone = [scored(task) for task in tasks]
    calls = []
    direction = ODIN.direction

    def counted(self, network, images):
        calls.append(len(images))
        return direction(self, network, images)

    monkeypatch.setattr(ODIN, "direction", counted)
    chosen = ODIN(epsilon=0.05)  # another step than the published one, which both might have chosen
    pairs = [(tasks[0], tasks[0].choose()[0]), (tasks[1], tasks[1]._fit(chosen))]
    together = score_together(pairs)
    images = sum(len(scores) for part, scores in together[0].items() if part != "test.correct")
    assert sum(calls) == images  # each once, not once for each entry
    expected, _ = alone[0]
    assert together[0].keys() == expected.keys()
    assert all(torch.equal(together[0][part], expected[part]) for part in expected)
    by_itself = score_together(pairs[1:])[0]
    assert all(torch.equal(together[1][part], by_itself[part]) for part in by_itself)
    assert not torch.equal(together[0]["noise"], together[1]["noise"])


def test_test_sets_are_not_seen_by_tuning_nor_validation_sets_measured(made, job):
    config, inputs = job("react_tuned")
    scores, _ = scored(Scoring(config, inputs))
    assert scores.keys() == {"test", "threes", "noise", "test.correct"}
    config, inputs = job("energy")
    assert not [item for item in inputs.features[0]["base"] if item.endswith("_val")]


def test_scores_do_not_depend_on_how_many_rows_are_read_at_a_time(job, monkeypatch):
    config, inputs = job("gram")
    whole, _ = scored(Scoring(config, inputs))
    monkeypatch.setattr(scoring, "ROWS", 7)
    parts, _ = scored(Scoring(config, inputs))
    assert all(torch.allclose(whole[part], parts[part], rtol=1e-9) for part in whole)


def test_a_fit_limit_draws_evenly_by_class():
    labels = torch.arange(90) % 3
    labels[:30] = 0
    rows = evenly(labels, 30, torch.Generator().manual_seed(0))
    assert torch.bincount(labels[rows]).tolist() == [10, 10, 10]
    assert rows.tolist() == sorted(set(rows.tolist()))
    other = evenly(labels, 30, torch.Generator().manual_seed(1))
    assert not torch.equal(rows, other)
    assert len(evenly(labels, 200, torch.Generator())) == 90


def test_an_entry_is_fitted_on_as_many_images_as_it_says(made, job):
    _, _, records = made
    config, inputs = job("knn_6")
    scores, _ = scored(Scoring(config, inputs))
    stored = Scoring(config, inputs).members[0]
    train, val, head = stored.to_fit()
    few = train[evenly(train.labels, 6, torch.Generator().manual_seed(config.seed))]
    assert torch.bincount(few.labels).tolist() == [2, 2, 2]
    noise = stored.features("noise").without("labels")
    by_hand = KNN(k=2).fit(few, val, head).score(noise)
    torch.testing.assert_close(scores["noise"], by_hand, rtol=1e-5, atol=1e-6)
    settings = records["knn_6", 0].settings
    assert (settings["fit_limit"], settings["hp_mode"]) == (6, "declared")
    assert "fit_limit" not in records["ncd", 0].settings


def test_entries_that_are_fitted_on_other_images_share_no_scores(made, job):
    """NCD needs the network; what shares its passes, and is one detector, would score alike."""
    plan, _, records = made
    jobs = {name: plan.jobs[chain_of(plan, name)[Kind.SCORE]] for name in ("ncd", "ncd_9", "odin")}
    assert jobs["ncd"].group == jobs["odin"].group != jobs["ncd_9"].group
    assert records["ncd", 0].numbers["near.auroc"] != records["ncd_9", 0].numbers["near.auroc"]


def test_another_fit_limit_is_another_measurement(made, tmp_path):
    plan, _, records = made
    (tmp_path / "l.yaml").write_text(LEADERBOARD.replace("fit_limit: 6", "fit_limit: 12"))
    spec = load_spec(tmp_path / "l.yaml")
    other = make_plan(spec, Selection())
    assert chain_of(other, "knn_6")[Kind.SCORE] != chain_of(plan, "knn_6")[Kind.SCORE]
    assert chain_of(other, "ncd_9")[Kind.SCORE] == chain_of(plan, "ncd_9")[Kind.SCORE]
    record = records["knn_6", 0]
    file = RecordFile(track="small", study="detection", row="knn_6", environments={}, records=[])
    told = "entry 'knn_6' on track 'small' was measured with other number of images to fit on than"
    assert refusal(Census(spec), file, record).startswith(told)


def test_a_tuned_entry_needs_validation_sets(tmp_path):
    text = LEADERBOARD.replace("    validation:\n", "    outliers:\n")
    path = tmp_path / "leaderboard.yaml"
    path.write_text(text)
    with pytest.raises(Exception, match=r"entries.odin_tuned.tune: the track 'small' has no `validation`"):
        make_plan(load_spec(path), Selection())


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ("{epsilon: [0.1, -1.0]}", "odin: epsilon: expected a finite number of at least 0, got -1.0"),
        ("{epsilom: [0.1]}", "odin: no hyper-parameter 'epsilom'"),
    ],
)
def test_a_grid_with_a_mistake_is_refused_with_its_place(tmp_path, grid, message):
    old = "{epsilon: [0.0014, 0.0, 0.05], temperature: [1000.0, 1.0]}"
    path = tmp_path / "leaderboard.yaml"
    path.write_text(LEADERBOARD.replace(old, grid))
    with pytest.raises(Exception, match=r"entries\.odin_tuned\.tune: ") as caught:
        make_plan(load_spec(path), Selection())
    assert message in str(caught.value)


def test_validation_sets_share_no_source_with_a_test_set(tmp_path):
    path = tmp_path / "leaderboard.yaml"
    path.write_text(
        LEADERBOARD.replace("leaves_val: {dataset: dead_leaves", "leaves_val: {dataset: uniform_noise")
    )
    with pytest.raises(Exception, match=r"validation\.leaves_val.dataset: .*'uniform_noise' is one"):
        load_spec(path)


def test_a_record_tells_what_was_tried(made):
    _, _, records = made
    text = json.loads(records["react_tuned", 0].model_dump_json())
    assert [point["hyperparameters"]["percentile"] for point in text["settings"]["tuning"]] == [
        90.0,
        40.0,
        99.0,
    ]
    assert "tuning" not in records["energy", 0].settings


@pytest.mark.parametrize("entry", ["energy", "react_tuned", "gram", "ensemble"])
def test_detectors_compute_where_arithmetic_is_done(job, monkeypatch, entry):
    """Features go there, scores come back; what runs the network stays with the features that it gives."""
    config, inputs = job(entry)
    choose_by = auroc if config.validation else None
    expected, about = scored(Scoring(config, inputs, choose_by))
    asked = []

    def there(size):
        asked.append(size)
        return DEVICE

    monkeypatch.setattr(scoring, "arithmetic", there)
    with pretended():
        task = Scoring(config, inputs, choose_by)
        found, said = scored(task)
    assert said == about
    assert asked[0] > 0
    for part, scores in expected.items():
        assert found[part].device.type == "cpu"
        assert torch.equal(found[part], scores)
    assert Scoring(*job("odin")).place.type == "cpu"


def test_room_for_features_is_asked_of_the_device_of_the_process(monkeypatch):
    class Module:
        free = 4000

        def empty_cache(self):
            pass

        def mem_get_info(self, of):
            return self.free, 10**9

    monkeypatch.setattr(torch, "get_device_module", lambda of: Module())
    assert device.arithmetic(1000).type == "cpu"
    for kind, places in {"cuda": ("cuda", "cpu"), "mps": ("cpu", "cpu")}.items():
        monkeypatch.setattr(device, "here", lambda kind=kind: torch.device(kind))
        assert tuple(device.arithmetic(size).type for size in (1000, 1001)) == places
