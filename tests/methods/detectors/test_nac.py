"""NAC against pytorch-ood's numbers and a slow transcription."""

import math

import numpy as np
import pytest
import torch
from detector_examples import HEAD, TRAIN, features
from random_layer import Linear, both_signs
from scipy.special import expit, softmax
from torch import nn
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Head, HyperparameterError
from methods.detectors.nac import NAC
from methods.registry import detector


def slow_nac(train, asked, weight, bias, thresholds, steepness, enough):
    """Coverage by comparison of every state with every pair of thresholds."""

    def states(h):
        p = softmax(h @ weight.T + bias, axis=1)
        return expit(steepness * h * ((p - 1 / p.shape[1]) @ weight))

    def member(s):
        return (s[..., None] >= thresholds[:-1]) & (s[..., None] < thresholds[1:])  # (N, D, bins)

    covered = np.minimum(member(states(train)).sum(axis=0) / enough, 1)
    return tensor((member(states(asked)) * covered).sum(axis=2).mean(axis=1).tolist())


def release_thresholds(m):
    below = np.log(np.linspace(1, math.sqrt(1000), m // 2)) / math.log(1000)
    below[-1] = 0.5
    return np.concatenate([below, 1 - below[-2:0:-1], [1.01]])


@both_signs
@pytest.mark.parametrize(
    ("bins", "steepness", "enough"),
    [(50, 100.0, 50), (50, 1.0, 7), (4, 0.1, 500), (6, 3.0, 1), (200, 0.5, 3)],
)
def test_nac_is_the_slow_transcription(signed, bins, steepness, enough):
    world = Linear(signed=signed)
    expected = slow_nac(
        world.train.penultimate.numpy(),
        world.asked.penultimate.numpy(),
        world.head.weight.numpy(),
        world.head.bias.numpy(),
        release_thresholds(bins),
        steepness,
        enough,
    )
    assert expected.min() > 0
    assert_close(world.score(NAC(bins, steepness, enough)), expected, **EXACT)


@both_signs
def test_nac_is_that_of_pytorch_ood_with_the_same_bins(signed, monkeypatch):
    library = pytest.importorskip("pytorch_ood.detector.nac")
    world = Linear(signed=signed, weight=0.1)  # it adds 1e-12 to probabilities
    thresholds = torch.from_numpy(release_thresholds(50))

    def same_bins(states, m):
        return torch.bucketize(states, thresholds, right=True) - 1

    monkeypatch.setattr(library, "_bin_indices_geometric", same_bins)
    entrance = nn.Identity()
    other = library.NACUE(nn.Sequential(entrance, world.module), [entrance], m_bins=50, alpha=2.0, o_star=9)
    other.fit([world.train.penultimate.requires_grad_()])
    expected = -other.predict(world.asked.penultimate.requires_grad_())
    scores = world.score(NAC(steepness=2.0, enough=9)).detach()
    assert_close(scores, expected.double(), rtol=1e-5, atol=1e-6)  # it averages in float32


def test_nac_bins_are_finest_at_the_state_of_a_feature_that_does_not_fire():
    edges = NAC(steepness=1.0).fit(TRAIN, TRAIN, HEAD).edges
    assert len(edges) == 47
    assert edges[23] == 0
    assert torch.equal(edges, -edges.flip(0))
    widths = edges.sigmoid().diff()
    assert (widths[:22].diff() < 0).all()
    assert edges.sigmoid()[0].item() == pytest.approx(
        math.log(1 + (math.sqrt(1000) - 1) / 24) / math.log(1000)
    )


def test_nac_by_hand():
    # Two classes, one feature: v = h w (p - 1/2) with w = (1, -1), so v = h (2 p - 1) > 0 unless h = 0.
    head = Head(tensor([[1.0], [-1.0]]))
    train = features(tensor([[0.0], [0.0], [0.0], [-1.0], [2.0]]), head=head)
    fitted = NAC(bins=4, enough=10).fit(train, train, head)
    assert_close(fitted.coverage, tensor([[0.0, 0.5]]), **EXACT)  # all five are at 1/2 or above
    assert_close(fitted.score(features(tensor([[0.0], [3.0]]), head=head)), tensor([0.5, 0.5]), **EXACT)


def test_nac_counts_no_bin_for_more_than_full():
    world = Linear()
    fitted = NAC(enough=1).fit(world.train, world.train, world.head)
    assert fitted.coverage.unique().tolist() == [0, 1]
    assert (fitted.score(world.train) == 1).all()  # every state of theirs is covered


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("bins", 49, "bins: expected an even number of at least 4, got 49"),
        ("bins", 2, "bins: expected an even number of at least 4, got 2"),
        ("steepness", 0.0, "steepness: expected a finite number above 0, got 0.0"),
        ("steepness", math.inf, "steepness: expected a finite number above 0, got inf"),
        ("enough", 0, "enough: expected a whole number of at least 1, got 0"),
    ],
)
def test_nac_hyperparameters_out_of_range(name, value, message):
    with pytest.raises(HyperparameterError, match=message):
        detector("nac", **{name: value})


def test_nac_is_shown_at_most_1000_images():
    assert NAC.fit_limit == 1000
