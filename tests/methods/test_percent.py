"""Hyper-parameters in percent, and values on other libraries' grids."""

import math

import pytest
import torch

from methods.base import Features, HyperparameterError
from methods.method import check_percent
from methods.registry import detector, objective

IN_PERCENT = [(detector, name) for name in ("ash", "dice", "lts", "react", "scale")] + [
    (objective, "forward_correction")
]


@pytest.mark.parametrize(("make", "name"), IN_PERCENT, ids=[name for _, name in IN_PERCENT])
@pytest.mark.parametrize("share", [0.9, 0.5, 1e-6])
def test_l10_a_share_is_not_taken_for_percent(make, name, share):
    with pytest.raises(
        HyperparameterError, match=rf"{name}: percentile: expected percent, such as 90, got {share}"
    ):
        make(name, percentile=share)


@pytest.mark.parametrize(("make", "name"), IN_PERCENT, ids=[name for _, name in IN_PERCENT])
@pytest.mark.parametrize("percent", [1, 1.5, 90, 99.9])
def test_l10_percent_are_percent(make, name, percent):
    assert make(name, percentile=percent).percentile == percent


def test_l10_none_and_nothing_are_no_share():
    check_percent("percentile", None)
    check_percent("percentile", 0.0)
    with pytest.raises(ValueError, match=r"a share of 0\.95 is 95$"):
        check_percent("percentile", 0.95)


def test_l13_gen_takes_any_gamma_above_0():
    # p = (1/2, 1/2) and the uniform p of 10 classes, in γ = 2: -2 (1/4)² and -10 (9/100)².
    shared = torch.full((1, 10), -1e30, dtype=torch.float64)
    shared[0, :2] = 0.0
    logits = torch.cat([shared, torch.zeros(1, 10)]).double()
    scores = detector("gen", gamma=2.0).score(Features(logits))
    torch.testing.assert_close(
        scores, torch.tensor([-0.125, -0.081], dtype=torch.float64), rtol=1e-12, atol=0
    )
    for wrong in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(HyperparameterError, match="gen: gamma: expected a finite number above 0"):
            detector("gen", gamma=wrong)
