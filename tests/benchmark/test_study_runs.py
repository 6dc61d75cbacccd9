"""The studies from leaderboard.yaml to their records: what is planned, measured, kept and refused."""

import json
import math
import shutil
import sys
from itertools import islice

import pytest
import torch

from benchmark.artifacts import Store
from benchmark.attacks.detector import AttackedScores
from benchmark.errors import DataError, SpecError, UsageError
from benchmark.freshness import freshness
from benchmark.job import Kind
from benchmark.plan import Selection, make_plan
from benchmark.results import merge
from benchmark.run import run_plan
from benchmark.spec import load_spec
from benchmark.studies.adversarial import _weak
from benchmark.studies.records import (
    StudyFile,
    StudyRecord,
    read_studies,
    read_study,
    study_path,
    write_study,
)
from benchmark.studies.subject import Subject
from methods.attacks.pgd import PGD
from methods.errors import NotApplicable

LEADERBOARD = """\
version: 1
tracks:
  small:
    title: A few digits
    image_size: 16
    id: {dataset: digits, classes: [0, 1, 2, 3]}
    split: {train_per_class: 10, val_per_class: 4}
    near:
      nines: {dataset: digits, classes: [9]}
    far:
      noise: {dataset: uniform_noise, n: 12}
    training: {epochs: 2, batch_size: 10, lr: 0.003, weight_decay: 0.01}
    backbones: [tiny]
    inits: [scratch]
    seeds: [0, 1]
    entries: [msp]
    studies:
      adversarial:
        networks: {cross_entropy: [scratch], robust: [scratch], fsr: [scratch]}
        full: {networks: {robust: [moved, moved_head]}}
        images_per_class: 3
        attacks:
          pgd: {method: pgd, hyperparameters: {steps: 2}}
          square: {method: square, hyperparameters: {queries: 3}}
        curves: pgd
        epsilons: [0.01, 0.1]
        steps: [1, 2]
        transfer: {source: cross_entropy, to: [robust]}
        detectors: [msp, knn]
        detector_attack: {steps: 2}
      corruptions:
        networks: {cross_entropy: [scratch]}
        kinds: [gaussian_noise, pixelate]
        scale: cifar_c
        images_per_class: 3
        detectors: [msp]
      label_noise:
        inits: [scratch]
        strengths: [0.0, 0.5, 1.0]
        noises: {uniform: {method: uniform}}
        methods:
          none: {objective: cross_entropy}
          glc: {objective: glc, trusted: 0.1}
        watched: {none: [0.5]}
        full:
          strengths: [0.0, 0.25, 0.5, 0.75, 1.0]
          noises: {flip: {method: flip}}
          methods: {forward: {objective: forward_correction}}
      imbalance:
        inits: [scratch]
        profiles: {exp: {method: exp, hyperparameters: {mu: 0.2}}}
        methods:
          none: {objective: cross_entropy}
          smote: {sampler: {method: smote}}
          costly: {objective: class_balanced}
        detectors: [msp]
backbones:
  tiny: {architecture: test_resnet}
inits:
  scratch: {source: scratch}
  moved: &moved
    source: adversarial
    of:
      source: fractaldb
      preset: fractaldb_tiny
      training: {epochs: 1, batch_size: 60, lr: 0.003, weight_decay: 0.01}
    hyperparameters: {attack_steps: 1}
  moved_head: {<<: *moved, tune: head}
objectives:
  robust: {objective: pgd_at, hyperparameters: {attack_steps: 1}}
entries:
  msp: {detector: msp}
"""


def written(folder, text=LEADERBOARD):
    path = folder / "leaderboard.yaml"
    path.write_text(text)
    return path


def planned(folder, text=LEADERBOARD, **selection):
    return make_plan(load_spec(written(folder, text)), Selection(**selection))


def run(folder, text=LEADERBOARD, **selection):
    plan = planned(folder, text, **selection)
    events = []
    places = {"cache": folder / "cache", "results": folder / "results"}
    done = run_plan(
        plan, **places, workers=1, on_event=lambda event, job, _: events.append((event, job.kind))
    )
    return plan, done, events


ALL = ("adversarial", "corruptions", "label_noise", "imbalance")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studies")
    return folder, *run(folder, studies=ALL)


@pytest.fixture
def copy(made, tmp_path):
    shutil.copytree(made[0], tmp_path, dirs_exist_ok=True)
    return tmp_path


def of(made, study, row):
    return read_study(study_path(made[0] / "results", "small", study, row)).records


def test_everything_that_was_planned_was_measured(made):
    _, plan, done, _ = made
    assert len(done.studies) == len(plan.studies) == 2 * (3 + 1 + 2 * 3 + 3)  # 2 seeds
    assert done.failed == 0
    assert {record.status for record in done.studies.values()} == {"measured"}
    assert not plan.cells  # only studies were asked for


def test_numbers_are_finite_and_shares(made):
    for file in read_studies(made[0] / "results"):
        for record in file.records:
            assert record.numbers
            for path, value in record.numbers.items():
                assert math.isfinite(value), path
                assert path == "types" or 0 <= value <= 1, path
            for values in record.series.values():
                assert values
                assert all(map(math.isfinite, values))


def test_adversarial_records_say_what_the_boards_need(made):
    (record, _) = of(made, "adversarial", "robust")
    numbers, series = record.numbers, record.series
    assert {
        "clean.accuracy",
        "pgd.accuracy",
        "square.accuracy",
        "worst.accuracy",
        "transfer.accuracy",
    } <= set(numbers)
    assert numbers["worst.accuracy"] <= min(numbers["pgd.accuracy"], numbers["square.accuracy"])
    assert numbers["pgd.accuracy"] <= numbers["clean.accuracy"]
    assert series["epsilon"] == pytest.approx([0.0, 0.01, 8 / 255, 0.1], abs=1e-4)
    assert series["accuracy_by_epsilon"][2] == pytest.approx(numbers["pgd.accuracy"], abs=1e-4)
    assert series["steps"] == [0.0, 1.0, 2.0]
    assert series["accuracy_by_steps"][-1] == pytest.approx(numbers["pgd.accuracy"], abs=1e-4)
    assert series["accuracy_by_epsilon"][0] == series["accuracy_by_steps"][0]
    assert {len(series[name]) for name in ("accuracy_by_steps", "loss_by_steps")} == {3}
    for group in ("near", "far"):
        before, after = (numbers[f"detector.msp.{group}.{k}"] for k in ("auroc", "auroc_attacked"))
        assert after <= before
    assert numbers["white_box.accuracy"] == numbers["pgd.accuracy"]
    assert numbers["black_box.accuracy"] == min(numbers["square.accuracy"], numbers["transfer.accuracy"])
    assert record.training.objective == "pgd_at"


def test_records_say_how_they_were_measured(made):
    settings = of(made, "adversarial", "robust")[0].settings
    assert (
        settings["attacks"]["pgd"]["hyperparameters"] | {"epsilon": 8 / 255, "steps": 2}
        == (settings["attacks"]["pgd"]["hyperparameters"])
    )
    assert settings["transfer"] == "cross_entropy"
    assert "transfer" not in of(made, "adversarial", "cross_entropy")[0].settings
    assert of(made, "corruptions", "cross_entropy")[0].settings == {
        "kinds": ["gaussian_noise", "pixelate"],
        "scale": "cifar_c",
        "images_per_class": 3,
        "detectors": ["msp"],
        "groups": {"near": ["nines"]},
    }
    assert of(made, "imbalance", "smote")[0].settings == {
        "detectors": ["msp"],
        "groups": {"near": ["nines"], "far": ["noise"]},
    }


def test_an_attack_that_does_not_apply_is_left_out(copy, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyautoattack", None)  # also where the package is installed
    text = LEADERBOARD.replace(
        "          square:", "          autoattack: {method: autoattack}\n          square:"
    )
    plan, done, _ = run(copy, text, studies=("adversarial",), seeds=(0,))
    assert done.failed == 0
    (record,) = [r for r in of((copy,), "adversarial", "robust") if r.seed == 0]
    assert "autoattack.accuracy" not in record.numbers
    # Once the package is installed, or is another version, it is measured again.
    keys = {study.key for study in plan.studies}
    monkeypatch.setattr("benchmark.plan_studies.installed_version", lambda name: f"{name} 9.9")
    again = planned(copy, text, studies=("adversarial",), seeds=(0,))
    assert keys.isdisjoint(study.key for study in again.studies)
    assert again.jobs[again.studies[0].key].config["packages"] == {"pyautoattack": "pyautoattack 9.9"}
    assert {"pgd.accuracy", "square.accuracy", "worst.accuracy"} <= record.numbers.keys()
    assert any(w.startswith("autoattack: left out: ") and "not installed" in w for w in record.warnings)


def test_curves_need_an_attack_that_shows_its_steps(copy, monkeypatch):
    whole = PGD._search

    def stops(self, network, images, labels, rng):
        """Show all steps of a single image, as planning sees it, and one of more."""
        yield from islice(whole(self, network, images, labels, rng), 2 if len(images) == 1 else 1)

    monkeypatch.setattr(PGD, "_search", stops)
    text = LEADERBOARD.replace("images_per_class: 3\n        attacks", "images_per_class: 2\n        attacks")
    assert text != LEADERBOARD  # so that nothing of it is in the cache
    _, done, _ = run(copy, text, studies=("adversarial",), seeds=(0,))
    assert done.failed == 3
    (record,) = [r for r in of((copy,), "adversarial", "robust") if r.seed == 0]
    assert "curves: 'pgd' shows 1 points of its search; expected one for each of 2 steps" in record.reason


@pytest.mark.parametrize(
    ("without", "drift", "sign"),
    [(0.05, 0.1, None), (0.9, 0.1, "no gradient for 90%"), (0.0, -0.1, "moves the mean score the wrong way")],
)
def test_a_weak_attack_on_a_detector_is_told(without, drift, sign):
    clean = torch.zeros(4, dtype=torch.float64)
    found = _weak(AttackedScores(clean, clean - drift, clean, clean + drift, without))
    assert [sign in text for text in found] == ([] if sign is None else [True])


def test_fsr_is_looked_into(made):
    (record, _) = of(made, "adversarial", "fsr")
    assert {"fsr.negative.accuracy", "fsr.recalibrated.accuracy"} <= record.numbers.keys()
    channels, height, width = map(int, record.series["fsr.mask_shape"])
    assert len(record.series["fsr.mask"]) == channels * height * width
    assert not any(name.startswith("fsr") for name in of(made, "adversarial", "robust")[0].numbers)


def test_every_network_is_tested_on_the_same_corrupted_images(made):
    _, plan, _, _ = made
    shifts = {plan.jobs[s.key].inputs["shifts"] for s in plan.studies if s.study == "corruptions"}
    assert len(shifts) == 1
    (record, _) = of(made, "corruptions", "cross_entropy")
    assert record.numbers["types"] == 2
    assert len(record.series["pixelate.accuracy"]) == 6
    clean = record.series["pixelate.accuracy"][0]
    assert record.numbers["pixelate.error"] == pytest.approx(
        1 - sum(record.series["pixelate.accuracy"][1:]) / 5, abs=1e-3
    )
    assert clean == record.series["gaussian_noise.accuracy"][0]
    assert record.numbers["mean.error"] == pytest.approx(1 - record.numbers["mean.accuracy"])


def test_noise_is_paired_over_methods_and_kept_over_strengths(made):
    none, glc = (of(made, "label_noise", row) for row in ("none", "glc"))
    assert [r.condition for r in none] == ["uniform@0", "uniform@0.5", "uniform@1"] * 2
    by = {(r.seed, r.condition): r.numbers["flipped"] for r in none}
    for seed in (0, 1):
        assert by[seed, "uniform@0"] == 0 < by[seed, "uniform@0.5"] < by[seed, "uniform@1"]
    assert by[0, "uniform@1"] != by[1, "uniform@1"] or by[0, "uniform@0.5"] != by[1, "uniform@0.5"]
    told = {(r.seed, r.condition): r.numbers["flipped"] for r in glc}
    assert all(told[cell] <= by[cell] for cell in by)
    assert all("estimate.error" in r.numbers for r in glc if r.condition != "uniform@0")


def test_the_test_error_is_kept_where_it_is_watched(made):
    watched = {r.condition: r.series for r in of(made, "label_noise", "none") if r.seed == 0}
    assert len(watched["uniform@0.5"]["test_error"]) == 2  # epochs
    assert watched["uniform@0"] == watched["uniform@1"] == {}
    last = next(r for r in of(made, "label_noise", "none") if (r.seed, r.condition) == (0, "uniform@0.5"))
    assert last.series["test_error"][-1] == pytest.approx(last.numbers["test.error"], abs=1e-3)


def test_networks_without_noise_are_trained_once(made):
    """Strength 0 is the plain network, that of the adversarial board too."""
    _, plan, _, _ = made
    plain = {
        s.chain[Kind.TRAIN]
        for s in plan.studies
        if (s.row, s.condition, s.seed) in {("none", "uniform@0", 0), ("cross_entropy", "", 0)}
    }
    assert len(plain) == 1


def test_imbalance_records(made):
    for row in ("none", "smote", "costly"):
        for record in of(made, "imbalance", row):
            assert {"total.error", "minority.error", "macro_f1", "msp.near.auroc"} <= record.numbers.keys()
    assert of(made, "imbalance", "smote")[0].training.sampler["name"] == "smote"
    assert of(made, "imbalance", "none")[0].training.training_set["profile"]["method"] == "exp"


def test_detectors_are_fitted_on_the_long_tail_that_the_network_saw(made):
    folder, plan, _, _ = made
    store = Store(folder / "cache")
    job = plan.jobs[next(s.key for s in plan.studies if s.study == "imbalance")]
    subject = Subject(job.config, {role: store.open(key) for role, key in job.inputs.items()})
    counts = subject.inputs["training_set"].json("card")["counts"]
    assert min(counts) < max(counts)
    assert torch.bincount(subject.trained_on.labels).tolist() == counts
    (fitted,) = subject.detectors(["knn"]).values()
    assert len(fitted.bank) == sum(counts) < len(subject.parts["train"].labels)
    balanced = subject.parts["train"]
    rows = [next(i for i, image in enumerate(balanced.images) if torch.equal(image, shown))
            for shown in subject.trained_on.images]  # fmt: skip
    assert torch.equal(balanced.labels[rows], subject.trained_on.labels)


def test_a_detector_that_too_few_images_cannot_fit_costs_nothing_else(copy):
    text = LEADERBOARD.replace(
        "        detectors: [msp]\nbackbones", "        detectors: [vim, msp]\nbackbones"
    )
    _, done, _ = run(copy, text, studies=("imbalance",))
    assert done.failed == 0
    for record in of((copy,), "imbalance", "none"):
        assert {"total.error", "msp.near.auroc"} <= record.numbers.keys()
        assert not any(name.startswith("vim") for name in record.numbers)
        assert any(warning.startswith("detector vim: left out: ") for warning in record.warnings)


def test_curves_of_an_attack_that_does_not_apply_say_so(copy, monkeypatch):
    whole, too_many = PGD._search, 2

    def no_search(self, network, images, labels, rng):
        if len(images) >= too_many:
            raise NotApplicable("pgd: not today")
        yield from whole(self, network, images, labels, rng)

    monkeypatch.setattr(PGD, "_search", no_search)
    plan = planned(copy, studies=("adversarial",), seeds=(0,))
    for study in plan.studies:
        shutil.rmtree(Store(copy / "cache").open(study.key).folder)
    shutil.rmtree(copy / "results")
    _, done, _ = run(copy, studies=("adversarial",), seeds=(0,))
    assert done.failed == len(plan.studies)
    (record,) = of((copy,), "adversarial", "cross_entropy")
    assert "curves: 'pgd' does not apply: pgd: left out: pgd: not today" in record.reason
    too_many = 1  # and so for planning
    with pytest.raises(SpecError, match=r"studies\.adversarial\.curves: pgd: not today"):
        planned(copy, studies=("adversarial",), seeds=(0,))


def test_a_second_run_computes_nothing_and_changes_no_file(copy):
    before = {path: path.read_bytes() for path in (copy / "results").rglob("*.json")}
    _, done, events = run(copy, studies=ALL)
    assert not events
    assert done.written == []
    assert {path: path.read_bytes() for path in (copy / "results").rglob("*.json")} == before


def test_records_of_other_settings_are_counted_apart(copy):
    def counted(text=LEADERBOARD):
        return freshness(planned(copy, text, studies=ALL), copy / "results")

    sizes = {
        "small, adversarial": 6,
        "small, corruptions": 2,
        "small, label noise": 12,
        "small, imbalance": 6,
    }
    assert counted() == {name: {"current": size} for name, size in sizes.items()}
    path = study_path(copy / "results", "small", "imbalance", "none")
    file = read_study(path)
    failed = file.records[0].model_copy(update={"status": "failed", "reason": "no"})
    write_study(path, file.model_copy(update={"records": [failed, *file.records[1:]]}))
    assert counted()["small, imbalance"] == {"current": 5, "failed": 1}
    write_study(path, file)
    moved = counted(LEADERBOARD.replace("mu: 0.2", "mu: 0.3"))
    assert moved == {**counted(), "small, imbalance": {"outdated": 6}}
    study_path(copy / "results", "small", "corruptions", "cross_entropy").unlink()
    assert counted()["small, corruptions"] == {"missing": 2}


def test_lost_records_are_written_again_from_the_cache(copy):
    path = study_path(copy / "results", "small", "imbalance", "none")
    before = path.read_bytes()
    path.unlink()
    _, done, events = run(copy, studies=ALL)
    assert (events, done.written) == ([], [path])
    assert path.read_bytes() == before


def test_only_what_is_lost_is_measured_again(copy):
    plan = planned(copy, studies=ALL)
    lost = next(s for s in plan.studies if s.study == "corruptions")
    shutil.rmtree(Store(copy / "cache").open(lost.key).folder)
    _, done, events = run(copy, studies=ALL)
    assert [kind for event, kind in events if event == "done"] == [Kind.CORRUPT]
    assert done.written == []


def test_a_failed_measurement_is_recorded_and_the_others_go_on(copy, monkeypatch):
    from benchmark.studies import imbalance

    def broken(*_):
        raise ValueError("no imbalance today")

    monkeypatch.setattr(imbalance, "measure", broken)
    plan = planned(copy, studies=("imbalance",))
    for study in plan.studies:
        shutil.rmtree(Store(copy / "cache").open(study.key).folder)
    shutil.rmtree(copy / "results")
    _, done, _ = run(copy, studies=("imbalance",))
    assert done.failed == len(plan.studies)
    record = of((copy,), "imbalance", "none")[0]
    assert record.status == "failed"
    assert "no imbalance today" in record.reason


def test_full_adds_what_it_names(tmp_path):
    ordinary, full = planned(tmp_path, studies=ALL), planned(tmp_path, studies=ALL, full=True)
    rows = {(s.study, s.row, s.init, s.condition) for s in full.studies}
    assert {(s.study, s.row, s.init, s.condition) for s in ordinary.studies} < rows
    assert ("adversarial", "robust", "moved_head", "") in rows
    assert ("label_noise", "forward", "scratch", "flip@0.75") in rows


def test_an_ordinary_run_may_have_fewer_seeds(tmp_path):
    text = LEADERBOARD.replace("      imbalance:\n", "      imbalance:\n        seeds: [1]\n")

    def seeds(**selection):
        return {s.seed for s in planned(tmp_path, text, studies=("imbalance",), **selection).studies}

    assert seeds() == {1}
    assert seeds(full=True) == {0, 1}
    assert seeds(seeds=(0,)) == {0}


def test_a_cell_selection_has_no_studies_and_the_other_way_round(tmp_path):
    assert not planned(tmp_path, entries=("msp",)).studies
    assert not planned(tmp_path, studies=("imbalance",)).cells
    both = planned(tmp_path)
    assert both.cells
    assert {s.study for s in both.studies} == set(ALL)


def test_adversarial_pretraining_is_shared_by_both_ways_of_tuning(tmp_path):
    plan = planned(tmp_path, full=True, studies=("adversarial",))
    moved = {s.init: s.chain for s in plan.studies if s.init.startswith("moved")}
    assert moved["moved"][Kind.PRETRAIN] == moved["moved_head"][Kind.PRETRAIN]
    assert moved["moved"][Kind.TRAIN] != moved["moved_head"][Kind.TRAIN]
    job = plan.jobs[moved["moved"][Kind.PRETRAIN]]
    assert (job.config["objective"], job.config["hyperparameters"]["attack_steps"]) == ("pgd_at", 1)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("method: pgd,", "method: pgdd,", r"studies.adversarial.attacks.pgd: no attack 'pgdd'.*pgd"),
        ("{steps: 2}}", "{steps: 0}}", r"attacks.pgd: .*steps: expected at least 1, got 0"),
        ("{steps: 2}}", "{epsilon: 1.5}}", r"attacks.pgd: .*epsilon: expected a number in \[0, 1\], got 1.5"),
        ("curves: pgd", "curves: fgsm", "curves: 'fgsm' is none of the attacks"),
        ("curves: pgd", "curves: square", "'square' has no steps"),
        ("method: pgd, hyperparameters: {steps: 2}", "method: apgd_t, hyperparameters: {steps: 5}",
         "curves: 'pgd' shows 3 points of its search; expected one for each of its 5 steps"),
        ("steps: [1, 2]", "steps: [1, 3]", "got 3; expected at most 2, the steps of 'pgd'"),
        ("adversarial:\n", "adversarial:\n        seeds: [0, 5]\n", "'5' is not on track 'small'"),
        ("epsilons: [0.01", "epsilons: [1.01", "epsilons.0.*less than or equal to 1"),
        ("detectors: [msp, knn]", "detectors: [msp, knnn]", "no detector 'knnn'"),
        ("detectors: [msp, knn]", "detectors: [msp, ensemble]", "'ensemble' scores by several networks"),
        ("detectors: [msp, knn]", "detectors: [msp, godin]", "'godin' has a step that is not chosen yet"),
        ("        detectors: [msp]\n      label", "        detectors: [odin]\n      label",
         "corruptions.detectors: 'odin' moves the images first"),
        ("        detectors: [msp]\nbackbones", "        detectors: [odin]\nbackbones",
         "imbalance.detectors: 'odin' moves the images first"),
        ("to: [robust]", "to: [rubust]", "'rubust' is none of the networks; expected one of"),
        ("kinds: [gaussian", "kinds: [frost, gaussian", "kinds.0"),
        ("strengths: [0.0, 0.5, 1.0]", "strengths: [0.0, 0.5, 1.2]", "strengths"),
        ("strengths: [0.0, 0.5, 1.0]", "strengths: [0.0, 0.5]", "from 0.0 to 1.0"),
        ("trusted: 0.1", "trusted: 0.01", "a share of 0.01 of the 10 training images of a class is none"),
        ("glc: {objective: glc, trusted: 0.1}", "glc: {objective: glc}", "expected `trusted` above 0"),
        ("method: uniform}", "method: gaussian}", "no noise model 'gaussian'"),
        ("trusted: 0.1", "trusted: 0.99", "0.99 of the 10 training .* is all of them; .* from 0.1 to 0.9"),
        ("noises: {uniform: {method: uniform}}", "noises: {uniform: {method: hierarchical}}",
         "noises.uniform: .*groups"),
        ("mu: 0.2", "mu: 2.0", "profiles.exp.*mu"),
        ("mu: 0.2", "mu: 0.001", "profiles.exp: .*would have no image where the largest has 10"),
        ("mu: 0.2", "mu: 1.0", "profiles.exp: every class has 10 images left"),
        ("method: smote}", "method: smote, hyperparameters: {neighbours: 2}}",
         "methods.smote.sampler: 2 neighbours of an image need 3 images .* the profile 'exp' leaves one 2"),
        ("seeds: [0, 1]", "seeds: [0]", "adversarial.transfer: .*of another seed, and the track has 1"),
        ("method: smote", "method: smite", "no sampler 'smite'.*smote"),
        ("inits: [scratch]\n        prof", "inits: [nowhere]\n        prof", "unknown init 'nowhere'"),
        ("watched: {none: [0.5]}", "watched: {none: [0.3]}", "0.3 is none of the strengths"),
        ("watched: {none: [0.5]}", "watched: {nome: [0.5]}", "'nome' is no method"),
        ("networks: {cross_entropy: [scratch], robust", "networks: {crossentropy: [scratch], robust",
         "no objective 'crossentropy'"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_file_line_and_key(tmp_path, old, new, complaint):
    assert old in LEADERBOARD
    with pytest.raises(SpecError, match=complaint) as caught:
        planned(tmp_path, LEADERBOARD.replace(old, new, 1))
    assert "leaderboard.yaml" in str(caught.value)


def test_a_mistake_in_what_only_a_full_run_has_is_found(tmp_path):
    text = LEADERBOARD.replace("{objective: forward_correction}", "{objective: forward_gold, trusted: 0.01}")
    line = 1 + next(i for i, row in enumerate(text.splitlines()) if "forward_gold" in row)
    with pytest.raises(
        SpecError, match=rf"yaml:{line}: .*label_noise.full.methods.forward.trusted: a share of 0.01"
    ):
        planned(tmp_path, text, full=True)


def test_a_study_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"no study 'imbalanced'.*imbalance"):
        planned(tmp_path, studies=("imbalanced",))


def record(**changes):
    return StudyRecord.model_validate(
        {
            "backbone": "tiny", "init": "scratch", "seed": 0, "condition": "exp", "key": "a" * 32,
            "training": {"objective": "cross_entropy"}, "numbers": {"total.error": 0.25}, "made_in": "here",
            "checkpoint": "c", **changes,
        }
    )  # fmt: skip


HERE = {
    "oodbench": "1", "python": "3", "platform": "p", "processor": "c", "cores": 2, "libraries": {},
}  # fmt: skip


def file(*records):
    return StudyFile(
        track="small", study="imbalance", row="none", environments={"here": HERE}, records=list(records)
    )


def test_a_new_result_replaces_the_old_one_of_its_cell_and_no_other():
    other = record(seed=1)
    merged = merge(file(record(), other), file(record(numbers={"total.error": 0.5}, key="b" * 32)))
    assert [r.numbers["total.error"] for r in merged.records] == [0.5, 0.25]


def test_the_same_result_keeps_the_record_that_is_there():
    merged = merge(file(record(seconds=1.0)), file(record(seconds=2.0)))
    assert merged.records[0].seconds == 1.0


def test_r21_a_failure_replaces_a_result_of_the_same_key():
    failed = record(status="failed", reason="disk", numbers={}, made_in=None, checkpoint=None)
    assert merge(file(record()), file(failed)).records == [failed]
    assert merge(file(record(key="b" * 32)), file(failed)).records == [failed]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"status": "measurd"}, "status"),
        ({"surprise": 1}, "surprise"),
        ({"numbers": {"total.error": None}}, "total.error"),
    ],
)
def test_a_damaged_file_is_named_with_the_place(tmp_path, change, complaint):
    path = tmp_path / "none.json"
    write_study(path, file(record()))
    content = json.loads(path.read_text())
    content["records"][0] |= change
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=complaint) as caught:
        read_study(path)
    assert str(path) in str(caught.value)


def test_an_environment_that_is_not_described_is_refused(tmp_path):
    path = tmp_path / "none.json"
    write_study(path, file(record()))
    content = json.loads(path.read_text())
    content["records"][0]["made_in"] = "there"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="made in an environment that the file does not describe"):
        read_study(path)


def test_an_optimizer_that_timm_has_not_is_refused_for_a_study_too(tmp_path):
    from benchmark.checks import check_timm_names

    text = LEADERBOARD.replace("batch_size: 60, lr", "batch_size: 60, optimizer: adamq, lr")
    spec = load_spec(written(tmp_path, text))
    plan = make_plan(spec, Selection(full=True, studies=("adversarial",)))
    with pytest.raises(SpecError, match=r"inits.moved\w*.of.training.optimizer: timm has no .* 'adamq'"):
        check_timm_names(spec, plan)


def test_classes_that_a_source_has_not_cannot_be_left_out(tmp_path):
    old = "      source: fractaldb\n      preset: fractaldb_tiny\n"
    new = (
        "      source: dataset\n"
        "      images: {dataset: digits, classes: [5, 6, 7]}\n"
        "      exclude_classes: [999]\n"
    )
    with pytest.raises(SpecError, match=r"of.exclude_classes: digits has no class 999; it has 10"):
        planned(tmp_path, LEADERBOARD.replace(old, new, 1))
