"""The deep generative classifier: worked examples and a plain transcription."""

import math

import pytest
import torch
from network_objective_examples import INPUTS, VALUES, D, batch, check_gradients, make, mean, nll
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features
from methods.objectives.deep_generative_classifier import GaussianHead, generative_loss
from methods.registry import detector


def gaussian(sigma_param="relu"):
    head = GaussianHead(2, 3, sigma_param).double()
    with torch.no_grad():
        for name in ("centres", "log_scales", "biases"):
            getattr(head, name).copy_(tensor(INPUTS["mcdd"][name]))
    return head


def test_the_gaussians_are_the_worked_ones():
    f, labels = tensor(INPUTS["mcdd"]["f"]), torch.tensor(INPUTS["mcdd"]["y"])
    head = gaussian()
    assert_close(head.outputs(f), tensor(VALUES["mcdd.D"]), **EXACT)
    assert_close(head(f), tensor(VALUES["mcdd.logits"]), **EXACT)
    loss = generative_loss(head.outputs(f), head(f), labels, INPUTS["mcdd"]["pull"])
    assert loss.item() == pytest.approx(VALUES["mcdd.loss"], rel=1e-12)
    scores = detector("mcdd").score(Features(head(f), outputs=head.outputs(f)))
    assert_close(scores, tensor(VALUES["mcdd.score"]), **EXACT)


def test_a_shifted_softplus_starts_at_zero_and_learns_where_relu_does_not():
    """Slope 1/2 at s = 0; r is above -log 2. By hand: f = 0, μ = 0, d = 2, so D = 2 r."""
    slopes = {}
    for kind in ("softplus_shift", "relu"):
        head = GaussianHead(2, 1, kind).double()
        with torch.no_grad():
            head.centres.zero_()
        distance = head.outputs(torch.zeros(1, 2, dtype=torch.float64))
        assert distance.item() == pytest.approx(0, abs=1e-15)
        slopes[kind] = torch.autograd.grad(distance.sum(), head.log_scales)[0].item()
        with torch.no_grad():
            head.log_scales.fill_(-1000.0)
        lowest = {"softplus_shift": -2 * math.log(2), "relu": 0.0}[kind]
        assert head.outputs(torch.zeros(1, 2, dtype=torch.float64)).item() == pytest.approx(lowest, abs=1e-12)
    assert slopes == {"softplus_shift": pytest.approx(1.0), "relu": 0.0}


@pytest.mark.parametrize("kind", ["softplus_shift", "relu"])
def test_the_generative_loss_is_the_plain_transcription(kind):
    wanted, network, modules = make("deep_generative_classifier", sigma_param=kind, pull=0.7)
    head = network.head
    with torch.no_grad():
        head.log_scales.copy_(torch.tensor([0.4, -0.2, 0.1]))
        head.biases.copy_(torch.tensor([0.3, 0.0, -0.5]))
    given = batch()
    losses = []
    for f, label in zip(network.penultimate(given.images), given.labels, strict=True):
        distances = []
        for mu, s in zip(head.centres, head.log_scales, strict=True):
            r = torch.log(1 + torch.exp(s)) - math.log(2) if kind == "softplus_shift" else torch.relu(s)
            distances.append(sum((f - mu) ** 2) / (2 * torch.exp(r) ** 2) + D * r)
        logits = [a - d for a, d in zip(head.biases, distances, strict=True)]
        losses.append(0.7 * distances[label] + nll(torch.stack(logits), label))
    check_gradients(wanted.loss(network, given, modules), mean(losses), network)
