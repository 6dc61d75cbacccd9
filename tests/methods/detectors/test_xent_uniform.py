"""Cross-entropy to the uniform prediction."""

import math

from detector_examples import VALUES
from logit_examples import QUERIES
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features
from methods.detectors.xent_uniform import XentUniform


def test_xent_uniform_is_the_divergence_from_the_uniform_prediction():
    divergence = XentUniform().score(QUERIES) - math.log(3)
    assert_close(divergence, tensor(VALUES["kl_uniform_p"]), **EXACT)


def test_xent_uniform_does_not_feel_a_constant_added_to_all_logits():
    logits = tensor([[3.0, 1.0, -2.0], [0.5, 0.25, 0.0]])
    moved = XentUniform().score(Features(logits + 2.0**40))  # a power of two: the sum is exact
    assert_close(moved, XentUniform().score(Features(logits)), **EXACT)
