"""The corrected losses against worked numbers and plain arithmetic."""

import math

import numpy as np
import pytest
import torch
from label_noise_examples import INPUTS, VALUES, plain_losses
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.corrections._forward import FLOOR, corrected_losses, joint_losses

P, C = tensor(INPUTS["loss"]["p"]), tensor(INPUTS["loss"]["C"])


Y, TRUSTED = torch.tensor(INPUTS["loss"]["y"]), torch.tensor(INPUTS["loss"]["trusted"])


def test_losses_of_the_worked_example():
    assert_close(corrected_losses(P.log(), Y, C), tensor(VALUES["fwd.each"]), **EXACT)
    assert_close(corrected_losses(P.log(), Y, C)[:2].mean(), tensor(VALUES["fwd"]), **EXACT)
    assert_close(joint_losses(P.log(), Y, TRUSTED, C).mean(), tensor(VALUES["glc"]), **EXACT)
    for j in range(3):
        each = corrected_losses(P.log(), torch.full((3,), j), C)
        assert_close((-each).exp(), tensor(VALUES["fwd.q"])[:, j], **EXACT)


@pytest.mark.parametrize("seed", range(5))
def test_losses_agree_with_plain_arithmetic(seed):
    draws = np.random.default_rng(seed)
    logits, matrix = draws.normal(0, 4, (50, 6)), draws.dirichlet(np.full(6, 0.5), 6)
    labels, trusted = draws.integers(0, 6, 50), draws.random(50) < 0.3
    found = joint_losses(*map(torch.from_numpy, (logits, labels, trusted, matrix)))
    assert_close(found.numpy(), plain_losses(logits, labels, trusted, matrix), **EXACT)


def test_the_gradient_is_that_of_the_definition():
    logits = (P.log() * 3).requires_grad_()
    p = torch.softmax(logits, dim=1)
    (expected,) = torch.autograd.grad(-(p @ C)[torch.arange(3), Y].log().sum(), logits)
    (found,) = torch.autograd.grad(corrected_losses(logits, Y, C).sum(), logits)
    assert_close(found, expected, **EXACT)


def test_an_observed_label_has_a_least_probability_and_a_trusted_one_has_none():
    logits, labels = tensor([[40.0, 0.0], [40.0, 0.0], [20.0, 0.0]]), torch.ones(3, dtype=torch.int64)
    identity = torch.eye(2, dtype=torch.float64)
    found = joint_losses(logits, labels, torch.tensor([False, True, False]), identity)
    assert FLOOR == 1e-12
    assert_close(found, tensor([-math.log(1e-12), 40.0, 20 + math.log1p(math.exp(-20))]), **EXACT)


def test_probabilities_that_underflow_still_count():
    """In float32 p of the second class is 0; its logarithm is not."""
    logits = torch.tensor([[0.0, -200.0, -201.0]], requires_grad=True)
    matrix = tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1e-8, 0.0, 1 - 1e-8]])
    loss = corrected_losses(
        logits, torch.tensor([2]), matrix + tensor([[-1e-9, 0, 1e-9], [0, 0, 0], [0, 0, 0]])
    )
    assert_close(loss.item(), -math.log(1e-9), rtol=1e-6, atol=0.0)
    assert (torch.autograd.grad(loss.sum(), logits)[0].isfinite()).all()


def test_half_precision_is_widened():
    logits = (P.log() * 3).to(torch.bfloat16)
    found = joint_losses(logits, Y, TRUSTED, C)
    assert found.dtype == torch.float32
    assert_close(found.double(), joint_losses(logits.double(), Y, TRUSTED, C), rtol=1e-6, atol=1e-6)
