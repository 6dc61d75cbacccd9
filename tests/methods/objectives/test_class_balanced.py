"""Class weights and the class-balanced cost: worked examples and paper arithmetic."""

import re

import pytest
import torch
from imbalance_examples import VALUES, generator
from torch import nn
from torch.nn import functional
from torch.testing import assert_close
from worked_examples import EXACT

from methods.base import Batch, HyperparameterError, Setup
from methods.imbalance import BETA, class_weights, classes_of
from methods.registry import objective

COUNTED = torch.tensor(VALUES["exp"]["0.01"])


class Table(nn.Module):
    """Logits of an image are its first pixels."""

    def __init__(self, classes=3):
        super().__init__()
        self.classes = classes
        self.bias = nn.Parameter(torch.zeros(classes, dtype=torch.float64))

    def forward(self, images):
        return images.flatten(1)[:, : self.classes] + self.bias


def setup(labels, classes):
    images = torch.zeros(2, 3, 1, 1, dtype=torch.uint8)
    return Setup(Table(), 3, classes, 1, 10, images, labels=torch.as_tensor(labels, dtype=torch.int64))


def cost(images, labels, counts=(6, 3, 1), progress=0.0, epochs=10, **hyperparameters):
    """The loss of a batch, and its gradient in the network's bias."""
    made = objective("class_balanced", **hyperparameters)
    network = Table(len(counts))
    of_training = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    modules = made.modules(setup(of_training, len(counts)))
    batch = Batch(images, torch.tensor(labels), progress=progress, epochs=epochs)
    loss = made.loss(network, batch, modules)
    loss.backward()
    return loss.detach(), network.bias.grad


def logits(n, seed=0):
    return torch.randn(n, 3, 1, 1, generator=generator(seed), dtype=torch.float64)


@pytest.mark.parametrize("weights", ["effective", "inverse"])
def test_worked_weights(weights):
    labels = torch.arange(10).repeat_interleave(COUNTED)
    labels = labels[torch.randperm(len(labels), generator=generator())]
    modules = objective("class_balanced", weights=weights).modules(setup(labels, 10))
    (found,) = [b for module in modules.values() for b in module.buffers()]
    assert_close(found, torch.tensor(VALUES[f"weights.{weights}"], dtype=torch.float64), **EXACT)
    assert not [p for module in modules.values() for p in module.parameters()]


def test_weights_by_hand():
    # 1 - β^n is .5, .75 and .875; with a sum of 3: 4/7 · (1/.5, 1/.75, 1/.875) · 3 / (...)
    raw = torch.tensor([1 / 0.5, 1 / 0.75, 1 / 0.875], dtype=torch.float64)
    assert_close(class_weights(torch.tensor([1, 2, 3]), 0.5), 3 * raw / raw.sum(), **EXACT)
    assert_close(class_weights(torch.tensor([1, 3]), None), torch.tensor([1.5, 0.5], dtype=torch.float64))
    assert_close(class_weights(torch.tensor([1, 3]), 0.0), torch.ones(2, dtype=torch.float64))


def test_the_inverse_is_the_limit():
    assert_close(class_weights(COUNTED, 1 - 1e-10), class_weights(COUNTED, None), rtol=1e-4, atol=0)
    assert BETA == 0.9999


def test_weights_of_no_images():
    with pytest.raises(ValueError, match=r"counts: expected at least one .* got \[3, 0\]"):
        class_weights(torch.tensor([3, 0]), BETA)


def test_classes_of_labels():
    classes, place, counts = classes_of(torch.tensor([7, 2, 7, 7]))
    assert (classes.tolist(), place.tolist(), counts.tolist()) == ([2, 7], [1, 0, 1, 1], [1, 3])


@pytest.mark.parametrize("weights", ["effective", "inverse"])
def test_the_cost_is_a_weighted_sum_divided_by_the_batch(weights):
    z, labels = logits(5), [0, 2, 2, 1, 0]
    w = class_weights(torch.tensor([6, 3, 1]), 0.9 if weights == "effective" else None)
    p = torch.softmax(z.flatten(1), dim=1)
    each = [-float(w[y] * p[i, y].log()) for i, y in enumerate(labels)]
    found, gradient = cost(z, labels, weights=weights, beta=0.9)
    assert_close(found, torch.tensor(sum(each) / 5, dtype=torch.float64), **EXACT)
    expected = (w[torch.tensor(labels)][:, None] * (p - torch.eye(3)[torch.tensor(labels)])).sum(dim=0) / 5
    assert_close(gradient, expected, **EXACT)


def test_a_batch_of_one_class_keeps_its_weight():
    """A mean weighted by the batch's own weights would be the plain cross-entropy."""
    z = logits(4)
    found, _ = cost(z, [2] * 4, weights="inverse")
    plain = functional.cross_entropy(z.flatten(1), torch.full((4,), 2))
    assert_close(found, plain * 2, **EXACT)  # 1/6, 1/3 and 1 have a sum of 3/2: w = 1/3, 2/3, 2


def test_equal_classes_cost_the_cross_entropy():
    z = logits(4)
    found, _ = cost(z, [0, 1, 2, 2], counts=(5, 5, 5))
    assert_close(found, functional.cross_entropy(z.flatten(1), torch.tensor([0, 1, 2, 2])), **EXACT)


@pytest.mark.parametrize(
    ("progress", "epochs", "deferred"),
    [(0.0, 200, True), (159.99, 200, True), (160.0, 200, False), (199.5, 200, False), (3.5, 5, True),
     (4.0, 5, False)],
)  # fmt: skip
def test_deferred_weights_set_in_late(progress, epochs, deferred):
    z, labels = logits(4), [2, 2, 0, 1]
    found = cost(z, labels, progress=progress, epochs=epochs, defer=0.8)
    plain = cost(z, labels, counts=(1, 1, 1))
    weighted = cost(z, labels, progress=progress, epochs=epochs)
    assert abs(plain[0] - weighted[0]) > 0.01
    assert_close(found, plain if deferred else weighted, **EXACT)


def test_half_precision_is_widened():
    made = objective("class_balanced")
    network = Table().half()
    modules = made.modules(setup([0, 1, 2, 2], 3))
    images = logits(4).half()
    found = made.loss(network, Batch(images, torch.tensor([0, 1, 2, 2])), modules)
    assert found.dtype == torch.float32
    exact, _ = cost(images.double(), [0, 1, 2, 2], counts=(1, 1, 2))
    assert_close(found, exact.float(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("labels", "empty"), [([0, 0, 2], "1, 3"), ([], "0, 1, 2, 3")])
def test_a_class_without_training_images_has_no_weight(labels, empty):
    with pytest.raises(
        ValueError, match=f"training images of all 4 classes, got none of: {re.escape(empty)}$"
    ):
        objective("class_balanced").modules(setup(labels, 4))


def test_a_label_that_is_no_class():
    with pytest.raises(ValueError, match=r"setup.labels: expected class indices below 3, got 3"):
        objective("class_balanced").modules(setup([0, 1, 2, 3], 3))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("beta", 1.0, "beta: expected .* below 1, got 1.0"),
        ("beta", -0.1, "beta: expected a number of at least 0"),
        ("beta", float("nan"), "beta: .* got nan"),
        ("defer", 0.0, "defer: expected a number between 0 and 1, or None, got 0.0"),
        ("defer", 1.0, "defer: .* got 1.0"),
        ("defer", float("nan"), "defer: .* got nan"),
        ("weights", "cb", "weights: expected one of 'effective', 'inverse', got 'cb'"),
    ],
)
def test_the_cost_refuses_what_makes_no_sense(key, value, message):
    with pytest.raises(HyperparameterError, match=message):
        objective("class_balanced", **{key: value})
