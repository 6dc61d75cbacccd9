"""Objectives that are functions of logits, and the Dirichlet detector.

Numbers are the specification's worked ones, plain transcriptions of the formulas sample by sample, integrals
over the simplex, or mpmath's.
"""

import json
import math
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from torch import nn
from torch.testing import assert_close

from methods.base import Batch, Data, Features, HyperparameterError, Setting
from methods.detectors.dirichlet import _DIGAMMA, _LOG_GAMMA, Dirichlet
from methods.objectives import _dirichlet, _mixing
from methods.objectives._outliers import uniform_cross_entropy
from methods.objectives._precision import widened
from methods.objectives.confidence_loss import confidence_loss, kl_from_uniform
from methods.objectives.cross_entropy import CrossEntropy
from methods.objectives.cutmix import CutMix, box
from methods.objectives.dirichlet_regularized import (
    DirichletRegularized,
    dirichlet_regularized_loss,
    id_terms,
    outlier_terms,
)
from methods.objectives.energy_finetune import EnergyFinetune, energy_loss, hinges, margins
from methods.objectives.logit_norm import LogitNorm, logit_norm_loss
from methods.objectives.mixup import Mixup
from methods.objectives.outlier_exposure import outlier_exposure_loss
from methods.objectives.prior_network import forward_kl_loss
from methods.objectives.prior_network_reverse_kl import reverse_kl_loss
from methods.registry import detector, detectors, objective, objective_class

WORKED = json.loads((Path(__file__).parent / "objective_worked_examples.json").read_text())
VALUES, MIX = WORKED["values"], WORKED["inputs"]["mix"]
EXACT = {"rtol": 1e-12, "atol": 1e-12}

SHOWN_OUTLIERS = (
    "confidence_loss",
    "outlier_exposure",
    "energy_finetune",
    "prior_network",
    "prior_network_reverse_kl",
    "dirichlet_regularized",
)
OTHERS = ("logit_norm", "mixup", "cutmix")
with_outliers = pytest.mark.parametrize("name", SHOWN_OUTLIERS)
every_objective = pytest.mark.parametrize("name", SHOWN_OUTLIERS + OTHERS)


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


Z, Y = tensor(WORKED["inputs"]["T1"]["Z_in"]), torch.tensor(WORKED["inputs"]["T1"]["y"])
OUT = tensor(WORKED["inputs"]["T1"]["Z_out"])
TAU = tensor([[101, 1, 1], [1, 1, 101]])


class Network(nn.Module):
    """Logits of three classes; keeps what it was shown."""

    def __init__(self):
        super().__init__()
        rng = torch.Generator().manual_seed(0)
        self.body = nn.Linear(3 * 4 * 4, 5)
        self.head = nn.Linear(5, 3)
        self.shown = []
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(torch.randn(p.shape, generator=rng) / 2)
        self.double()

    def penultimate(self, images):
        return torch.tanh(self.body(images.flatten(1)))

    def forward(self, images):
        self.shown.append(images.detach().clone())
        return self.head(self.penultimate(images))


@pytest.fixture
def network():
    return Network()


def batch(seed=0, count=6, outliers=4):
    rng = torch.Generator().manual_seed(seed)
    images = torch.rand(count + outliers, 3, 4, 4, generator=rng, dtype=torch.float64)
    labels = torch.arange(count) % 3
    return Batch(images[:count], labels, images[count:] if outliers else None, rng=rng)


def modules_of(made):
    if made.name == "energy_finetune":
        made = EnergyFinetune(m_in=-1.5, m_out=-1.0)
    return made.modules(None)  # none of the others looks at the setting


# ---------------------------------------------------------------------------- worked numbers


@pytest.mark.parametrize(
    ("found", "key"),
    [
        (uniform_cross_entropy(OUT), "oe.each"),
        (kl_from_uniform(OUT), "conf.kl"),
        (confidence_loss(Z, Y, OUT, 1.0), "conf.b1"),
        (confidence_loss(Z, Y, OUT, 0.1), "conf.b01"),
        (outlier_exposure_loss(Z, Y, OUT, 0.5), "oe"),
        (-torch.logsumexp(Z, dim=1), "en.Ein"),
        (-torch.logsumexp(OUT, dim=1), "en.Eout"),
        (hinges(tensor(VALUES["en.Ein"]), tensor(VALUES["en.Eout"]), -2, -1)[0], "en.Lin"),
        (hinges(tensor(VALUES["en.Ein"]), tensor(VALUES["en.Eout"]), -2, -1)[1], "en.Lout_-1"),
        (hinges(tensor(VALUES["en.Ein"]), tensor(VALUES["en.Eout"]), -2, -2.5)[1], "en.Lout_-2.5"),
        (energy_loss(Z, Y, OUT, 0.1, -2, -1), "en.total_-1"),
        (energy_loss(Z, Y, OUT, 0.1, -2, -2.5), "en.total_-2.5"),
        (_dirichlet.concentrations(Z), "dpn.alpha"),
        (_dirichlet.divergence(TAU, Z.exp()), "dpn.fwd_in"),
        (_dirichlet.divergence(torch.ones_like(OUT), OUT.exp()), "dpn.fwd_out"),
        (forward_kl_loss(Z, Y, OUT), "dpn.fwd_loss"),
        (_dirichlet.divergence(Z.exp(), TAU), "dpn.rev_in"),
        (_dirichlet.divergence(OUT.exp(), torch.ones_like(OUT)), "dpn.rev_out"),
        (reverse_kl_loss(Z, Y, OUT), "dpn.rev_loss"),
        (id_terms(Z, Y, "minus"), "nandy.minus.in"),
        (outlier_terms(OUT, "minus"), "nandy.minus.out"),
        (dirichlet_regularized_loss(Z, Y, OUT, "minus"), "nandy.minus.concat"),
        (id_terms(Z, Y, "plus"), "nandy.plus.in"),
        (outlier_terms(OUT, "plus"), "nandy.plus.out"),
        (dirichlet_regularized_loss(Z, Y, OUT, "plus"), "nandy.plus.concat"),
        (torch.stack([logit_norm_loss(Z[i : i + 1], Y[i : i + 1], 0.04) for i in (0, 1)]), "ln.each"),
        (logit_norm_loss(Z, Y, 0.04), "ln"),
        (logit_norm_loss(Z, Y, 1.0), "ln.t1"),
    ],
)
def test_worked_number(found, key):
    assert_close(found, tensor(VALUES[key]), **EXACT)


def test_cross_entropy_of_the_worked_example(network):
    network.forward = lambda images: Z[: len(images)] if len(images) > 1 else Z[images.int().item()][None]
    loss = CrossEntropy().loss
    assert_close(loss(network, Batch(torch.zeros(2), Y), {}), tensor(VALUES["ce"]), **EXACT)
    for i in (0, 1):
        each = loss(network, Batch(torch.full((1,), float(i)), Y[i : i + 1]), {})
        assert_close(each, tensor(VALUES["ce.each"][i]), **EXACT)


def test_the_direction_of_the_divergence_is_from_the_uniform_prediction():
    p = torch.softmax(OUT, dim=1)
    other = (p * p.log()).sum(dim=1) + math.log(3)
    assert_close(other, tensor(VALUES["klpu"]), **EXACT)
    assert abs(kl_from_uniform(OUT)[1] - other[1]) > 0.4


@pytest.mark.parametrize(
    ("measure", "key", "sign"),
    [
        ("mutual_information", "dpnu.MI", -1),
        ("differential_entropy", "dpnu.dE", -1),
        ("precision", "dpnu.a0", 1),
        ("max_probability", "dpnu.maxp", 1),
        ("expected_kl", "dpnu.EPKL", -1),
    ],
)
def test_detector_worked_number(measure, key, sign):
    features = Features(torch.cat([Z, OUT]))
    assert_close(Dirichlet(measure).score(features), sign * tensor(VALUES[key]), **EXACT)


def test_mutual_information_is_the_entropy_less_the_expected_entropy():
    expected = tensor(VALUES["dpnu.EH"]) - tensor(VALUES["dpnu.H"])
    assert_close(Dirichlet().score(Features(torch.cat([Z, OUT]))), expected, **EXACT)


def test_mixed_cross_entropy_of_the_worked_example():
    logits, labels = tensor(MIX["Z"]), torch.tensor(MIX["y"])
    partners = labels[MIX["permutation"]]
    for i in (0, 1):
        each = _mixing.mixed_cross_entropy(logits[[i]], labels[[i]], partners[[i]], MIX["share"])
        assert_close(each, tensor(VALUES["mix.each"][i]), **EXACT)
    whole = _mixing.mixed_cross_entropy(logits, labels, partners, MIX["share"])
    assert_close(whole, tensor(VALUES["mix"]), **EXACT)


@pytest.mark.parametrize(("centre", "key"), [((16, 16), "cutmix.a"), ((2, 30), "cutmix.b")])
def test_box_of_the_worked_example(centre, key):
    assert list(box(32, 32, 0.75, *centre)) == VALUES[key]


# ---------------------------------------------------------------------------- plain transcriptions


def log_p(z, k):
    return z[k] - sum(v.exp() for v in z).log()


def plain_cross_entropy(logits, labels):
    return -sum(log_p(z, y) for z, y in zip(logits, labels, strict=True)) / len(logits)


def plain_confidence(logits, labels, outliers, beta=0.7):
    total = 0
    for z in outliers:
        k = len(z)
        total = total + sum((1 / k) * (math.log(1 / k) - log_p(z, c)) for c in range(k))
    return plain_cross_entropy(logits, labels) + beta * total / len(outliers)


def plain_exposure(logits, labels, outliers, weight=0.7):
    total = sum(-sum(log_p(z, c) for c in range(len(z))) / len(z) for z in outliers)
    return plain_cross_entropy(logits, labels) + weight * total / len(outliers)


def plain_energy(logits, labels, outliers, weight=0.2, m_in=-2.2, m_out=-1.5):
    inside = outside = 0
    for z in logits:
        energy = -sum(v.exp() for v in z).log()
        inside = inside + (energy - m_in) ** 2 * (energy > m_in)
    for z in outliers:
        energy = -sum(v.exp() for v in z).log()
        outside = outside + (m_out - energy) ** 2 * (energy < m_out)
    hinge = inside / len(logits) + outside / len(outliers)
    return plain_cross_entropy(logits, labels) + weight * hinge


def plain_divergence(a, b):
    a, b = list(a), list(b)
    found = torch.lgamma(sum(a)) - torch.lgamma(sum(b))
    for first, second in zip(a, b, strict=True):
        found = found + torch.lgamma(second) - torch.lgamma(first)
        found = found + (first - second) * (torch.digamma(first) - torch.digamma(sum(a)))
    return found


def plain_prior(logits, labels, outliers, gamma=0.7, concentration=30.0, smoothing=0.0, reverse=False):
    inside = outside = 0
    for z, y in zip(logits, labels, strict=True):
        k = len(z)
        share = [smoothing / k + (1 - smoothing) * (c == int(y)) for c in range(k)]
        target = tensor([1 + concentration * s for s in share])
        pair = (z.exp(), target) if reverse else (target, z.exp())
        inside = inside + plain_divergence(*pair)
    for z in outliers:
        pair = (z.exp(), torch.ones_like(z)) if reverse else (torch.ones_like(z), z.exp())
        outside = outside + plain_divergence(*pair)
    return (inside / len(logits) + gamma * outside / len(outliers)) / concentration


def plain_regularized(logits, labels, outliers, variant):
    shift = {"minus": -0.5, "plus": 0.5}[variant]
    total = 0
    rows = [(z, [float(c == y) for c in range(len(z))]) for z, y in zip(logits, labels, strict=True)]
    rows += [(z, [1 / len(z)] * len(z)) for z in outliers]
    for z, target in rows:
        precision = sum(1 / (1 + (-v).exp()) for v in z) / len(z)
        total = total - sum(t * log_p(z, c) for c, t in enumerate(target))
        total = total - (max(target) + shift) * precision
    return total / len(rows)


def plain_logit_norm(logits, labels, temperature=0.3):
    scaled = [z / (temperature * (sum(v * v for v in z).sqrt() + 1e-7)) for z in logits]
    return plain_cross_entropy(scaled, labels)


LOSSES = {
    "confidence_loss": (lambda z, y, o: confidence_loss(z, y, o, 0.7), plain_confidence),
    "outlier_exposure": (lambda z, y, o: outlier_exposure_loss(z, y, o, 0.7), plain_exposure),
    "energy_finetune": (lambda z, y, o: energy_loss(z, y, o, 0.2, -2.2, -1.5), plain_energy),
    "prior_network": (lambda z, y, o: forward_kl_loss(z, y, o, 0.7, 30.0), plain_prior),
    "prior_network, smoothed": (
        lambda z, y, o: forward_kl_loss(z, y, o, 0.7, 30.0, 0.2),
        lambda z, y, o: plain_prior(z, y, o, smoothing=0.2),
    ),
    "prior_network_reverse_kl": (
        lambda z, y, o: reverse_kl_loss(z, y, o, 0.7, 30.0),
        lambda z, y, o: plain_prior(z, y, o, reverse=True),
    ),
    "dirichlet_regularized, minus": (
        lambda z, y, o: dirichlet_regularized_loss(z, y, o, "minus"),
        lambda z, y, o: plain_regularized(z, y, o, "minus"),
    ),
    "dirichlet_regularized, plus": (
        lambda z, y, o: dirichlet_regularized_loss(z, y, o, "plus"),
        lambda z, y, o: plain_regularized(z, y, o, "plus"),
    ),
    "logit_norm": (lambda z, y, _: logit_norm_loss(z, y, 0.3), lambda z, y, _: plain_logit_norm(z, y)),
    "mixed": (
        lambda z, y, _: _mixing.mixed_cross_entropy(z, y, y.flip(0), 0.3),
        lambda z, y, _: 0.3 * plain_cross_entropy(z, y) + 0.7 * plain_cross_entropy(z, y.flip(0)),
    ),
}


@pytest.mark.parametrize("key", LOSSES)
def test_loss_and_gradient_are_those_of_a_plain_transcription(key):
    loss, plain = LOSSES[key]
    rng = torch.Generator().manual_seed(1)
    labels = torch.tensor([3, 0, 1, 1, 2])
    found = []
    for function in (loss, plain):
        rng.manual_seed(1)
        logits, outliers = (
            torch.randn(n, 4, generator=rng, dtype=torch.float64, requires_grad=True) for n in (5, 3)
        )
        value = function(logits, labels, outliers)
        gradients = torch.autograd.grad(value, (logits, outliers), allow_unused=True)
        found.append((value.detach(), *gradients))
    for ours, theirs in zip(*found, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            assert ours.abs().max() > 1e-3
            assert_close(ours, theirs, **EXACT)


@with_outliers
def test_loss_of_a_network_is_the_function_of_its_logits(name, network):
    made = objective(name)
    data = batch()
    expected = {
        "confidence_loss": lambda z, y, o: plain_confidence(z, y, o, 1.0),
        "outlier_exposure": lambda z, y, o: plain_exposure(z, y, o, 0.5),
        "energy_finetune": lambda z, y, o: plain_energy(z, y, o, 0.1, -1.5, -1.0),
        "prior_network": lambda z, y, o: plain_prior(z, y, o, 1.0, 100.0),
        "prior_network_reverse_kl": lambda z, y, o: plain_prior(z, y, o, 1.0, 100.0, reverse=True),
        "dirichlet_regularized": lambda z, y, o: plain_regularized(z, y, o, "minus"),
    }[name](network(data.images), data.labels, network(data.outliers))
    theirs = torch.autograd.grad(expected, tuple(network.parameters()))
    network.shown.clear()
    found = made.loss(network, data, modules_of(made))
    assert found.shape == ()
    assert_close(found, expected, **EXACT)
    ours = torch.autograd.grad(found, tuple(network.parameters()))
    assert_close(ours, theirs, **EXACT)
    # Both parts in one pass, for the statistics of batch normalisation.
    assert len(network.shown) == 1
    assert torch.equal(network.shown[0], torch.cat([data.images, data.outliers]))


@pytest.mark.parametrize(
    ("name", "given", "plain"),
    [
        ("confidence_loss", {"beta": 0.3}, lambda z, y, o: plain_confidence(z, y, o, 0.3)),
        ("outlier_exposure", {"weight": 0.3}, lambda z, y, o: plain_exposure(z, y, o, 0.3)),
        (
            "energy_finetune",
            {"weight": 0.3, "m_in": -2.0, "m_out": -0.5},
            lambda z, y, o: plain_energy(z, y, o, 0.3, -2.0, -0.5),
        ),
        (
            "prior_network",
            {"gamma": 0.3, "concentration": 9.0, "smoothing": 0.1},
            lambda z, y, o: plain_prior(z, y, o, 0.3, 9.0, 0.1),
        ),
        (
            "prior_network_reverse_kl",
            {"gamma": 0.3, "concentration": 9.0},
            lambda z, y, o: plain_prior(z, y, o, 0.3, 9.0, reverse=True),
        ),
        ("dirichlet_regularized", {"variant": "plus"}, lambda z, y, o: plain_regularized(z, y, o, "plus")),
        ("logit_norm", {"temperature": 0.3}, lambda z, y, o: plain_logit_norm(z, y, 0.3)),
    ],
)
def test_hyperparameters_reach_the_loss(name, given, plain, network):
    made, data = objective(name, **given), batch(1)
    assert made.hyperparameters() == given
    expected = plain(network(data.images), data.labels, network(data.outliers))
    assert_close(made.loss(network, data, made.modules(None)), expected, **EXACT)


def test_logit_norm_of_a_network(network):
    data = batch(outliers=0)
    expected = plain_logit_norm(network(data.images), data.labels, 0.04)
    assert_close(LogitNorm().loss(network, data, {}), expected, **EXACT)


# ---------------------------------------------------------------------------- what the formulas imply


def test_outlier_exposure_and_confidence_loss_have_the_same_gradient():
    rng = torch.Generator().manual_seed(2)
    z, o = (torch.randn(n, 5, generator=rng, dtype=torch.float64, requires_grad=True) for n in (4, 7))
    y = torch.tensor([0, 4, 2, 2])
    one, other = confidence_loss(z, y, o, 0.5), outlier_exposure_loss(z, y, o, 0.5)
    assert_close(torch.autograd.grad(one, (z, o)), torch.autograd.grad(other, (z, o)), **EXACT)
    assert_close(other - one, tensor(0.5 * math.log(5)), **EXACT)


def test_losses_on_outliers_are_least_at_the_uniform_prediction():
    z = torch.full((1, 4), 3.0, dtype=torch.float64, requires_grad=True)
    loss = kl_from_uniform(z).mean()
    assert_close(loss, tensor(0.0), **EXACT)
    assert_close(torch.autograd.grad(loss, z)[0], torch.zeros_like(z), **EXACT)


def test_hinges_are_zero_within_the_margins():
    energy, outlier_energy = tensor([-9.0, -5.0]), tensor([-3.0, 4.0])
    assert [h.item() for h in hinges(energy, outlier_energy, -5.0, -3.0)] == [0.0, 0.0]
    assert [h.item() for h in hinges(energy, outlier_energy, -6.0, -1.0)] == [0.5, 2.0]


def simplex():
    """Points (M, 3) of the simplex and weights (M,), a Gauss-Legendre rule."""
    nodes, weights = np.polynomial.legendre.leggauss(80)
    t = (nodes + 1) / 2

    def towards_the_ends(t):  # dense where logarithms are steep
        return t**4 * (35 - 84 * t + 70 * t**2 - 20 * t**3)

    u, rest = towards_the_ends(t), towards_the_ends(1 - t)  # u and 1 - u
    weights = weights / 2 * 140 * (t * (1 - t)) ** 3
    points = np.stack(
        [
            np.broadcast_to(u[:, None], (80, 80)),
            np.outer(rest, u),
            np.outer(rest, rest),
        ],
        axis=-1,
    )
    return points.reshape(-1, 3), np.outer(weights * rest, weights).ravel()


def log_density(points, alpha):
    normaliser = math.lgamma(sum(alpha)) - sum(map(math.lgamma, alpha))
    return normaliser + np.log(points) @ (np.array(alpha) - 1)


ALPHAS = [(3.0, 4.0, 5.5), (2.5, 7.0, 2.0), (12.0, 3.0, 4.0)]


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("tau", [(1.0, 1.0, 1.0), (8.0, 3.0, 2.0)])
def test_divergence_is_the_integral_over_the_simplex(alpha, tau):
    points, weights = simplex()
    for first, second in ((alpha, tau), (tau, alpha)):
        p, q = log_density(points, first), log_density(points, second)
        assert weights @ np.exp(p) == pytest.approx(1, rel=1e-9)
        found = _dirichlet.divergence(tensor([first]), tensor([second])).item()
        assert found == pytest.approx(weights @ (np.exp(p) * (p - q)), rel=1e-8)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_detector_agrees_with_integrals_over_the_simplex(alpha):
    points, weights = simplex()
    density = weights * np.exp(log_density(points, alpha))
    mean, mean_log = density @ points, density @ np.log(points)
    expected_entropy = -(density @ (points * np.log(points)).sum(axis=1))
    features = Features(tensor([alpha]).log())

    def found(measure):
        return Dirichlet(measure).score(features).item()

    mutual = scipy.stats.entropy(mean) - expected_entropy
    assert found("mutual_information") == pytest.approx(-mutual, rel=1e-8)
    entropy = -(density @ log_density(points, alpha))
    assert found("differential_entropy") == pytest.approx(-entropy, rel=1e-8)
    assert found("differential_entropy") == pytest.approx(-scipy.stats.dirichlet.entropy(alpha), rel=1e-10)
    pairs = -expected_entropy - mean @ mean_log  # two independent draws
    assert found("expected_kl") == pytest.approx(-pairs, rel=1e-8)
    assert found("max_probability") == pytest.approx(mean.max(), rel=1e-10)


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


# ---------------------------------------------------------------------------- margins


def setting(network, val, outliers):
    return Setting(network, 5, 3, 4, 10, val, outliers)


def images(count, seed):
    return torch.randint(0, 256, (count, 3, 4, 4), generator=torch.Generator().manual_seed(seed)).to(
        torch.uint8
    )


class Single(Network):
    """In float32, as `Setting.logits` gives images."""

    def __init__(self):
        super().__init__()
        self.float()
        self.dropout = nn.Dropout(0.5)

    def forward(self, images):
        return self.dropout(super().forward(images))


def test_margins_come_from_quantiles_of_the_first_network():
    network = Single()
    val, outliers = images(7, 0), images(11, 1)
    kept = EnergyFinetune().modules(setting(network, val, outliers))
    network.eval()
    energies = [sorted((-torch.logsumexp(network(s / 255), 1)).tolist()) for s in (val, outliers)]
    # Linear between the order statistics 1.2 of 6 and 8 of 10.
    m_in = 0.8 * energies[0][1] + 0.2 * energies[0][2]
    m_out = energies[1][8]
    if m_in >= m_out:
        m_in, m_out = (m_in + m_out) / 2 - 1, (m_in + m_out) / 2 + 1
    assert [m.item() for m in kept["margins"]()] == pytest.approx([m_in, m_out], rel=1e-6)
    state = kept["margins"].state_dict()
    assert {key: value.dtype for key, value in state.items()} == {
        "m_in": torch.float64,
        "m_out": torch.float64,
    }
    assert list(kept["margins"].parameters()) == []


def logits_of_energy(energies):
    return -tensor(energies)[:, None]  # of one class: the energy is minus its logit


def test_margins_in_order_are_the_quantiles():
    found = margins(logits_of_energy([-10, -9, -8, -7, -6, -5]), logits_of_energy([-1, -2, -3, -4, -5, -6]))
    assert found == pytest.approx((-9.0, -2.0), rel=1e-12)


@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_margins_out_of_order_are_around_their_mean(shift):
    found = margins(logits_of_energy([-4.0 + shift] * 3), logits_of_energy([-4.0] * 2))
    assert found == pytest.approx((-5.0 + shift / 2, -3.0 + shift / 2), rel=1e-12)


def test_given_margins_are_taken():
    kept = EnergyFinetune(m_in=-23, m_out=-5).modules(None)
    assert [m.item() for m in kept["margins"]()] == [-23.0, -5.0]


def test_energy_finetune_trains_to_the_margins_it_keeps(network):
    data = batch()
    losses = [
        EnergyFinetune(m_in=-1.5, m_out=-1.0).loss(
            network, data, EnergyFinetune(m_in=a, m_out=b).modules(None)
        )
        for a, b in ((-1.5, -1.0), (-9.0, 4.0))
    ]
    assert losses[1] > losses[0] + 1  # the margins of `modules` count, not those of the instance


@pytest.mark.parametrize(("count", "outliers"), [(3, None), (3, 0), (0, 3)])
def test_margins_need_images(network, count, outliers):
    field = "outliers" if count else "val"
    made = setting(network, images(count, 0), None if outliers is None else images(outliers, 1))
    with pytest.raises(ValueError, match=rf"setting\.{field}: energy_finetune expected at least one image"):
        EnergyFinetune().modules(made)


# ---------------------------------------------------------------------------- mixing


def one_hot_batch(seed, count=8):
    """Image i is 1 at its own pixel: what a network was shown tells who was mixed, and by how much."""
    made = torch.eye(count, 48, dtype=torch.float64).reshape(count, 3, 4, 4)
    return Batch(made, torch.arange(count) % 3, rng=torch.Generator().manual_seed(seed))


def test_mixup_mixes_images_and_labels_alike(network):
    shares, orders = [], []
    for seed in range(20):
        data = one_hot_batch(seed)
        loss = Mixup().loss(network, data, {})
        (shown,) = network.shown[-1:]
        weights = shown.flatten(1)[:, :8]
        order = (weights - torch.diag(weights.diagonal())).argmax(dim=1)
        moved = order != torch.arange(8)
        moved &= weights.diagonal() < 1 - 1e-9
        assert moved.any()
        share = weights.diagonal()[moved][0].item()
        order = torch.where(moved, order, torch.arange(8))
        assert sorted(order.tolist()) == list(range(8))
        expected = share * torch.eye(8, dtype=torch.float64) + (1 - share) * torch.eye(8).double()[order]
        assert_close(weights, expected, **EXACT)
        logits = network(shown)
        plain = share * plain_cross_entropy(logits, data.labels)
        plain = plain + (1 - share) * plain_cross_entropy(logits, data.labels[order])
        assert_close(loss, plain, **EXACT)
        shares.append(share)
        orders.append(tuple(order.tolist()))
    assert len(set(shares)) == len(set(orders)) == 20
    assert min(shares) < 0.3 < 0.7 < max(shares)


def test_mixup_shares_follow_the_beta_distribution():
    for alpha in (0.2, 1.0):
        rng = torch.Generator().manual_seed(5)
        drawn = [_mixing.numpy_rng(rng).beta(alpha, alpha) for _ in range(2000)]
        assert scipy.stats.kstest(drawn, scipy.stats.beta(alpha, alpha).cdf).pvalue > 0.01  # of a fixed seed


def test_mixup_passes_its_alpha_on(network):
    def shares(alpha):
        found = []
        for seed in range(30):
            Mixup(alpha).loss(network, one_hot_batch(seed, 2), {})
            found.append(network.shown[-1].max().item())
        return found

    assert np.mean(shares(0.05)) > 0.95  # nearly unmixed
    even = [share for share in shares(1e4) if share < 1]  # half of the permutations of two move nothing
    assert even
    assert max(even) < 0.52


def test_cutmix_pastes_one_box_and_weighs_by_its_area(network):
    shares = []
    for seed in range(40):
        data = Batch(
            torch.arange(8.0, dtype=torch.float64)[:, None, None, None].expand(8, 3, 4, 4),
            torch.arange(8) % 3,
            rng=torch.Generator().manual_seed(seed),
        )
        loss = CutMix(probability=1.0).loss(network, data, {})
        (shown,) = network.shown[-1:]
        foreign = shown != data.images
        inside = foreign.any(dim=0)
        assert_close(data.images[:, 0, 0, 0], torch.arange(8.0, dtype=torch.float64))  # left as they were
        order = torch.where(foreign, shown, data.images).flatten(1)
        own = torch.arange(8)
        partner = torch.where(foreign.flatten(1).any(dim=1), order.max(dim=1).values.long(), own)
        below = foreign.flatten(1).any(dim=1) & (order.min(dim=1).values.long() < own)
        partner = torch.where(below, order.min(dim=1).values.long(), partner)
        assert sorted(partner.tolist()) == list(range(8))
        rows, columns = inside[0].any(dim=1), inside[0].any(dim=0)
        assert torch.equal(inside, (rows[:, None] & columns).expand(3, 4, 4))  # a box, in every channel
        for mask in (rows, columns):
            assert mask.int().diff().abs().sum() <= 2  # without gaps
        for i in range(8):
            assert torch.equal(foreign[i], inside & (partner[i] != i))
        share = 1 - inside[0].double().mean().item()
        logits = network(shown)
        plain = share * plain_cross_entropy(logits, data.labels)
        plain = plain + (1 - share) * plain_cross_entropy(logits, data.labels[partner])
        assert_close(loss, plain, **EXACT)
        shares.append(share)
    assert len(set(shares)) > 3


def test_cutmix_draws_boxes_over_all_of_an_image_that_is_not_square(network):
    network.forward = lambda images: network.shown.append(images) or torch.zeros(len(images), 3)
    reached = torch.zeros(8, 32, dtype=torch.bool)
    for seed in range(60):
        made = torch.arange(4.0)[:, None, None, None].expand(4, 3, 8, 32)
        data = Batch(made, torch.arange(4) % 3, rng=torch.Generator().manual_seed(seed))
        CutMix(probability=1.0).loss(network, data, {})
        reached |= (network.shown[-1] != made).any(dim=(0, 1))
    assert reached.all()


def test_cutmix_mixes_with_its_probability(network):
    def mixed(probability):
        count = 0
        for seed in range(60):
            data = Batch(
                torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(seed)),
                torch.arange(6) % 3,
                rng=torch.Generator().manual_seed(seed),
            )
            network.forward = lambda images: network.shown.append(images) or torch.zeros(len(images), 3)
            CutMix(probability=probability).loss(network, data, {})
            count += not torch.equal(network.shown[-1], data.images)
        return count

    assert mixed(0.0) == 0
    assert 15 < mixed(0.5) < 45  # of 60: within four standard deviations
    assert mixed(1.0) > 50  # a box can be empty


def test_cutmix_without_a_mix_is_cross_entropy(network):
    data = batch(outliers=0)
    expected = plain_cross_entropy(network(data.images), data.labels)
    assert_close(CutMix(probability=0.0).loss(network, data, {}), expected, **EXACT)


@pytest.mark.parametrize("width", [5, 32])
@pytest.mark.parametrize("height", [8, 31])
def test_box_lies_within_the_image_and_leaves_at_least_its_share(width, height):
    rng = np.random.default_rng(6)
    for share in [0.0, 1.0, *rng.uniform(size=200)]:
        x, y = rng.integers(width), rng.integers(height)
        x1, y1, x2, y2, left = box(width, height, share, x, y)
        assert 0 <= x1 <= x <= x2 <= width
        assert 0 <= y1 <= y <= y2 <= height
        assert left == 1 - (x2 - x1) * (y2 - y1) / (width * height)
        assert share - 1e-12 <= left <= 1
    assert box(32, 32, 0.0, 16, 16) == (0, 0, 32, 32, 0.0)
    assert box(32, 16, 0.75, 16, 8) == (8, 4, 24, 12, 0.75)  # the longer side is that of the width


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_mixing_draws_from_the_batch_alone(name, network):
    made = objective(name, **({"probability": 1.0} if name == "cutmix" else {}))

    def run(seed, of_torch):
        torch.manual_seed(of_torch)
        np.random.seed(of_torch)  # noqa: NPY002
        data = Batch(batch().images, batch().labels, rng=torch.Generator().manual_seed(seed))
        return [made.loss(network, data, {}).item() for _ in range(3)]

    first = run(0, 1)
    assert run(0, 2) == first
    assert len(set(first)) == 3  # the generator goes on from batch to batch
    assert run(1, 1) != first
    before = torch.get_rng_state()
    made.loss(network, batch(), {})
    assert torch.equal(torch.get_rng_state(), before)


# ---------------------------------------------------------------------------- what holds for all of them


@with_outliers
@pytest.mark.parametrize("outliers", [None, 0])
def test_a_batch_without_outliers_is_refused(name, outliers, network):
    made = objective(name)
    full = batch()
    data = Batch(full.images, full.labels, None if outliers is None else full.outliers[:0])
    got = "none" if outliers is None else r"shape \(0, 3, 4, 4\)"
    with pytest.raises(ValueError, match=rf"^batch\.outliers: {name} expected at least one .*, got {got}$"):
        made.loss(network, data, modules_of(made))
    assert network.shown == []


@with_outliers
def test_outliers_and_images_may_differ_in_number(name, network):
    made = objective(name)
    for count, outliers in ((1, 5), (5, 1)):
        assert torch.isfinite(made.loss(network, batch(0, count, outliers), modules_of(made)))


@every_objective
def test_logits_of_half_precision_are_widened(name, network):
    made = objective(name)
    for narrow in (torch.bfloat16, torch.float16):
        found = []
        for dtype in (narrow, torch.float32):
            rounded = Network()
            exact = rounded.forward
            rounded.forward = lambda images, f=exact, of=(narrow, dtype): f(images).to(of[0]).to(of[1])
            with torch.autocast("cpu", torch.bfloat16, enabled=dtype == narrow):
                found.append(made.loss(rounded, batch(), modules_of(made)))
        assert found[0].dtype in (torch.float32, torch.float64)
        if name not in {
            "mixup",
            "cutmix",
        }:  # autocast rounds within the network, which these show other images
            assert found[0].item() == pytest.approx(found[1].item(), rel=2e-2)


def test_widening_leaves_other_precisions():
    for given, kept in (
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ):
        assert widened(torch.zeros(1, dtype=given)).dtype == kept


@every_objective
@pytest.mark.parametrize("size", [0.0, 1e2, 1e4])
def test_loss_and_gradient_of_long_logits_are_finite(name, size):
    made = objective(name)
    long = Network().float()
    with torch.no_grad():
        long.head.weight.mul_(size)
        long.head.bias.mul_(size)
    data = batch()
    data = Batch(
        data.images.float(), data.labels, data.outliers.float(), rng=torch.Generator().manual_seed(0)
    )
    loss = made.loss(long, data, modules_of(made))
    assert torch.isfinite(loss)
    for gradient in torch.autograd.grad(loss, tuple(long.parameters())):
        assert torch.isfinite(gradient).all()


@every_objective
def test_what_is_declared(name):
    cls = objective_class(name)
    assert cls.__module__ == f"methods.objectives.{name}"
    assert cls.__dataclass_params__.frozen
    assert set(cls.detectors) <= set(detectors())
    assert cls.needs == ({Data.OUTLIERS} if name in SHOWN_OUTLIERS else set())
    assert cls.cost == 1 + (cls.outlier_ratio if cls.needs else 0)
    doc = cls.__doc__
    assert ".. math::" in doc
    assert "Deviations from the paper:" in doc
    assert [f.name for f in fields(cls) if f"    {f.name}\n" not in doc] == []
    assert cls.configure(json.loads(json.dumps(cls().hyperparameters()))) == cls()


def test_how_they_are_trained():
    declared = {n: objective_class(n) for n in SHOWN_OUTLIERS + OTHERS}
    assert {n: c.starts_from for n, c in declared.items() if c.starts_from} == {
        "outlier_exposure": "cross_entropy",
        "energy_finetune": "cross_entropy",
    }
    assert {n: c.outlier_ratio for n, c in declared.items() if c.outlier_ratio != 1} == {
        "outlier_exposure": 2.0,
        "energy_finetune": 2.0,
        "dirichlet_regularized": 0.5,
    }
    assert {n: c.clip_norm for n, c in declared.items() if c.clip_norm} == {
        "prior_network": 10.0,
        "prior_network_reverse_kl": 10.0,
    }


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("confidence_loss", {"beta": -0.1}, "beta: expected a finite number of at least 0, got -0.1"),
        ("confidence_loss", {"beta": math.nan}, "beta: expected a finite number of at least 0, got nan"),
        ("outlier_exposure", {"weight": math.inf}, "weight: expected a finite number of at least 0, got inf"),
        ("energy_finetune", {"weight": -1.0}, "weight: expected a finite number of at least 0, got -1.0"),
        (
            "energy_finetune",
            {"m_in": -1.0},
            "m_out: expected a number, as the other margin is -1.0, got None",
        ),
        (
            "energy_finetune",
            {"m_out": -1.0},
            "m_in: expected a number, as the other margin is -1.0, got None",
        ),
        (
            "energy_finetune",
            {"m_in": math.nan, "m_out": 1.0},
            "m_in: expected a finite number or None, got nan",
        ),
        (
            "energy_finetune",
            {"m_in": 1, "m_out": math.inf},
            "m_out: expected a finite number or None, got inf",
        ),
        ("prior_network", {"gamma": -1.0}, "gamma: expected a finite number of at least 0, got -1.0"),
        ("prior_network", {"concentration": 0.0}, "concentration: expected a finite number above 0, got 0.0"),
        ("prior_network", {"smoothing": 1.0}, "smoothing: expected a number from 0 to below 1, got 1.0"),
        (
            "prior_network_reverse_kl",
            {"gamma": math.nan},
            "gamma: expected a finite number of at least 0, got nan",
        ),
        (
            "prior_network_reverse_kl",
            {"concentration": -1.0},
            "concentration: expected a finite number above 0, ",
        ),
        (
            "dirichlet_regularized",
            {"variant": "both"},
            "variant: expected one of 'minus', 'plus', got 'both'",
        ),
        ("logit_norm", {"temperature": 0.0}, "temperature: expected a finite number above 0, got 0.0"),
        ("mixup", {"alpha": 0.0}, "alpha: expected a finite number above 0, got 0.0"),
        ("cutmix", {"alpha": math.inf}, "alpha: expected a finite number above 0, got inf"),
        ("cutmix", {"probability": 1.1}, "probability: expected a number from 0 to 1, got 1.1"),
    ],
)
def test_a_hyperparameter_out_of_range(name, given, message):
    with pytest.raises(HyperparameterError, match=rf"^{name}(: |\.){message}"):
        objective(name, **given)


def test_choices_made_directly_are_checked():
    with pytest.raises(ValueError, match=r"variant: expected one of minus, plus, got 'both'"):
        DirichletRegularized(variant="both")
    with pytest.raises(ValueError, match=r"measure: expected one of mutual_information, .*, got 'variance'"):
        Dirichlet(measure="variance")


# ---------------------------------------------------------------------------- the detector


def test_precision_is_the_exponential_of_the_energy_score():
    features = Features(torch.cat([Z, OUT]))
    energy = detector("energy").score(features)
    assert_close(Dirichlet("precision").score(features), energy.exp(), **EXACT)


LOGITS = [
    [2.9, 3.1, 3.0],  # around 20, where the series takes over
    [2.995, 2.9957, 2.996],
    [0.5, 3.5, -2.0],
    [50.0, 49.0, 0.0],
    [100.0, -100.0, 3.0],
    [200.0, 199.0, 150.0],
    [-30.0, -31.0, -30.5],
    [-200.0, 2.0, 200.0],
    [12.0, 12.0, 12.0],
]


@pytest.mark.parametrize(
    "measure", ["mutual_information", "differential_entropy", "precision", "expected_kl"]
)
def test_scores_keep_their_digits_at_any_size_of_logits(measure):
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workdps(400):

        def exact(z):
            alpha = [mpmath.exp(mpmath.mpf(v)) for v in z]
            total = mpmath.fsum(alpha)
            if measure == "precision":
                return total
            if measure == "expected_kl":
                return -(len(z) - 1) / total
            if measure == "mutual_information":
                terms = [
                    a / total * (mpmath.psi(0, a + 1) - mpmath.psi(0, total + 1) - mpmath.log(a / total))
                    for a in alpha
                ]
                return -mpmath.fsum(terms)
            terms = [mpmath.loggamma(a) - (a - 1) * (mpmath.psi(0, a) - mpmath.psi(0, total)) for a in alpha]
            return mpmath.loggamma(total) - mpmath.fsum(terms)

        expected = [float(exact(z)) for z in LOGITS]
    found = Dirichlet(measure).score(Features(tensor(LOGITS)))
    # exp(200) has a relative error of 200 roundings.
    assert_close(found, tensor(expected), rtol=1e-12, atol=0.0)


def test_coefficients_of_the_series_are_of_bernoulli_numbers():
    n = np.arange(2, 12, 2)
    bernoulli = scipy.special.bernoulli(10)[n]
    assert pytest.approx(bernoulli / n, rel=1e-12) == _DIGAMMA
    assert pytest.approx(bernoulli / (n * (n - 1)), rel=1e-12) == _LOG_GAMMA


@pytest.mark.parametrize(
    "measure", ["mutual_information", "differential_entropy", "precision", "max_probability", "expected_kl"]
)
def test_scores_are_finite_for_any_finite_logits(measure):
    logits = tensor([[v, w, 0.0] for v in (0, 700, 1e5, 1e300) for w in (0, 700, -1e5, -1e300)])
    for rows in (logits, -logits, logits - 2000):
        assert torch.isfinite(Dirichlet(measure).score(Features(rows))).all()
        assert torch.isfinite(Dirichlet(measure).score(Features(rows.clamp(-3e38, 3e38).float()))).all()


@pytest.mark.parametrize(
    "measure", ["mutual_information", "differential_entropy", "precision", "expected_kl"]
)
def test_sharper_distributions_score_higher(measure):
    # The same prediction, ever more precise: all but the largest probability tell.
    logits = torch.linspace(-3, 60, 200, dtype=torch.float64)[:, None] + tensor([[1.0, 0.0, -1.0]])
    if measure == "differential_entropy":
        logits = logits[logits.amin(dim=1) > 0]  # below, mass in the corners counts as sharp too
    scores = Dirichlet(measure).score(Features(logits))
    assert (scores.diff() > 0).all()
    largest = Dirichlet("max_probability").score(Features(logits))
    assert_close(largest, largest[:1].expand_as(largest), **EXACT)
