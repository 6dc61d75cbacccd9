"""ASH and the shaping that it shares with SCALE, against worked numbers and paper arithmetic."""

import math

import pytest
import torch
from detector_examples import F1, HEAD, QUERIES, TRAIN, VALUES, features
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import HyperparameterError, NotApplicable
from methods.detectors import ash
from methods.detectors.ash import ASH
from methods.detectors.energy import Energy
from methods.detectors.scale import Scale


def test_ash_sums_are_the_worked_ones():
    assert ash.count_kept(4, 50.0) == VALUES["ash.k"]
    top = torch.topk(F1["Q"], VALUES["ash.k"], dim=1).values
    ratio = tensor(VALUES["ash.s1"]) / tensor(VALUES["ash.s2"])
    assert_close(ash.amplification(F1["Q"], top), ratio.exp()[:, None], **EXACT)


@pytest.mark.parametrize(
    ("width", "percentile", "kept"), [(2048, 90.0, 205), (512, 95.0, 26), (4, 62.5, 2), (4, 0.0, 4)]
)
def test_the_number_of_kept_activations(width, percentile, kept):
    # 2048 - round(1843.2), 512 - round(486.4), 4 - round(2.5) with halves to even
    assert ash.count_kept(width, percentile) == kept


def test_without_pruning_ash_p_is_the_energy_and_ash_s_and_scale_that_of_e_times_the_features():
    energy, of_e = (Energy().score(features(h)) for h in (F1["Q"], math.e * F1["Q"]))
    for method, expected in [(ASH(0.0, "p"), energy), (ASH(0.0, "s"), of_e), (Scale(0.0), of_e)]:
        assert_close(method.fit(TRAIN, TRAIN, HEAD).score(QUERIES), expected, **EXACT)


@pytest.mark.parametrize("method", [ASH(50.0, "s"), ASH(50.0, "p"), ASH(50.0, "b"), Scale(50.0)], ids=repr)
def test_shaping_zeros_leaves_the_bias(method):
    scores = method.fit(TRAIN, TRAIN, HEAD).score(features(torch.zeros(1, 4, dtype=torch.float64)))
    assert_close(scores, torch.logsumexp(F1["b"], dim=0)[None], **EXACT)


@pytest.mark.parametrize(
    ("h", "factor"),
    [
        ([1.0, 2.0, -1.0, 0.0], 1.0),  # 2 / 2
        ([-1.0, -2.0, -4.0, -1.0], 8.0),  # -8 / -1
        ([0.1, -2.0, -3.0, -1.0], 0.0),  # -59, from below
        ([0.0, -2.0, -3.0, -1.0], 0.0),  # -inf
        ([0.1, 0.1, 0.1, 0.1], 4.0),
        ([-1.0, -9.0, -9.0, -9.0], 20.0),  # 28, from above
    ],
)
def test_the_ratio_of_signed_features_is_limited(h, factor):
    h = tensor([h])
    fitted = Scale(75.0).fit(TRAIN, TRAIN, HEAD)
    assert_close(fitted.score(features(h)), Energy().score(features(h * math.exp(factor))), **EXACT)


@pytest.mark.parametrize("method", [ASH(50.0), Scale(50.0)], ids=["ash", "scale"])
def test_networks_whose_largest_features_sum_to_nothing_cannot_be_scaled(method):
    def train(not_positive):
        h = torch.ones(100, 4)
        h[:not_positive, :3] = -1.0  # the two largest: 1 and -1, which sum to 0
        return features(h.double())

    method.fit(train(1), TRAIN, HEAD)
    message = "the 2 largest features sum to 0 or less for 2.0% of training images, more than 1%"
    with pytest.raises(NotApplicable, match=message):
        method.fit(train(2), TRAIN, HEAD)


@pytest.mark.parametrize(
    ("variant", "shaped"), [("p", [[0.0, -1.0, 0.0, -2.0]]), ("b", [[0.0, -5.0, 0.0, -5.0]])]
)
def test_ash_p_and_b_take_signed_features_as_they_are(variant, shaped):
    negative = features(-torch.ones(9, 4, dtype=torch.float64))
    fitted = ASH(50.0, variant).fit(negative, negative, HEAD)
    scores = fitted.score(features(tensor([[-3.0, -1.0, -4.0, -2.0]])))  # s1 = -10, k = 2
    assert_close(scores, Energy().score(features(tensor(shaped))), **EXACT)


@pytest.mark.parametrize("method", [ASH(), Scale(percentile=90.0)], ids=["ash", "scale"])
def test_shaping_refuses_to_remove_every_feature(method):
    with pytest.raises(HyperparameterError, match=r"percentile: 90.0 removes all of 4 features"):
        method.fit(TRAIN, TRAIN, HEAD)
