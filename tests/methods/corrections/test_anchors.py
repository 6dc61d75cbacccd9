"""Noise estimated from anchors: worked numbers and plain sorting."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from label_noise_examples import INPUTS, VALUES, Network, batch_of, setup, world
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import HyperparameterError
from methods.corrections._anchors import anchor
from methods.registry import objective


def plain_anchor(column, percentile):
    """By sorting; the percentile is the value at the rank that is rounded up."""
    ascending = sorted(column)
    limit = ascending[math.ceil(percentile / 100 * (len(column) - 1) - 1e-9)]
    below = [value for value in column if value < limit] or ascending
    return list(column).index(max(below))


def test_anchors_of_the_worked_example():
    first = tensor(INPUTS["anchors"])
    for percentile in (None, 100.0):  # by default as well, of four images
        made = objective("forward_correction", percentile=percentile)
        assert_close(made.estimate(setup(first, torch.zeros(4))), tensor(VALUES["fwd.C_argmax"]), **EXACT)
        rows = [anchor(column, percentile, 3) for column in first.T.numpy()]
        assert rows == VALUES["fwd.anchor_argmax"]


@pytest.mark.parametrize("percentile", [None, 97, 97.0])
def test_an_anchor_is_strictly_below_the_percentile(percentile):
    column = np.random.default_rng(0).permutation(np.arange(1, 101) / 100)
    assert np.percentile(column, 97, method="higher") == VALUES["anc.thr"]
    assert column[anchor(column, percentile, 10)] == VALUES["anc.val"]


@pytest.mark.parametrize("count", [1, 2, 3, 10, 34, 101, 1000])
@pytest.mark.parametrize("percentile", [50.0, 97.0, 99.5])
def test_anchors_agree_with_plain_sorting(count, percentile):
    draws = np.random.default_rng(count)
    for column in (draws.random(count), draws.integers(0, 4, count) / 4, np.full(count, 0.5)):
        assert anchor(column, percentile, 3) == plain_anchor(column, percentile)


@pytest.mark.parametrize(
    ("images", "classes", "rank"),
    [
        (50_000, 10, 1501),  # CIFAR-10: the threshold is 1500th from the top
        (50_000, 16, 1501),
        (50_000, 17, 1),
        (50_000, 100, 1),  # CIFAR-100
        (200, 10, 7),
        (20, 10, 1),
        (10, 10, 1),
        (1, 1, 1),
    ],
)
def test_by_default_few_images_of_a_class_are_left_out(images, classes, rank):
    column = np.arange(images) / images
    assert anchor(column, None, classes) == images - rank


def test_equal_probabilities_do_not_lead_to_another_class():
    """All of a class at exactly 1: nothing of the class is strictly below the percentile."""
    column = np.repeat([0.0, 1.0], [90, 10])
    assert column[anchor(column, 97.0, 10)] == 0
    assert column[anchor(column, None, 10)] == 1


def test_noise_may_leave_no_label_of_the_highest_class():
    """As flipping all labels of 120 did: they show K - 1 classes, and the first phase's network knows K."""
    made = world()
    seen = replace(made, labels=made.labels.clamp(max=1), trusted=None, classes=2)
    correction = objective("forward_correction")
    modules = correction.modules(seen)
    assert_close(modules["noise"](), correction.estimate(made), **EXACT)
    assert modules["noise"]().shape == (3, 3)
    loss = correction.loss(Network(), replace(batch_of(made), labels=seen.labels[:40], trusted=None), modules)
    assert loss.isfinite()


def test_the_percentile_is_passed_on():
    made = world()
    expected = {}
    for percentile in (60.0, 97.0, 100.0):
        rows = [
            plain_anchor(column, percentile) if percentile < 100 else int(column.argmax())
            for column in made.first.T.numpy()
        ]
        expected[percentile] = made.first[rows] / made.first[rows].sum(dim=1, keepdim=True)
        for name in ("forward_correction", "forward_gold"):
            found = objective(name, percentile=percentile).estimate(made)
            assert_close(found, expected[percentile], **EXACT)
    assert not torch.equal(expected[60.0], expected[97.0])
    assert not torch.equal(expected[97.0], expected[100.0])
    assert_close(objective("forward_correction").estimate(made), expected[97.0], **EXACT)


@pytest.mark.parametrize("name", ["forward_correction", "forward_gold"])
@pytest.mark.parametrize("percentile", [0.0, -3.0, 100.1, math.nan])
def test_a_percentile_that_is_none_is_refused(name, percentile):
    with pytest.raises(HyperparameterError, match=r"percentile: expected a number in \(0, 100\] or None"):
        objective(name, percentile=percentile)
