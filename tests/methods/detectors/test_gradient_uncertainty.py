"""Gradient uncertainty against pytorch-ood's numbers, paper arithmetic and GradNorm."""

import pytest
import torch
from detector_examples import F1, HEAD, QUERIES, TRAIN, features
from random_layer import Linear, both_signs
from scipy.special import softmax
from torch import nn
from torch.testing import assert_close
from worked_examples import EXACT

from methods.base import Head
from methods.detectors.gradient_uncertainty import GradientUncertainty
from methods.detectors.gradnorm import GradNorm


@both_signs
def test_gradient_uncertainty_is_that_of_pytorch_ood_on_the_last_layer(signed):
    library = pytest.importorskip("pytorch_ood.detector")
    world = Linear(width=10, signed=signed, weight=0.5)  # it clamps probabilities below 1e-12
    model = nn.Sequential(nn.Identity(), world.module)
    expected = -library.GradUncertainty(model, param_filter=lambda name: name.startswith("1.")).predict(
        world.asked.penultimate
    )
    assert_close(world.score(GradientUncertainty()), expected, rtol=1e-9, atol=1e-9)


def test_gradient_uncertainty_by_hand():
    p = softmax(QUERIES.logits[0].numpy())
    h = F1["Q"][0].numpy()
    expected = sum((3 * q - 1) ** 2 for q in p) * (sum(v * v for v in h) + 1)
    fitted = GradientUncertainty().fit(TRAIN, TRAIN, HEAD)
    assert fitted.score(QUERIES)[0].item() == pytest.approx(expected, rel=1e-13)


def test_gradient_uncertainty_of_a_uniform_prediction_is_0():
    head = Head(F1["W"])
    flat = features(torch.zeros(1, 4).double(), head=head)
    fitted = GradientUncertainty().fit(flat, flat, head)
    assert fitted.score(flat).item() == 0


def test_gradient_uncertainty_is_gradnorm_squared_and_the_bias():
    world = Linear()
    product, output = (world.score(GradNorm(norm="l2", factor=factor)) for factor in ("UV", "V"))
    expected = 25 * (product.square() + output.square())
    assert_close(world.score(GradientUncertainty()), expected, **EXACT)
