"""Statistics over seeds against spec/claims.md §0.2, scipy, brute force, and arithmetic on paper.

Unrounded numbers are those of spec/worked_examples.json (keys st.*).
"""

from __future__ import annotations

import itertools
import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import benchmark.metrics
from benchmark.metrics import holm, mean_interval, paired_difference, significance_ranks
from benchmark.metrics.statistics import mean_intervals

EXACT = {"rel": 1e-12, "abs": 1e-12}

GAINS = [2.1, 1.4, 0.3, 1.9, 0.8, 1.2]  # claims §0.2, sign-normalised: the claim predicts gain > 0
ZEROS = [0.0] * 6


def random_pairs(n: int = 9, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(0.3, 1, n), rng.normal(0, 1, n)


def test_worked_example() -> None:
    got = paired_difference(GAINS, ZEROS)
    assert got.mean == pytest.approx(1.2833333333333332, **EXACT)
    assert (got.low, got.high) == pytest.approx((0.5764882451967647, 1.9901784214699019), **EXACT)
    assert got.p_t_greater == pytest.approx(0.002748454843808671, **EXACT)
    assert got.p_t_two_sided == pytest.approx(2 * 0.002748454843808671, **EXACT)
    assert got.p_sign_flip == 0.015625
    assert got.p_wilcoxon == 0.015625
    assert got.effect * math.sqrt(6) == pytest.approx(4.6670952534028105, **EXACT)  # st.t
    assert got.n == 6


def test_worked_example_is_mirrored() -> None:
    gain, loss = paired_difference(GAINS, ZEROS), paired_difference(ZEROS, GAINS)
    assert (loss.mean, loss.low, loss.high) == pytest.approx((-gain.mean, -gain.high, -gain.low), **EXACT)
    assert loss.p_t_two_sided == pytest.approx(gain.p_t_two_sided, **EXACT)
    assert loss.p_t_greater == pytest.approx(1 - gain.p_t_greater, **EXACT)
    assert (loss.p_sign_flip, loss.p_wilcoxon) == (1.0, 1.0)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95])
def test_mean_interval_equals_scipy(level: float) -> None:
    values, _ = random_pairs()
    got = mean_interval(values, level)
    low, high = stats.t.interval(level, 8, values.mean(), stats.sem(values))
    assert (got.low, got.high) == pytest.approx((low, high), **EXACT)
    assert (got.mean, got.sd, got.n) == pytest.approx((values.mean(), values.std(ddof=1), 9), **EXACT)


@pytest.mark.parametrize("seeds", [1, 2, 3, 8, 9, 130])
def test_intervals_of_rows_are_those_of_each_row_to_the_last_bit(seeds: int) -> None:
    table = np.random.default_rng(seeds).normal(size=(40, seeds))
    table[3] = 0.25
    got, expected = mean_intervals(table), [mean_interval(row) for row in table]
    assert repr(got) == repr(expected)  # NaN is not equal to itself
    if seeds > 1:
        half = stats.t.ppf(0.975, seeds - 1) * table[0].std(ddof=1) / math.sqrt(seeds)
        assert got[0].high == got[0].mean + half, "a kept quantile is scipy's"
    assert mean_intervals(np.empty((0, seeds))) == []


def test_intervals_of_rows_reject_nan_and_what_is_no_table() -> None:
    with pytest.raises(ValueError, match=r"values: expected a .rows, seeds. array with seeds"):
        mean_intervals([1.0, 2.0])
    with pytest.raises(ValueError, match=r"values: expected finite numbers, got NaN or inf in rows \[1\]"):
        mean_intervals([[1.0, 2.0], [1.0, math.nan]])


def test_one_seed_has_no_spread() -> None:
    got = mean_interval([0.7])
    assert (got.mean, got.n) == (0.7, 1)
    assert all(math.isnan(value) for value in (got.low, got.high, got.sd))


def test_equal_seeds_have_no_width() -> None:
    got = mean_interval([0.1] * 3)  # whose floating-point mean is not .1
    assert (got.mean, got.low, got.high, got.sd) == (0.1, 0.1, 0.1, 0.0)


@pytest.mark.parametrize("n", [2, 5, 9, 16])
def test_t_tests_equal_scipy(n: int) -> None:
    a, b = random_pairs(n)
    got = paired_difference(a, b)
    assert got.p_t_two_sided == pytest.approx(stats.ttest_rel(a, b).pvalue, **EXACT)
    assert got.p_t_greater == pytest.approx(stats.ttest_rel(a, b, alternative="greater").pvalue, **EXACT)
    assert got.effect == pytest.approx((a - b).mean() / (a - b).std(ddof=1), **EXACT)


@pytest.mark.parametrize("n", [2, 5, 9, 16, 40])
def test_wilcoxon_equals_scipys_exact_test(n: int) -> None:
    a, b = random_pairs(n)
    got = paired_difference(a, b, rng=np.random.default_rng(0))
    expected = stats.wilcoxon(a, b, alternative="greater", method="exact").pvalue
    assert got.p_wilcoxon == pytest.approx(expected, **EXACT)


differences = st.lists(st.integers(-3, 3), min_size=1, max_size=8)


@given(d=differences)
@settings(deadline=None)
def test_exact_tests_equal_brute_force_with_ties_and_zeros(d: list[int]) -> None:
    got = paired_difference(d, [0] * len(d))
    flips = list(itertools.product((1, -1), repeat=len(d)))
    hits = sum(sum(s * x for s, x in zip(signs, d, strict=True)) >= sum(d) for signs in flips)
    assert got.p_sign_flip == hits / len(flips)

    moved = [x for x in d if x]
    ranks = stats.rankdata(np.abs(moved)) if moved else np.array([])
    observed = sum(rank for rank, x in zip(ranks, moved, strict=True) if x > 0)
    flips = list(itertools.product((0, 1), repeat=len(moved)))
    hits = sum(sum(on * rank for on, rank in zip(ons, ranks, strict=True)) >= observed for ons in flips)
    assert got.p_wilcoxon == pytest.approx(hits / len(flips), **EXACT)


def test_sign_flip_counts_ties_that_rounding_hides() -> None:
    # .1 + .2 − .3 > 0 in floating point; on paper 5 of 8 subsets of {.1, .2, −.3} have a sum ≤ 0:
    # {}, {−.3}, {.1, −.3}, {.2, −.3}, {.1, .2, −.3}
    assert paired_difference([0.1, 0.2, -0.3], [0, 0, 0]).p_sign_flip == 5 / 8


def test_sign_flip_equals_scipys_permutation_test() -> None:
    a, b = random_pairs(10)
    expected = stats.permutation_test(
        (a, b),
        lambda x, y: np.mean(x - y),
        permutation_type="samples",
        alternative="greater",
        n_resamples=2**10,
    )
    assert paired_difference(a, b).p_sign_flip == pytest.approx(expected.pvalue, **EXACT)


def test_many_pairs_are_flipped_at_random() -> None:
    a, b = random_pairs(17, seed=1)
    got = paired_difference(a, b, rng=np.random.default_rng(5)).p_sign_flip
    again = paired_difference(a, b, rng=np.random.default_rng(5)).p_sign_flip
    assert got == again
    assert (got * 20_001) == pytest.approx(round(got * 20_001), **EXACT)
    d = a - b
    subsets = np.zeros(1)
    for value in d:  # all 2^17 flips
        subsets = np.concatenate([subsets, subsets + value])
    exact = float(np.mean(subsets <= 0))
    assert 0.001 < exact < 0.999
    assert abs(got - exact) < 5 * math.sqrt(exact * (1 - exact) / 20_000)


def test_random_flips_never_give_zero() -> None:
    got = paired_difference([1.0] * 60, [0.0] * 60, rng=np.random.default_rng(0))
    assert got.p_sign_flip == 1 / 20_001
    assert got.p_wilcoxon == pytest.approx(2.0**-60, **EXACT)


def test_many_pairs_need_a_generator() -> None:
    with pytest.raises(ValueError, match="rng: 17 pairs are more than the 16"):
        paired_difference(*random_pairs(17))


def test_no_difference_at_all() -> None:
    a, _ = random_pairs()
    got = paired_difference(a, a)
    assert (got.mean, got.low, got.high, got.sd, got.effect) == (0, 0, 0, 0, 0)
    assert (got.p_t_two_sided, got.p_t_greater, got.p_sign_flip, got.p_wilcoxon) == (1, 0.5, 1, 1)


def test_a_constant_difference() -> None:
    better, worse = paired_difference([2, 3, 4], [1, 2, 3]), paired_difference([1, 2, 3], [2, 3, 4])
    assert (better.mean, better.sd, better.effect) == (1, 0, math.inf)
    assert (better.p_t_two_sided, better.p_t_greater) == (0, 0)
    assert (worse.effect, worse.p_t_two_sided, worse.p_t_greater) == (-math.inf, 0, 1)


def test_rounding_is_no_difference() -> None:
    # .1 + .2 and .3 differ in the last bit, by the same amount for every seed
    got = paired_difference([0.1 + 0.2] * 6, [0.3] * 6)
    assert (got.mean, got.p_t_two_sided, got.p_sign_flip) == (0, 1, 1)
    assert significance_ranks([[0.1 + 0.2] * 6, [0.3] * 6]) == [1, 1]


def test_one_pair() -> None:
    got = paired_difference([2.0], [1.0])
    assert (got.mean, got.n, got.p_sign_flip, got.p_wilcoxon) == (1, 1, 0.5, 0.5)
    unknown = (got.low, got.high, got.sd, got.effect, got.p_t_two_sided, got.p_t_greater)
    assert all(math.isnan(value) for value in unknown)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([1.0, 2.0], [1.0], "a, b: expected one value of each arm a seed, got 2 and 1"),
        ([], [], "a: expected a non-empty 1-D array"),
        ([1.0], [[1.0]], "b: expected a non-empty 1-D array"),
        ([1.0, math.nan], [1.0, 2.0], "a: expected finite numbers, got 1 non-finite of 2"),
        ([1.0, 2.0], [math.inf, 2.0], "b: expected finite numbers, got 1 non-finite of 2"),
    ],
)
def test_bad_arms_are_named(a: list, b: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paired_difference(a, b)


@pytest.mark.parametrize("level", [0.0, 1.0, -0.5, 95, math.nan])
def test_bad_levels(level: float) -> None:
    for call in (
        lambda: mean_interval(GAINS, level),
        lambda: paired_difference(GAINS, ZEROS, level),
        lambda: significance_ranks([GAINS], level),
    ):
        with pytest.raises(ValueError, match="level: expected a number strictly between 0 and 1"):
            call()


def test_mean_interval_rejects_nothing_and_nan() -> None:
    with pytest.raises(ValueError, match="values: expected a non-empty 1-D array"):
        mean_interval([])
    with pytest.raises(ValueError, match="values: expected finite numbers"):
        mean_interval([1.0, math.nan])


def test_holm_worked_example() -> None:  # st.holm
    np.testing.assert_allclose(holm([0.01, 0.03, 0.04]), [0.03, 0.06, 0.06], rtol=1e-12)


def test_holm_keeps_the_order_of_the_input() -> None:
    # On paper: sorted .01·4, .02·3, .03·2 → .06, .5·1
    np.testing.assert_allclose(holm([0.5, 0.01, 0.03, 0.02]), [0.5, 0.04, 0.06, 0.06], rtol=1e-12)


def test_holm_edges() -> None:
    assert holm([]).tolist() == []
    assert holm([0.2]).tolist() == [0.2]
    assert holm([0.9, 0.9]).tolist() == [1.0, 1.0]


@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=20))
@settings(deadline=None)
def test_holm_rejects_what_its_definition_rejects(p: list[float]) -> None:
    # Step-down definition: go through the sorted p, stop at the first p_(j) > α / (m − j + 1).
    adjusted = holm(p)
    assert (adjusted >= p).all()
    assert adjusted.max() <= 1
    order = sorted(range(len(p)), key=lambda i: p[i])
    rejected = set()
    for j, i in enumerate(order):
        if p[i] * (len(p) - j) > 0.05:
            break
        rejected.add(i)
    assert {i for i in range(len(p)) if adjusted[i] <= 0.05} == rejected


@pytest.mark.parametrize(
    ("p", "message"),
    [
        ([0.5, 1.5], r"p_values: expected numbers in \[0, 1\], got \[1\.5\]"),
        ([-0.1], r"got \[-0\.1\]"),
        ([math.nan], r"got \[nan\]"),
        ([[0.5]], r"p_values: expected a 1-D array, got shape \(1, 1\)"),
    ],
)
def test_bad_p_values(p: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        holm(p)


def naive_ranks(values: np.ndarray, level: float, higher_is_better: bool) -> list[int]:
    pairs = list(itertools.combinations(range(len(values)), 2))
    adjusted = holm([stats.ttest_rel(values[i], values[j]).pvalue for i, j in pairs])
    ranks = [1] * len(values)
    for (i, j), p in zip(pairs, adjusted, strict=True):
        if p <= level:
            i_is_better = (values[i].mean() > values[j].mean()) == higher_is_better
            ranks[j if i_is_better else i] += 1
    return ranks


@pytest.mark.parametrize("higher_is_better", [True, False])
@pytest.mark.parametrize("level", [0.01, 0.05, 0.3])
def test_ranks_equal_a_loop_over_scipy(level: float, higher_is_better: bool) -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(0, 1, (12, 1)) + rng.normal(0, 0.3, (12, 8)) + rng.normal(0, 1, 8)
    got = significance_ranks(values, level, higher_is_better)
    assert got == naive_ranks(values, level, higher_is_better)
    assert len(set(got)) > 3  # the example separates some rows and not all
    assert len(set(got)) < 12


def test_rows_that_do_not_differ_share_a_rank() -> None:
    # On paper: rows 0 and 1 differ by ±.01 with mean 0, both differ from row 2 by about .4
    wave = np.tile([0.01, -0.01], 4)
    values = np.array([np.full(8, 0.9), 0.9 + wave, 0.5 + wave**2])
    assert significance_ranks(values) == [1, 1, 3]
    assert significance_ranks(values, higher_is_better=False) == [2, 2, 1]


def test_identical_rows_and_constant_differences() -> None:
    row = np.array([0.25, 0.5, 0.75])
    assert significance_ranks([row, row, row]) == [1, 1, 1]
    assert significance_ranks([row, row + 0.125, row - 0.125, row]) == [2, 1, 4, 2]


def test_one_row_and_one_seed() -> None:
    assert significance_ranks([[0.1, 0.2]]) == [1]
    assert significance_ranks([[0.1], [0.9], [0.5]]) == [1, 1, 1]


@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=25)
def test_ranks_follow_their_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 1, (7, 1)) + rng.normal(0, 0.2, (7, 5))
    order = rng.permutation(7)
    ranks = significance_ranks(values)
    assert significance_ranks(values[order]) == [ranks[i] for i in order]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[0.5, math.nan], [0.5, 0.6], [math.inf, 0.1]], r"got NaN or inf in rows \[0, 2\]"),
        ([0.5, 0.6], r"values: expected a non-empty \(rows, seeds\) array, got shape \(2,\)"),
        (np.zeros((0, 5)), r"got shape \(0, 5\)"),
        (np.zeros((5, 0)), r"got shape \(5, 0\)"),
    ],
)
def test_bad_tables(values: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        significance_ranks(values)


def test_a_large_table_is_fast() -> None:
    values = np.random.default_rng(0).normal(0, 1, (40, 8))
    significance_ranks(values)
    start = time.perf_counter()
    significance_ranks(values)
    assert (
        time.perf_counter() - start < 0.1
    )  # 780 pairs: about a millisecond; a loop over scipy takes a second


def test_exported_names_exist_and_are_sorted() -> None:
    names = benchmark.metrics.__all__
    assert names == sorted(names)
    assert all(getattr(benchmark.metrics, name).__doc__ for name in names)
