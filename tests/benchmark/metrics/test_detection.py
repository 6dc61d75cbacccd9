"""Detection metrics against spec/methods.md §7.3, scikit-learn, and arithmetic on paper.

Unrounded numbers are those of spec/worked_examples.json (keys m5.*, m41.*, mconst.*, fpr20, aurc*, eaurc).
"""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from benchmark.metrics import (
    FprConvention,
    aupr_out_at_base_rate,
    detection_metrics,
    fpr95,
    roc_at,
    selective_risk,
)
from benchmark.metrics import _counts as module

EXACT = {"rel": 1e-12, "abs": 1e-12}

CASES = {  # spec §7.3 (a) to (d)
    "a": ([0.9, 0.8, 0.7, 0.7, 0.3], [0.75, 0.7, 0.2, 0.1]),
    "b": ([i / 50 for i in range(10, 51)], [i / 50 + 0.005 for i in range(30)]),
    "c": ([0.4] * 3, [0.4] * 2),
    "d": ([i / 20 for i in range(1, 21)], [0.05, 0.1, 0.15, 0.2, 0.5]),
}

scores = st.lists(st.integers(-20, 20), min_size=1, max_size=40)
any_scores = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30)


def random_sides(kind: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    id_scores, ood_scores = rng.normal(1, 1, 701), rng.normal(0, 1.5, 433)
    match kind:
        case "distinct":
            pass
        case "some ties":
            id_scores, ood_scores = id_scores.round(2), ood_scores.round(2)
        case "mostly ties":
            id_scores, ood_scores = id_scores.round(0), ood_scores.round(0)
        case "large":
            id_scores, ood_scores = id_scores * 1e6, ood_scores * 1e6
        case "adjacent":  # neighbours in the last bit of a float64 are not ties
            id_scores, ood_scores = (1 + np.rint(s * 3 + 40) * 2.0**-52 for s in (id_scores, ood_scores))
        case "saturated":
            id_scores, ood_scores = np.minimum(id_scores, 1), np.minimum(ood_scores, 1)
    return id_scores, ood_scores


KINDS = ["distinct", "some ties", "mostly ties", "large", "adjacent", "saturated"]


def id_positive(id_scores: np.ndarray, ood_scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.repeat([1, 0], [len(id_scores), len(ood_scores)]), np.concatenate([id_scores, ood_scores])


def first_fpr_at_95(is_positive: np.ndarray, pooled: np.ndarray) -> float:
    fpr, tpr, _ = roc_curve(is_positive, pooled, drop_intermediate=False)
    return float(fpr[np.argmax(tpr >= 0.95)])


@pytest.mark.parametrize(
    ("case", "expected"),
    [  # auroc, aupr_in, aupr_out, fpr95, fpr95_ood_pos, detection_error, n_in, n_out: spec §7.3
        ("a", (0.75, 0.8095238095238095, 0.7678571428571428, 0.5, 0.6, 0.25, 5, 4)),
        (
            "b",
            (
                0.8292682926829269,
                0.8887293897445575,
                0.7943854037016811,
                0.6,
                0.4634146341463415,
                0.24390243902439024,
                41,
                30,
            ),
        ),
        ("c", (0.5, 0.6, 0.4, 1.0, 1.0, 0.5, 3, 2)),
    ],
)
def test_worked_examples(case: str, expected: tuple[float, ...]) -> None:
    assert astuple(detection_metrics(*CASES[case])) == pytest.approx(expected, **EXACT)


@pytest.mark.parametrize(
    ("case", "convention", "expected"),
    [  # spec §7.3 and m5.fpr*, m41.fpr*, mconst.fpr*, fpr20 (floor, strict of (d): 19th largest is .1)
        ("a", "id_pos", 0.5),
        ("a", "ood_pos", 0.6),
        ("a", "argmin", 0.5),
        ("a", "floor", 0.5),
        ("a", "strict", 0.5),
        ("b", "id_pos", 0.6),
        ("b", "ood_pos", 0.4634146341463415),
        ("b", "argmin", 0.6333333333333333),
        ("b", "floor", 0.5666666666666667),
        ("b", "strict", 0.6),
        ("c", "id_pos", 1.0),
        ("c", "ood_pos", 1.0),
        ("c", "argmin", 1.0),
        ("c", "floor", 1.0),
        ("c", "strict", 0.0),
        ("d", "id_pos", 0.8),
        ("d", "floor", 0.8),
        ("d", "strict", 0.6),
    ],
)
def test_fpr_conventions(case: str, convention: str, expected: float) -> None:
    assert fpr95(*CASES[case], convention) == pytest.approx(expected, **EXACT)


@pytest.mark.parametrize(("case", "expected"), [("a", 0.6), ("b", 0.4634146341463415), ("c", 1.0)])
def test_argmin_with_ood_positive(case: str, expected: float) -> None:
    # m5/m41/mconst.fpr_argmin_oodpos: the outlier-exposure convention by exchanging and negating the sides
    id_scores, ood_scores = (np.negative(side) for side in CASES[case])
    assert fpr95(ood_scores, id_scores, "argmin") == pytest.approx(expected, **EXACT)


@pytest.mark.parametrize("n_in", [1, 2, 3, 7, 10, 19, 20, 21, 30, 39, 40, 41, 100])
@pytest.mark.parametrize("decimals", [0, 1, 15])
def test_argmin_reads_the_tie_merged_curve(n_in: int, decimals: int) -> None:
    # The release: points of the ROC curve in the order of falling recall, the first one nearest to .95.
    rng = np.random.default_rng(n_in)
    id_scores, ood_scores = rng.normal(1, 1, n_in).round(decimals), rng.normal(0, 1, 50).round(decimals)
    fpr, tpr, _ = roc_curve(*id_positive(id_scores, ood_scores), drop_intermediate=False)
    first_full = int(np.argmax(tpr == 1))
    nearest = first_full - int(np.argmin(np.abs(tpr[first_full::-1] - 0.95)))
    assert fpr95(id_scores, ood_scores, "argmin") == pytest.approx(fpr[nearest], **EXACT)


def test_one_id_score_has_every_convention() -> None:
    # On paper: the only ID score is the threshold; 2 of 4 OOD scores reach it, 1 exceeds it.
    got = {convention: fpr95([2.0], [1.0, 2.0, 3.0, 0.0], convention) for convention in FprConvention}
    assert got == {"id_pos": 0.5, "ood_pos": 1.0, "argmin": 0.5, "floor": 0.5, "strict": 0.25}


def test_a_wrong_convention_lists_the_choices() -> None:
    with pytest.raises(ValueError, match="one of id_pos, ood_pos, argmin, floor, strict, got 'openood'"):
        fpr95([1.0], [0.0], "openood")


@pytest.mark.parametrize("kind", KINDS)
def test_equals_scikit_learn(kind: str) -> None:
    id_scores, ood_scores = random_sides(kind)
    is_id, pooled = id_positive(id_scores, ood_scores)
    got = detection_metrics(id_scores, ood_scores)
    assert got.auroc == pytest.approx(roc_auc_score(is_id, pooled), **EXACT)
    assert got.aupr_in == pytest.approx(average_precision_score(is_id, pooled), **EXACT)
    assert got.aupr_out == pytest.approx(average_precision_score(1 - is_id, -pooled), **EXACT)
    assert got.fpr95 == pytest.approx(first_fpr_at_95(is_id, pooled), **EXACT)
    assert got.fpr95_ood_pos == pytest.approx(first_fpr_at_95(1 - is_id, -pooled), **EXACT)
    fpr, tpr, _ = roc_curve(is_id, pooled, drop_intermediate=False)
    assert got.detection_error == pytest.approx(np.min((1 - tpr + fpr) / 2), **EXACT)


@pytest.mark.parametrize("block", [1, 2, 3, 64])
@pytest.mark.parametrize("kind", KINDS)
def test_blocks_do_not_change_the_result(kind: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sides = random_sides(kind)
    whole = astuple(detection_metrics(*sides))
    monkeypatch.setattr(module, "_BLOCK", block)
    assert astuple(detection_metrics(*sides)) == pytest.approx(whole, **EXACT)


def test_more_scores_than_a_block() -> None:
    rng = np.random.default_rng(1)
    id_scores = rng.normal(1, 1, 90_000).round(4)
    ood_scores = rng.normal(0, 1, 70_000).round(4)
    is_id, pooled = id_positive(id_scores, ood_scores)
    got = detection_metrics(id_scores, ood_scores)
    assert got.auroc == pytest.approx(roc_auc_score(is_id, pooled), **EXACT)
    assert got.aupr_in == pytest.approx(average_precision_score(is_id, pooled), **EXACT)
    assert got.aupr_out == pytest.approx(average_precision_score(1 - is_id, -pooled), **EXACT)


@given(id_scores=any_scores, ood_scores=any_scores)
@settings(deadline=None)
def test_any_finite_scores_equal_their_ranks(id_scores: list[float], ood_scores: list[float]) -> None:
    # Signed zeros, subnormals, 1e308 next to 1e-300: the metrics may only see the order.
    ranks = np.unique(np.array(id_scores + ood_scores), return_inverse=True)[1]
    of_ranks = detection_metrics(ranks[: len(id_scores)], ranks[len(id_scores) :])
    assert detection_metrics(id_scores, ood_scores) == of_ranks


@pytest.mark.parametrize(
    ("id_scores", "ood_scores", "auroc"),
    [  # arithmetic on paper: pairs won + half the pairs tied, over all pairs
        ([1e308, -1e308], [0.0, 1e307], 0.5),
        ([1e308, 5e-324], [0.0, 4e-324 / 2], 1.0),
        ([1.7e308, 1e-300], [0.0, -0.0, 1e-300, 2e-300], (4 + 2.5) / 8),
        ([0.0], [-0.0], 0.5),
        ([5e-324], [0.0], 1.0),
        ([-5e-324], [0.0], 0.0),
        ([np.nextafter(1, 2)], [1.0], 1.0),
        ([3.0, np.nextafter(0.5, 1)], [np.nextafter(0.5, 0), 0.5], 1.0),
    ],
)
def test_extreme_scores(id_scores: list[float], ood_scores: list[float], auroc: float) -> None:
    assert detection_metrics(id_scores, ood_scores).auroc == auroc


@given(id_scores=scores, ood_scores=scores)
@settings(deadline=None)
def test_strictly_monotone_transforms_change_nothing(id_scores: list[int], ood_scores: list[int]) -> None:
    got = detection_metrics(id_scores, ood_scores)
    for transform in (
        lambda s: 4 * s - 7.5,
        lambda s: s**3,
        lambda s: s * 2.0**900,
    ):  # exact on small integers
        moved = [transform(np.array(side, dtype=float)) for side in (id_scores, ood_scores)]
        assert detection_metrics(*moved) == got


@given(id_scores=scores, ood_scores=scores, seed=st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_order_of_samples_changes_nothing(id_scores: list[int], ood_scores: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    shuffled = detection_metrics(rng.permutation(id_scores), rng.permutation(ood_scores))
    assert shuffled == detection_metrics(id_scores, ood_scores)


@given(id_scores=scores, ood_scores=scores)
@settings(deadline=None)
def test_exchanging_the_sides(id_scores: list[int], ood_scores: list[int]) -> None:
    got = detection_metrics(id_scores, ood_scores)
    exchanged = detection_metrics(ood_scores, id_scores)
    assert exchanged.auroc == pytest.approx(1 - got.auroc, **EXACT)
    mirrored = detection_metrics(np.negative(ood_scores), np.negative(id_scores))
    assert (mirrored.aupr_in, mirrored.fpr95) == pytest.approx((got.aupr_out, got.fpr95_ood_pos), **EXACT)
    assert mirrored.detection_error == pytest.approx(got.detection_error, **EXACT)


@given(id_scores=scores, ood_scores=scores)
@settings(deadline=None)
def test_both_routes_to_fpr95_agree(id_scores: list[int], ood_scores: list[int]) -> None:
    got = detection_metrics(id_scores, ood_scores)
    assert got.fpr95 == fpr95(id_scores, ood_scores, FprConvention.ID_POS)
    assert got.fpr95_ood_pos == fpr95(id_scores, ood_scores, FprConvention.OOD_POS)


@given(value=st.floats(-1e300, 1e300), n_in=st.integers(1, 50), n_out=st.integers(1, 50))
@settings(deadline=None)
def test_a_constant_detector_knows_nothing(value: float, n_in: int, n_out: int) -> None:  # claim C-G3
    got = detection_metrics([value] * n_in, [value] * n_out)
    assert (got.auroc, got.fpr95, got.fpr95_ood_pos, got.detection_error) == (0.5, 1.0, 1.0, 0.5)
    base_rates = (n_in / (n_in + n_out), n_out / (n_in + n_out))
    assert (got.aupr_in, got.aupr_out) == pytest.approx(base_rates, **EXACT)


def test_a_perfect_and_a_reversed_detector() -> None:
    perfect = detection_metrics([3, 2], [1, 0, -1])
    assert astuple(perfect)[:6] == (1.0, 1.0, 1.0, 0.0, 0.0, 0.0)
    reversed_ = detection_metrics([1, 0], [3, 2])
    assert (reversed_.auroc, reversed_.fpr95, reversed_.detection_error) == (0.0, 1.0, 0.5)


def test_inputs_are_left_alone() -> None:
    id_scores, ood_scores = random_sides("some ties")
    copies = id_scores.copy(), ood_scores.copy()
    detection_metrics(id_scores, ood_scores)
    fpr95(id_scores, ood_scores)
    np.testing.assert_array_equal(id_scores, copies[0])
    np.testing.assert_array_equal(ood_scores, copies[1])


def test_float32_scores_are_widened_not_rounded() -> None:
    id_scores, ood_scores = (side.astype(np.float32) for side in random_sides("distinct"))
    assert detection_metrics(id_scores, ood_scores) == detection_metrics(
        id_scores.astype(np.float64), ood_scores.astype(np.float64)
    )


def test_base_rate_of_one_to_five() -> None:
    id_scores, ood_scores = random_sides("distinct")
    got = aupr_out_at_base_rate(id_scores, ood_scores, np.random.default_rng(3), draws=4)
    rng = np.random.default_rng(3)
    by_hand = []
    for _ in range(4):  # min(433, 701 // 5) = 140 OOD and 700 ID
        drawn_id, drawn_ood = (
            rng.choice(id_scores, 700, replace=False),
            rng.choice(ood_scores, 140, replace=False),
        )
        is_id, pooled = id_positive(drawn_id, drawn_ood)
        by_hand.append(average_precision_score(1 - is_id, -pooled))
    assert got == pytest.approx(np.mean(by_hand), **EXACT)
    assert got < detection_metrics(id_scores, ood_scores).aupr_out


@pytest.mark.parametrize(("n_in", "n_out"), [(100, 20), (500, 20), (100, 200)])
def test_base_rate_of_a_constant_detector(n_in: int, n_out: int) -> None:
    # Average precision of all-tied scores is the base rate: 1 / 6 whatever the counts.
    got = aupr_out_at_base_rate([0.0] * n_in, [0.0] * n_out, np.random.default_rng(0))
    assert got == pytest.approx(1 / 6, **EXACT)


def test_base_rate_needs_five_id_scores_and_a_draw() -> None:
    with pytest.raises(ValueError, match=r"id_scores: expected at least 5 .* got 4"):
        aupr_out_at_base_rate([1, 2, 3, 4], [0], np.random.default_rng(0))
    with pytest.raises(ValueError, match="draws: expected at least 1, got 0"):
        aupr_out_at_base_rate([1, 2, 3, 4, 5], [0], np.random.default_rng(0), draws=0)


def test_selective_risk_worked_example() -> None:  # spec §7.3 (e), keys aurc, aurc.opt, eaurc
    got = selective_risk([0.9, 0.8, 0.8, 0.6, 0.5], [0, 1, 0, 0, 1])
    assert astuple(got) == pytest.approx((0.24666666666666667, 0.11666666666666667, 1 - 0.24666666666666667))


@given(errors=st.lists(st.booleans(), min_size=1, max_size=30), data=st.data())
@settings(deadline=None)
def test_selective_risk_bounds(errors: list[bool], data: st.DataObject) -> None:
    confidence = data.draw(st.lists(st.integers(0, 5), min_size=len(errors), max_size=len(errors)))
    order = data.draw(st.permutations(range(len(errors))))
    got = selective_risk(confidence, errors)
    assert got.eaurc >= -1e-12
    shuffled = selective_risk([confidence[i] for i in order], [errors[i] for i in order])
    assert astuple(shuffled) == pytest.approx(astuple(got), **EXACT)
    oracle = selective_risk(np.negative(np.array(errors, dtype=float)), errors)
    assert oracle.eaurc == pytest.approx(0, abs=1e-12)
    all_tied = selective_risk(np.zeros(len(errors)), errors)
    assert all_tied.aurc == pytest.approx(np.mean(errors), **EXACT)


def test_selective_risk_rejects() -> None:
    with pytest.raises(ValueError, match="errors: expected one for each of 2 confidences, got 1"):
        selective_risk([0.5, 0.6], [1])
    with pytest.raises(ValueError, match=r"errors: expected only 0 and 1, got 0\.5"):
        selective_risk([0.5, 0.6], [1, 0.5])


@pytest.mark.parametrize("kind", KINDS)
def test_roc_at_passes_through_scikit_learns_points(kind: str) -> None:
    id_scores, ood_scores = random_sides(kind)
    fpr, tpr, _ = roc_curve(*id_positive(id_scores, ood_scores), drop_intermediate=False)
    upper = np.array([tpr[fpr == rate].max() for rate in fpr])
    np.testing.assert_allclose(roc_at(id_scores, ood_scores, fpr), upper, rtol=0, atol=1e-12)


def test_roc_at_on_paper() -> None:
    # (a): FPR 0 → .4 (.9, .8), ¼ → .4, tie at .7 joins (¼, .4) to (½, .8), ½ → 1 at .3
    np.testing.assert_allclose(
        roc_at(*CASES["a"], [0.0, 0.1, 0.25, 0.375, 0.5, 1.0, 0.0]),
        [0.4, 0.4, 0.4, 0.6, 1.0, 1.0, 0.4],
        rtol=0,
        atol=1e-12,
    )
    np.testing.assert_allclose(roc_at([1, 1], [1], [0, 0.3, 1]), [0, 0.3, 1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("grid", [[-0.1], [0.5, 1.01]])
def test_roc_at_rejects_rates_that_are_none(grid: list[float]) -> None:
    with pytest.raises(ValueError, match=r"fpr_grid: expected rates in \[0, 1\]"):
        roc_at([1.0], [0.0], grid)


FUNCTIONS = {
    "detection_metrics": detection_metrics,
    "fpr95": fpr95,
    "aupr_out_at_base_rate": lambda i, o: aupr_out_at_base_rate(i, o, np.random.default_rng(0)),
    "roc_at": lambda i, o: roc_at(i, o, [0.5]),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ([], r"non-empty 1-D array of real numbers, got shape \(0,\)"),
        ([[1.0, 2.0]], r"non-empty 1-D array of real numbers, got shape \(1, 2\)"),
        (3.0, r"non-empty 1-D array of real numbers, got shape \(\)"),
        (["high", "low"], "real numbers, got shape .* dtype <U4"),
        ([1j, 2j], "real numbers, got shape .* dtype complex128"),
        ([1.0, np.nan, np.inf], r"expected finite numbers, got 2 non-finite of 3 \(first at index 1: nan\)"),
        ([1.0, 2.0, -np.inf], r"got 1 non-finite of 3 \(first at index 2: -inf\)"),
    ],
)
def test_bad_scores_are_named(name: str, broken: object, message: str) -> None:
    good = np.arange(10.0)
    with pytest.raises(ValueError, match="^id_scores: .*" + message):
        FUNCTIONS[name](broken, good)
    with pytest.raises(ValueError, match="^ood_scores: .*" + message):
        FUNCTIONS[name](good, broken)
