"""GEN against the Gini index and paper arithmetic."""

import math

import scipy.optimize
import scipy.special
import scipy.stats
import torch
from detector_examples import VALUES
from logit_examples import QUERIES
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features
from methods.detectors.gen import GEN


def test_gen_with_gamma_one_is_the_gini_index():
    p = scipy.special.softmax(QUERIES.logits.numpy(), axis=1)
    assert_close(GEN(gamma=1.0).score(QUERIES), torch.from_numpy((p**2).sum(1) - 1), **EXACT)


def test_gen_is_exact_where_the_largest_probability_rounds_to_one():
    # Two classes a margin m apart have p (1 - p) = 1 / (2 + 2 cosh m), which tends to exp(-m).
    margins = tensor([0.0, 17.0, 40.0, 1000.0])
    scores = GEN().score(Features(torch.stack([margins, torch.zeros(4)], dim=1)))
    expected = [-2 * 0.25**0.1, -2 * (2 + 2 * math.cosh(17)) ** -0.1, -2 * math.exp(-4), -2 * math.exp(-100)]
    assert_close(scores, tensor(expected), rtol=1e-12, atol=0.0)


def test_gen_of_a_probability_of_zero_is_finite():
    assert GEN().score(Features(tensor([[1e308, -1e308, -1e308]]))).tolist() == [0.0]


def test_gen_counts_the_largest_probabilities_whatever_their_order():
    turned = Features(QUERIES.logits[:, [2, 0, 1]])
    assert_close(GEN(top=2).score(turned), tensor(VALUES["gen_g01_M2"]), **EXACT)
