"""Full-spectrum OOD detection against arithmetic on paper and loops over pairs."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.metrics import detection_metrics, full_spectrum
from benchmark.metrics.cells import detection

EXACT = {"rel": 1e-12, "abs": 1e-12}
GROUPS = {"near": ["nines"], "far": ["noise", "glyphs"]}

whole = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=12)


def one(clean, shifted, ood):
    return full_spectrum(clean, shifted, {"near": [ood]}).groups["near"]


def test_worked_example():
    # ID: .9 .7 clean, .8 .2 and .4 .3 shifted; OOD: .1 .35.
    # Pairs won: .9, .7, .8, .4 win both, .3 and .2 only against .1: 10 of 12.
    # ⌈.95·6⌉ = 6th largest ID score is .2; of the OOD, .35 is accepted: FPR 1/2.
    # Down the ID scores: precision 1/1 2/2 3/3 4/4, then .35 comes first: 5/6 6/7. AUPR-In is their mean.
    # Up the OOD scores: .1 is first of 1; .35 comes after .1 .2 .3, 2 of 4: AUPR-Out (1 + 1/2) / 2.
    found = one([0.9, 0.7], [[0.8, 0.2], [0.4, 0.3]], [0.1, 0.35])
    assert asdict(found) == pytest.approx(
        {"auroc": 10 / 12, "aupr_in": (4 + 5 / 6 + 6 / 7) / 6, "aupr_out": 0.75, "fpr95": 0.5}, **EXACT
    )


def test_ties_count_half_and_are_accepted_at_the_threshold():
    # ID: .5 clean, .5 and .1 shifted; OOD: .5 .1.
    # .5 against .5 is ½, against .1 is 1, twice; .1 against .5 is 0, against .1 is ½: 3.5 of 6.
    # The threshold is .1, which all OOD reach.
    found = one([0.5], [[0.5, 0.1]], [0.5, 0.1])
    assert (found.auroc, found.fpr95) == pytest.approx((3.5 / 6, 1.0), **EXACT)


def test_constant_scores_tell_nothing():
    found = one([0.0] * 4, [[0.0] * 3], [0.0] * 3)
    assert asdict(found) == pytest.approx(
        {"auroc": 0.5, "aupr_in": 0.7, "aupr_out": 0.3, "fpr95": 1.0}, **EXACT
    )


def test_means_are_over_sets_not_over_images():
    near = [[0.1, 0.35], [1.0] * 5]  # the second is above all
    found = full_spectrum([0.9, 0.7], [[0.8, 0.2], [0.4, 0.3]], {"near": near}).groups["near"]
    assert (found.auroc, found.fpr95) == pytest.approx(((10 / 12 + 0) / 2, (0.5 + 1) / 2), **EXACT)


def test_shifted_images_below_all_others_cannot_be_told_from_ood():
    # Clean images are told perfectly; half of the ID side is shifted to below all OOD.
    clean, ood = np.arange(10.0, 20.0), np.arange(10.0)
    found = one(clean, [clean - 100], ood)
    assert detection_metrics(clean, ood).auroc == 1
    assert (found.auroc, found.fpr95) == (0.5, 1.0)


@given(whole, whole, st.integers(1, 4))
def test_with_no_strength_of_the_shift_auroc_is_the_plain_one(clean, ood, shifts):
    plain = detection_metrics(clean, ood).auroc
    assert one(clean, [clean] * shifts, ood).auroc == pytest.approx(plain, **EXACT)


def test_with_no_strength_of_the_shift_the_threshold_is_the_plain_one():
    # 95 % of 200, and of 800, is a whole number of images
    rng = np.random.default_rng(0)
    clean, ood = rng.normal(1, 1, 200), rng.normal(0, 1, 150)
    assert one(clean, [clean] * 3, ood).fpr95 == detection_metrics(clean, ood).fpr95


@given(whole, st.lists(whole, min_size=1, max_size=3), whole)
def test_auroc_is_the_mean_over_the_parts_weighted_by_images(clean, shifted, ood):
    parts = [clean, *shifted]
    wins = sum((a > b) + (a == b) / 2 for part in parts for a in part for b in ood)
    found = one(clean, shifted, ood).auroc
    assert found == pytest.approx(wins / sum(map(len, parts)) / len(ood), **EXACT)
    aurocs = [detection_metrics(part, ood).auroc for part in parts]
    assert found == pytest.approx(np.average(aurocs, weights=[*map(len, parts)]), **EXACT)


@given(whole, st.lists(whole, min_size=2, max_size=3), whole)
def test_which_shift_an_image_is_of_does_not_matter(clean, shifted, ood):
    together = np.concatenate(shifted)
    assert one(clean, shifted, ood) == one(clean, [together], ood) == one(clean, shifted[::-1], ood)


@given(whole, whole, whole)
def test_an_increasing_function_of_the_scores_changes_nothing(clean, shifted, ood):
    def moved(scores):
        return np.exp(np.asarray(scores) / 3)

    assert one(moved(clean), [moved(shifted)], moved(ood)) == one(clean, [shifted], ood)


def test_how_many_images_count_as_id():
    groups = {"near": [[0.0]], "far": [[0.0]]}
    found = full_spectrum([1.0] * 5, [[1.0] * 3, [1.0] * 2], groups)
    assert (found.n_in, set(found.groups)) == (10, {"near", "far"})


@pytest.mark.parametrize(
    ("clean", "shifted", "ood", "told"),
    [
        ([1.0], [], [[0.0]], "shifted: expected scores"),
        ([1.0], [[]], [[0.0]], "shifted"),
        ([], [[1.0]], [[0.0]], "clean"),
        ([1.0], [[np.nan]], [[0.0]], "shifted"),
        ([1.0], [[[1.0]]], [[0.0]], "shifted"),
        ([1.0], [[1.0]], [[]], "ood_scores"),
        ([1.0], [[1.0]], [], "groups: expected OOD sets in 'near'"),
    ],
)
def test_what_cannot_be_measured_is_refused(clean, shifted, ood, told):
    with pytest.raises(ValueError, match=told):
        full_spectrum(clean, shifted, {"near": ood})


def scores_of(kinds, strength=1.0, seed=0):
    """Scores of a cell, 40 test images of which 10 are shifted, and what its network has to say of them."""
    rng = np.random.default_rng(seed)
    scores = {"test": rng.normal(2, 1, 40), "test.correct": rng.random(40) < 0.9}
    scores |= {"nines": rng.normal(1, 1, 30), "noise": rng.normal(-1, 1, 20), "glyphs": rng.normal(0, 1, 25)}
    rows = np.arange(0, 40, 4)
    of_kind = {}
    for kind in kinds:
        of_kind[kind] = {s: {"accuracy": 0.9, "ece": 0.1} for s in range(6)}
        for s in range(1, 6):
            scores[f"shift.{kind}.{s}"] = scores["test"][rows] - strength * s * rng.random(10)
    if kinds:
        scores["shift.rows"] = rows
    return scores, {"network": {}, "shifts": of_kind}


def test_a_cell_joins_all_clean_and_all_shifted_images():
    scores, network = scores_of(["blur", "noise_of_a_camera"])
    found = detection(scores, network, GROUPS, 0)["full_spectrum"]
    shifted = [scores[name] for name in scores if name.startswith("shift.") and name != "shift.rows"]
    everything = np.concatenate([scores["test"], *shifted])
    assert found["n_in"] == len(everything) == 40 + 2 * 5 * 10
    for group, names in GROUPS.items():
        plain = [detection_metrics(everything, scores[name]) for name in names]
        for what in ("auroc", "aupr_in", "aupr_out", "fpr95"):
            assert found[group][what] == pytest.approx(np.mean([getattr(p, what) for p in plain]), **EXACT)


def test_near_auroc_of_a_cell_follows_from_its_robustness():
    scores, network = scores_of(["blur", "contrast"])
    found = detection(scores, network, GROUPS, 0)
    levels = [level["auroc_near"] for of in found["robustness"].values() for level in of[1:]]
    expected = (40 * found["near"]["auroc"] + 10 * sum(levels)) / 140
    assert found["full_spectrum"]["near"]["auroc"] == pytest.approx(expected, rel=1e-9)


def test_a_cell_whose_images_are_not_shifted_has_none():
    assert "full_spectrum" not in detection(*scores_of([]), GROUPS, 0)


def test_the_full_spectrum_changes_no_other_number():
    scores, network = scores_of(["blur"])
    found = detection(scores, network, GROUPS, 0)
    without = {name: values for name, values in scores.items() if not name.startswith("shift.")}
    plain = detection(without, {"network": {}, "shifts": {}}, GROUPS, 0)
    assert {n: v for n, v in found.items() if n not in ("full_spectrum", "robustness")} == {
        n: v for n, v in plain.items() if n != "robustness"
    }
