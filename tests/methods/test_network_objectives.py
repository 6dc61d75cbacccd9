"""Objectives with heads, modules or optimizers: worked examples, plain transcriptions, and what stays put."""

import copy
import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.testing import assert_close

from methods.base import Batch, Features, HyperparameterError, NotApplicable, Setting
from methods.detectors.godin import GODIN
from methods.objective import NETWORK
from methods.objectives import _augment
from methods.objectives._curriculum import Average, Curriculum, DomainHead, otsu
from methods.objectives._frozen import statistics_frozen, weights_frozen
from methods.objectives._gan import Discriminator, Generator, discriminator_loss, generator_loss, resized
from methods.objectives._mixmatch import mixed, sharpened, unlabelled_loss, weight_of_unlabelled
from methods.objectives.confidence_loss import confidence_loss
from methods.objectives.deep_generative_classifier import GaussianHead, generative_loss
from methods.objectives.generalized_odin import DecomposedHead
from methods.objectives.ssd import contrastive_loss
from methods.registry import detector, detectors, objective

pytestmark = pytest.mark.usefixtures("one_thread")

WORKED = json.loads((Path(__file__).parent / "network_objective_worked_examples.json").read_text())
VALUES, INPUTS = WORKED["values"], WORKED["inputs"]
EXACT = {"rtol": 1e-12, "atol": 1e-12}
ROUNDING = {"rtol": 1e-9, "atol": 1e-11}  # sums in another order, through a network in float64
D, K, B, SIZE, UNLABELLED = 5, 3, 6, 8, 14
NAMES = ("generalized_odin", "deep_generative_classifier", "ssd", "joint_confidence_gan", "mtc")
SMALL = {"joint_confidence_gan": {"width": 1, "noise": 4}, "mtc": {"history": 2}}
every_objective = pytest.mark.parametrize("name", NAMES)


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


class Network(nn.Module):
    def __init__(self, head=None):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, D, 3, 2, 1, bias=False), nn.BatchNorm2d(D), nn.Tanh(), nn.AdaptiveAvgPool2d(1)
        )
        self.head = head or nn.Linear(D, K)

    def penultimate(self, images):
        return self.body(images - 0.5).flatten(1)

    def forward(self, images):
        return self.head(self.penultimate(images))


def images(n=B, seed=0, size=SIZE):
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def make(name, dtype=torch.float64, seed=0, epochs=4, **hyperparameters):
    """An objective, its network on first weights, and its modules."""
    torch.manual_seed(seed)
    wanted = objective(name, **{**SMALL.get(name, {}), **hyperparameters})
    network = Network(wanted.head(D, K)).to(dtype)
    val = torch.zeros(2, 3, SIZE, SIZE, dtype=torch.uint8)
    setting = Setting(network, D, K, SIZE, epochs, val, unlabelled=UNLABELLED)
    modules = wanted.modules(setting)
    return wanted, network, {key: module.to(dtype) for key, module in modules.items()}


def batch(seed=0, progress=0.0, epochs=4, **changes):
    given = {
        "images": images(B, 1),
        "labels": torch.arange(B) % K,
        "unlabelled": images(4, 2),
        "rows": torch.tensor([3, 0, 7, 12]),
        "progress": progress,
        "epochs": epochs,
        "rng": torch.Generator().manual_seed(seed),
    }
    return Batch(**{**given, **changes})


def parameters(*modules):
    return {f"{i}.{n}": p for i, module in enumerate(modules) for n, p in module.named_parameters()}


def gradients(loss, *modules):
    found = parameters(*modules)
    given = torch.autograd.grad(loss, list(found.values()), allow_unused=True)
    return dict(zip(found, given, strict=True))


def check_gradients(loss, plain, *modules):
    assert_close(loss, plain, **ROUNDING)
    ours, theirs = gradients(loss, *modules), gradients(plain, *modules)
    assert any(g is not None and g.abs().max() > 1e-6 for g in ours.values())
    for key, ours_ in ours.items():
        assert (ours_ is None) == (theirs[key] is None), key
        if ours_ is not None:
            assert_close(ours_, theirs[key], **ROUNDING, msg=lambda m, key=key: f"{key}: {m}")


def nll(logits, label):
    return -(logits[label] - torch.log(sum(torch.exp(z) for z in logits)))


def mean(values):
    values = list(values)
    return sum(values) / len(values)


# generalized_odin, godin


def decomposed(similarity, g=None):
    given = INPUTS["godin"]
    head = DecomposedHead(3, 2, similarity).double().eval()
    with torch.no_grad():
        head.weight.copy_(tensor(given["W"]))
        if head.bias is not None:
            head.bias.copy_(tensor(given["b"]))
    if g is not None:
        head.doubt = nn.Module()
        head.doubt.forward = lambda f: g[: len(f), None] + 0 * f[:, :1]
    return head


@pytest.mark.parametrize(
    ("similarity", "key", "factor"),
    [("inner", "hI", 1), ("euclid", "hE_mean", 1), ("euclid", "hE_sum", 3)],
)
def test_h_is_the_worked_one(similarity, key, factor):
    found = decomposed(similarity).h(tensor(INPUTS["godin"]["f"]))
    assert_close(factor * found, tensor(VALUES[f"godin.{key}"]), **EXACT)


def test_the_cosine_h_g_and_logits_are_the_worked_ones():
    """The worked cosine has 1e-4 added to both norms, as the text says."""
    head = decomposed("cosine", tensor(INPUTS["godin"]["normed"]))
    f = tensor(INPUTS["godin"]["f"])
    assert_close(head.h(f), tensor(VALUES["godin.hC"]), **EXACT)
    assert_close(head.g(f)[:, 0], tensor(VALUES["godin.g"]), **EXACT)
    assert_close(head(f), tensor(VALUES["godin.logits_C"]), **EXACT)
    assert_close(head.outputs(f), torch.cat([head.h(f), head.g(f)], dim=1), **EXACT)
    scores = GODIN().score(Features(head(f), outputs=head.outputs(f)))
    assert_close(scores, tensor(VALUES["godin.score_h"]), **EXACT)
    g = GODIN(part="g").score(Features(head(f), outputs=head.outputs(f)))
    assert_close(g, tensor(VALUES["godin.g"]), **EXACT)


def test_a_g_of_zero_leaves_finite_logits():
    head = decomposed("cosine", tensor([-800.0, 0.0]))
    f = tensor(INPUTS["godin"]["f"])
    assert_close(head(f)[0], head.h(f)[0] * 1e6, **EXACT)
    loss = functional.cross_entropy(head(f), torch.tensor([0, 1]))
    assert torch.isfinite(torch.autograd.grad(loss, head.weight)[0]).all()


def test_only_what_h_is_made_of_is_undecayed():
    for similarity, expected in [
        ("inner", {"weight", "bias"}),
        ("euclid", {"weight"}),
        ("cosine", {"weight"}),
    ]:
        head = DecomposedHead(D, K, similarity)
        assert head.no_weight_decay() == expected
        assert expected <= {name for name, _ in head.named_parameters()}
        assert head.linear is None


def test_the_weights_of_h_are_kaiming_normal():
    torch.manual_seed(0)
    weight = DecomposedHead(400, 50, "inner").weight
    assert weight.std().item() == pytest.approx(math.sqrt(2 / 400), rel=0.02)  # 5 standard errors are 0.025


def euclidean(x):
    head = decomposed("euclid", tensor([0.0, 0.0]))
    f = x.flatten(1)
    return Features(head(f), outputs=head.outputs(f))


def test_the_step_of_godin_is_the_worked_one():
    x = tensor(INPUTS["godin"]["f"])[:, :, None, None]
    assert_close(GODIN().score_images(euclidean, x), tensor(VALUES["godin.scoreE"]), **EXACT)
    stepped = GODIN(epsilon=INPUTS["godin"]["epsilon"])
    direction = stepped.direction(euclidean, x)
    assert torch.equal(direction.flatten(1), -tensor(VALUES["godin.gradE"]).sign())
    assert_close((x - 0.01 * direction).flatten(1), tensor(VALUES["godin.x2"]), **EXACT)
    assert_close(stepped.score_images(euclidean, x), tensor(VALUES["godin.scoreE_pert"]), **EXACT)
    assert_close(stepped.score_images(euclidean, x, direction), tensor(VALUES["godin.scoreE_pert"]), **EXACT)
    loss = stepped.loss(euclidean(x))
    assert_close(loss, -tensor(VALUES["godin.scoreE"]), **EXACT)


def test_a_pixel_without_a_gradient_is_raised():
    x = torch.full((1, 3, 1, 1), 0.5, dtype=torch.float64)
    seen = []

    def network(images):
        seen.append(images)
        return Features(torch.zeros(1, 2), outputs=(0 * images).flatten(1))

    GODIN(epsilon=0.25).score_images(network, x)
    assert torch.equal(seen[-1], x + 0.25)


def test_the_step_is_chosen_from_the_published_grid():
    assert GODIN.step_grid == (0, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08)
    assert GODIN().step == 0
    assert GODIN(epsilon=0.02).step == 0.02


@pytest.mark.parametrize(
    ("name", "width", "message"),
    [
        ("godin", K, "no generalized ODIN head: 3 outputs for 3 classes"),
        ("mcdd", K + 1, "no head of class distances: 4 outputs for 3 classes"),
        ("domain", K, "no domain head: 3 outputs"),
    ],
)
def test_outputs_of_another_head_are_not_applicable(name, width, message):
    with pytest.raises(NotApplicable, match=message):
        detector(name).score(Features(torch.zeros(2, K), outputs=torch.zeros(2, width)))


@pytest.mark.parametrize("h", ["inner", "euclid", "cosine"])
def test_generalized_odin_is_the_plain_transcription(h):
    wanted, network, modules = make("generalized_odin", h=h)
    with torch.no_grad():
        for p in network.head.parameters():
            p.add_(0.3 * torch.randn_like(p))
    given, head = batch(), network.head
    f = network.penultimate(given.images)
    linear, norm = head.doubt
    a = [sum(linear.weight[0] * row) + linear.bias[0] for row in f]
    centre = mean(a)
    variance = mean((x - centre) ** 2 for x in a)
    losses = []
    for row, x, label in zip(f, a, given.labels, strict=True):
        post = norm.weight[0] * (x - centre) / torch.sqrt(variance + norm.eps) + norm.bias[0]
        g = 1 / (1 + torch.exp(-post))
        if h == "inner":
            values = [sum(row * w) + b for w, b in zip(head.weight, head.bias, strict=True)]
        elif h == "euclid":
            values = [-mean((row - w) ** 2) for w in head.weight]
        else:
            norms = [torch.sqrt(sum(w**2)) + 1e-4 for w in head.weight]
            values = [
                sum(row * w) / n / (torch.sqrt(sum(row**2)) + 1e-4)
                for w, n in zip(head.weight, norms, strict=True)
            ]
        losses.append(nll(torch.stack(values) / g, label))
    check_gradients(wanted.loss(network, given, modules), mean(losses), network)


# deep_generative_classifier, mcdd


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


# ssd


def test_the_contrastive_losses_are_the_worked_ones():
    views, temperature = tensor(INPUTS["ssd"]["views"]), INPUTS["ssd"]["temperature"]
    alone = contrastive_loss(views, torch.tensor([0, 1, 0, 1]), temperature)
    assert_close(alone, tensor(VALUES["ntx.each"]), **EXACT)
    assert alone.mean().item() == pytest.approx(VALUES["ntx"], rel=1e-12)
    assert (alone.mean() * temperature / 0.07).item() == pytest.approx(VALUES["ntx.scaled"], rel=1e-12)
    together = contrastive_loss(views, torch.zeros(4), temperature)
    assert together.mean().item() == pytest.approx(VALUES["supcon.same"], rel=1e-12)


def test_an_anchor_that_is_alone_has_no_loss():
    loss = contrastive_loss(tensor(INPUTS["ssd"]["views"]), torch.tensor([0, 0, 0, 1]), 0.5)
    assert loss[3] == 0
    assert torch.isfinite(loss).all()


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("scaled", [False, True])
def test_ssd_is_the_plain_transcription(labels, scaled):
    wanted, network, modules = make(
        "ssd", labels=labels, temperature=0.4, base_temperature_factor=scaled, projection=7
    )
    projection, rng = modules["projection"], torch.Generator().manual_seed(5)
    given = batch(seed=5)
    views = torch.cat([_augment.contrastive_view(given.images, rng) for _ in range(2)])
    f = network.penultimate(views)
    v = [p / torch.sqrt(sum(p**2)) for p in projection(f)]
    both = [*given.labels.tolist(), *given.labels.tolist()]
    losses = []
    for i in range(2 * B):
        others = [a for a in range(2 * B) if a != i]
        positive = [a for a in others if (both[a] == both[i] if labels else a % B == i % B)]
        below = torch.log(sum(torch.exp(sum(v[i] * v[a]) / 0.4) for a in others))
        losses.append(-mean(sum(v[i] * v[j]) / 0.4 - below for j in positive))
    probe = mean(nll(network.head(row.detach()), y) for row, y in zip(f, both, strict=True))
    plain = mean(losses) * (0.4 / 0.07 if scaled else 1) + probe
    check_gradients(wanted.loss(network, given, modules), plain, network, projection)
    assert given.notes["probe_loss"] == [pytest.approx(probe.item())]


def test_the_probe_of_ssd_leaves_the_features_alone():
    wanted, network, modules = make("ssd")
    given = batch()
    wanted.loss(network, given, modules)
    with torch.no_grad():
        network.head.weight.mul_(1000)
    before = gradients(wanted.loss(network, batch(), modules), network.body)
    with torch.no_grad():
        network.head.weight.zero_()
    after = gradients(wanted.loss(network, batch(), modules), network.body)
    assert all(torch.equal(before[key], after[key]) for key in before)


# joint_confidence_gan


def test_the_gan_losses_are_the_worked_ones():
    real, fake = tensor(INPUTS["gan"]["real"]), tensor(INPUTS["gan"]["fake"])
    t1 = INPUTS["T1"]
    logits, outside = tensor(t1["Z_in"]), tensor(t1["Z_out"])
    assert discriminator_loss(real, fake).item() == pytest.approx(VALUES["gan.LD"], rel=1e-12)
    assert generator_loss(fake, outside, 0.0).item() == pytest.approx(VALUES["gan.LGadv"], rel=1e-12)
    assert generator_loss(fake, outside, 1.0).item() == pytest.approx(VALUES["gan.LG"], rel=1e-12)
    found = confidence_loss(logits, torch.tensor(t1["y"]), outside, 1.0).item()
    assert found == pytest.approx(VALUES["gan.LC"], rel=1e-12)


def test_the_gan_is_built_as_published():
    generator, discriminator = Generator(100, 64), Discriminator(64)
    shapes = [tuple(m.weight.shape) for m in generator.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert shapes == [(100, 512, 4, 4), (512, 256, 4, 4), (256, 128, 4, 4), (128, 3, 4, 4)]
    shapes = [tuple(m.weight.shape) for m in discriminator.modules() if isinstance(m, nn.Conv2d)]
    assert shapes == [(128, 3, 4, 4), (256, 128, 4, 4), (512, 256, 4, 4), (1, 512, 4, 4)]
    for network, norms in [(generator, 3), (discriminator, 2)]:
        kinds = [type(m) for m in network.modules()]
        assert kinds.count(nn.BatchNorm2d) == norms
        weights = [m.weight for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
        deviation = torch.cat([w.flatten() for w in weights]).std().item()
        assert deviation == pytest.approx(0.02, rel=0.01)
    assert generator.fixed.shape == (16, 100)


def test_the_gan_steps_are_the_plain_transcription():
    wanted, network, modules = make("joint_confidence_gan", beta=0.6)
    generator, discriminator = modules["generator"], modules["discriminator"]
    given, rng = batch(seed=3), torch.Generator().manual_seed(3)
    steps = wanted.steps(network, given, modules)

    def log_sigmoid(a):
        return -torch.log(1 + torch.exp(-a))

    def kl(logits):
        p = torch.softmax(logits, dim=0)
        return sum(torch.log(1 / K / q) / K for q in p)

    def small(x):
        return functional.interpolate(x, (SIZE, SIZE), mode="bilinear", antialias=True)

    large = functional.interpolate(given.images, (32, 32), mode="bilinear", antialias=True)
    noise = torch.randn(B, 4, generator=rng).double()
    name, loss = next(steps)
    assert name == "discriminator"
    fakes = generator(noise)
    plain = -mean(log_sigmoid(a) for a in discriminator(large)) - mean(
        log_sigmoid(-a) for a in discriminator(fakes.detach())
    )
    check_gradients(loss, plain, discriminator)

    name, loss = next(steps)
    assert name == "generator"
    plain = -mean(log_sigmoid(a) for a in discriminator(fakes))
    plain = plain + 0.6 * mean(kl(z) for z in network(small(fakes)))
    check_gradients(loss, plain, generator)

    name, loss = next(steps)
    assert name == NETWORK
    noise = torch.randn(B, 4, generator=rng).double()
    plain = mean(nll(z, y) for z, y in zip(network(given.images), given.labels, strict=True))
    plain = plain + 0.6 * mean(kl(z) for z in network(small(generator(noise).detach())))
    check_gradients(loss, plain, network)
    assert next(steps, None) is None


def test_each_loss_of_the_gan_gives_gradients_to_its_own_network_alone():
    wanted, network, modules = make("joint_confidence_gan")
    network.head.bias.requires_grad_(False)  # frozen before, frozen after
    owners = {NETWORK: network, **modules}
    everything = [*network.parameters(), *(p for m in modules.values() for p in m.parameters())]
    for name, loss in wanted.steps(network, batch(), modules):
        for p in everything:
            p.grad = None
        loss.backward()
        reached = {id(p) for p in everything if p.grad is not None}
        assert reached == {id(p) for p in owners[name].parameters() if p.requires_grad}
    assert [n for n, p in network.named_parameters() if not p.requires_grad] == ["head.bias"]
    assert all(p.requires_grad for m in modules.values() for p in m.parameters())


def test_fakes_leave_the_running_statistics_alone():
    wanted, network, modules = make("joint_confidence_gan")
    alone = copy.deepcopy(network)
    alone(batch().images)
    for _ in wanted.steps(network, batch(), modules):
        pass
    expected = alone.state_dict()
    assert expected["body.1.num_batches_tracked"] == 1
    assert all(torch.equal(value, expected[key]) for key, value in network.state_dict().items())
    assert all(m.track_running_stats for m in network.modules() if isinstance(m, nn.BatchNorm2d))


def test_frozen_statistics_normalise_as_before():
    norm, x = nn.BatchNorm1d(3, momentum=None), torch.randn(5, 3)
    for training in (True, False):
        norm.train(training)
        before = copy.deepcopy(norm.state_dict())
        with statistics_frozen([norm]):
            frozen = norm(x)
        assert all(torch.equal(value, before[key]) for key, value in norm.state_dict().items())
        assert torch.equal(frozen, norm(x))


def test_what_is_frozen_thaws_after_an_error():
    network = Network()
    network.head.weight.requires_grad_(False)
    with (
        pytest.raises(ZeroDivisionError),
        weights_frozen(network.modules()),
        statistics_frozen(network.modules()),
    ):
        1 / 0  # noqa: B018
    assert [n for n, p in network.named_parameters() if not p.requires_grad] == ["head.weight"]
    assert network.body[1].track_running_stats


@pytest.mark.parametrize(("logit", "share"), [(4.0, 1.0), (3.5, 0.0)])  # max p is 0.965 and 0.943
def test_the_gan_notes_its_health(logit, share):
    wanted, network, modules = make("joint_confidence_gan")
    with torch.no_grad():  # the same for every image
        network.head.weight.zero_()
        network.head.bias.copy_(torch.tensor([0.0, logit, 0.0]))
        modules["discriminator"].layers[-1].weight.zero_()
        modules["discriminator"].layers[-1].bias.fill_(1.0)
    given = batch()
    for _ in wanted.steps(network, given, modules):
        pass
    assert given.notes["confidence_on_fakes"] == [pytest.approx(math.exp(logit) / (math.exp(logit) + 2))]
    assert given.notes["confident_fakes"] == [share]
    assert given.notes["discriminator_accuracy"] == [0.5]  # all taken for real


def test_samples_are_kept_of_the_same_noise():
    wanted, network, modules = make("joint_confidence_gan", dtype=torch.float32)
    before = copy.deepcopy(modules["generator"].state_dict())
    samples = wanted.finish(network, modules)["samples"]
    assert samples.dtype == torch.uint8
    assert samples.shape == (16, 3, 32, 32)
    assert len(samples.unique()) > 5
    assert torch.equal(wanted.finish(network, modules)["samples"], samples)
    assert all(torch.equal(v, before[k]) for k, v in modules["generator"].state_dict().items())
    with torch.no_grad():
        modules["generator"].fixed.neg_()
    assert not torch.equal(wanted.finish(network, modules)["samples"], samples)


def test_the_optimizers_of_the_gan_are_those_of_its_modules():
    wanted, _, modules = make("joint_confidence_gan", lr=0.01)
    assert set(wanted.optimizers()) == set(modules)
    for optimizer in wanted.optimizers().values():
        assert (optimizer.name, optimizer.lr, optimizer.weight_decay) == ("adam", 0.01, 0.0)
        assert optimizer.options == {"betas": (0.5, 0.999)}


@pytest.mark.parametrize("size", [28, 32, 50])
def test_a_gan_of_32_pixels_fits_any_classifier(size):
    wanted, network, modules = make("joint_confidence_gan")
    losses = [loss for _, loss in wanted.steps(network, batch(images=images(B, 1, size)), modules)]
    assert all(torch.isfinite(loss) for loss in losses)
    assert resized(images(2, size=32), 32, 32).shape == (2, 3, 32, 32)


def test_the_gan_learns_to_be_unsure_of_fakes():
    """The parts of Lee et al.'s loss pull where they should: a few steps on one batch lower all of it."""
    wanted, network, modules = make("joint_confidence_gan", dtype=torch.float32, beta=2.0, width=2)
    with torch.no_grad():
        network.head.bias.copy_(torch.tensor([0.0, 4.0, 0.0]))
    optimizers = {
        NETWORK: torch.optim.Adam(network.parameters(), 0.05),
        **{name: torch.optim.Adam(m.parameters(), 0.002, (0.5, 0.999)) for name, m in modules.items()},
    }
    rng, confidence = torch.Generator().manual_seed(0), []
    for _ in range(60):
        given = batch(images=images(B, 1).float(), rng=rng)
        for name, loss in wanted.steps(network, given, modules):
            optimizers[name].zero_grad()
            loss.backward()
            optimizers[name].step()
        confidence += given.notes["confidence_on_fakes"]
    assert confidence[0] > 0.9
    assert confidence[-1] < 0.6


# mtc


def test_otsu_is_the_worked_one_and_keeps_what_a_histogram_does_not_part():
    values = torch.tensor(INPUTS["otsu"])
    found = otsu(values.double())
    assert found == pytest.approx(tuple(VALUES["otsu.exact"]), rel=1e-7)  # of float32 values
    assert int((values >= found[1]).sum()) == 4
    assert int((values >= VALUES["otsu.hist256"]).sum()) == VALUES["otsu.keep"]
    assert otsu(tensor(INPUTS["otsu"])) == pytest.approx(tuple(VALUES["otsu.exact"]), rel=1e-12)


def test_otsu_takes_the_smallest_of_equal_thresholds():
    assert otsu(tensor([1.0, 0.0, 0.5])) == (pytest.approx(0.125), 0.25)  # (1/3)(2/3)(3/4)²


@pytest.mark.parametrize("values", [[0.0, 0.0, 0.0], [0.7]])
def test_values_that_are_all_the_same_are_all_kept(values):
    assert otsu(tensor(values)) == (0.0, values[0])


@pytest.mark.parametrize("seed", range(5))
def test_otsu_is_the_best_of_all_midpoints(seed):
    values = torch.rand(30, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).round(
        decimals=1
    )
    unique = sorted(set(values.tolist()))
    found = []
    for low, high in itertools.pairwise(unique):
        t = (low + high) / 2
        lower, upper = [v for v in values.tolist() if v < t], [v for v in values.tolist() if v >= t]
        variance = len(lower) * len(upper) / 900 * (np.mean(lower) - np.mean(upper)) ** 2
        found.append((variance, t))
    assert otsu(values) == pytest.approx(max(found, key=lambda pair: pair[0]), rel=1e-12)


def test_sharpening_and_the_ramp_are_the_worked_ones():
    given = INPUTS["sharpen"]
    assert_close(sharpened(tensor([given["p"]]), given["temperature"])[0], tensor(VALUES["sharpen"]), **EXACT)
    assert_close(sharpened(tensor([[1.0, 0.0]]), 0.5), tensor([[1.0, 0.0]]), **EXACT)
    ramp = INPUTS["ramp"]
    assert weight_of_unlabelled(ramp["epochs"], ramp["weight"], ramp["length"]) == VALUES["mtc.ramp"]
    assert [weight_of_unlabelled(e, 75, 16) for e in (0, 16, 100)] == [0, 75, 75]
    assert weight_of_unlabelled(0, 75, 0) == 75


def test_the_mean_squared_difference_is_of_probabilities():
    logits = tensor([[2.0, 0.0], [0.0, 0.0]])
    p = math.exp(2) / (math.exp(2) + 1)
    found = unlabelled_loss(logits, tensor([[1.0, 0.0], [0.5, 0.5]]))
    assert found.item() == pytest.approx(2 * (1 - p) ** 2 / 4, rel=1e-12)
    assert unlabelled_loss(torch.zeros(0, 2), torch.zeros(0, 2)) == 0


def test_the_image_itself_is_the_larger_part_of_a_mix():
    for seed in range(20):
        x = torch.arange(5.0).reshape(5, 1, 1, 1) ** 3
        targets = torch.eye(5)
        found, labels = mixed(x, targets, 0.75, torch.Generator().manual_seed(seed))
        assert (labels.diagonal() >= 0.5).all()
        assert_close(labels.sum(dim=1), torch.ones(5))
        assert_close(found.flatten(), labels @ x.flatten())


def test_domain_labels_are_means_of_the_last_epochs():
    curriculum = Curriculum(4, 3)
    said = {0: [0.2, 0.4, 0.9, 0.6, 0.1], 2: [0.5, 0.5, 0.5, 0.8, 0.7]}
    for epoch in range(5):
        curriculum.store(torch.tensor([0]), torch.tensor([0.99]))  # overruled by the last
        for row, values in said.items():
            curriculum.store(torch.tensor([row]), torch.tensor([values[epoch]]))
        if epoch in (0, 4):  # image 3 is seen twice in all
            curriculum.store(torch.tensor([3]), torch.tensor([0.9]))
        curriculum.end_epoch()
        last = slice(max(0, epoch - 2), epoch + 1)
        expected = [np.mean(said[i][last]) if i in said and epoch >= 2 else 0.0 for i in range(4)]
        assert_close(curriculum.labels, torch.tensor(expected, dtype=torch.float32))
    assert curriculum.counts.tolist() == [5, 0, 5, 2]
    assert not curriculum.seen.any()
    # labels 0.533, 0, 0.667, 0: the threshold is between 0 and 0.533
    assert curriculum.threshold.item() == pytest.approx(1.6 / 6, rel=1e-6)
    assert curriculum.kept(torch.tensor([2, 1, 0, 3])).tolist() == [True, False, True, False]


def test_all_unlabelled_images_are_kept_before_there_is_a_threshold():
    curriculum = Curriculum(3, 2)
    assert curriculum.kept(torch.arange(3)).all()
    curriculum.store(torch.tensor([1]), torch.tensor([0.4]))
    curriculum.end_epoch()
    assert curriculum.kept(torch.arange(3)).all()


def test_the_domain_loss_is_that_of_soft_labels():
    curriculum = Curriculum(4, 2).double()
    curriculum.labels.copy_(tensor([0.1, 0.2, 0.3, 0.4]))
    logits = tensor([1.0, -2.0, 0.5, 3.0])
    p = 1 / (1 + torch.exp(-logits))
    labels = [1, 1, 0.4, 0.1]
    plain = -mean(y * torch.log(q) + (1 - y) * torch.log(1 - q) for y, q in zip(labels, p, strict=True))
    assert_close(curriculum.loss(logits, torch.tensor([3, 0])), plain, **EXACT)
    assert_close(curriculum.current, torch.stack([p[3], tensor(0), tensor(0), p[2]]), **EXACT)
    assert curriculum.seen.tolist() == [True, False, False, True]


@pytest.mark.parametrize(
    ("share", "epochs", "expected"),
    [
        (100 / 1124, 1124, 100),
        (100 / 1124, 18, 2),
        (0.5, 18, 9),
        (0.1, 2, 1),
        (1.0, 5, 4),
        (0.1, 1, 0),
        (0.0, 9, 0),
    ],
)
def test_the_first_stage_is_a_share_of_the_epochs(share, epochs, expected):
    assert objective("mtc", stage_one=share).first_epochs(epochs) == expected
    assert objective("mtc").stage_one == 100 / 1124


def test_the_first_stage_of_mtc_trains_the_domain_alone():
    wanted, network, modules = make("mtc")
    given, rng = batch(seed=4), torch.Generator().manual_seed(4)
    views = _augment.weak_view(given.unlabelled, rng)
    modules["curriculum"].labels.copy_(torch.linspace(0, 1, UNLABELLED))
    labels = [1.0] * B + [row / (UNLABELLED - 1) for row in given.rows.tolist()]
    d = network.head.domain(network.penultimate(torch.cat([given.images, views])))[:, 0]
    p = 1 / (1 + torch.exp(-d))
    plain = -mean(y * torch.log(q) + (1 - y) * torch.log(1 - q) for y, q in zip(labels, p, strict=True))
    modules["curriculum"].double()
    modules["curriculum"].labels.copy_(torch.linspace(0, 1, UNLABELLED, dtype=torch.float64))
    check_gradients(wanted.loss(network, given, modules), plain, network)
    assert set(given.notes) == {"domain_loss"}
    assert network.body[1].num_batches_tracked == 2  # by the loss, and by this test


@pytest.mark.parametrize("kept", [4, 2, 0])
def test_the_second_stage_of_mtc_is_the_plain_transcription(kept):
    wanted, network, modules = make("mtc", weight=30.0, ramp=2.0, temperature=0.7, mixing=0.6, flip=False)
    curriculum = modules["curriculum"]
    given, rng = batch(seed=4, progress=2.5), torch.Generator().manual_seed(4)
    chosen = [0, 1, 2, 3][:kept]
    with torch.no_grad():
        curriculum.labels[given.rows[:kept]] = 0.9
        curriculum.threshold.fill_(0.5)
    labels = [1.0] * B + [0.9] * kept + [0.0] * (4 - kept)

    seen = torch.cat([given.images, _augment.weak_view(given.unlabelled, rng, False)])
    d = network.head.domain(network.penultimate(seen))[:, 0]
    p = 1 / (1 + torch.exp(-d))
    plain = -mean(y * torch.log(q) + (1 - y) * torch.log(1 - q) for y, q in zip(labels, p, strict=True))
    views = [_augment.weak_view(given.unlabelled[chosen], rng, False) for _ in range(2)]
    targets = [[float(y == k) for k in range(K)] for y in given.labels]
    if kept:
        with torch.no_grad():
            first, second = torch.softmax(network(torch.cat(views)), dim=1).split(kept)
        guesses = []
        for a, b in zip(first, second, strict=True):
            q = [((x + y) / 2).item() ** (1 / 0.7) for x, y in zip(a, b, strict=True)]
            guesses.append([x / sum(q) for x in q])
        targets += guesses + guesses
    inputs, targets = torch.cat([given.images, *views]), tensor(targets)
    drawn = np.random.default_rng(int(torch.randint(2**62, (), generator=rng))).beta(0.6, 0.6)
    share = max(drawn, 1 - drawn)
    others = torch.randperm(len(inputs), generator=rng)
    logits = network(share * inputs + (1 - share) * inputs[others])
    targets = share * targets + (1 - share) * targets[others]
    plain = plain + mean(
        sum(q * nll(z, k) for k, q in enumerate(row)) for z, row in zip(logits[:B], targets[:B], strict=True)
    )
    if kept:
        probabilities = torch.softmax(logits[B:], dim=1)
        squares = [(a - b) ** 2 for a, b in zip(probabilities.flatten(), targets[B:].flatten(), strict=True)]
        plain = plain + 30 * min(1, 1.5 / 2) * mean(squares)
    check_gradients(wanted.loss(network, given, modules), plain, network)
    assert given.notes["kept"] == [kept / 4]


def test_the_domain_loss_leaves_the_running_statistics_alone_in_the_second_stage():
    """With nothing unlabelled kept, the one update is that of the mixed images."""
    for progress, updates in [(0.5, 1), (2.0, 1)]:
        wanted, network, modules = make("mtc")
        modules["curriculum"].threshold.fill_(0.5)
        wanted.loss(network, batch(progress=progress), modules)
        assert network.body[1].num_batches_tracked == updates
    # Of the first stage all 10 images, of the second the 6 labelled ones, mixed.
    wanted, network, modules = make("mtc")
    modules["curriculum"].threshold.fill_(0.5)
    outlying = batch(progress=2.0, unlabelled=torch.ones(4, 3, SIZE, SIZE, dtype=torch.float64))
    wanted.loss(network, outlying, modules)
    twin = make("mtc")[1]
    twin.load_state_dict(make("mtc")[1].state_dict())
    modules["curriculum"].labels.zero_()
    wanted.loss(twin, batch(progress=2.0), modules)
    assert torch.equal(network.body[1].running_mean, twin.body[1].running_mean)


def test_the_average_is_the_recurrence():
    network = Network().double()
    average = Average(network, 0.5).double()
    expected, values = None, []
    for t in range(30):
        with torch.no_grad():
            network.head.weight.fill_(math.sin(t))
            network.body[1].running_mean.fill_(t)
        values.append(math.sin(t))
        weight = min(0.5, t / (t + 9))
        expected = values[-1] if expected is None else weight * expected + (1 - weight) * values[-1]
        average.update(network)
    last = copy.deepcopy(network)
    average.give_to(network)
    assert_close(network.head.weight, torch.full_like(network.head.weight, expected), **EXACT)
    assert 20 < network.body[1].running_mean[0] < 29
    assert torch.equal(network.body[1].weight, last.body[1].weight)  # constant all along


def test_the_average_starts_with_the_second_stage_and_is_used_in_the_end():
    wanted, network, modules = make("mtc", decay=0.9)
    average = modules["average"]
    with torch.no_grad():
        network.head.classifier.bias.fill_(7.0)
    wanted.finish(network, modules)
    assert (network.head.classifier.bias == 7).all()  # no average yet
    seen = []
    for progress in (0.0, 1.0, 2.0, 3.0):
        steps = wanted.steps(network, batch(progress=progress), modules)
        next(steps)
        with torch.no_grad():  # as an optimizer would
            network.head.classifier.weight.fill_(10 * progress)
        assert next(steps, None) is None
        seen.append(int(average.updates))
    assert seen == [0, 1, 2, 3]
    kept = wanted.finish(network, modules)
    expected = 10.0
    for t, value in [(1, 20.0), (2, 30.0)]:
        expected = t / (t + 9) * expected + 9 / (t + 9) * value
    found = network.head.classifier.weight
    assert_close(found, torch.full_like(found, expected), **EXACT)
    assert kept["domain_labels"].shape == (UNLABELLED,)


def test_the_domain_head_shows_its_linear_layer():
    head = DomainHead(D, K)
    f = torch.randn(4, D)
    assert isinstance(head.linear, nn.Linear)
    assert torch.equal(head(f), head.linear(f))
    assert head.outputs(f).shape == (4, 1)
    scores = detector("domain").score(Features(head(f), outputs=head.outputs(f)))
    assert_close(scores, 1 / (1 + torch.exp(-head.domain(f)[:, 0].double())))


def test_mtc_finds_the_outliers_among_the_unlabelled():
    """Dark images are labelled; half of the unlabelled ones are bright. Trained for a dozen epochs."""
    rng = torch.Generator().manual_seed(0)
    wanted, network, modules = make("mtc", dtype=torch.float32, epochs=12, history=3, stage_one=0.5)
    dark = 0.4 * images(12, 3).float()
    mixture = torch.cat([0.4 * images(7, 4), 0.6 + 0.4 * images(7, 5)]).float()
    optimizer = torch.optim.Adam(network.parameters(), 0.02)
    notes = {}
    for epoch in range(12):
        for step, rows in enumerate(torch.randperm(14, generator=rng).split(5)):
            given = batch(
                images=dark,
                labels=torch.arange(12) % K,
                unlabelled=mixture[rows],
                rows=rows,
                progress=epoch + step / 3,
                epochs=12,
                rng=rng,
                notes=notes,
            )
            for _, loss in wanted.steps(network, given, modules):
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        wanted.end_epoch(network, modules, epoch + 1)
    wanted.finish(network, modules)
    labels = modules["curriculum"].labels
    assert labels[:7].min() > labels[7:].max() + 0.2
    assert modules["curriculum"].kept(torch.arange(14)).tolist() == [True] * 7 + [False] * 7
    assert 0.3 < np.mean(notes["kept"]) < 0.7
    network.eval()
    with torch.no_grad():
        d = network.head.outputs(network.penultimate(mixture))[:, 0]
    assert d[:7].min() > d[7:].max()


# views


def pictures(n=40, size=16):
    """Smooth colour images, all different."""
    small = torch.rand(n, 3, 4, 4, generator=torch.Generator().manual_seed(9))
    return functional.interpolate(small, (size, size), mode="bilinear")


VIEWS = {
    "contrastive_view": _augment.contrastive_view,
    "weak_view": _augment.weak_view,
    "resized_crop": _augment.resized_crop,
    "colour_jitter": _augment.colour_jitter,
    "gray": _augment.gray,
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_a_view_is_an_image_drawn_from_the_generator(view):
    x = pictures()
    before = x.clone()
    found = view(x, torch.Generator().manual_seed(1))
    assert torch.equal(x, before)
    assert found.shape == x.shape
    assert found.dtype == x.dtype
    assert found.min() >= 0
    assert found.max() <= 1
    torch.manual_seed(7)  # the global generator has no say
    assert torch.equal(view(x, torch.Generator().manual_seed(1)), found)
    assert not torch.equal(view(x, torch.Generator().manual_seed(2)), found)
    assert view(x.double(), torch.Generator().manual_seed(1)).dtype == torch.float64


def test_a_weak_view_of_no_image_is_none():
    assert _augment.weak_view(images(0), torch.Generator()).shape == (0, 3, SIZE, SIZE)


def test_a_shift_takes_pixels_from_where_it_says():
    x = torch.arange(9 * 7.0).reshape(1, 1, 9, 7).expand(30, 3, 9, 7)
    for flip in (False, True):
        found = _augment.shift(x, torch.Generator().manual_seed(0), 2, flip)
        padded = functional.pad(x[:1], (2, 2, 2, 2), mode="reflect")
        crops = [padded[0, :, i : i + 9, j : j + 7] for i in range(5) for j in range(5)]
        crops += [crop.flip(2) for crop in crops] if flip else []
        which = [[torch.equal(image, crop) for crop in crops] for image in found]
        assert all(any(row) for row in which)
        assert len({row.index(True) for row in which}) > 10


def test_a_box_is_a_fifth_to_all_of_the_image_and_inside():
    """Of an image that holds its own coordinates the crop's corners are the box's."""
    ramp = ((torch.arange(64) + 0.5) / 64).expand(64, 64)
    x = torch.stack([ramp, ramp.T, ramp]).expand(300, 3, 64, 64)
    found = _augment.resized_crop(x, torch.Generator().manual_seed(0)).double()
    width = (found[:, 0, 32, -1] - found[:, 0, 32, 0]) * 64 / 63
    height = (found[:, 1, -1, 32] - found[:, 1, 0, 32]) * 64 / 63
    inner = width.abs() < 0.95  # the border's pixels are clamped in a box that reaches it
    area, aspect = (width.abs() * height)[inner], (width.abs() / height)[inner]
    assert 0.19 < area.min() < 0.25
    assert area.max() <= 1
    assert 0.74 < aspect.min() < 0.8
    assert 1.25 < aspect.max() < 1.35
    assert 0.4 < (width < 0).double().mean() < 0.6  # mirrored
    assert height.min() > 0
    unmirrored = _augment.resized_crop(x, torch.Generator().manual_seed(0), flip=False)
    assert (unmirrored[:, 0, 32, -1] > unmirrored[:, 0, 32, 0]).all()
    whole = _augment.resized_crop(x, torch.Generator(), area=(1, 1), ratio=(1, 1), flip=False)
    assert_close(whole, x.contiguous(), rtol=0, atol=1e-5)


def test_a_fifth_of_the_views_is_gray_and_a_fifth_keeps_its_colours():
    x = pictures(600, 4)
    found = _augment.gray(x, torch.Generator().manual_seed(0))
    grays = (found == found[:, :1]).flatten(1).all(dim=1)
    assert 0.15 < grays.double().mean() < 0.25  # ± 3 standard errors of 0.016
    assert torch.equal(found[~grays], x[~grays])
    luma = (x[grays] * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(dim=1)
    assert_close(found[grays][:, 0], luma)
    jittered = _augment.colour_jitter(x, torch.Generator().manual_seed(0))
    kept = (jittered == x).flatten(1).all(dim=1)
    assert 0.15 < kept.double().mean() < 0.25


@pytest.mark.parametrize("what", ["brightness", "contrast", "saturation"])
def test_each_strength_bounds_its_own_change(what):
    """Away from 0 and 1 the change is linear: about black, the mean luma, or the luma of each pixel."""
    x = 0.4 + 0.2 * pictures(200, 4).double()
    nothing = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0, "probability": 1.0}
    found = _augment.colour_jitter(x, torch.Generator().manual_seed(0), **{**nothing, what: 0.4})
    luma = (x * tensor([0.299, 0.587, 0.114])[:, None, None]).sum(dim=1, keepdim=True)
    about = {"brightness": torch.zeros_like(luma), "contrast": luma.mean(dim=(2, 3), keepdim=True)}
    about = about.get(what, luma)
    factors = ((found - about) * (x - about)).sum(dim=(1, 2, 3)) / (x - about).square().sum(dim=(1, 2, 3))
    assert_close(about + factors[:, None, None, None] * (x - about), found)
    assert 0.6 <= factors.min() < 0.65
    assert 1.35 < factors.max() <= 1.4


def test_a_hue_turns_about_the_gray_axis():
    x = 0.4 + 0.2 * pictures(200, 4).double()
    gray_image = x[:, :1].expand_as(x)
    nothing = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "probability": 1.0}
    found = _augment.colour_jitter(x, torch.Generator().manual_seed(0), hue=0.1, **nothing)
    weights = tensor([0.299, 0.587, 0.114])[:, None, None]
    assert_close((found * weights).sum(dim=1), (x * weights).sum(dim=1))  # the luma stays
    assert (found - x).abs().flatten(1).amax(dim=1).median() > 0.005
    same = _augment.colour_jitter(gray_image, torch.Generator().manual_seed(0), hue=0.1, **nothing)
    assert_close(same, gray_image.contiguous(), rtol=0, atol=1e-6)
    still = _augment.colour_jitter(x, torch.Generator().manual_seed(0), hue=0.0, **nothing)
    assert_close(still, x, rtol=0, atol=1e-6)


# all of them


def all_losses(name, dtype=torch.float64, progress=2.0, seed=0, **hyperparameters):
    wanted, network, modules = make(name, dtype, seed=seed, **hyperparameters)
    given = batch(
        seed=seed, progress=progress, images=images(B, 1).to(dtype), unlabelled=images(4, 2).to(dtype)
    )
    return [(n, loss.detach()) for n, loss in wanted.steps(network, given, modules)]


@every_objective
def test_the_same_seeds_give_the_same_losses(name):
    first = all_losses(name)
    torch.rand(10)
    assert all_losses(name) == first
    assert [float(x) for _, x in all_losses(name, seed=1)] != [float(x) for _, x in first]


@every_objective
@pytest.mark.parametrize("progress", [0.0, 2.0])
def test_every_weight_learns_under_autocast(name, progress):
    """Autocast keeps weights that it cast; those of a pass without gradients must not be used with them."""
    wanted, network, modules = make(name, torch.float32)
    given = batch(progress=progress, images=images(B, 1).float(), unlabelled=images(4, 2).float())
    trained = {**modules, NETWORK: network}
    with torch.autocast("cpu", torch.bfloat16):
        for owner, loss in wanted.steps(network, given, modules):
            assert torch.isfinite(loss)
            loss.backward()
            idle = {n for n, p in trained[owner].named_parameters() if p.grad is None}
            stage_one = name == "mtc" and progress == 0
            assert idle == ({"head.classifier.weight", "head.classifier.bias"} if stage_one else set())


@every_objective
def test_what_changes_is_kept_in_the_state_of_the_modules(name):
    wanted, network, modules = make(name)
    for progress in (0.0, 1.0, 2.0):
        for _ in wanted.steps(network, batch(progress=progress), modules):
            pass
        wanted.end_epoch(network, modules, int(progress) + 1)
    _, other, fresh = make(name, seed=1)
    other.load_state_dict(network.state_dict())
    for key, module in fresh.items():
        module.load_state_dict(modules[key].state_dict())
    ours = [loss for _, loss in wanted.steps(network, batch(progress=3.0), modules)]
    theirs = [loss for _, loss in wanted.steps(other, batch(progress=3.0), fresh)]
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert all(
        torch.equal(a, b)
        for a, b in zip(
            wanted.finish(network, modules).values(), wanted.finish(other, fresh).values(), strict=True
        )
    )
    assert all(torch.equal(v, other.state_dict()[k]) for k, v in network.state_dict().items())


@every_objective
def test_its_detectors_exist(name):
    assert set(objective(name).detectors) <= set(detectors())


@pytest.mark.parametrize(
    ("name", "hyperparameters", "message"),
    [
        ("generalized_odin", {"h": "dot"}, "h: expected .*'inner'.*, got 'dot'"),
        ("deep_generative_classifier", {"pull": -1}, "pull: expected .* at least 0, got -1"),
        ("deep_generative_classifier", {"sigma_param": "exp"}, "sigma_param: expected .*, got 'exp'"),
        ("ssd", {"temperature": 0.0}, "temperature: expected a finite number above 0, got 0"),
        ("ssd", {"projection": 0}, "projection: expected at least 1, got 0"),
        ("ssd", {"labels": 1}, "labels: expected bool, got 1"),
        ("joint_confidence_gan", {"beta": -0.1}, "beta: expected .* at least 0, got -0.1"),
        ("joint_confidence_gan", {"lr": 0.0}, "lr: expected a finite number above 0, got 0"),
        ("joint_confidence_gan", {"width": 0}, "width: expected at least 1, got 0"),
        ("joint_confidence_gan", {"noise": 0}, "noise: expected at least 1, got 0"),
        ("mtc", {"stage_one": 1.5}, r"stage_one: expected a share in \[0, 1\], got 1.5"),
        ("mtc", {"history": 0}, "history: expected at least 1, got 0"),
        ("mtc", {"temperature": 0.0}, "temperature: expected a finite number above 0, got 0"),
        ("mtc", {"mixing": math.inf}, "mixing: expected a finite number above 0, got inf"),
        ("mtc", {"weight": -1.0}, "weight: expected a finite number of at least 0, got -1"),
        ("mtc", {"ramp": math.nan}, "ramp: expected a finite number of at least 0, got nan"),
        ("mtc", {"decay": 1.0}, r"decay: expected a number in \[0, 1\), got 1"),
    ],
)
def test_a_wrong_hyperparameter_is_refused(name, hyperparameters, message):
    with pytest.raises(HyperparameterError, match=message):
        objective(name, **hyperparameters)


@pytest.mark.parametrize(
    ("hyperparameters", "message"),
    [
        ({"epsilon": -0.1}, "epsilon: expected None or .* at least 0"),
        ({"part": "f"}, "part: expected .*got 'f'"),
    ],
)
def test_a_wrong_hyperparameter_of_godin_is_refused(hyperparameters, message):
    with pytest.raises(HyperparameterError, match=message):
        detector("godin", **hyperparameters)


@pytest.mark.parametrize("name", ["deep_generative_classifier", "mtc"])
def test_another_head_is_an_error(name):
    wanted, network, modules = make(name)
    network.head = nn.Linear(D, K).double()
    with pytest.raises(TypeError, match="the network ends in Linear, not in this objective's"):
        wanted.loss(network, batch(), modules)


@pytest.mark.parametrize("missing", ["unlabelled", "rows"])
def test_mtc_without_unlabelled_images_is_an_error(missing):
    wanted, network, modules = make("mtc")
    with pytest.raises(ValueError, match="mtc: unlabelled images and their rows are needed"):
        wanted.loss(network, batch(**{missing: None}), modules)
