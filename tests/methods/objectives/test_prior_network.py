"""Prior networks: the divergence of Dirichlet distributions, and their targets."""

import math

import numpy as np
import pytest
import torch
from logit_objective_examples import ALPHAS, Y, log_density, simplex
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.objectives import _dirichlet
from methods.objectives.prior_network import forward_kl_loss
from methods.objectives.prior_network_reverse_kl import reverse_kl_loss


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("tau", [(1.0, 1.0, 1.0), (8.0, 3.0, 2.0)])
def test_divergence_is_the_integral_over_the_simplex(alpha, tau):
    points, weights = simplex()
    for first, second in ((alpha, tau), (tau, alpha)):
        p, q = log_density(points, first), log_density(points, second)
        assert weights @ np.exp(p) == pytest.approx(1, rel=1e-9)
        found = _dirichlet.divergence(tensor([first]), tensor([second])).item()
        assert found == pytest.approx(weights @ (np.exp(p) * (p - q)), rel=1e-8)


def test_divergence_is_zero_between_equals_and_positive_otherwise():
    rng = torch.Generator().manual_seed(3)
    a, b = (torch.rand(50, 4, generator=rng, dtype=torch.float64) * 20 + 0.01 for _ in range(2))
    assert_close(_dirichlet.divergence(a, a), torch.zeros(50, dtype=torch.float64), **EXACT)
    assert (_dirichlet.divergence(a, b) > 0).all()


@pytest.mark.parametrize("loss", [forward_kl_loss, reverse_kl_loss])
def test_prior_networks_are_perfect_at_their_targets(loss):
    logits = tensor([[math.log(101), 0, 0], [0, 0, math.log(101)]]).requires_grad_()
    outliers = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    value = loss(logits, Y, outliers)
    assert_close(value, tensor(0.0), **EXACT)
    for gradient in torch.autograd.grad(value, (logits, outliers)):
        assert_close(gradient, torch.zeros_like(gradient), **EXACT)


@pytest.mark.parametrize("loss", [forward_kl_loss, reverse_kl_loss])
@pytest.mark.parametrize("size", [25.0, 300.0, 1e4, 1e30])
def test_prior_networks_bring_back_logits_beyond_bounds(loss, size):
    for sign in (1, -1):
        logits = torch.zeros(2, 3, requires_grad=True)
        outliers = torch.full((2, 3), sign * size, requires_grad=True)
        value = loss(logits, Y, outliers)
        assert torch.isfinite(value)
        gradients = torch.autograd.grad(value, (logits, outliers))
        assert all(torch.isfinite(g).all() for g in gradients)
        assert (sign * gradients[1] > 0).all()  # descent shortens them


def test_concentrations_are_bounded():
    found = _dirichlet.concentrations(torch.tensor([[1e30, 20.0, -1e30]]))
    assert_close(found, tensor([[math.exp(20), math.exp(20), 1e-8]]), **EXACT)


def test_smoothing_spreads_over_all_classes():
    found = _dirichlet.sharp(torch.tensor([1]), 4, 100.0, 0.2)
    assert_close(found, tensor([[6.0, 86.0, 6.0, 6.0]]), **EXACT)
