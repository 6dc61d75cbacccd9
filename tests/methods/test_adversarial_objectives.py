"""Adversarial training and FSR: worked examples, plain transcriptions, what the attack leaves as it was."""

import itertools
import json
import math
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from benchmark.fingerprints import _parse
from methods import registry
from methods.attack import uniform_start
from methods.base import Batch, HyperparameterError, Setting
from methods.objectives._adversarial import AdversarialObjective, kl
from methods.objectives._fsr import (
    Parts,
    PositionNorm,
    SeparationNeck,
    separation_loss,
    soft_mask,
    strongest_wrong,
)
from methods.objectives.fsr import FSR
from methods.objectives.mart import boosted_cross_entropy, mart_loss, weighted_kl
from methods.objectives.trades import trades_loss
from methods.registry import attack, objective, objectives

pytestmark = pytest.mark.usefixtures("one_thread")

WORKED = json.loads((Path(__file__).parent / "adversarial_worked_examples.json").read_text())
VALUES, INPUTS = WORKED["values"], WORKED["inputs"]
EXACT = {"rtol": 1e-12, "atol": 1e-12}
ROUNDING = {"rtol": 1e-9, "atol": 1e-11}  # sums in another order, through a network in float64
C, K, B, SIZE, HIDDEN = 6, 3, 5, 8, 4
BASES = ("pgd_at", "trades", "mart")
FSRS = [{"base": base} for base in BASES] + [{"recalibrate": False}]
ALL = [(base, {}) for base in BASES] + [("fsr", options) for options in FSRS]
every_base = pytest.mark.parametrize("name", BASES)
every_objective = pytest.mark.parametrize(("name", "options"), ALL, ids=lambda x: str(x))


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


class Network(nn.Module):
    """Smooth, so that no gradient is exactly 0."""

    def __init__(self, neck=None, classes=K):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, C, 3, 2, 1, bias=False), nn.BatchNorm2d(C), nn.Tanh(), nn.Dropout(0.2)
        )
        self.neck = neck
        self.head = nn.Linear(C, classes)

    def maps(self, images):
        return self.body(images - 0.5)

    def classify(self, maps):
        return self.head(maps.mean(dim=(2, 3)))

    def penultimate(self, images):
        maps = self.maps(images)
        return (maps if self.neck is None else self.neck(maps)).mean(dim=(2, 3))

    def forward(self, images):
        return self.head(self.penultimate(images))


def make(name, dtype=torch.float64, seed=0, classes=K, tokens=False, **hyperparameters):
    """An objective, its network on first weights in train mode, and its modules."""
    torch.manual_seed(seed)
    if name == "fsr":
        hyperparameters = {"hidden": HIDDEN, **hyperparameters}
    wanted = objective(name, **hyperparameters)
    network = Network(wanted.neck(C, tokens=tokens), classes).to(dtype)
    setting = Setting(network, C, classes, SIZE, 1, torch.zeros(2, 3, SIZE, SIZE, dtype=torch.uint8))
    modules = {key: module.to(dtype) for key, module in wanted.modules(setting).items()}
    with torch.no_grad():  # so that eval mode is another function than train mode
        network.body[1].running_mean.normal_(std=0.3)
        network.body[1].running_var.uniform_(0.5, 2)
    return wanted, network, modules


def images(n=B, seed=1, dtype=torch.float64):
    return torch.rand(n, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def batch(seed=0, dtype=torch.float64):
    return Batch(images(dtype=dtype), torch.arange(B) % K, rng=torch.Generator().manual_seed(seed))


def parameters(*modules):
    return {f"{i}.{n}": p for i, module in enumerate(modules) for n, p in module.named_parameters()}


def check_gradients(loss, plain, *modules):
    assert_close(loss, plain, **ROUNDING)
    found = parameters(*modules)
    ours, theirs = (torch.autograd.grad(one, list(found.values())) for one in (loss, plain))
    for key, our, their in zip(found, ours, theirs, strict=True):
        assert our.abs().max() > 1e-9, key
        assert_close(our, their, **ROUNDING, msg=lambda m, key=key: f"{key}: {m}")


def softmax(z):
    return [torch.exp(a) / sum(torch.exp(b) for b in z) for a in z]


def nll(z, y):
    return -torch.log(softmax(z)[y])


def divergence(z, moved):
    return sum(p * torch.log(p / q) for p, q in zip(softmax(z), softmax(moved), strict=True))


def mean(values):
    values = list(values)
    return sum(values) / len(values)


# the losses


def given(section, *keys):
    return [
        torch.tensor(INPUTS[section][key]) if key == "labels" else tensor(INPUTS[section][key])
        for key in keys
    ]


def test_the_terms_of_trades_are_the_worked_ones():
    clean, moved, labels = given("trades", "clean", "adversarial", "labels")
    assert_close(kl(clean, moved), tensor(VALUES["trades.kl"]), **EXACT)
    assert trades_loss(clean, moved, labels, 0.0).item() == pytest.approx(VALUES["trades.nat"], rel=1e-12)
    assert trades_loss(clean, moved, labels, 6.0).item() == pytest.approx(VALUES["trades"], rel=1e-12)


def test_the_terms_of_mart_are_the_worked_ones():
    clean, moved, labels = given("trades", "clean", "adversarial", "labels")
    assert_close(boosted_cross_entropy(moved, labels), tensor(VALUES["mart.bce"]), **EXACT)
    assert_close(weighted_kl(clean, moved, labels), tensor(VALUES["mart.reg"]), **EXACT)
    assert mart_loss(clean, moved, labels, 6.0).item() == pytest.approx(VALUES["mart"], rel=1e-12)
    assert mart_loss(clean, moved, labels, 5.0).item() == pytest.approx(VALUES["mart5"], rel=1e-12)


def plain_criterion(name, wanted, clean, moved, labels):
    """The formulas of spec §3.5 to §3.7, image by image."""
    losses = []
    for z, a, y in zip(clean, moved, labels.tolist(), strict=True):
        if name == "pgd_at":
            losses.append(nll(a, y))
        elif name == "trades":
            losses.append(nll(z, y) + wanted.beta * divergence(z, a))
        else:
            p, q = softmax(z), softmax(a)
            wrong = max(q[j] for j in range(K) if j != y)
            boosted = nll(a, y) - torch.log(1.0001 - wrong + 1e-12)
            losses.append(boosted + wanted.beta * divergence(z, a) * (1.0000001 - p[y]))
    return mean(losses)


def pool(maps):
    return maps.flatten(2).mean(dim=2)


def captured(wanted, network, monkeypatch):
    """The images that the objective's attack makes, and the same for the loss that is computed next."""
    moved = wanted.adversarial(network, batch())
    monkeypatch.setattr(AdversarialObjective, "adversarial", lambda *_: moved)
    return moved


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


# the attack


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


# fsr: masks and parts


def test_the_masks_are_the_worked_ones():
    scores, uniform = given("mask", "scores", "uniform")
    assert_close(soft_mask(scores, 0.1), tensor(VALUES["fsr.eval_tau1e-1"]), **EXACT)
    assert_close(soft_mask(scores, 0.1, uniform), tensor(VALUES["fsr.train_tau1e-1"]), **EXACT)
    assert_close(soft_mask(scores, 1.0, uniform), tensor(VALUES["fsr.train_tau1"]), **EXACT)


def test_the_mask_is_a_gumbel_softmax_of_two():
    """In the words of the spec: the first of softmax([log r + g_0, log(1 - r) + g_1] / τ)."""
    rng = torch.Generator().manual_seed(0)
    scores = torch.randn(3, 4, generator=rng, dtype=torch.float64)
    uniform = torch.rand(2, 3, 4, generator=rng, dtype=torch.float64)
    r, noise = torch.sigmoid(scores), -torch.log(-torch.log(uniform))
    both = torch.stack([torch.log(r) + noise[0], torch.log(1 - r) + noise[1]]) / 0.3
    assert_close(soft_mask(scores, 0.3, uniform), torch.softmax(both, dim=0)[0], **EXACT)
    assert_close(soft_mask(scores, 0.3, torch.full_like(uniform, 0.5)), soft_mask(scores, 0.3), **EXACT)


@pytest.mark.parametrize("extreme", [0.0, 1 - 2**-24])
def test_an_extreme_draw_gives_a_number(extreme):
    scores = torch.zeros(3, requires_grad=True)
    for draws in itertools.product([extreme, 0.5], repeat=2):
        found = soft_mask(scores, 0.1, torch.tensor(draws)[:, None].expand(2, 3))
        (slope,) = torch.autograd.grad(found.sum(), scores)
        assert torch.isfinite(found).all()
        assert torch.isfinite(slope).all()


def test_the_parts_are_the_worked_ones():
    maps, mask, recalibration = given("parts", "maps", "mask", "recalibration")
    parts = Parts.of(maps, mask, lambda _: recalibration)
    assert_close(parts.robust[None], tensor(VALUES["fsr.rplus"]), **EXACT)
    assert_close(parts.rest[None], tensor(VALUES["fsr.rminus"]), **EXACT)
    assert_close(parts.recalibrated[None], tensor(VALUES["fsr.rtilde"]), **EXACT)
    assert_close(parts.joined[None], tensor(VALUES["fsr.out"]), **EXACT)
    without = Parts.of(maps, mask, None)
    assert without.recalibrated is None
    assert_close(without.joined[None], tensor(VALUES["fsr.rplus"]), **EXACT)


def test_the_losses_are_the_worked_ones():
    names = ("logits", "robust", "rest", "recalibrated", "labels")
    logits, robust, rest, recalibrated, labels = given("losses", *names)
    assert strongest_wrong(logits, labels).tolist() == VALUES["fsr.yprime"]
    first = nn.functional.cross_entropy(logits, labels).item()
    separation = separation_loss(robust, rest, logits, labels).item()
    recalibration = nn.functional.cross_entropy(recalibrated, labels).item()
    assert first == pytest.approx(VALUES["fsr.Lcls"], rel=1e-12)
    assert separation == pytest.approx(VALUES["fsr.Lsep"], rel=1e-12)
    assert recalibration == pytest.approx(VALUES["fsr.Lrec"], rel=1e-12)
    assert first + separation + recalibration == pytest.approx(VALUES["fsr.total"], rel=1e-12)


def test_the_wrong_class_is_the_prediction_or_the_second():
    logits = torch.randn(50, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(50) % 5
    for z, y, found in zip(logits, labels.tolist(), strongest_wrong(logits, labels).tolist(), strict=True):
        order = sorted(range(5), key=lambda k, z=z: -z[k])
        assert found == (order[0] if order[0] != y else order[1])
    tied = torch.zeros(2, 3)
    assert strongest_wrong(tied, torch.tensor([0, 1])).tolist() == [1, 0]  # the lowest index


# fsr: the neck


@pytest.mark.parametrize("tokens", [False, True])
@pytest.mark.parametrize("recalibrate", [False, True])
@pytest.mark.parametrize("shape", [(4, C, 1, 1), (4, C, 5, 3)])
def test_the_neck_keeps_shapes_and_in_eval_mode_draws_nothing(tokens, recalibrate, shape):
    torch.manual_seed(0)
    neck = FSR(hidden=HIDDEN, recalibrate=recalibrate).neck(C, tokens=tokens)
    maps = torch.randn(shape)
    trained = neck(maps), neck(maps)
    assert trained[0].shape == shape
    assert not torch.equal(*trained)
    torch.manual_seed(5)
    seeded = neck(maps)
    torch.manual_seed(5)
    assert torch.equal(neck(maps), seeded)
    neck.eval()
    state = torch.get_rng_state()
    assert torch.equal(neck(maps), neck(maps))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(neck(maps), neck.parts(maps).joined)
    with torch.no_grad():
        assert_close(neck(maps[:1]), neck(maps)[:1])  # no image depends on another


@pytest.mark.parametrize("tokens", [False, True])
def test_the_nets_are_three_convolutions_without_biases(tokens):
    neck = SeparationNeck(512, 64, 0.1, recalibrate=True, tokens=tokens)
    norm = PositionNorm if tokens else nn.BatchNorm2d
    for net in (neck.separation, neck.recalibration):
        convolutions = [m for m in net if isinstance(m, nn.Conv2d)]
        shapes = [tuple(m.weight.shape) for m in convolutions]
        assert shapes == [(64, 512, 3, 3), (64, 64, 3, 3), (512, 64, 3, 3)]
        assert all(m.bias is None for m in convolutions)
        assert [type(m) for m in net] == [nn.Conv2d, norm, nn.ReLU, nn.Conv2d, norm, nn.ReLU, nn.Conv2d]
    assert neck.separation is not neck.recalibration


def test_a_position_is_normalised_by_itself():
    maps = torch.randn(2, 7, 3, 4, dtype=torch.float64)
    found = PositionNorm(7).double()(maps)
    for n, i, j in itertools.product(range(2), range(3), range(4)):
        one = maps[n, :, i, j]
        plain = (one - one.mean()) / torch.sqrt(one.var(unbiased=False) + 1e-5)
        assert_close(found[n, :, i, j], plain, **ROUNDING)


def test_the_mask_follows_the_mode():
    torch.manual_seed(0)
    neck = SeparationNeck(C, HIDDEN, 0.1, recalibrate=True, tokens=True).double()
    maps = torch.randn(2, C, 3, 3, dtype=torch.float64)
    scores = neck.separation(maps)
    torch.manual_seed(1)
    uniform = torch.rand(2, *scores.shape, dtype=torch.float64)
    torch.manual_seed(1)
    assert torch.equal(neck.parts(maps).mask, soft_mask(scores, 0.1, uniform))
    assert torch.equal(neck.eval().parts(maps).mask, torch.sigmoid(scores / 0.1))


# fsr: the loss


@pytest.mark.parametrize("tokens", [False, True])
@pytest.mark.parametrize("options", FSRS, ids=str)
def test_fsr_is_the_plain_transcription(options, tokens, monkeypatch):
    wanted, network, modules = make(
        "fsr", tokens=tokens, separation=0.7, recalibration=1.3, temperature=0.8, **options
    )
    network.body[3].p = 0.0
    base, neck, aux, labels = wanted.based_on, network.neck, modules["aux"], batch().labels
    moved = captured(base, network, monkeypatch)
    torch.manual_seed(11)
    f = network.maps(moved)
    draws = torch.rand(2, *f.shape, dtype=torch.float64)
    noise = -torch.log(-torch.log(draws))
    mask = 1 / (1 + torch.exp(-(neck.separation(f) + noise[0] - noise[1]) / 0.8))
    robust, rest = mask * f, (1 - mask) * f
    if wanted.recalibrate:
        recalibrated = rest + (1 - mask) * neck.recalibration(rest)
        joined = robust + recalibrated
    else:
        recalibrated, joined = None, robust
    logits = network.head(pool(joined))
    clean = network(images()) if base.name != "pgd_at" else logits  # with draws of its own
    plain = plain_criterion(base.name, base, clean, logits, labels)
    for z, yes, no, y in zip(logits, aux(pool(robust)), aux(pool(rest)), labels.tolist(), strict=True):
        wrong = max((k for k in range(K) if k != y), key=lambda k, z=z: z[k])
        plain = plain + 0.7 * (nll(yes, y) + nll(no, wrong)) / B
    if recalibrated is not None:
        plain = plain + 1.3 * mean(nll(z, y) for z, y in zip(aux(pool(recalibrated)), labels, strict=True))
    torch.manual_seed(11)
    given = batch()
    loss = wanted.loss(network, given, modules)
    check_gradients(loss, plain, network, aux)
    assert given.notes["mask"] == [pytest.approx(mask.mean().item())]
    expected = {"adversarial_accuracy", "mask", "separation_loss"}
    assert given.notes.keys() == expected | ({"recalibration_loss"} if wanted.recalibrate else set())


def test_the_ablation_has_no_second_net():
    _, full, _ = make("fsr")
    _, without, _ = make("fsr", recalibrate=False)
    names = {n for n, _ in full.named_parameters()} - {n for n, _ in without.named_parameters()}
    assert names == {n for n, _ in full.named_parameters() if n.startswith("neck.recalibration")}
    assert len(names) == 7  # three convolutions, two normalisations


def test_the_auxiliary_head_is_kept():
    wanted, network, modules = make("fsr")
    kept = wanted.finish(network, modules)
    assert {key: tuple(value.shape) for key, value in kept.items()} == {
        "aux.weight": (K, C),
        "aux.bias": (K,),
    }
    f = network.eval().neck.parts(network.maps(images())).rest.mean(dim=(2, 3))
    assert_close(f @ kept["aux.weight"].T + kept["aux.bias"], modules["aux"](f), **EXACT)
    modules["aux"].weight.data.zero_()
    assert kept["aux.weight"].abs().max() > 0


def test_the_neck_must_be_there():
    wanted, network, _ = make("fsr")
    network.neck = None
    setting = Setting(network, C, K, SIZE, 1, torch.zeros(2, 3, SIZE, SIZE, dtype=torch.uint8))
    with pytest.raises(ValueError, match="fsr expected the one that it makes, got none"):
        wanted.modules(setting)
    network.neck = nn.Identity()
    with pytest.raises(ValueError, match="got Identity"):
        wanted.loss(network, batch(), {})


# fsr: its base


def test_the_base_has_its_own_defaults_unless_others_are_given():
    assert objective("fsr").based_on == objective("pgd_at")
    assert objective("fsr", base="trades").based_on == objective("trades")
    named = {"epsilon": 0.1, "attack_steps": 3, "step_size": 0.02}
    assert objective("fsr", base="mart", **named).based_on == objective("mart", **named)
    published = objective("fsr").based_on
    assert published.attack_steps == 10
    assert published.step_size == pytest.approx(published.epsilon / 4)


def test_any_adversarial_training_can_be_the_base(monkeypatch):
    class Squared(AdversarialObjective):
        name = "squared"

        def criterion(self, adversarial, labels, clean):
            return adversarial.square().mean()

    monkeypatch.setitem(registry._found["objectives"], "squared", Squared)
    wanted, network, modules = make("fsr", base="squared", separation=0.0, recalibrate=False)
    assert type(wanted.based_on) is Squared
    moved = captured(wanted.based_on, network, monkeypatch)
    torch.manual_seed(0)
    loss = wanted.loss(network, batch(), modules)
    torch.manual_seed(0)
    assert_close(loss, network(moved).square().mean(), **ROUNDING)


def test_the_code_of_every_base_is_in_the_content_key():
    """A base is found by its name; what is imported counts for whether a training is still valid."""
    bases = {cls.__module__ for cls in objectives().values() if issubclass(cls, AdversarialObjective)}
    assert bases == {f"methods.objectives.{name}" for name in BASES}
    assert bases <= set(_parse("methods.objectives.fsr")[1])


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


# whether it works


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
    assert clean > 0.98
    assert robust < 0.2


@every_objective
def test_adversarial_training_is_robust(name, options):
    clean, robust = accuracies(name, options)
    assert clean > 0.8
    assert robust > 0.6


def test_the_toy_is_what_it_says():
    x, labels = toy(100, 1)
    sign = 2.0 * labels - 1
    red, green = ((x[:, c].mean(dim=(1, 2)) - 0.5) * sign for c in (0, 1))
    assert (red > 0.1).double().mean() == pytest.approx(0.85)
    assert (green > 0).all()
    assert (green < 0.1).all()
