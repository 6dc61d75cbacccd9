"""Values that are NaN or infinite are refused before a detector sees them, wherever they enter."""

import math

import numpy as np
import pytest
import torch
from plain_features import DETECTORS, HEAD, WEIGHT, drawn, features, fitted, made, spoiled

from methods.base import Features, GradientDetector, Head, InputError, MethodError, Signal
from methods.detectors.ensemble import Ensemble
from methods.detectors.mahalanobis import Mahalanobis

needed_signals = pytest.mark.parametrize(
    ("name", "signal"),
    [(name, str(signal)) for name, cls in DETECTORS.items() for signal in sorted(cls.needs - {Signal.HEAD})],
)


def title(signal):
    last = {"stages": 1, "gram": 1, "maps": 1}
    return rf"{signal}\[{last[signal]}\]" if signal in last else signal


@needed_signals
@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_l1_fit_names_the_signal_the_count_and_the_row(name, signal, value):
    train = features(200, name=name)
    broken = spoiled(train, signal, value)
    count = broken.collected()[signal][-1].numel()
    said = rf"{title(signal)}: 1 of {count} values are NaN or infinite, the first in row 3$"
    with pytest.raises(ValueError, match=rf"^train\.{said}"):
        made(DETECTORS[name]).fit(broken, train, HEAD)
    with pytest.raises(ValueError, match=rf"^val\.{said}"):
        made(DETECTORS[name]).fit(train, broken, HEAD)


@needed_signals
def test_l1_score_names_the_signal_the_count_and_the_row(name, signal):
    queries = features(20, seed=5, labelled=False, name=name)
    said = rf"^features\.{title(signal)}: 1 of \d+ values are NaN or infinite, the first in row 3$"
    with pytest.raises(ValueError, match=said):
        fitted(DETECTORS[name], name).score(spoiled(queries, signal, math.nan))


def test_l1_the_case_that_was_handed_in():
    h, z, y = drawn(500, 64).abs(), drawn(500, 10, seed=1), np.arange(500) % 10
    h[0, 0] = math.nan
    train = Features(z, h, y)
    message = "train.penultimate: 1 of 32000 values are NaN or infinite, the first in row 0"
    with pytest.raises(ValueError, match=message):
        Mahalanobis().fit(train, train, Head(drawn(10, 64), drawn(10)))


def test_l1_several_values_are_counted_and_the_first_row_is_named():
    logits = torch.zeros(9, 4)
    logits[[5, 7, 7], [0, 1, 2]] = torch.tensor([math.nan, math.inf, -math.inf])
    with pytest.raises(InputError, match=r"features.logits: 3 of 36 values .* the first in row 5"):
        DETECTORS["msp"]().score(Features(logits))


def test_l1_numbers_whose_sum_is_too_large_are_finite():
    logits = torch.full((9, 4), 3e38)  # the sum of two is infinite in float32
    assert torch.equal(DETECTORS["max_logit"]().score(Features(logits)), torch.full((9,), 3e38).double())


@pytest.mark.parametrize(("argument", "row"), [("weight", 1), ("bias", 2)])
def test_l1_a_head_names_the_argument_and_the_row(argument, row):
    given = {"weight": WEIGHT.clone(), "bias": torch.zeros(len(WEIGHT))}
    given[argument][row] = math.nan
    count = given[argument][row].numel()
    message = rf"^{argument}: {count} of {given[argument].numel()} values .* the first in row {row}"
    with pytest.raises(ValueError, match=message):
        Head(**given)


def test_l1_a_member_of_an_ensemble_is_named():
    good = features(20, labelled=False)
    with pytest.raises(ValueError, match=r"^members\[1\]\.logits: 1 of 100 values"):
        Ensemble(2).score([good, spoiled(good, "logits", math.nan)])


def test_l1_features_of_images_are_checked():
    images, weight = torch.rand(4, 3, 2, 2), drawn(5, 12).float()

    def network(x):
        z = x.flatten(1) @ weight.T
        return Features(torch.where(z == z.max(), z * math.inf, z))

    with pytest.raises(ValueError, match=r"features.logits: 1 of 20 values are NaN or infinite"):
        DETECTORS["odin"](epsilon=0.0).score_images(network, images)


def test_l1_what_a_detector_does_not_need_may_be_anything():
    odd = spoiled(features(200), "stages", math.nan)
    expected = fitted(DETECTORS["knn"]).score(features(20, seed=5))
    rest = DETECTORS["knn"]().fit(odd, odd, HEAD).score(spoiled(features(20, seed=5), "logits", math.nan))
    assert torch.equal(rest, expected)


def test_l1_the_error_is_one_of_the_methods_and_a_value_error():
    assert issubclass(InputError, MethodError)
    assert issubclass(InputError, ValueError)
    assert not issubclass(InputError, GradientDetector)
