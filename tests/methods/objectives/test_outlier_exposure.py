"""Outlier exposure: the direction of its divergence, and the loss that it equals."""

import math

import torch
from logit_objective_examples import OUT, VALUES
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.objectives.confidence_loss import confidence_loss, kl_from_uniform
from methods.objectives.outlier_exposure import outlier_exposure_loss


def test_the_direction_of_the_divergence_is_from_the_uniform_prediction():
    p = torch.softmax(OUT, dim=1)
    other = (p * p.log()).sum(dim=1) + math.log(3)
    assert_close(other, tensor(VALUES["klpu"]), **EXACT)
    assert abs(kl_from_uniform(OUT)[1] - other[1]) > 0.4


def test_outlier_exposure_and_confidence_loss_have_the_same_gradient():
    rng = torch.Generator().manual_seed(2)
    z, o = (torch.randn(n, 5, generator=rng, dtype=torch.float64, requires_grad=True) for n in (4, 7))
    y = torch.tensor([0, 4, 2, 2])
    one, other = confidence_loss(z, y, o, 0.5), outlier_exposure_loss(z, y, o, 0.5)
    assert_close(torch.autograd.grad(one, (z, o)), torch.autograd.grad(other, (z, o)), **EXACT)
    assert_close(other - one, tensor(0.5 * math.log(5)), **EXACT)
