"""BATS against arithmetic on paper and a plain loop that follows the formula."""

import math

import numpy as np
import pytest
import torch
from detector_examples import F1, HEAD, QUERIES, TRAIN, features
from scipy.special import logsumexp, softmax
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features, Head
from methods.detectors.bats import BATS
from methods.detectors.energy import Energy


def rectified(queries, reach):
    """Features a number at a time, by NumPy's mean and deviation."""
    h, moved = F1["H"].numpy(), queries.copy()
    for row in moved:
        for d, value in enumerate(row):
            mean, deviation = np.mean(h[:, d]), np.std(h[:, d])
            row[d] = min(max(value, mean - reach * deviation), mean + reach * deviation)
    return moved @ F1["W"].numpy().T + F1["b"].numpy()


def test_bats_by_hand():
    # Means 2 and 0, deviations 1 and 3: with λ = 1 features stay in [1, 3] and [-3, 3]. The query (5, -4)
    # becomes (3, -3); with weights (1, 0) and (0, 1) and no bias, s = log(e^3 + e^-3).
    head = Head(tensor([[1.0, 0], [0, 1]]))
    train = features(tensor([[1.0, -3], [3, 3]]), head=head)
    fitted = BATS(deviations=1.0).fit(train, train, head)
    assert fitted.low.tolist() == [1, -3]
    assert fitted.high.tolist() == [3, 3]
    (score,) = fitted.score(features(tensor([[5.0, -4]]), head=head)).tolist()
    assert score == pytest.approx(math.log(math.exp(3) + math.exp(-3)), rel=1e-14)


@pytest.mark.parametrize(("set_to", "reach"), [({}, 3.25), ({"deviations": 0.5}, 0.5)])
def test_bats_follows_the_formula(set_to, reach):
    logits = rectified(F1["Q"].numpy(), reach)
    energy = BATS(**set_to).fit(TRAIN, TRAIN, HEAD).score(QUERIES)
    assert_close(energy, torch.from_numpy(logsumexp(logits, axis=1)), **EXACT)
    msp = BATS(**set_to, base="msp").fit(TRAIN, TRAIN, HEAD).score(QUERIES)
    assert_close(msp, torch.from_numpy(softmax(logits, axis=1).max(axis=1)), **EXACT)


@pytest.mark.parametrize(("classes", "reach"), [(999, 3.25), (1000, 1.05)])
def test_bats_takes_the_published_reach_for_the_number_of_classes(classes, reach):
    head = Head(torch.zeros(classes, 1))
    train = features(tensor([[-1.0], [1.0]]), head=Head(head.weight.double()))
    assert BATS().fit(train, train, head).high.tolist() == [reach]


def test_bats_of_a_wide_range_is_the_energy():
    fitted = BATS(deviations=1e6).fit(TRAIN, TRAIN, HEAD)
    assert_close(fitted.score(QUERIES), Energy().score(QUERIES), **EXACT)


def test_bats_of_no_range_is_the_same_for_all_images():
    scores = BATS(deviations=0.0).fit(TRAIN, TRAIN, HEAD).score(QUERIES)
    mean = features(F1["H"].mean(dim=0, keepdim=True))
    assert_close(scores, Energy().score(mean).expand(3), **EXACT)


def test_bats_holds_features_that_never_fire_at_their_mean():
    h = F1["H"].clone()
    h[:, 1] = 0
    fitted = BATS().fit(features(h), features(h), HEAD)
    silent, firing = F1["Q"].clone(), F1["Q"].clone()
    silent[:, 1], firing[:, 1] = 0, 50
    assert torch.equal(fitted.score(features(firing)), fitted.score(features(silent)))


def test_bats_does_not_change_where_features_are_shifted():
    # A shift of every feature that the bias takes back moves mean, range and query alike.
    shift = tensor([3.0, -1, 0.5, 7])
    head = Head(HEAD.weight, HEAD.bias - HEAD.weight @ shift)
    moved = features(F1["H"] + shift, head=head)
    scores = BATS(deviations=0.7).fit(moved, moved, head).score(features(F1["Q"] + shift, head=head))
    assert_close(scores, BATS(deviations=0.7).fit(TRAIN, TRAIN, HEAD).score(QUERIES), **EXACT)


def test_bats_of_one_image_and_one_class():
    head = Head(torch.ones(1, 2))
    train = Features(torch.ones(1, 1), torch.tensor([[1.0, 0.0]]), [0])
    assert BATS().fit(train, train, head).score(train).tolist() == [1]


@pytest.mark.parametrize(
    ("hyperparameters", "message"),
    [
        ({"deviations": -1.0}, "deviations: expected None or a finite number of at least 0, got -1"),
        ({"deviations": math.nan}, "deviations: expected None"),
        ({"deviations": math.inf}, "deviations: expected None"),
        ({"base": "odin"}, "base: expected one of energy, msp, got 'odin'"),
    ],
)
def test_bats_refuses_what_makes_no_sense(hyperparameters, message):
    with pytest.raises(ValueError, match=message):
        BATS(**hyperparameters)
