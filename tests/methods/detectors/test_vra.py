"""VRA against its formula, the energy and ReAct."""

import numpy as np
import pytest
import torch
from detector_examples import F1, HEAD, TRAIN, features
from scipy.special import logsumexp
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features, Head
from methods.detectors.energy import Energy
from methods.detectors.react import ReAct
from methods.detectors.vra import VRA


@pytest.mark.parametrize(("low", "high", "gamma"), [(0.6, 0.9, 0.0), (0.5, 0.8, 0.3), (0.0, 1.0, 0.1)])
def test_vra_is_its_formula(low, high, gamma):
    bank = F1["H"].numpy()
    expected = []
    for h in torch.cat([F1["Q"], F1["H"]]).numpy():
        shaped = []
        for d, value in enumerate(h):
            alpha, beta = np.quantile(bank[:, d], low), np.quantile(bank[:, d], high)
            shaped.append(0.0 if value < alpha else value + gamma if value <= beta else beta)
        expected.append(logsumexp(F1["W"].numpy() @ shaped + F1["b"].numpy()))
    both = features(torch.cat([F1["Q"], F1["H"]]))
    assert_close(VRA(low, high, gamma).fit(TRAIN, TRAIN, HEAD).score(both), tensor(expected), **EXACT)


def test_vra_without_limits_is_the_energy():
    assert_close(VRA(0.0, 1.0).fit(TRAIN, TRAIN, HEAD).score(TRAIN), Energy().score(TRAIN), **EXACT)


def test_vra_of_one_feature_that_is_only_cut_is_react():
    head, h = Head([[1.0], [-0.5]]), tensor([[0.0], [1.0], [2.0], [4.0], [8.0]])
    train = features(h, head=Head(head.weight.double()))
    react = ReAct(percentile=90.0).fit(train, train, head)
    assert_close(VRA(0.0, 0.9).fit(train, train, head).score(train), react.score(train), **EXACT)


def test_vra_raises_signed_features_that_are_low():
    h = tensor([[-3.0], [-2.0], [-1.0]])
    head = Head(tensor([[1.0]]))
    fitted = VRA(0.5, 1.0).fit(Features(h, h), Features(h, h), head)
    # α = -2, β = -1: -3 rises to 0, -2 and -1 stay, 5 is cut.
    assert fitted.score(Features(h, h)).tolist() == [0.0, -2.0, -1.0]
    assert fitted.score(Features(h[:1], tensor([[5.0]]))).tolist() == [-1.0]
