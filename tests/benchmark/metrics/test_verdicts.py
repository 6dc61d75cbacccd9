"""Verdicts on claims against spec/claims.md §0.2 and §0.3, arithmetic on paper, and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchmark.metrics.statistics import paired_difference
from benchmark.metrics.verdicts import Answer, Question, decide, exact_test_feasible, sign_test

RAW = [-2.1, -1.4, -0.3, -1.9, -0.8, -1.2]  # A − B of claims §0.2, where the claim predicts A < B
ZEROS = [0.0] * 6
SPREAD = np.array([-1.0, -0.5, -0.2, 0.1, 0.2, 0.4, 0.4, 0.6])  # mean 0, sd .5757
CERTAIN = np.full(8, 1.0) + 0.1 * SPREAD


def one(a, b=None, delta=0.5, **rest) -> Answer:
    (answer,) = decide([Question(a, np.zeros(len(a)) if b is None else b, delta, **rest)])
    return answer


def fillers(n: int, seeds: int = 8) -> list[Question]:
    """Tests that say nothing, to make a family larger: their p is about .5."""
    values = np.resize([1.0, -1.0], seeds)
    return [Question(values, np.zeros(seeds), 0.5) for _ in range(n)]


def test_worked_example_of_the_spec():
    answer = one(ZEROS, RAW)  # lower is better: the arms are swapped, and the gain is positive
    assert answer.gain.mean == pytest.approx(1.283333, abs=1e-6)
    assert (answer.gain.low, answer.gain.high) == pytest.approx((0.576488, 1.990178), abs=1e-6)
    assert answer.gain.p_t_greater == pytest.approx(0.002748, abs=1e-6)
    assert (answer.p, answer.p_holm, answer.gain.p_wilcoxon) == (0.015625, 0.015625, 0.015625)
    assert answer.p_reverse == answer.p_reverse_holm == 1.0
    assert (answer.verdict, answer.t_based, answer.family_size) == ("supported", False, 1)
    assert one(RAW, ZEROS).verdict == "contradicted"


def test_a_significant_gain_below_delta_is_not_supported():
    assert one(ZEROS, RAW, delta=1.283333).verdict == "supported"
    answer = one(ZEROS, RAW, delta=1.283334)
    assert (answer.p_holm, answer.verdict) == (0.015625, "inconclusive")
    assert one(RAW, ZEROS, delta=1.283334).verdict == "inconclusive"


def test_a_large_gain_that_is_not_significant_is_not_supported():
    answer = one([4.0, 4.0, 4.0, 4.0, -3.0, -3.0])
    assert answer.gain.mean == pytest.approx(10 / 6)
    # Sums of at least 10 by hand: all fours positive with any threes (4), three fours with both threes (4).
    assert answer.p == answer.p_holm == 8 / 64
    assert answer.verdict == "inconclusive"


def test_equivalence_by_hand():
    # t(.95, 7) = 1.894579; half the 90 % interval is 1.894579 · sd / √8.
    half = 1.894579 * SPREAD.std(ddof=1) / 8**0.5
    answer = one(SPREAD, delta=0.5)
    assert (answer.low_90, answer.high_90) == pytest.approx((-half, half), abs=1e-6)
    assert answer.verdict == "negligible"
    assert one(SPREAD, delta=half + 1e-6).verdict == "negligible"
    assert one(SPREAD, delta=half - 1e-6).verdict == "inconclusive"
    for sign in (1, -1):  # both one-sided tests reject exactly then
        shifted = SPREAD + sign * 0.2
        by_tests = max(
            stats.ttest_1samp(shifted, -0.5, alternative="greater").pvalue,
            stats.ttest_1samp(shifted, 0.5, alternative="less").pvalue,
        )
        assert (one(shifted).verdict == "negligible") == (by_tests <= 0.05)


def test_equal_arms_are_negligible_and_a_zero_delta_never_is():
    equal = np.linspace(0.5, 0.9, 8)
    assert one(equal, equal).verdict == "negligible"
    assert one(equal, equal, delta=0.0).verdict == "inconclusive"


@pytest.mark.parametrize(("seeds", "most"), [(6, 3), (8, 12), (10, 51), (12, 204)])
def test_feasibility_of_the_spec(seeds, most):
    assert exact_test_feasible(seeds, most)
    assert not exact_test_feasible(seeds, most + 1)


def test_holm_is_over_the_family():
    # The smallest p of 8 seeds is 1/256; the other tests have p ≥ .5 and are left behind.
    for others, expected in ((0, 1 / 256), (11, 12 / 256)):
        answer = decide([Question(CERTAIN, np.zeros(8), 0.5), *fillers(others)])[0]
        assert (answer.p, answer.p_holm) == pytest.approx((1 / 256, expected))
        assert (answer.verdict, answer.t_based, answer.family_size) == ("supported", False, others + 1)
    p = [answer.p for answer in decide([Question(CERTAIN, np.zeros(8), 0.5), *fillers(2)])]
    adjusted = [answer.p_holm for answer in decide([Question(CERTAIN, np.zeros(8), 0.5), *fillers(2)])]
    assert adjusted[0] == pytest.approx(3 * p[0])
    assert adjusted[1] == min(1.0, 2 * p[1])


def test_where_the_exact_test_cannot_reach_five_percent_t_decides():
    answer = decide([Question(CERTAIN, np.zeros(8), 0.5), *fillers(12)])[0]
    assert answer.t_based
    assert answer.p == answer.gain.p_t_greater
    assert answer.p_holm == pytest.approx(13 * answer.gain.p_t_greater)
    assert answer.verdict == "supported"
    lost = decide([Question(-CERTAIN, np.zeros(8), 0.5), *fillers(12)])[0]
    assert (lost.t_based, lost.verdict) == (True, "contradicted")


def test_t_alone_does_not_suffice(monkeypatch):
    import benchmark.metrics.verdicts as module

    doubtful = paired_difference(CERTAIN, np.zeros(8))
    object.__setattr__(doubtful, "p_sign_flip", 0.06)
    monkeypatch.setattr(module, "paired_difference", lambda *args, **rest: doubtful)
    answer = decide([Question(CERTAIN, np.zeros(8), 0.5), *fillers(12)])[0]
    assert answer.p_holm is not None
    assert answer.p_holm <= 0.05
    assert answer.verdict == "inconclusive"


def test_few_seeds_are_exploratory_and_count_in_no_family():
    five, eight = Question([1.0] * 5, [0.0] * 5, 0.5), Question(CERTAIN, np.zeros(8), 0.5)
    first, second, capped = decide([five, eight, Question(CERTAIN, np.zeros(8), 0.5, confirmatory=False)])
    assert (first.verdict, first.p, first.p_holm, first.family_size) == ("exploratory", 1 / 32, None, 0)
    assert (capped.verdict, capped.p, capped.p_holm) == ("exploratory", 1 / 256, None)
    assert (second.verdict, second.family_size, second.p_holm) == ("supported", 1, 1 / 256)
    (single,) = decide([Question([1.0], [0.0], 0.5)])
    assert single.verdict == "exploratory"
    assert decide([]) == []


def test_six_seeds_are_enough():
    assert one([1.0] * 6).verdict == "supported"


def test_non_inferiority_is_the_lower_bound():
    # One-sided 95 % bound of the mean: m − 1.894579 · sd / √8 against −1.
    half = 1.894579 * SPREAD.std(ddof=1) / 8**0.5
    inside, outside = SPREAD - 1 + half + 1e-4, SPREAD - 1 + half - 1e-4
    assert one(inside, delta=1.0, kind="non_inferiority").verdict == "supported"
    assert one(outside, delta=1.0, kind="non_inferiority").verdict == "inconclusive"
    assert one(SPREAD - 1 - half - 1e-4, delta=1.0, kind="non_inferiority").verdict == "contradicted"
    answer = one(inside, delta=1.0, kind="non_inferiority")
    assert answer.p == pytest.approx(stats.ttest_1samp(inside, -1.0, alternative="greater").pvalue)
    assert answer.p == pytest.approx(0.05, abs=1e-3)
    assert not answer.t_based


def test_non_inferiority_counts_in_the_family():
    answers = decide(
        [Question(CERTAIN, np.zeros(8), 0.5), Question(SPREAD, np.zeros(8), 1.0, "non_inferiority")]
    )
    assert [answer.family_size for answer in answers] == [2, 2]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("gain", ["supported", "contradicted", "negligible", "inconclusive"]),
        ("two_sided", ["contradicted", "inconclusive", "supported", "inconclusive"]),
        ("not_better", ["contradicted", "supported", "supported", "inconclusive"]),
    ],
)
def test_what_each_kind_makes_of_the_four_outcomes(kind, expected):
    values = [CERTAIN, -CERTAIN, 0.1 * SPREAD, 10 * SPREAD]
    answers = [one(value, kind=kind) for value in values]
    assert [answer.effect for answer in answers] == [
        "supported",
        "contradicted",
        "negligible",
        "inconclusive",
    ]
    assert [answer.verdict for answer in answers] == expected


def test_more_than_sixteen_seeds_are_drawn_and_the_same_each_time():
    rng = np.random.default_rng(3)
    values = rng.normal(0.3, 1, 20)
    first, second = one(values), one(values)
    assert first == second
    assert first.p == pytest.approx(stats.ttest_1samp(values, 0, alternative="greater").pvalue, abs=0.02)


@pytest.mark.parametrize("delta", [-0.1, float("nan"), float("inf")])
def test_a_delta_is_a_finite_number(delta):
    with pytest.raises(ValueError, match="delta"):
        one(CERTAIN, delta=delta)


def test_arms_of_different_length_are_refused():
    with pytest.raises(ValueError, match="a, b"):
        decide([Question([1.0, 2.0], [0.0], 0.5)])


def test_sign_test_by_hand():
    assert sign_test([1.0] * 6) == 2 / 64
    assert sign_test([1.0, 1.0, 1.0, -1.0]) == 2 * (1 + 4) / 16
    assert sign_test([1.0, -1.0]) == 1.0
    assert sign_test([0.0, 0.0]) == 1.0
    assert sign_test([0.0, 1.0, 1.0]) == 0.5
    assert sign_test([-3.0] * 6) == sign_test([0.1] * 6)


@pytest.mark.parametrize("tests", [1, 3, 40])
def test_without_an_effect_at_most_five_percent_of_families_support_anything(tests):
    """Family-wise, with δ = 0, so that size keeps nothing back; 40 tests of 8 seeds are t-based."""
    rng = np.random.default_rng([2024, tests])
    runs = 300 // tests if tests < 40 else 40
    wrong = {"supported": 0, "contradicted": 0}
    for _ in range(runs):
        family = [Question(rng.normal(size=8), rng.normal(size=8), 0.0) for _ in range(tests)]
        verdicts = {answer.verdict for answer in decide(family)}
        for name in wrong:
            wrong[name] += name in verdicts
    limit = stats.binom.ppf(0.999, runs, 0.05)
    assert all(count <= limit for count in wrong.values())


def test_a_large_effect_is_found():
    rng = np.random.default_rng(7)
    found = [one(rng.normal(2, 1, 8)).verdict for _ in range(50)]
    assert found.count("supported") >= 45
