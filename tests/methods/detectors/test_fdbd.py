"""fDBD and what its distances cannot see."""

import math

import torch
from detector_examples import F1, HEAD, QUERIES, TRAIN, VALUES, features
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Head
from methods.detectors.fdbd import FDBD


def test_fdbd_average_form_is_a_constant_factor():
    scores = FDBD().fit(TRAIN, TRAIN, HEAD).score(QUERIES)
    assert_close(scores / 2, tensor(VALUES["fdbd_mean"]), **EXACT)  # K - 1


def test_fdbd_does_not_depend_on_what_the_softmax_cannot_see():
    # One vector added to every weight moves all logits alike; a common factor moves no boundary.
    head = Head(3 * (F1["W"] + tensor([1.0, -2.0, 0.5, 3.0])), 3 * (F1["b"] + 0.7))
    train = features(F1["H"], head=head)
    scores = FDBD().fit(train, train, head).score(QUERIES)
    assert_close(scores, tensor(VALUES["fdbd"]), **EXACT)


def test_fdbd_does_not_depend_on_the_origin_of_features():
    shift = tensor([1.0, -2.0, 0.5, 3.0])
    head = Head(F1["W"], F1["b"] - F1["W"] @ shift)
    train = features(F1["H"] + shift, head=head)
    scores = FDBD().fit(train, train, head).score(features(F1["Q"] + shift, head=head))
    assert_close(scores, tensor(VALUES["fdbd"]), **EXACT)


def test_fdbd_leaves_out_a_class_of_the_same_weights():
    twice = Head(torch.cat([F1["W"], F1["W"][:1]]), torch.cat([F1["b"], F1["b"][:1] - 5]))
    train = features(F1["H"], head=twice)
    # All three are predicted as class 0.
    scores = FDBD().fit(train, train, twice).score(features(F1["Q"], head=twice))
    assert_close(scores, tensor(VALUES["fdbd"]), **EXACT)


def test_fdbd_at_the_mean_is_finite():
    train = TRAIN[:1]
    scores = FDBD().fit(train, train, HEAD).score(train)
    # Logits 2.6, -1, -1.6; weights √(2.25 + 2.25 + 0.25 + 0.25) and √(2.25 + 0 + 1 + 0.25) apart.
    assert_close(scores, tensor([(3.6 / math.sqrt(5) + 4.2 / math.sqrt(3.5)) * 1e12]), **EXACT)
