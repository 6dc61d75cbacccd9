"""CutMix: one box, weighed by its area."""

import numpy as np
import pytest
import torch
from logit_objective_examples import VALUES, batch, plain_cross_entropy
from torch.testing import assert_close
from worked_examples import EXACT

from methods.base import Batch
from methods.objectives.cutmix import CutMix, box


@pytest.mark.parametrize(("centre", "key"), [((16, 16), "cutmix.a"), ((2, 30), "cutmix.b")])
def test_box_of_the_worked_example(centre, key):
    assert list(box(32, 32, 0.75, *centre)) == VALUES[key]


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
