"""FGSM: its worked step."""

import torch
from attack_examples import X, Y, close, linear, losses

from methods.registry import attack


def test_the_worked_step_of_fgsm():
    moved = attack("fgsm").perturb(linear, X, Y)
    close(moved, "fgsm")
    close(losses(X), "fgsm.loss0")
    close(losses(moved), "fgsm.loss1")


def test_a_pixel_without_a_gradient_stays():
    moved = attack("fgsm").perturb(lambda x: linear(x * torch.tensor([1.0, 0.0, 1.0])[:, None, None]), X, Y)
    assert torch.equal(moved[:, 1], X[:, 1])
    assert ((moved - X)[:, [0, 2]].abs() > 0).all()
