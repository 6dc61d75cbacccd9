"""OptFS against arithmetic on paper, and a plain loop over the intervals."""

import itertools
import math

import numpy as np
import pytest
import torch
from detector_examples import F1, HEAD, QUERIES, TRAIN, features
from scipy.special import logsumexp
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features, Head, NotApplicable
from methods.detectors.optfs import OptFS


def by_loop(train, queries, intervals, tail):
    """Factors and shaped queries, an interval at a time."""
    h, weight = train.penultimate.numpy(), F1["W"].numpy()
    own = weight[train.logits.argmax(dim=1).numpy()]
    edges = np.linspace(np.quantile(h, tail), np.quantile(h, 1 - tail), intervals + 1)
    shaped, means = np.zeros_like(queries), []
    for low, high in itertools.pairwise(edges):
        means.append((own * h * ((h >= low) & (h < high))).sum(axis=1).mean())
    factors = 1000 * np.array(means) / np.sqrt(np.sum(np.square(means)))
    for factor, (low, high) in zip(factors, itertools.pairwise(edges), strict=True):
        shaped += factor * queries * ((queries >= low) & (queries < high))
    return factors, shaped


def test_optfs_by_hand():
    # Features from 0 to 4 in two intervals, [0, 2) and [2, 4). The first image is predicted as class 0 with
    # weights (1, 2): 1 in the first interval adds 1, and 3 in the second adds 6. The second is predicted as
    # class 1 with weights (-1, 3): 0 adds nothing, and 4 lies above. Means 0.5 and 3: factors proportional to
    # 1 and 6. The query (1.5, 2) of class 0 scores 1 * 1.5 * 1 + 6 * 2 * 2 = 25.5 times 1000 / sqrt(37).
    head = Head(tensor([[1.0, 2], [-1, 3]]), tensor([3.0, 0]))
    h = tensor([[1.0, 3], [0, 4]])
    fitted = OptFS(intervals=2, tail=0.0).fit(features(h, [0, 1], head), features(h, [0, 1], head), head)
    assert fitted.edges.tolist() == [0, 2, 4]
    assert features(h, head=head).logits.argmax(dim=1).tolist() == [0, 1]
    scale = 1000 / math.sqrt(37)
    assert_close(fitted.factors, tensor([0, scale, 6 * scale, 0]), **EXACT)
    assert_close(fitted.score(features(tensor([[1.5, 2]]), head=head)), tensor([25.5 * scale]), **EXACT)


@pytest.mark.parametrize(("intervals", "tail"), [(100, 0.001), (7, 0.1), (1, 0.0)])
def test_optfs_is_the_loop_over_intervals(intervals, tail):
    fitted = OptFS(intervals, tail).fit(TRAIN, TRAIN, HEAD)
    factors, shaped = by_loop(TRAIN, F1["Q"].numpy(), intervals, tail)
    assert_close(fitted.factors[1:-1], torch.from_numpy(factors), rtol=1e-12, atol=1e-9)
    own = F1["W"].numpy()[QUERIES.logits.argmax(dim=1).numpy()]
    assert_close(fitted.score(QUERIES), torch.from_numpy((own * shaped).sum(axis=1)), rtol=1e-12, atol=1e-9)
    energy = OptFS(intervals, tail, "energy").fit(TRAIN, TRAIN, HEAD).score(QUERIES)
    logits = shaped @ F1["W"].numpy().T + F1["b"].numpy()
    assert_close(energy, torch.from_numpy(logsumexp(logits, axis=1)), rtol=1e-12, atol=1e-9)


def test_optfs_learns_the_factors_of_the_largest_mean_score():
    # Cauchy-Schwarz: no other factors of that length give training images a larger mean score.
    best = OptFS(intervals=7, tail=0.1).fit(TRAIN, TRAIN, HEAD)
    rng = np.random.default_rng(0)
    mean = best.score(TRAIN).mean()
    for _ in range(20):
        other = rng.normal(size=7)
        factors = np.pad(1000 * other / np.linalg.norm(other), 1)
        assert best.with_state(factors=tensor(factors.tolist())).score(TRAIN).mean() < mean


def test_optfs_of_one_interval_is_the_largest_logit_without_bias():
    fitted = OptFS(intervals=1, tail=0.0).fit(TRAIN, TRAIN, HEAD)
    h = F1["Q"][:2]  # whose features all lie in the interval
    own = (h @ F1["W"].T)[torch.arange(2), QUERIES.logits[:2].argmax(dim=1)]
    assert_close(fitted.score(QUERIES[:2]), 1000 * own, **EXACT)


def test_optfs_removes_what_lies_outside():
    fitted = OptFS(tail=0.0).fit(TRAIN, TRAIN, HEAD)
    high, low = F1["H"].max() + 1, F1["H"].min() - 1
    at_ends = torch.stack([F1["H"].max().expand(4), high.expand(4), low.expand(4)])
    assert fitted.score(features(at_ends)).tolist() == [0, 0, 0]  # the upper end is not part of the range


def test_optfs_ranks_alike_where_features_and_weights_change_scale():
    def scaled(h, head):
        return features(3 * h, head=head)

    head = Head(HEAD.weight * 2, HEAD.bias * 6)
    train = scaled(F1["H"], head)
    scores = OptFS(intervals=8).fit(train, train, head).score(scaled(F1["Q"], head))
    # Edges and features are 3 times as large, weights twice; the factors are of one length.
    assert_close(scores, 6 * OptFS(intervals=8).fit(TRAIN, TRAIN, HEAD).score(QUERIES), rtol=1e-12, atol=1e-9)


def test_optfs_does_not_apply_to_constant_features():
    train = features(torch.full((5, 4), 0.7, dtype=torch.float64))
    with pytest.raises(
        NotApplicable, match=r"do not vary between their quantiles 0\.001 and 0\.999, 0\.7 and"
    ):
        OptFS().fit(train, train, HEAD)


def test_optfs_does_not_apply_where_weights_are_zero():
    head = Head(torch.zeros(3, 4))
    train = Features(torch.zeros(9, 3), F1["H"])
    with pytest.raises(NotApplicable, match="no training feature adds to a predicted logit"):
        OptFS().fit(train, train, head)


@pytest.mark.parametrize(
    ("hyperparameters", "message"),
    [
        ({"intervals": 0}, "intervals: expected at least 1, got 0"),
        ({"tail": 0.5}, "tail: expected a share of at least 0 and below 0.5, got 0.5"),
        ({"tail": -0.1}, "tail: expected a share"),
        ({"tail": math.nan}, "tail: expected a share"),
        ({"base": "msp"}, "base: expected one of max_logit, energy, got 'msp'"),
    ],
)
def test_optfs_refuses_what_makes_no_sense(hyperparameters, message):
    with pytest.raises(ValueError, match=message):
        OptFS(**hyperparameters)
