"""Objectives that are functions of logits: worked numbers, plain transcriptions, what holds for all."""

import inspect
import json
import math
from dataclasses import fields

import pytest
import torch
from logit_objective_examples import (
    OUT,
    VALUES,
    Network,
    Y,
    Z,
    batch,
    log_p,
    plain_cross_entropy,
    plain_logit_norm,
)
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Batch, Data, HyperparameterError
from methods.detectors.dirichlet import Dirichlet
from methods.objectives import _dirichlet, _mixing
from methods.objectives._outliers import uniform_cross_entropy
from methods.objectives._precision import widened
from methods.objectives.confidence_loss import confidence_loss, kl_from_uniform
from methods.objectives.cross_entropy import CrossEntropy
from methods.objectives.dirichlet_regularized import (
    DirichletRegularized,
    dirichlet_regularized_loss,
    id_terms,
    outlier_terms,
)
from methods.objectives.energy_finetune import EnergyFinetune, energy_loss, hinges
from methods.objectives.logit_norm import logit_norm_loss
from methods.objectives.outlier_exposure import outlier_exposure_loss
from methods.objectives.prior_network import forward_kl_loss
from methods.objectives.prior_network_reverse_kl import reverse_kl_loss
from methods.registry import detectors, objective, objective_class

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


TAU = tensor([[101, 1, 1], [1, 1, 101]])


def modules_of(made):
    if made.name == "energy_finetune":
        made = EnergyFinetune(m_in=-1.5, m_out=-1.0)
    return made.modules(None)  # none of the others looks at the setup


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


def test_losses_on_outliers_are_least_at_the_uniform_prediction():
    z = torch.full((1, 4), 3.0, dtype=torch.float64, requires_grad=True)
    loss = kl_from_uniform(z).mean()
    assert_close(loss, tensor(0.0), **EXACT)
    assert_close(torch.autograd.grad(loss, z)[0], torch.zeros_like(z), **EXACT)


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
    doc = inspect.getdoc(cls)  # Python 3.13 takes the indentation away itself
    assert ".. math::" in doc
    assert "Deviations from the paper:" in doc
    assert [f.name for f in fields(cls) if f"\n{f.name}\n" not in doc] == []
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
