"""Balanced splits: disjoint, complete, and with one test set for all seeds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.datasets import balanced_split

LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(4), 30))


@given(
    counts=st.lists(st.integers(0, 9), min_size=1, max_size=4).filter(any),
    train=st.integers(1, 4),
    val=st.integers(0, 4),
    seeds=st.tuples(st.integers(0, 2**40), st.integers(0, 2**40)),
)
def test_parts_partition_the_samples_and_are_balanced_or_the_class_is_named(counts, train, val, seeds):
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(len(counts)), counts))
    short = [c for c, n in enumerate(counts) if 0 < n < train + val + 1]
    if short:
        with pytest.raises(ValueError, match=f"class {short[0]} has {counts[short[0]]} samples"):
            balanced_split(labels, train, val, *seeds)
        return
    split = balanced_split(labels, train, val, *seeds)
    assert sorted(np.concatenate([split.train, split.val, split.test])) == list(range(len(labels)))
    for part, per_class in ((split.train, train), (split.val, val)):
        assert np.bincount(labels[part], minlength=len(counts)).tolist() == [
            per_class * (n > 0) for n in counts
        ]
    for part in (split.train, split.val, split.test):
        assert part.dtype == np.int64
        assert (np.diff(part) > 0).all()


def test_the_test_set_is_the_same_for_every_seed_but_train_and_val_are_not():
    splits = [balanced_split(LABELS, 8, 4, track_seed=7, seed=seed) for seed in range(20)]
    assert len({tuple(s.test) for s in splits}) == 1
    assert len({tuple(s.train) for s in splits}) == 20
    assert len({tuple(s.val) for s in splits}) == 20


def test_no_test_sample_is_trained_on_under_any_seed():
    splits = [balanced_split(LABELS, 8, 4, track_seed=7, seed=seed) for seed in range(20)]
    fitted = set(np.concatenate([np.concatenate([s.train, s.val]) for s in splits]))
    assert fitted.isdisjoint(splits[0].test)


def test_the_track_seed_draws_the_test_set():
    assert len({tuple(balanced_split(LABELS, 8, 4, track_seed, 0).test) for track_seed in range(20)}) == 20


def test_the_same_seeds_give_the_same_split():
    one, two = (balanced_split(LABELS, 8, 4, 1, 2) for _ in range(2))
    for part in ("train", "val", "test"):
        np.testing.assert_array_equal(getattr(one, part), getattr(two, part))


def test_a_class_is_split_alike_whatever_other_classes_there_are():
    both = balanced_split(LABELS, 8, 4, 1, 2)
    alone = balanced_split(LABELS[LABELS == 3], 8, 4, 1, 2)
    members = np.flatnonzero(LABELS == 3)
    np.testing.assert_array_equal(members[alone.train], both.train[LABELS[both.train] == 3])
    np.testing.assert_array_equal(members[alone.test], both.test[LABELS[both.test] == 3])


def test_every_sample_is_drawn_equally_often():
    # Each of 30 samples is trained on with probability 8/30; over 600 draws the count has standard deviation
    # sqrt(600 · 8/30 · 22/30) = 10.8 about 160, and five of them hold for all 120 samples.
    times = np.zeros(len(LABELS))
    for seed in range(600):
        times[balanced_split(LABELS, 8, 4, track_seed=seed, seed=seed).train] += 1
    assert np.abs(times - 160).max() < 5 * 10.84


@pytest.mark.parametrize(
    ("labels", "train", "val", "message"),
    [
        (LABELS, 0, 4, "train_per_class must be at least 1, got 0"),
        (LABELS, 8, -1, "val_per_class must be at least 0, got -1"),
        (
            LABELS,
            20,
            10,
            "class 0 has 30 samples, needs at least 31: 20 for train, 10 for val and 1 for test",
        ),
        (np.where(LABELS == 2, -1, LABELS), 1, 1, "labels must be class indices from 0, got -1"),
        (LABELS.reshape(2, -1), 1, 1, r"labels must be a non-empty array \(N,\), got shape \(2, 60\)"),
        (LABELS[:0], 1, 1, "labels must be a non-empty array"),
    ],
)
def test_refuses(labels, train, val, message):
    with pytest.raises(ValueError, match=message):
        balanced_split(labels, train, val, 0, 0)
