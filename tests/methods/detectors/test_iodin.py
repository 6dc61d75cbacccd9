"""Iodin against paper arithmetic and ODIN."""

import math

import torch
from random_rows import normal
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features
from methods.detectors.iodin import IODIN
from methods.detectors.odin import ODIN


def linear(weight):
    return lambda images: Features(images.flatten(1) @ weight.T)


def test_iodin_moves_the_most_important_number_alone():
    weight = tensor([[1.0, -3.0, 2.0], [0.0, 0.0, 0.0]])
    images = tensor([[0.5, 0.1, 0.9], [0.1, 0.9, 0.1]]).view(2, 3, 1, 1)  # predicted as 0 and as 1
    moved = IODIN().direction(linear(weight), images).flatten(1)
    # The loss falls towards the predicted class: its gradient is -(1 - p) times the difference of weights.
    assert moved.tolist() == [[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]]
    scores = IODIN(temperature=1.0, epsilon=0.1).score_images(linear(weight), images)
    expected = [1 / (1 + math.exp(-(0.5 - 3 * 0.0 + 1.8))), 1 / (1 + math.exp(0.1 - 3 * 1.0 + 0.2))]
    assert_close(scores, tensor(expected), **EXACT)


def test_iodin_takes_the_first_of_equal_gradients_and_plus_for_zero():
    flat = torch.zeros(2, 3, 1, 1).double()
    assert (
        IODIN().direction(linear(torch.zeros(2, 3).double()), flat).flatten(1).tolist()
        == [[1.0, 0.0, 0.0]] * 2
    )


def test_iodin_without_a_step_is_odin():
    images = normal(5, 3, 2, 2).abs()
    network = linear(normal(4, 12, seed=1))
    assert_close(
        IODIN(epsilon=0.0).score_images(network, images),
        ODIN(epsilon=0.0).score_images(network, images),
        **EXACT,
    )
