"""LTS against pytorch-ood's numbers and paper arithmetic."""

import math

import numpy as np
import pytest
import torch
from detector_examples import QUERIES, TRAIN
from random_layer import Linear, both_signs
from scipy.special import logsumexp
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features, HyperparameterError
from methods.detectors.energy import Energy
from methods.detectors.lts import LTS
from methods.registry import detector


@both_signs
@pytest.mark.parametrize("percentile", [95.0, 65.0, 0.0])
def test_lts_is_that_of_pytorch_ood(signed, percentile):
    library = pytest.importorskip("pytorch_ood.detector")
    world = Linear(width=100, signed=signed)
    other = library.LTS(None, world.module, p=1 - percentile / 100)
    expected = -other.predict_features(world.asked.penultimate)
    assert_close(world.score(LTS(percentile)), expected, **EXACT)


def test_lts_by_hand():
    # The positive activations are 4, 2 and 1; a quarter of the four features is one.
    asked = Features(tensor([[0.3, -0.2]]), tensor([[2.0, 4.0, -3.0, 1.0]]))
    for percentile, kept in ((75.0, 4.0), (50.0, 6.0), (25.0, 7.0)):
        expected = np.log(np.exp([0.3 * (7 / kept) ** 2, -0.2 * (7 / kept) ** 2]).sum())
        assert LTS(percentile).score(asked).item() == pytest.approx(expected, rel=1e-14)


def test_lts_keeps_one_feature_of_few():
    expected = np.log(np.exp(QUERIES.logits[0].numpy() * (3.2 / 2.0) ** 2).sum())
    assert LTS().score(QUERIES)[0].item() == pytest.approx(expected, rel=1e-13)  # 5 % of 4 features


def test_lts_of_an_image_without_activations_is_its_energy():
    asked = Features(tensor([[0.3, -0.2], [1.0, 2.0]]), tensor([[0.0, 0.0], [-1.0, -3.0]]))
    assert_close(LTS().score(asked), Energy().score(asked), **EXACT)


def test_lts_of_tiny_activations_is_that_of_the_same_ones_larger():
    h = tensor([[3.0, 1.0, 0.0, 0.5]])
    logits = tensor([[1.0, 2.0]])
    assert_close(LTS().score(Features(logits, 1e-300 * h)), LTS().score(Features(logits, h)), **EXACT)


@pytest.mark.parametrize("percentile", [-1.0, 100.0, math.nan])
def test_lts_percentile_out_of_range(percentile):
    with pytest.raises(HyperparameterError, match="percentile: expected a number of at least 0, below 100"):
        detector("lts", percentile=percentile)


def test_lts_of_all_features_is_the_energy():
    scores = LTS(percentile=0.0).score(TRAIN)  # none of them is negative
    assert_close(scores, torch.from_numpy(logsumexp(TRAIN.logits.numpy(), axis=1)), **EXACT)
