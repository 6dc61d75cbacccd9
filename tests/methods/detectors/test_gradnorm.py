"""GradNorm: what its closed form implies."""

from typing import get_args

import pytest
import torch
from detector_examples import HEAD, QUERIES, TRAIN
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Head
from methods.detectors import gradnorm
from methods.detectors.gradnorm import GradNorm


@pytest.mark.parametrize("norm", get_args(gradnorm.Norm))
@pytest.mark.parametrize("factor", get_args(gradnorm.Factor))
def test_gradnorm_is_the_norm_of_the_gradient_at_another_temperature(norm, factor):
    fitted = GradNorm(norm, factor, temperature=2.0).fit(TRAIN, TRAIN, HEAD)
    assert_close(fitted.score(QUERIES), fitted.by_autograd(QUERIES), **EXACT)


def test_gradnorm_of_the_uniform_prediction_is_zero():
    flat = TRAIN.including(logits=torch.zeros(9, 3))
    fitted = GradNorm().fit(flat, flat, Head(torch.zeros(3, 4)))
    assert_close(fitted.score(QUERIES), tensor([0.0, 0.0, 0.0]), **EXACT)
