"""MSP: digits that a float32 softmax loses."""

import torch
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features
from methods.detectors.msp import MSP


def test_msp_in_float32_logits_does_not_saturate():
    logits = torch.tensor([[20.0, 0.0], [25.0, 0.0]])  # both exactly 1.0 in a float32 softmax
    first, second = MSP().score(Features(logits))
    assert first < second < 1


def test_msp_of_huge_logits_is_finite():
    assert_close(MSP().score(Features(tensor([[1e308, -1e308]]))), tensor([1.0]), **EXACT)
