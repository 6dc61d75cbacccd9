"""CIDER: how prototypes follow views, their losses, and a plain transcription of the whole."""

import math

import pytest
import torch
from network_objective_examples import B, D, K, batch, check_gradients, gradients, images, make, mean, nll
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import HyperparameterError
from methods.objectives import _augment
from methods.objectives._prototypes import Prototypes, compactness, dispersion, ranks
from methods.registry import detectors, objective


def unit(*angles):
    """Points of the unit circle, by degrees."""
    radians = [math.radians(angle) for angle in angles]
    return tensor([[math.cos(r), math.sin(r)] for r in radians])


def spherical(n, dimension, seed=0):
    points = torch.randn(n, dimension, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(points, dim=1)


def empty(classes=K, dimension=2):
    return Prototypes(classes, dimension).double()


def test_ranks_count_the_same_labels_before():
    assert ranks(torch.tensor([2, 0, 2, 2, 0, 5])).tolist() == [0, 0, 1, 2, 1, 0]
    assert ranks(torch.tensor([], dtype=torch.long)).tolist() == []


def test_a_prototype_starts_as_the_first_view_of_its_class():
    prototypes = empty()
    found = prototypes.follow(unit(30, 200), torch.tensor([2, 0]), 0.95)
    assert_close(found, torch.stack([unit(200)[0], tensor([0.0, 0.0]), unit(30)[0]]), **EXACT)
    assert torch.equal(prototypes.vectors, found)


def test_a_prototype_moves_as_in_the_worked_example():
    """From 0° half-way to 90° is 45°, from there half-way to 135° is 90°: unit vectors of equal weights."""
    prototypes = empty(1)
    found = prototypes.follow(unit(0, 90, 135), torch.zeros(3, dtype=torch.long), 0.5)
    assert_close(found, unit(90), **EXACT)
    assert_close(prototypes.follow(unit(180), torch.tensor([0]), 0.5), unit(135), **EXACT)


def one_by_one(start, views, labels, momentum):
    """The prototypes after each view in turn moved that of its class."""
    found = list(start)
    for v, y in zip(views, labels.tolist(), strict=True):
        moved = momentum * found[y] + (1 - momentum) * v
        found[y] = moved / torch.sqrt(sum(moved**2))
    return torch.stack(found)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.95])
def test_classes_that_move_at_once_move_as_one_by_one(momentum):
    prototypes = empty(4, 6)
    first = spherical(4, 6)
    prototypes.follow(first, torch.arange(4), momentum)
    labels = torch.tensor([0, 3, 0, 0, 1, 3, 0, 1, 0])
    views = spherical(9, 6, 1).requires_grad_()
    found, expected = prototypes.follow(views, labels, momentum), one_by_one(first, views, labels, momentum)
    assert_close(found, expected, **EXACT)
    towards = spherical(4, 6, 2)
    ours, theirs = (torch.autograd.grad((p * towards).sum(), views)[0] for p in (found, expected))
    assert_close(ours, theirs, **EXACT)
    assert_close(torch.linalg.vector_norm(prototypes.vectors, dim=1), torch.ones(4).double(), **EXACT)


def test_what_is_kept_has_no_gradient():
    prototypes = empty()
    prototypes.follow(unit(1, 2).requires_grad_(), torch.tensor([0, 1]), 0.5)
    assert not prototypes.vectors.requires_grad
    assert list(prototypes.parameters()) == []
    assert set(prototypes.state_dict()) == {"vectors"}


def test_the_dispersion_of_the_worked_example():
    """Prototypes at 0°, 60° and 180° have cosines ½, −1 and −½; τ = ½."""
    expected = (
        math.log((math.exp(1) + math.exp(-2)) / 2)
        + math.log((math.exp(1) + math.exp(-1)) / 2)
        + math.log((math.exp(-2) + math.exp(-1)) / 2)
    ) / 3
    assert dispersion(unit(0, 60, 180), 0.5).item() == pytest.approx(expected, rel=1e-12)


def test_the_dispersion_is_least_where_prototypes_make_a_simplex():
    """Of three: cosines of −½, and the loss is −½ / τ."""
    least = dispersion(unit(0, 120, 240), 0.1).item()
    assert least == pytest.approx(-5, rel=1e-12)
    for seed in range(20):
        assert dispersion(spherical(3, 2, seed), 0.1).item() > least


def test_a_class_that_was_not_seen_takes_no_part():
    two = unit(0, 60)
    three = torch.cat([two, torch.zeros(1, 2, dtype=torch.float64)])
    assert_close(dispersion(three, 0.5), dispersion(two, 0.5), **EXACT)
    views, labels = unit(10, 50), torch.tensor([0, 1])
    assert_close(compactness(views, labels, three, 0.5), compactness(views, labels, two, 0.5), **EXACT)


def test_one_class_has_no_dispersion():
    one = unit(30).requires_grad_()
    loss = dispersion(one, 0.1)
    assert loss == 0
    loss.backward()
    assert torch.equal(one.grad, torch.zeros_like(one))


def test_the_compactness_of_the_worked_example():
    """A view at 0° between prototypes of its class at 60° and of the other at 90°: cosines ½ and 0."""
    found = compactness(unit(0), torch.tensor([0]), unit(60, 90), 0.5)
    assert found.item() == pytest.approx(math.log(1 + math.exp(-1)), rel=1e-12)


@pytest.mark.parametrize(
    "changes", [{}, {"weight": 0.0}, {"weight": 0.7, "momentum": 0.5, "temperature": 0.4, "projection": 3}]
)
def test_cider_is_the_plain_transcription(changes):
    wanted, network, modules = make("cider", **changes)
    projection, tau, m = modules["projection"], wanted.temperature, wanted.momentum
    before = spherical(K, wanted.projection, 3)
    modules["prototypes"].vectors.copy_(before)
    given, rng = batch(seed=5), torch.Generator().manual_seed(5)
    views = torch.cat([_augment.contrastive_view(given.images, rng) for _ in range(2)])
    f = network.penultimate(views)
    v = [p / torch.sqrt(sum(p**2)) for p in projection(f)]
    labels = given.labels.repeat(2)
    mu = one_by_one(before, v, labels, m)
    apart = mean(
        torch.log(mean(torch.exp(sum(mu[i] * mu[j]) / tau) for j in range(K) if j != i)) for i in range(K)
    )
    fixed = mu.detach()
    near = mean(
        nll(torch.stack([sum(row * fixed[c]) / tau for c in range(K)]), y)
        for row, y in zip(v, labels, strict=True)
    )
    probe = mean(nll(network.head(row.detach()), y) for row, y in zip(f, labels, strict=True))
    plain = apart + wanted.weight * (tau / 0.07) * near + probe
    check_gradients(wanted.loss(network, given, modules), plain, network, projection)
    assert given.notes == {
        "dispersion_loss": [pytest.approx(apart.item())],
        "compactness_loss": [pytest.approx(near.item())],
        "probe_loss": [pytest.approx(probe.item())],
    }
    assert_close(modules["prototypes"].vectors, fixed, **EXACT)


def test_the_probe_leaves_the_features_alone():
    wanted, network, modules = make("cider")
    start = modules["prototypes"].vectors.clone()
    before = gradients(wanted.loss(network, batch(), modules), network.body)
    with torch.no_grad():
        network.head.weight.mul_(1000)
        modules["prototypes"].vectors.copy_(start)
    after = gradients(wanted.loss(network, batch(), modules), network.body)
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_the_first_batch_has_a_finite_loss_whatever_its_classes():
    wanted, network, modules = make("cider")
    given = batch(labels=torch.ones(B, dtype=torch.long))
    loss = wanted.loss(network, given, modules)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())
    assert given.notes["dispersion_loss"] == [0.0]


def test_what_changes_is_kept_in_the_state_of_the_modules():
    wanted, network, modules = make("cider")
    wanted.loss(network, batch(seed=1), modules)
    _, other, fresh = make("cider", seed=1)
    other.load_state_dict(network.state_dict())
    for key, module in fresh.items():
        module.load_state_dict(modules[key].state_dict())
    ours, theirs = (
        wanted.loss(*pair[:1], batch(seed=2), pair[1]) for pair in ((network, modules), (other, fresh))
    )
    assert torch.equal(ours, theirs)


def test_every_weight_learns_under_autocast():
    wanted, network, modules = make("cider", torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        loss = wanted.loss(network, batch(images=images(B, 1).float()), modules)
    assert loss.dtype == torch.float32
    loss.backward()
    trained = [*network.parameters(), *modules["projection"].parameters()]
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in trained)


def test_its_modules_and_detectors():
    wanted, _, modules = make("cider", projection=7)
    assert [type(layer).__name__ for layer in modules["projection"]] == ["Linear", "ReLU", "Linear"]
    assert modules["projection"][0].out_features == D
    assert modules["prototypes"].vectors.shape == (K, 7)
    assert set(wanted.detectors) <= set(detectors())


@pytest.mark.parametrize(
    ("hyperparameters", "message"),
    [
        ({"weight": -1.0}, "weight: expected a finite number of at least 0, got -1"),
        ({"momentum": 1.0}, r"momentum: expected a number in \[0, 1\), got 1"),
        ({"temperature": 0.0}, "temperature: expected a finite number above 0, got 0"),
        ({"projection": 0}, "projection: expected at least 1, got 0"),
    ],
)
def test_a_wrong_hyperparameter_is_refused(hyperparameters, message):
    with pytest.raises(HyperparameterError, match=message):
        objective("cider", **hyperparameters)
