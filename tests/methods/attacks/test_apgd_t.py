"""Targeted Auto-PGD: its targets."""

import pytest
import torch
from attack_examples import right, seeded

from methods.registry import attack


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_the_targeted_attack_takes_any_number_of_classes(classes):
    weight = torch.randn(classes, 12, generator=seeded(), dtype=torch.float64)
    images = torch.rand(6, 3, 2, 2, generator=seeded(), dtype=torch.float64)

    def network(x):
        return x.flatten(1) @ weight.T

    labels = network(images).argmax(dim=1)
    moved = attack("apgd_t", epsilon=0.5, steps=10).perturb(network, images, labels)
    assert right(network, moved, labels).sum() < 6


def test_the_targeted_attack_goes_through_the_classes_by_rank():
    """Class 2 is out of reach, although it is the second; class 3 can be reached."""
    images = torch.full((1, 3, 1, 1), 0.5, dtype=torch.float64)

    def network(x):
        free = x.flatten(1)[:, :1]
        one = torch.ones_like(free)
        return torch.cat([2 * one + 0 * free, -9 * one, 1.9 * one, 1.5 * one + 2 * free - 1, -9 * one], dim=1)

    labels = torch.tensor([0])
    found = {}
    for targets in (1, 2):
        chosen = attack("apgd_t", epsilon=0.4, steps=10, targets=targets)
        points = list(chosen.path(network, images, labels, seeded()))
        assert len(points) == targets
        found[targets] = right(network, points[-1], labels).item()
    assert found[2] is False
