"""ReAct against the specification's worked numbers and paper arithmetic."""

import numpy as np
import pytest
import scipy.special
import torch
from detector_examples import F1, HEAD, QUERIES, TRAIN, VALUES, features
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features, Head
from methods.detectors.energy import Energy
from methods.detectors.react import ReAct


def test_react_threshold_is_of_all_features_together():
    assert ReAct().fit(TRAIN, TRAIN, HEAD).threshold == pytest.approx(VALUES["react.c"], rel=1e-12)


def test_react_leaves_negative_features_alone():
    h = tensor([[-5.0, -1.0, 0.0, 9.0]])
    fitted = ReAct().fit(TRAIN, TRAIN, HEAD)
    clipped = features(tensor([[-5.0, -1.0, 0.0, VALUES["react.c"]]]))
    assert_close(fitted.score(features(h)), Energy().score(clipped), **EXACT)


def test_react_with_msp():
    logits = np.minimum(F1["Q"].numpy(), VALUES["react.c"]) @ F1["W"].numpy().T + F1["b"].numpy()
    expected = torch.from_numpy(scipy.special.softmax(logits, axis=1).max(1))
    assert_close(ReAct(base="msp").fit(TRAIN, TRAIN, HEAD).score(QUERIES), expected, **EXACT)


def test_react_takes_more_values_than_torch_quantile_does():
    h = torch.zeros(2**12 + 1, 2**12)
    h[0, 0] = 1.0
    head = Head(torch.zeros(3, h.shape[1]))
    train = Features(torch.zeros(len(h), 3), h)
    assert ReAct(percentile=100).fit(train, train, head).threshold == 1.0
