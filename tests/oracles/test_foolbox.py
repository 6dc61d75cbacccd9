"""FGSM and PGD held to those of Foolbox 3.3.4, on the same network, images and labels.

============================= ======= =======================================================
theirs                        ours    how it is compared
============================= ======= =======================================================
FGSM                          fgsm    equal; as PGD of one step of ε, without a random start
LinfPGD                       pgd     equal, after every number of steps; without a random
                                      start, and from our start in place of theirs
============================= ======= =======================================================

Their loss is the sum of the cross-entropy, whose sign is the same. They measure accuracy on the clean images
and return clean images as they are where ε = 0. Both work in float64 here; what may differ is rounding.
"""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

foolbox = pytest.importorskip("foolbox", reason="foolbox is not installed (a development-only dependency)")

from methods.attack import uniform_start  # noqa: E402
from methods.registry import attack  # noqa: E402

TIGHT = {"rtol": 0, "atol": 1e-14}
CLASSES = 5


class World:
    def __init__(self):
        torch.manual_seed(0)
        self.network = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(),
            nn.Linear(8 * 9, CLASSES),
        ).double().eval()  # fmt: skip
        self.images = torch.rand(20, 3, 6, 6, dtype=torch.float64)
        self.images[0], self.images[1] = 0.0, 1.0  # where the pixels' range cuts the ball
        with torch.no_grad():
            self.network[-1].bias -= self.network(self.images).mean(dim=0)
            self.labels = self.network(self.images).argmax(dim=1)
        self.labels[3] = (self.labels[3] + 1) % CLASSES
        self.theirs = foolbox.PyTorchModel(self.network, bounds=(0, 1), device="cpu")

    def by_theirs(self, chosen, epsilon):
        _, clipped, _ = chosen(self.theirs, self.images, self.labels, epsilons=epsilon)
        return clipped

    def by_ours(self, name, **hyperparameters):
        rng = torch.Generator().manual_seed(5)
        return attack(name, **hyperparameters).perturb(self.network, self.images, self.labels, rng)


@pytest.fixture(scope="module")
def world():
    with torch.random.fork_rng(devices=[]):
        return World()


def test_the_world_is_no_easy_one(world):
    assert len(world.labels.unique()) > 2
    moved = world.by_ours("pgd", random_start=False)
    with torch.no_grad():
        right = (world.network(moved).argmax(dim=1) == world.labels).double().mean()
    assert 0 < right < 0.95


@pytest.mark.parametrize("epsilon", [1 / 255, 8 / 255, 0.3])
def test_fgsm(world, epsilon):
    theirs = world.by_theirs(foolbox.attacks.FGSM(random_start=False), epsilon)
    assert (theirs != world.images).double().mean() > 0.5
    assert_close(world.by_ours("fgsm", epsilon=epsilon), theirs, **TIGHT)


@pytest.mark.parametrize("steps", [1, 2, 7, 20])
@pytest.mark.parametrize("epsilon", [8 / 255, 0.1])
def test_pgd(world, epsilon, steps):
    chosen = foolbox.attacks.LinfPGD(abs_stepsize=2 / 255, steps=steps, random_start=False)
    theirs = world.by_theirs(chosen, epsilon)
    ours = world.by_ours("pgd", epsilon=epsilon, steps=steps, random_start=False)
    assert_close(ours, theirs, **TIGHT)


def test_pgd_from_our_start(world, monkeypatch):
    epsilon = 8 / 255
    start = uniform_start(world.images, epsilon, torch.Generator().manual_seed(5))
    chosen = foolbox.attacks.LinfPGD(abs_stepsize=2 / 255, steps=20, random_start=True)
    asked = []

    def ours(x0, radius):
        asked.append(radius)
        return type(x0)(start)

    monkeypatch.setattr(chosen, "get_random_start", ours)
    theirs = world.by_theirs(chosen, epsilon)
    assert asked == [epsilon]
    assert_close(world.by_ours("pgd", epsilon=epsilon), theirs, **TIGHT)
    assert not torch.equal(theirs, world.by_ours("pgd", epsilon=epsilon, random_start=False))
