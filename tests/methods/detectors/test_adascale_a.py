"""AdaSCALE-A against SCALE, and its formula given r."""

import torch
from detector_examples import F1, HEAD, QUERIES, TRAIN, features
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.detectors._adascale import _ratio
from methods.detectors.adascale_a import AdaScaleA
from methods.detectors.scale import Scale

KEPT = {"low": 25.0, "high": 75.0, "epsilon": 0.0}


def test_adascale_a_of_one_percentile_is_scale():
    fitted = AdaScaleA(low=50.0, high=50.0, epsilon=0.0).fit(TRAIN, TRAIN, HEAD)
    assert_close(fitted.score(QUERIES), Scale(50.0).fit(TRAIN, TRAIN, HEAD).score(QUERIES), **EXACT)


def test_adascale_a_scales_activations_and_not_the_bias():
    fitted = AdaScaleA(**KEPT).fit(TRAIN, TRAIN, HEAD).calibrated(tensor([-1.0]))  # all shift more: p = 25
    r = _ratio(F1["Q"], tensor([25.0] * 3))
    expected = torch.logsumexp(r.exp()[:, None] * F1["Q"] @ F1["W"].T + F1["b"], dim=1)
    assert_close(fitted.score(QUERIES), expected, **EXACT)


def test_adascale_a_of_signed_activations_takes_r_of_the_positive_ones():
    fitted = AdaScaleA(**KEPT).fit(TRAIN, TRAIN, HEAD).calibrated(tensor([-1.0]))
    h = tensor([[3.0, -2.0, 1.0, 0.0], [-1.0, -1.0, -2.0, -3.0]])
    r = tensor([1.0, 1.0])  # the largest three hold all that is positive; of the second there is nothing
    expected = torch.logsumexp(r.exp()[:, None] * h @ F1["W"].T + F1["b"], dim=1)
    assert_close(fitted.score(features(h)), expected, **EXACT)


def test_adascale_a_is_finite_where_few_activations_are_kept():
    h = torch.ones(9, 200, dtype=torch.float64)
    head = type(HEAD)(torch.ones(3, 200, dtype=torch.float64))
    train = features(h, head=head)
    fitted = AdaScaleA(low=99.0, high=99.5, epsilon=0.0).fit(train, train, head)
    assert torch.isfinite(fitted.score(train)).all()
