"""The square attack: sizes, queries, and what it keeps."""

import math

import torch
from attack_examples import INPUTS, right, seeded
from torch.testing import assert_close

from methods.attacks._losses import margin
from methods.attacks.square import side_of_square
from methods.registry import attack


def test_the_sides_of_the_squares():
    firsts = [1, 11, 51, 201, 501, 1001, 2001]
    assert [side_of_square(i, 0.8, 32, 32) for i in firsts] == INPUTS["squares"]
    lasts = [10, 50, 200, 500, 1000, 2000, 4000]
    assert [side_of_square(i, 0.8, 32, 32) for i in lasts] == INPUTS["squares"]
    p = {6000: 128, 8000: 256, 8001: 512}
    assert [side_of_square(i, 0.8, 224, 224) for i in p] == [
        round(math.sqrt(0.8 / q * 224 * 224)) for q in p.values()
    ]
    assert side_of_square(9000, 0.8, 8, 8) == 1
    assert side_of_square(1, 1.0, 8, 8) == 8
    assert side_of_square(1, 1.0, 4, 16) == 4


def test_the_queries_of_the_square_attack():
    """Stripes of one sign a column first; then a window differs, by one amount in each channel."""
    images = torch.full((2, 3, 16, 16), 0.5, dtype=torch.float64)
    asked = []

    def network(x):  # never errs, and likes every query better than those before: all are kept
        asked.append(x.detach().clone())
        own = torch.full((len(x), 1), 10.0 - 0.01 * len(asked), dtype=torch.float64)
        return torch.cat([own, torch.zeros_like(own)], dim=1)

    attack("square", queries=30, epsilon=0.1).perturb(network, images, torch.tensor([0, 0]), seeded())
    clean, stripes, *rest = asked
    assert torch.equal(clean, images)
    assert len(asked) == 31
    offset = stripes - images
    assert_close(offset.abs(), torch.full_like(offset, 0.1))
    assert torch.equal(offset, offset[:, :, :1].expand_as(offset))
    assert 0 < (offset > 0).double().mean() < 1
    assert not torch.equal(offset[0], offset[1])
    places, before = set(), stripes
    for i, now in enumerate(rest, start=1):
        assert_close((now - images).abs(), torch.full_like(offset, 0.1))  # ±2ε is cut to the other side
        side = side_of_square(i, 0.8, 16, 16)
        for image in range(2):
            changed = (now[image] != before[image]).any(dim=0)
            rows, columns = changed.any(dim=1).nonzero(), changed.any(dim=0).nonzero()
            if len(rows):
                assert rows.max() - rows.min() < side
                assert columns.max() - columns.min() < side
                places.add((image, int(rows.min()), int(columns.min())))
            for channel in now[image] - before[image]:
                assert len(channel[channel != 0].sign().unique()) <= 1
        before = now
    assert len(places) > 10


def test_the_square_attack_goes_on_from_its_stripes_even_where_they_are_worse():
    images = torch.full((1, 3, 16, 16), 0.5, dtype=torch.float64)
    asked = []

    def network(x):  # surer with every change
        asked.append(x.detach().clone())
        far = (x - 0.5).abs().sum(dim=(1, 2, 3))
        return torch.stack([1 + far, torch.zeros_like(far)], dim=1)

    attack("square", queries=2, epsilon=0.1).perturb(network, images, torch.tensor([0]), seeded())
    assert_close((asked[2] - 0.5).abs(), torch.full_like(images, 0.1))


def test_the_square_attack_keeps_only_what_lowers_the_margin():
    images = torch.full((3, 3, 8, 8), 0.5, dtype=torch.float64)

    def network(x):
        total = x.sum(dim=(1, 2, 3))
        return torch.stack([total, torch.zeros_like(total)], dim=1)  # cannot err in this ball

    margins = []
    for queries in (1, 5, 20, 80):
        chosen = attack("square", queries=queries, epsilon=0.1)
        moved = chosen.perturb(network, images, torch.zeros(3, dtype=torch.int64), seeded())
        margins.append(margin(network(moved), torch.zeros(3, dtype=torch.int64)))
    found = torch.stack(margins)
    assert (found.diff(dim=0) <= 0).all()
    assert (found[-1] < found[0] - 1).all()


def test_the_square_attack_stops_asking_about_an_image_that_is_lost(world):
    network, images, labels = world
    sizes = []

    def counting(x):
        sizes.append(len(x))
        return network(x)

    attack("square", queries=60, epsilon=0.1).perturb(counting, images, labels, seeded())
    assert sizes[:2] == [24, int(right(network, images, labels).sum())]
    assert sizes[1:] == sorted(sizes[1:], reverse=True)
    assert sizes[-1] < sizes[1]
