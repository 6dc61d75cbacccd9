"""RegMixup: what it shows the network, and what it minimises."""

import numpy as np
import pytest
import torch
from logit_objective_examples import batch, plain_cross_entropy
from torch.testing import assert_close
from worked_examples import EXACT

from methods.base import Batch, HyperparameterError
from methods.objectives.regmixup import RegMixup
from methods.registry import detectors, objective


def one_hot_batch(seed, count=8):
    """Image i is 1 at its own pixel: what a network was shown tells who was mixed, and by how much."""
    made = torch.eye(count, 48, dtype=torch.float64).reshape(count, 3, 4, 4)
    return Batch(made, torch.arange(count) % 3, rng=torch.Generator().manual_seed(seed))


def mixture(shown, count=8):
    """The share and the partners of the mixed images, from all that a network was shown."""
    weights = shown[count:].flatten(1)[:, :count]
    others = weights - torch.diag(weights.diagonal())
    moved = weights.diagonal() < 1 - 1e-9
    partners = torch.where(moved, others.argmax(dim=1), torch.arange(count))
    return weights.diagonal()[moved][0].item(), partners, weights


def test_regmixup_is_half_the_sum_of_both_losses(network):
    for seed in range(20):
        data = one_hot_batch(seed)
        loss = RegMixup(1.0).loss(network, data, {})
        (shown,) = network.shown[-1:]
        assert torch.equal(shown[:8], data.images)  # the images as they are
        share, partners, weights = mixture(shown)
        assert sorted(partners.tolist()) == list(range(8))
        eye = torch.eye(8, dtype=torch.float64)
        assert_close(weights, share * eye + (1 - share) * eye[partners], **EXACT)
        own, mixed = network(data.images), network(shown[8:])
        plain = plain_cross_entropy(own, data.labels)
        to_both = share * plain_cross_entropy(mixed, data.labels)
        to_both = to_both + (1 - share) * plain_cross_entropy(mixed, data.labels[partners])
        assert_close(loss, (plain + to_both) / 2, **EXACT)
        assert data.notes == {
            "plain_loss": [pytest.approx(plain.item())],
            "mixed_loss": [pytest.approx(to_both.item())],
        }


def test_regmixup_has_one_forward_pass(network):
    RegMixup().loss(network, one_hot_batch(0), {})
    assert [len(shown) for shown in network.shown] == [16]


def test_regmixup_lies_half_way_between_images_unless_told_otherwise(network):
    def shares(alpha):
        for seed in range(40):
            RegMixup(alpha).loss(network, one_hot_batch(seed), {})
        return [mixture(shown)[0] for shown in network.shown[-40:]]

    # The deviation of Beta(20, 20) is 1 / (2 √41) = 0.078.
    assert 0.04 < np.std(shares(20.0)) < 0.12
    assert objective("regmixup").alpha == 20
    assert np.std(shares(1.0)) > 0.2


def test_regmixup_draws_from_the_batch_alone(network):
    def run(seed, of_torch):
        torch.manual_seed(of_torch)
        np.random.seed(of_torch)  # noqa: NPY002
        data = Batch(batch().images, batch().labels, rng=torch.Generator().manual_seed(seed))
        return [RegMixup().loss(network, data, {}).item() for _ in range(3)]

    first = run(0, 1)
    assert run(0, 2) == first
    assert len(set(first)) == 3
    assert run(1, 1) != first


def test_regmixup_of_one_image_is_the_cross_entropy(network):
    data = one_hot_batch(0, count=1)
    assert_close(
        RegMixup().loss(network, data, {}), plain_cross_entropy(network(data.images), data.labels), **EXACT
    )


def test_regmixup_leaves_the_images_as_they_are(network):
    data = one_hot_batch(0)
    RegMixup().loss(network, data, {})
    assert torch.equal(data.images, one_hot_batch(0).images)


def test_its_detectors_exist():
    assert set(RegMixup.detectors) <= set(detectors())


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("inf"), float("nan")])
def test_regmixup_alpha_out_of_range(alpha):
    with pytest.raises(HyperparameterError, match="alpha: expected a finite number above 0"):
        objective("regmixup", alpha=alpha)
