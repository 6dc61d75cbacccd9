"""PGD: its worked path, and the settings of the papers."""

import pytest
from attack_examples import INPUTS, STEP, X, Y, close, linear, losses, mean_loss, pixels

from methods.attack import ascend
from methods.attacks import pgd
from methods.registry import attack


def test_the_worked_losses_of_pgd():
    points = list(attack("pgd", random_start=False).path(linear, X, Y))
    assert len(points) == 20
    for steps in (1, 4, 20):
        close(losses(points[steps - 1]), f"pgd.loss{steps}")
    close(points[-1], "pgd")


def test_the_worked_path_of_pgd_from_a_noisy_start():
    start = (X + pixels(INPUTS["start"])).clamp(0, 1)
    *_, moved = ascend(losses, start, X, 8 / 255, STEP, 3)
    close(moved, "pgd.start3")


@pytest.fixture
def fixed_noise(monkeypatch):
    monkeypatch.setattr(pgd, "uniform_noise", lambda images, epsilon, rng: pixels(INPUTS["start"]))
    monkeypatch.setattr(
        pgd, "uniform_start", lambda images, epsilon, rng: (images + pixels(INPUTS["start"])).clamp(0, 1)
    )


def test_the_worked_legacy_centre_leaves_the_ball(fixed_noise):
    legacy = attack("pgd", legacy_center=True)
    moved = legacy.perturb(linear, X, Y)
    close(moved, "pgd.bug20")
    close((moved - X).abs().flatten(1).amax(dim=1), "pgd.bugdist")
    assert legacy.reach == 2 * legacy.epsilon
    assert attack("pgd").reach == legacy.epsilon
    close(attack("pgd", steps=3).perturb(linear, X, Y), "pgd.start3")


def test_pgd_of_hundred_steps_is_not_much_stronger_than_of_twenty(world):
    """And the loss does not fall over the steps: no gradient is masked in such a network (pitfall iv)."""
    network, images, labels = world
    points = list(attack("pgd", steps=100, random_start=False).path(network, images, labels))
    means = [mean_loss(network, points[steps - 1], labels) for steps in (1, 5, 20, 100)]
    assert means == sorted(means)
    assert means[3] - means[2] < 0.1 * (means[2] - means[0])
