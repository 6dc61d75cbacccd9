"""The pieces of the attacks' contract: projection, noise, gradients."""

import torch
from attack_examples import seeded
from torch.testing import assert_close
from worked_examples import EXACT

from methods.attack import cross_entropy, gradient, project, uniform_noise, uniform_start


def test_projection_takes_the_nearest_point():
    images = torch.tensor([[0.0, 0.5, 1.0]])
    moved = project(torch.tensor([[-1.0, 0.7, 0.93]]), images, 0.1)
    assert_close(moved, torch.tensor([[0.0, 0.6, 0.93]]))


def test_noise_fills_the_ball():
    images = torch.full((50, 3, 8, 8), 0.01, dtype=torch.float64)
    noise = uniform_noise(images, 0.1, seeded())
    assert noise.abs().max() <= 0.1
    assert_close(noise.mean().item(), 0.0, rtol=0, atol=0.003)
    assert_close(noise.var().item(), 0.1**2 / 3, rtol=0.03, atol=0)
    start = uniform_start(images, 0.1, seeded())
    assert torch.equal(start, (images + noise).clamp(0, 1))
    assert torch.equal(uniform_noise(images[:9], 0.1, seeded()), noise[:9])


def test_the_gradient_is_each_images_own(world):
    network, images, labels = world
    found, losses = gradient(lambda x: cross_entropy(network(x), labels), images)
    one, loss = gradient(lambda x: cross_entropy(network(x), labels[3:4]), images[3:4])
    assert_close(found[3:4], one, **EXACT)
    assert_close(losses[3:4], loss, **EXACT)
