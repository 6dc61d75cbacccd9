"""Adversarial training: plain transcriptions, and what the attack leaves as it was."""

import math
from functools import partial

import pytest
import torch
from adversarial_examples import (
    BASES,
    FSRS,
    SIZE,
    B,
    K,
    batch,
    captured,
    check_gradients,
    divergence,
    images,
    make,
    nll,
    parameters,
    plain_criterion,
)
from torch import nn
from torch.testing import assert_close

from methods.attack import uniform_start
from methods.base import Batch, HyperparameterError
from methods.objectives._adversarial import kl
from methods.objectives.fsr import FSR
from methods.registry import attack, objective

ALL = [(base, {}) for base in BASES] + [("fsr", options) for options in FSRS]


every_base = pytest.mark.parametrize("name", BASES)


every_objective = pytest.mark.parametrize(("name", "options"), ALL, ids=lambda x: str(x))


@every_base
def test_the_loss_is_the_plain_transcription(name, monkeypatch):
    wanted, network, modules = make(name)
    network.body[3].p = 0.0
    moved = captured(wanted, network, monkeypatch)
    clean, there = network(images()), network(moved)
    plain = plain_criterion(name, wanted, clean, there, batch().labels)
    given = batch()
    check_gradients(wanted.loss(network, given, modules), plain, network)
    right = (there.argmax(dim=1) == given.labels).double().mean().item()
    assert given.notes["adversarial_accuracy"] == [pytest.approx(right)]


def plain_path(network, name, wanted, seed):
    """Signed steps in pixels, in eval mode, each cut to the ball and to [0, 1]."""
    x, rng = images(), torch.Generator().manual_seed(seed)
    labels = torch.arange(B) % K
    if name == "trades":
        moved = x + 0.001 * torch.randn(x.shape, generator=rng).double()
    else:
        moved = (x + wanted.epsilon * (2 * torch.rand(x.shape, generator=rng).double() - 1)).clamp(0, 1)
    clean = network(x).detach()
    for _ in range(wanted.attack_steps):
        moved = moved.detach().requires_grad_()
        there = network(moved)
        if name == "trades":
            loss = sum(divergence(z, a) for z, a in zip(clean, there, strict=True))
        else:
            loss = sum(nll(a, y) for a, y in zip(there, labels, strict=True))
        (slope,) = torch.autograd.grad(loss, moved)
        moved = moved.detach() + wanted.step_size * slope.sign()
        moved = torch.maximum(torch.minimum(moved, x + wanted.epsilon), x - wanted.epsilon).clamp(0, 1)
    return moved


@every_base
@pytest.mark.parametrize("with_neck", [False, True])
def test_the_attack_is_the_plain_transcription(name, with_neck):
    wanted = objective(name, epsilon=0.05, step_size=0.02, attack_steps=4)
    _, network, _ = make("fsr", base=name) if with_neck else make(name)
    found = wanted.adversarial(network, batch(seed=7))
    assert_close(found, plain_path(network.eval(), name, wanted, 7), rtol=0, atol=1e-12)
    assert (found - images()).abs().max() == pytest.approx(0.05)


@every_base
def test_the_attack_stays_in_the_ball_and_moves_what_it_climbs(name):
    wanted, network, _ = make(name, epsilon=0.1, step_size=0.03)
    x, labels = images(), batch().labels
    moved = wanted.adversarial(network, batch())
    assert moved.min() >= 0
    assert moved.max() <= 1
    assert (moved - x).abs().max() <= 0.1 + 1e-15
    assert not moved.requires_grad
    network.eval()
    drawn = uniform_start(x, 0.1, torch.Generator().manual_seed(1))
    before, found, other = network(x), network(moved), network(drawn)
    if name == "trades":
        assert (kl(before, found) > 2 * kl(before, other)).all()
    else:
        of = partial(nn.functional.cross_entropy, target=labels, reduction="none")
        assert (of(found) > torch.maximum(of(before), of(other))).all()


@every_base
def test_a_ball_of_no_size_leaves_the_images(name):
    wanted, network, _ = make(name, epsilon=0.0)
    assert torch.equal(wanted.adversarial(network, batch()), images())


@every_objective
def test_the_attack_leaves_the_network_as_it_was(name, options):
    wanted, network, _ = make(name, **options)
    inner = wanted.based_on if isinstance(wanted, FSR) else wanted
    network.body[1].eval()  # such as in a linear probe
    network.head.bias.requires_grad_(False)
    modes = [m.training for m in network.modules()]
    before = {key: value.clone() for key, value in network.state_dict().items()}
    inner.adversarial(network, batch())
    assert [m.training for m in network.modules()] == modes
    after = network.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert all(p.grad is None for p in network.parameters())
    assert [n for n, p in network.named_parameters() if not p.requires_grad] == ["head.bias"]


def test_the_mode_comes_back_after_an_error():
    wanted, network, _ = make("pgd_at")
    wrong = Batch(images(), torch.full((B,), K + 2))
    with pytest.raises(IndexError):
        wanted.adversarial(network, wrong)
    assert all(m.training for m in network.modules())
    assert all(p.requires_grad for p in network.parameters())


@every_objective
def test_the_statistics_learn_from_the_loss_alone(name, options):
    wanted, network, modules = make(name, **options)
    wanted.loss(network, batch(), modules)
    asks_for_clean = options.get("base", name) in ("trades", "mart")
    passes = 2 if asks_for_clean else 1  # in train mode
    assert network.body[1].num_batches_tracked.item() == passes


@pytest.mark.parametrize(("name", "passes"), [("pgd_at", 4), ("trades", 6), ("mart", 5)])
def test_no_pass_is_made_in_vain(name, passes):
    """Three steps, and the moved images; TRADES asks for clean predictions in both modes, MART in one."""
    wanted, network, modules = make(name, attack_steps=3)
    seen = []
    network.register_forward_hook(lambda *_: seen.append(1))
    wanted.loss(network, batch(), modules)
    assert len(seen) == passes


@every_objective
def test_the_attack_draws_from_the_batch_alone(name, options):
    wanted, network, _ = make(name, **options)
    inner = wanted.based_on if isinstance(wanted, FSR) else wanted
    state = torch.get_rng_state()
    first, again, other = (inner.adversarial(network, batch(seed=s)) for s in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


@every_objective
def test_every_weight_has_a_gradient_under_autocast(name, options):
    """Autocast keeps its copies of weights. Older torch: made without gradient, they stay without."""
    wanted, network, modules = make(name, dtype=torch.float32, **options)
    with_gradient = []
    network.body.register_forward_hook(lambda *_: with_gradient.append(torch.is_grad_enabled()))
    with torch.autocast("cpu", torch.bfloat16):
        loss = wanted.loss(network, batch(dtype=torch.float32), modules)
    assert loss.dtype == torch.float32
    assert all(with_gradient)
    assert len(with_gradient) > 10
    loss.backward()
    for key, parameter in parameters(network, *modules.values()).items():
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key
        assert parameter.grad.abs().max() > 0, key


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        *[(n, {"epsilon": e}, r"epsilon: expected a number in \[0, 1\]")
          for n in ("pgd_at", "trades", "mart", "fsr") for e in (-0.1, 1.5, math.nan)],
        *[(n, {"attack_steps": 0}, "attack_steps: expected at least 1, got 0")
          for n in ("pgd_at", "trades", "mart", "fsr")],
        *[(n, {"step_size": s}, "step_size: expected a number above 0, at most 1")
          for n in ("pgd_at", "trades", "mart", "fsr") for s in (0.0, -0.1, 2.0)],
        *[(n, {"beta": b}, "beta: expected a finite number of at least 0")
          for n in ("trades", "mart") for b in (-1.0, math.inf, math.nan)],
        ("fsr", {"base": "trade"}, "base: no objective 'trade'; did you mean"),
        ("fsr", {"base": "cross_entropy"}, r"base: expected an adversarial training \(mart, pgd_at, tra"),
        ("fsr", {"base": "fsr"}, "base: expected an adversarial training"),
        ("fsr", {"temperature": 0.0}, "temperature: expected a finite number above 0"),
        ("fsr", {"separation": -1.0}, "separation: expected a finite number of at least 0"),
        ("fsr", {"recalibration": math.inf}, "recalibration: expected a finite number of at least 0"),
        ("fsr", {"hidden": 0}, "hidden: expected at least 1"),
    ],
)  # fmt: skip
def test_wrong_hyperparameters_are_refused(name, wrong, message):
    with pytest.raises(HyperparameterError, match=f"{name}: {message}"):
        objective(name, **wrong)


def toy(n, seed):
    """Red tells the class of 85 of 100 images by 0.3 of brightness, green that of all by 0.04.

    Within a ball of 0.1 green can be turned into the other class's and red cannot. So a network that reads
    green is right for all images and for none under attack, and one that reads red is right for 85 %.
    """
    rng = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 2
    sign = 2.0 * labels - 1
    red = torch.where(torch.arange(n) % 20 < 17, sign, -sign)
    x = 0.5 + 0.02 * torch.randn(n, 3, SIZE, SIZE, generator=rng)
    x[:, 0] += 0.3 * red[:, None, None]
    x[:, 1] += 0.04 * sign[:, None, None]
    return x.clamp(0, 1), labels


def accuracies(name, options):
    """On images as they are, and under PGD-10 within a ball of 0.1."""
    if name != "cross_entropy":
        options = {"epsilon": 0.1, "step_size": 0.1, "attack_steps": 2, **options}
    wanted, network, modules = make(name, torch.float32, classes=2, **options)
    optimizer = torch.optim.Adam([*parameters(network, *modules.values()).values()], lr=0.02)
    x, labels = toy(120, 0)
    rng = torch.Generator().manual_seed(0)
    for _ in range(40):
        rows = torch.randperm(len(x), generator=rng)[:30]
        loss = wanted.loss(network, Batch(x[rows], labels[rows], rng=rng), modules)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()
    x, labels = toy(100, 1)
    moved = attack("pgd", epsilon=0.1, step_size=0.03, steps=10).perturb(network, x, labels)
    return [(network(seen).argmax(dim=1) == labels).double().mean().item() for seen in (x, moved)]


def test_cross_entropy_is_not_robust():
    clean, robust = accuracies("cross_entropy", {})
    assert clean > 0.925  # it reads green: 1 and 0; whoever reads red is right for .85 of both
    assert robust < 0.5


@every_objective
def test_adversarial_training_is_robust(name, options):
    clean, robust = accuracies(name, options)
    assert clean > 0.7  # it reads red: .85 and .85; whoever reads green is right for none under attack
    assert robust > 0.5


def test_the_toy_is_what_it_says():
    x, labels = toy(100, 1)
    sign = 2.0 * labels - 1
    red, green = ((x[:, c].mean(dim=(1, 2)) - 0.5) * sign for c in (0, 1))
    assert (red > 0.1).double().mean() == pytest.approx(0.85)
    assert (green > 0).all()
    assert (green < 0.1).all()
