"""AugMix: how images are mixed, how far predictions are apart, and the loss of both."""

import math

import numpy as np
import pytest
import torch
from logit_objective_examples import plain_cross_entropy
from network_objective_examples import B, K, batch, check_gradients, images, make, mean
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import HyperparameterError
from methods.objectives import augmix as module
from methods.objectives._mixing import numpy_rng
from methods.objectives.augmix import augmented, jensen_shannon
from methods.registry import objective


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_divergence_of_the_worked_example():
    """Predictions (1/2, 1/2), (1/2, 1/2), (4/5, 1/5) with the mean (3/5, 2/5).

    KL of the first two: ½ ln(5/6) + ½ ln(5/4) = 0.020411; of the third: 0.8 ln(4/3) + 0.2 ln(1/2) = 0.091516.
    """
    p = tensor([[0.5, 0.5], [0.5, 0.5], [0.8, 0.2]])
    assert jensen_shannon(p.log()[:, None]).item() == pytest.approx(
        (2 * 0.5 * math.log(25 / 24) + 0.8 * math.log(4 / 3) - 0.2 * math.log(2)) / 3, rel=1e-12
    )
    assert jensen_shannon(p.log()[:, None]).item() == pytest.approx(0.044113, abs=5e-7)


def test_predictions_that_agree_do_not_diverge():
    z = torch.randn(1, 5, 4, generator=rng(), dtype=torch.float64)
    # Softmax does not feel what is added to all logits.
    assert_close(jensen_shannon(torch.cat([z, z + 3, z])), torch.zeros(5).double(), rtol=0, atol=1e-12)


def test_predictions_that_exclude_each_other_diverge_most():
    z = 1000 * torch.eye(3, dtype=torch.float64)[:, None]
    assert jensen_shannon(z).item() == pytest.approx(math.log(3), rel=1e-12)


def test_the_divergence_has_a_finite_gradient_where_the_mean_has_vanished():
    z = (1000 * torch.tensor([[1.0, 0, 0], [1, 0, 0], [0, 1, 0]]))[:, None].requires_grad_()
    jensen_shannon(z).sum().backward()
    assert torch.isfinite(z.grad).all()


def test_images_are_mixed_as_the_formula_says(monkeypatch):
    """With operations that are told apart: each adds one level, so that a chain of n adds n."""
    monkeypatch.setattr(module, "varied", lambda levels, rng, severity: levels + 1)
    x = (100 * images(8, size=4)).round() / 255
    found = augmented(x, rng(4), 3, 3.0, 1.0)
    same = rng(4)
    draw = numpy_rng(same)
    w, m = draw.dirichlet([1.0] * 3, size=8), draw.beta(1.0, 1.0, size=8)
    lengths = torch.randint(1, 4, (24,), generator=same).reshape(3, 8)
    for i in range(8):
        chains = [x[i] + int(lengths[c, i]) / 255 for c in range(3)]
        expected = (1 - m[i]) * x[i] + m[i] * sum(w[i, c] * chains[c] for c in range(3))
        assert_close(found[i], expected, **EXACT)


def test_chains_have_one_to_three_operations(monkeypatch):
    seen = []

    def counted(levels, rng, severity):
        seen.append(len(levels))
        return levels

    monkeypatch.setattr(module, "varied", counted)
    augmented(torch.zeros(600, 3, 2, 2), rng(), 1, 3.0, 1.0)
    assert seen[0] == 600
    assert 340 < seen[1] < 460  # two thirds, with a standard deviation of 12
    assert 140 < seen[2] < 260


def test_views_are_images_drawn_from_the_generator():
    x = images(10, size=32).float()
    before = x.clone()
    found = augmented(x, rng(1), 3, 3.0, 1.0)
    assert torch.equal(x, before)
    assert found.shape == x.shape
    assert found.dtype == x.dtype
    assert found.min() >= 0
    assert found.max() <= 1 + 1e-6
    torch.manual_seed(7)  # the global generators have no say
    np.random.seed(7)  # noqa: NPY002
    assert torch.equal(augmented(x, rng(1), 3, 3.0, 1.0), found)
    assert not torch.equal(augmented(x, rng(2), 3, 3.0, 1.0), found)
    moved = (found - x).abs().flatten(1).amax(dim=1)
    assert (moved > 0.01).sum() >= 8


def test_a_large_alpha_weighs_all_chains_alike(monkeypatch):
    """Then w → 1/k and m → 1/2: with k chains that add 255 levels each image gains ½."""
    monkeypatch.setattr(module, "varied", lambda levels, rng, severity: levels.clamp(min=255))
    found = augmented(torch.zeros(4, 3, 2, 2, dtype=torch.float64), rng(), 5, 3.0, 1e8)
    assert_close(found, torch.full_like(found, 0.5), rtol=0, atol=1e-3)


@pytest.mark.parametrize("weight", [12.0, 0.0, 2.5])
def test_augmix_is_the_plain_transcription(weight):
    wanted, network, modules = make("augmix", weight=weight, chains=2, severity=5.0, alpha=0.7)
    given, drawn = batch(seed=3), rng(3)
    views = augmented(given.images.repeat(2, 1, 1, 1), drawn, 2, 5.0, 0.7)
    z = network(torch.cat([given.images, views])).reshape(3, B, K)
    p = [[torch.exp(row) / sum(torch.exp(row)) for row in part] for part in z]
    apart = []
    for i in range(B):
        m = mean(p[view][i] for view in range(3))
        apart.append(mean(sum(p[v][i] * (torch.log(p[v][i]) - torch.log(m))) for v in range(3)))
    own = plain_cross_entropy(z[0], given.labels)
    check_gradients(wanted.loss(network, given, modules), own + weight * mean(apart), network)
    assert given.notes == {
        "plain_loss": [pytest.approx(own.item())],
        "divergence": [pytest.approx(mean(apart).item())],
    }


def test_the_two_views_of_an_image_differ():
    wanted, network, modules = make("augmix")
    shown = []
    forward = network.penultimate
    network.penultimate = lambda x: (shown.append(x), forward(x))[1]
    wanted.loss(network, batch(), modules)
    own, one, other = shown[0].chunk(3)
    assert torch.equal(own, batch().images)
    assert not torch.equal(one, other)


def test_augmix_draws_from_the_batch_alone():
    wanted, network, modules = make("augmix")
    state = torch.get_rng_state()
    first = wanted.loss(network, batch(seed=1), modules)
    assert torch.equal(torch.get_rng_state(), state)
    network.load_state_dict(make("augmix")[1].state_dict())
    assert torch.equal(wanted.loss(network, batch(seed=1), modules), first)
    assert not torch.equal(wanted.loss(network, batch(seed=2), modules), first)


def test_every_weight_learns_under_autocast():
    wanted, network, modules = make("augmix", torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        loss = wanted.loss(network, batch(images=images(B, 1).float()), modules)
    assert loss.dtype == torch.float32
    loss.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


@pytest.mark.parametrize(
    ("hyperparameters", "message"),
    [
        ({"weight": -0.1}, "weight: expected a finite number of at least 0, got -0.1"),
        ({"weight": math.inf}, "weight: expected a finite number of at least 0, got inf"),
        ({"chains": 0}, "chains: expected at least 1, got 0"),
        ({"severity": 0.0}, "severity: expected a number from 0.1 to 10, got 0"),
        ({"alpha": 0.0}, "alpha: expected a finite number above 0, got 0"),
    ],
)
def test_a_wrong_hyperparameter_is_refused(hyperparameters, message):
    with pytest.raises(HyperparameterError, match=message):
        objective("augmix", **hyperparameters)
