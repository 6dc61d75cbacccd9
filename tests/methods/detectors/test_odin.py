"""ODIN against the specification's worked numbers and paper arithmetic."""

import pytest
import torch
from detector_examples import INPUTS, VALUES
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features
from methods.detectors.odin import ODIN
from methods.registry import detector


class Linear:
    """Linear logits of images (N, 1, 1, 2); keeps what it was shown and the gradient that came back."""

    def __init__(self, weight, bias):
        self.weight, self.bias = weight, bias
        self.shown, self.gradients = [], []

    def __call__(self, images):
        self.shown.append(images.detach().clone())
        if images.requires_grad:
            images.register_hook(lambda gradient: self.gradients.append(gradient.clone()))
        return images.flatten(1) @ self.weight.T + self.bias


ODIN_INPUTS = {key: tensor(value) for key, value in INPUTS["odin"].items()}


ODIN_IMAGES = ODIN_INPUTS["x"].reshape(2, 1, 1, 2)


def seen_by(network):
    """A network that gives logits, as a gradient detector sees it."""
    return lambda images: Features(network(images))


@pytest.mark.parametrize(
    ("hyperparameters", "key"), [({}, "odin"), ({"temperature": 2.0, "epsilon": 0.1}, "odin2")]
)
def test_odin_worked_example(hyperparameters, key):
    network = Linear(ODIN_INPUTS["A"], ODIN_INPUTS["c"])
    scores = detector("odin", **hyperparameters).score_images(seen_by(network), ODIN_IMAGES)
    assert_close(network.gradients[0].flatten(1), tensor(VALUES[f"{key}.grad"]), **EXACT)
    assert_close(network.shown[1].flatten(1), tensor(VALUES[f"{key}.x2"]), **EXACT)
    assert_close(scores, tensor(VALUES[key]), **EXACT)


def test_odin_without_a_step_is_msp_at_that_temperature():
    network = Linear(ODIN_INPUTS["A"], ODIN_INPUTS["c"])
    scores = ODIN(temperature=2.0, epsilon=0.0).score_images(seen_by(network), ODIN_IMAGES)
    assert_close(scores, tensor(VALUES["odin2.noeps"]), **EXACT)


def test_odin_moves_a_pixel_whose_gradient_is_zero():
    network = Linear(tensor([[1.0, 0.0], [-1.0, 0.0]]), tensor([0.0, 0.0]))
    ODIN(epsilon=0.25).score_images(seen_by(network), tensor([[[[0.5, 0.5]]]]))
    # The first pixel raises the predicted class; the second has no gradient and moves down: sgn₊(0) = +1.
    assert_close(network.shown[1].flatten(), tensor([0.75, 0.25]), **EXACT)


def test_odin_does_not_clip_to_the_range_of_pixels():
    network = Linear(tensor([[1.0, -1.0], [-1.0, 1.0]]), tensor([0.0, 0.0]))
    ODIN(epsilon=0.25).score_images(seen_by(network), tensor([[[[1.0, 0.0]]]]))
    assert_close(network.shown[1].flatten(), tensor([1.25, -0.25]), **EXACT)


def test_odin_separates_what_a_float32_softmax_ties():
    images = torch.tensor([[[[0.5, 0.5]]], [[[0.50002, 0.5]]]])
    network = Linear(torch.eye(2), torch.zeros(2))
    logits = images.flatten(1) / 1000
    assert torch.softmax(logits, dim=1).amax(1).unique().numel() == 1
    low, high = ODIN(epsilon=0.0).score_images(seen_by(network), images)
    assert low < high


def test_odin_works_where_the_caller_disabled_gradients():
    network = Linear(ODIN_INPUTS["A"], ODIN_INPUTS["c"])
    with torch.no_grad():
        scores = ODIN().score_images(seen_by(network), ODIN_IMAGES)
        assert not torch.is_grad_enabled()
    assert_close(scores, tensor(VALUES["odin"]), **EXACT)
