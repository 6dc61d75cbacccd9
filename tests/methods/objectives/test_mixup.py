"""Mixup: images and labels are mixed alike, and by what."""

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from logit_objective_examples import MIX, VALUES, batch, plain_cross_entropy
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Batch
from methods.objectives import _mixing
from methods.objectives.mixup import Mixup
from methods.registry import objective


def test_mixed_cross_entropy_of_the_worked_example():
    logits, labels = tensor(MIX["Z"]), torch.tensor(MIX["y"])
    partners = labels[MIX["permutation"]]
    for i in (0, 1):
        each = _mixing.mixed_cross_entropy(logits[[i]], labels[[i]], partners[[i]], MIX["share"])
        assert_close(each, tensor(VALUES["mix.each"][i]), **EXACT)
    whole = _mixing.mixed_cross_entropy(logits, labels, partners, MIX["share"])
    assert_close(whole, tensor(VALUES["mix"]), **EXACT)


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
