"""PixMix: how two images are mixed, how often and with what, and the loss of what comes out."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from logit_objective_examples import plain_cross_entropy
from network_objective_examples import B, batch, check_gradients, images, make
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import HyperparameterError
from methods.objectives import pixmix as module
from methods.objectives.pixmix import added, coefficients, mixed_with, multiplied
from methods.registry import objective


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def pictured(**changes):
    return batch(outliers=images(B, 7), **changes)


def test_the_sum_of_the_worked_example():
    """x = 0.75, q = 0.4: ½ (0.8 · 0.5 + 0.3 · (−0.2) + 1) = 0.67; with 1.2 and −0.3 ½ (0.6 + 0.06 + 1)."""
    x, q = tensor([0.75, 0.75]), tensor([0.4, 0.4])
    assert_close(added(x, q, tensor([0.8, 1.2]), tensor([0.3, -0.3])), tensor([0.67, 0.83]), **EXACT)


def test_the_product_of_the_worked_example():
    """x = 0.72, q = 0.32: ½ · 1.44^0.5 · 0.64^0.5 = 0.48; with 1.5 and −0.5 ½ · 1.728 / 0.8 = 1.08, cut to 1.

    x = 0.32, q = 0.72: with 1.5 and −0.5 ½ · 0.512 / 1.2.
    """
    x, q = tensor([0.72, 0.72, 0.32]), tensor([0.32, 0.32, 0.72])
    found = multiplied(x, q, tensor([0.5, 1.5, 1.5]), tensor([0.5, -0.5, -0.5]))
    assert_close(found, tensor([0.48, 1, 0.512 / 2.4]), **EXACT)


@pytest.mark.parametrize("mix", [added, multiplied])
def test_a_mixture_without_the_picture_is_the_image(mix):
    x, q = images(2, 0), images(2, 1)
    assert_close(mix(x, q, tensor(1.0), tensor(0.0)), x, **EXACT)


@pytest.mark.parametrize("mix", [added, multiplied])
def test_gray_pictures_leave_gray_gray(mix):
    gray = torch.full((1, 3, 2, 2), 0.5, dtype=torch.float64)
    assert_close(mix(gray, gray, tensor(1.7), tensor(-0.4)), gray, **EXACT)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("mix", [added, multiplied])
def test_black_and_white_stay_finite(mix, dtype):
    """Also where black is divided by: b = −1 is the least."""
    ends = torch.tensor([0.0, 1.0], dtype=dtype)
    x, q = ends[:, None, None, None], ends[:, None, None]
    for a, b in [(0.0, 1.0), (1.0, -1.0), (2.0, -1.0), (2.0, 0.0)]:
        found = mix(x, q, torch.tensor(a, dtype=dtype), torch.tensor(b, dtype=dtype))
        assert torch.isfinite(found).all()
        assert found.min() >= 0
        assert found.max() <= 1


def test_coefficients_have_their_distributions():
    a, b = (c.numpy() for c in coefficients(4000, 3.0, np.random.default_rng(1)))
    near = b > 0
    assert 0.45 < near.mean() < 0.55
    assert a[near].max() <= 1
    assert a[~near].min() >= 1
    small = scipy.stats.beta(1, 3).cdf
    for drawn, cdf in [
        (a[near], scipy.stats.beta(3, 1).cdf), (b[near], small), (a[~near] - 1, small), (-b[~near], small),
    ]:  # fmt: skip
        assert scipy.stats.kstest(drawn, cdf).pvalue > 0.01  # of a fixed seed


def test_a_large_beta_leaves_images_as_they_are(monkeypatch):
    monkeypatch.setattr(module, "varied", lambda levels, rng, severity: levels)
    x = (255 * images(20, 0)).round() / 255
    assert_close(mixed_with(x, images(20, 1), rng(), 4, 1e9, 3.0), x, rtol=0, atol=1e-6)


def test_images_are_mixed_none_to_as_many_times_as_there_are_rounds(monkeypatch):
    """Each mixing with the picture halves what is there: how often that was, the result tells."""
    monkeypatch.setattr(module, "varied", lambda levels, rng, severity: levels)
    monkeypatch.setattr(module, "added", lambda x, q, a, b: torch.where(q == 0, x / 2, x))
    monkeypatch.setattr(module, "multiplied", lambda x, q, a, b: torch.where(q == 0, x / 2, x))
    n, x = 3000, torch.ones(3000, 1, 1, 1, dtype=torch.float64)
    times = -torch.log2(mixed_with(x, torch.zeros_like(x), rng(), 4, 3.0, 3.0)).flatten()
    # n times uniform from 0 to 4, each with the picture by 1/2: P(t) = Σ_n C(n, t) 2⁻ⁿ / 5.
    for t in range(5):
        p = sum(math.comb(m, t) / 2**m for m in range(5)) / 5
        assert abs((times == t).double().mean() - p) < 4 * math.sqrt(p * (1 - p) / n)


def test_sums_and_products_are_as_likely(monkeypatch):
    monkeypatch.setattr(module, "varied", lambda levels, rng, severity: levels)
    monkeypatch.setattr(module, "added", lambda x, q, a, b: torch.full_like(x, 0.2))
    monkeypatch.setattr(module, "multiplied", lambda x, q, a, b: torch.full_like(x, 0.8))
    found = mixed_with(torch.ones(3000, 1, 1, 1), torch.zeros(3000, 1, 1, 1), rng(), 1, 3.0, 3.0)
    assert 0.22 < (found == 0.2).double().mean() < 0.28
    assert 0.22 < (found == 0.8).double().mean() < 0.28


def test_every_second_image_starts_varied(monkeypatch):
    monkeypatch.setattr(module, "varied", lambda levels, rng, severity: levels * 0)
    found = mixed_with(torch.ones(2000, 1, 1, 1), torch.ones(2000, 1, 1, 1), rng(), 0, 3.0, 3.0)
    assert 0.45 < (found == 0).double().mean() < 0.55


def test_mixtures_are_images_drawn_from_the_generator():
    x, q = images(30, 0, size=32).float(), images(30, 1, size=32).float()
    before = x.clone(), q.clone()
    found = mixed_with(x, q, rng(1), 4, 3.0, 3.0)
    assert torch.equal(x, before[0])
    assert torch.equal(q, before[1])
    assert found.dtype == x.dtype
    assert found.min() >= 0
    assert found.max() <= 1
    torch.manual_seed(7)  # the global generators have no say
    np.random.seed(7)  # noqa: NPY002
    assert torch.equal(mixed_with(x, q, rng(1), 4, 3.0, 3.0), found)
    assert not torch.equal(mixed_with(x, q, rng(2), 4, 3.0, 3.0), found)


def test_an_image_is_mixed_with_its_own_picture_alone():
    x, q = images(12, 0, size=32), images(12, 1, size=32)
    found = mixed_with(x, q, rng(1), 4, 3.0, 3.0)
    changed = q.clone()
    changed[4] = 1 - q[4]
    other = mixed_with(x, changed, rng(1), 4, 3.0, 3.0)
    rest = torch.arange(12) != 4
    assert torch.equal(found[rest], other[rest])


def test_pixmix_is_the_plain_transcription():
    wanted, network, modules = make("pixmix", rounds=3, beta=2.0, severity=5.0)
    given = pictured(seed=3)
    shown = mixed_with(given.images, given.outliers, rng(3), 3, 2.0, 5.0)
    plain = plain_cross_entropy(network(shown), given.labels)
    check_gradients(wanted.loss(network, given, modules), plain, network)


def test_fewer_pictures_than_images_are_used_in_turn(monkeypatch):
    seen = []
    monkeypatch.setattr(module, "mixed_with", lambda x, q, *rest: (seen.append(q), x)[1])
    wanted, network, modules = make("pixmix")
    given = images(4, 7)
    wanted.loss(network, batch(outliers=given), modules)
    assert torch.equal(seen[0], given[[0, 1, 2, 3, 0, 1]])


@pytest.mark.parametrize(("outliers", "got"), [(None, "none"), (images(0), r"shape \(0, 3, 8, 8\)")])
def test_pixmix_without_pictures_is_an_error(outliers, got):
    wanted, network, modules = make("pixmix")
    with pytest.raises(
        ValueError, match=f"batch.outliers: pixmix expected at least one picture.*, got {got}"
    ):
        wanted.loss(network, batch(outliers=outliers), modules)


def test_every_weight_learns_under_autocast():
    wanted, network, modules = make("pixmix", torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        loss = wanted.loss(
            network, batch(images=images(B, 1).float(), outliers=images(B, 2).float()), modules
        )
    assert loss.dtype == torch.float32
    loss.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


@pytest.mark.parametrize(
    ("hyperparameters", "message"),
    [
        ({"rounds": -1}, "rounds: expected at least 0, got -1"),
        ({"beta": 0.0}, "beta: expected a finite number above 0, got 0"),
        ({"beta": math.inf}, "beta: expected a finite number above 0, got inf"),
        ({"severity": 11.0}, "severity: expected a number from 0.1 to 10, got 11"),
    ],
)
def test_a_wrong_hyperparameter_is_refused(hyperparameters, message):
    with pytest.raises(HyperparameterError, match=message):
        objective("pixmix", **hyperparameters)
