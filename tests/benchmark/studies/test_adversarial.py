"""The adversarial study: what its records have, and attacks that do not apply."""

import shutil
import sys
from itertools import islice

import pytest
import torch
from small_studies import LEADERBOARD, of, planned, run

from benchmark.attacks.detector import AttackedScores
from benchmark.errors import SpecError
from benchmark.store.artifacts import Store
from benchmark.studies.adversarial.measure import _weak
from benchmark.studies.adversarial.tried import Tried
from methods.attacks.pgd import PGD
from methods.errors import NotApplicable


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
    monkeypatch.setattr("benchmark.studies.adversarial.study.installed_version", lambda name: f"{name} 9.9")
    again = planned(copy, text, studies=("adversarial",), seeds=(0,))
    assert keys.isdisjoint(study.key for study in again.studies)
    assert again.jobs[again.studies[0].key].config.packages == {"pyautoattack": "pyautoattack 9.9"}
    assert {"pgd.accuracy", "square.accuracy", "worst.accuracy"} <= record.numbers.keys()
    assert any(w.startswith("autoattack: left out: ") and "not installed" in w for w in record.warnings)


def test_what_does_not_apply_to_a_shard_is_left_out_of_all():
    right = {"right": torch.tensor([True, False])}
    both = {"clean": right | {"losses": torch.zeros(2)}, "attack pgd": right | {"losses": torch.ones(2, 1)}}
    shards = [Tried(both | {"attack odd": right}), Tried(both, {"attack odd": "not today"})]
    found = Tried.joined(shards)
    assert found.rows.keys() == both.keys()
    assert found.accuracy("attack pgd") == 0.5
    assert found.on_network.attacked.keys() == {"pgd"}
    assert found.on_network.left_out == {"odd": "not today"}


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
