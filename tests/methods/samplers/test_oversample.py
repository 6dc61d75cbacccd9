"""Oversampling: how often a class and an image is shown."""

import pytest
import torch
from imbalance_examples import COUNTS, generator, long_tailed, shares
from torch.testing import assert_close

from methods.registry import sampler


def test_oversampling_keeps_the_length_of_an_epoch():
    _, labels = long_tailed()
    made = sampler("oversample")
    assert made.size(labels) == len(labels) == sum(COUNTS)
    rows = made.epoch(labels, generator())
    assert len(rows.unique()) < len(rows)  # with replacement


@pytest.mark.parametrize(("weights", "share"), [("inverse", 0.5), ("cb", 0.75854)])
def test_oversampling_by_either_weights(weights, share):
    """`cb`: n w is 30,000 / E(30,000) = 3.15719 and 100 / E(100) = 1.00496, E = (1 - β^n) / (1 - β)."""
    labels = torch.tensor([0] * 30_000 + [1] * 100)
    seen = shares(labels[sampler("oversample", weights=weights).epoch(labels, generator())])
    assert abs(float(seen[0]) - share) < 0.012  # four standard deviations at most


def test_oversampling_shows_all_images_of_a_class_alike():
    labels = torch.tensor([0] * 12 + [1] * 4)
    rng = generator()
    rows = torch.cat([sampler("oversample").epoch(labels, rng) for _ in range(500)])
    expected = torch.tensor([1 / 24] * 12 + [1 / 8] * 4)
    assert_close(shares(rows), expected, rtol=0, atol=0.015)
