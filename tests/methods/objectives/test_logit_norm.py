"""LogitNorm: its bound, and what it does not feel."""

import math

import pytest
import torch
from logit_objective_examples import VALUES, Y, Z, batch, plain_logit_norm
from torch.testing import assert_close
from worked_examples import EXACT

from methods.objectives.logit_norm import LogitNorm, logit_norm_loss


def test_logit_norm_of_a_network(network):
    data = batch(outliers=0)
    expected = plain_logit_norm(network(data.images), data.labels, 0.04)
    assert_close(LogitNorm().loss(network, data, {}), expected, **EXACT)


def test_logit_norm_is_bounded_and_its_bound_is_reached():
    simplex_logits = torch.eye(3, dtype=torch.float64) - 1 / 3
    tight = math.log(1 + 2 * math.exp(-math.sqrt(3 / 2)))
    assert tight == pytest.approx(VALUES["ln.tight_t1"], rel=1e-12)
    reached = logit_norm_loss(1e3 * simplex_logits, torch.arange(3), 1.0)  # 1e-7 of the norm is nothing now
    assert reached.item() == pytest.approx(tight, rel=1e-9)
    rng = torch.Generator().manual_seed(4)
    directions = 1e3 * torch.randn(2000, 3, generator=rng, dtype=torch.float64)
    each = [logit_norm_loss(z[None], torch.tensor([0]), 1.0).item() for z in directions]
    assert min(each) > tight > math.log(1 + 2 * math.exp(-2))
    assert min(each) < tight * 1.01


def test_logit_norm_does_not_feel_the_length_of_logits():
    assert_close(
        logit_norm_loss(2.0**10 * Z, Y, 0.04), logit_norm_loss(2.0**20 * Z, Y, 0.04), rtol=1e-9, atol=0
    )


def test_logit_norm_of_no_logits_is_finite():
    logits = torch.zeros(2, 3, requires_grad=True)
    loss = logit_norm_loss(logits, Y, 0.04)
    assert loss.item() == pytest.approx(math.log(3))
    assert torch.isfinite(torch.autograd.grad(loss, logits)[0]).all()
