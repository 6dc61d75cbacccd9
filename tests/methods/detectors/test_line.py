"""LINe against paper arithmetic and a slow transcription."""

import math

import numpy as np
import pytest
import torch
from detector_examples import F1, HEAD, LABELS, QUERIES, TRAIN, features
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Head, HyperparameterError
from methods.detectors.energy import Energy
from methods.detectors.line import LINe
from methods.detectors.react import ReAct
from methods.registry import detector


def slow_line(train, asked, head, activations, weights, clip):
    """One image at a time, with the masks of its class."""
    h, labels = train.penultimate.numpy(), train.labels.numpy()
    w, b = head.weight.numpy(), head.bias.numpy()
    contributions = [h[labels == c].mean(axis=0) * w[c] for c in range(len(w))]
    scores = []
    for x in asked.penultimate.numpy():
        x = np.minimum(x, clip)
        own = contributions[int((w @ x + b).argmax())]
        x = x * (own > np.percentile(own, activations))
        shown = w * np.abs(own)
        pruned = w * (shown > np.percentile(shown, weights))
        scores.append(np.log(np.exp(pruned @ x + b).sum()))
    return tensor(scores)


def crowd(n, head, seed=0, signed=False):
    rng = np.random.default_rng(seed)
    h = rng.normal(size=(n, 12)) + 1.5 * np.repeat(np.eye(4), 3, axis=1)[np.arange(n) % 4]
    return features(tensor((h if signed else np.maximum(h, 0)).tolist()), torch.arange(n) % 4, head)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    ("activations", "weights", "clip"),
    [(90, 90, 1.0), (10, 10, 0.8), (10, 90, 1.0), (37.5, 60.0, 2.0), (0, 0, 9)],
)
def test_line_is_the_slow_transcription(activations, weights, clip, signed):
    head = Head(
        torch.randn(4, 12, generator=torch.Generator().manual_seed(0)).double(), tensor([0.1, 0, 0, -0.1])
    )
    train, asked = crowd(60, head, signed=signed), crowd(30, head, seed=1, signed=signed)
    scores = LINe(activations, weights, clip).fit(train, train, head).score(asked)
    assert_close(scores, slow_line(train, asked, head, activations, weights, clip), **EXACT)


def test_line_by_hand():
    # Class means (2, 1) and (0, 3); contributions (2, -1) and (0, 3), medians 1/2 and 3/2.
    head = Head(tensor([[1.0, -1.0], [-1.0, 1.0]]))
    train = features(tensor([[2.0, 1.0], [0.0, 2.0], [0.0, 4.0]]), torch.tensor([0, 1, 1]), head)
    fitted = LINe(activations=50.0, weights=50.0, clip=1.5).fit(train, train, head)
    assert fitted.kept.tolist() == [[True, False], [False, True]]
    # Weights by sizes: for class 0 (2, -1; -2, 1), for class 1 (0, -3; 0, 3); medians 0 and 0.
    assert fitted.thresholds.tolist() == [0.0, 0.0]
    scores = fitted.score(features(tensor([[4.0, 1.0], [1.0, 5.0]]), head=head))
    # Clipped to (1.5, 1) and (1, 1.5). Class 0 keeps feature 0 and its own weight of it, class 1 likewise 1.
    assert_close(scores, tensor([math.log(math.exp(1.5) + 1)] * 2), **EXACT)


def test_line_predicts_from_clipped_features():
    # Unclipped, (5, 2) is of class 0; clipped to (1, 1) of class 1, whose bias is larger.
    head = Head(tensor([[1.0, 0.0], [0.0, 1.0]]), tensor([0.0, 0.5]))
    train = features(tensor([[3.0, 0.0], [0.0, 3.0]]), torch.tensor([0, 1]), head)
    scores = LINe(50.0, 50.0, 1.0).fit(train, train, head).score(features(tensor([[5.0, 2.0]]), head=head))
    assert_close(scores, tensor([math.log(1 + math.exp(1.5))]), **EXACT)


@pytest.mark.parametrize(
    ("classes", "kept", "neurons", "ceiling"), [(99, 10, 10, 1.0), (100, 10, 90, 1.0), (1000, 90, 90, 0.8)]
)
def test_line_published_values_are_of_the_number_of_classes(classes, kept, neurons, ceiling):
    weight = torch.rand(classes, 100, generator=torch.Generator().manual_seed(0)).double()
    head = Head(weight)
    train = features(torch.ones(classes, 100).double(), torch.arange(classes), head)
    fitted = LINe().fit(train, train, head)
    assert int(fitted.kept[0].sum()) == neurons
    shown = weight * fitted.sizes[0]
    assert int((shown > fitted.thresholds[0]).sum()) == kept * classes
    assert fitted.ceiling == ceiling


def test_line_that_leaves_nothing_out_but_the_least_is_react():
    # All mean contributions and weights are above the least, which are of feature 0, where h is 0.
    head = Head(tensor([[-9.0, 1.0, 2.0], [-9.0, 3.0, 1.0]]), tensor([0.2, 0.0]))
    train = features(tensor([[1.0, 2.0, 3.0], [1.0, 1.0, 4.0]]), torch.tensor([0, 1]), head)
    asked = features(tensor([[0.0, 1.0, 5.0], [0.0, 0.0, 0.5]]), head=head)
    clipped = features(asked.penultimate.clamp(max=2.5), head=head)
    scores = LINe(0.0, 0.0, 2.5).fit(train, train, head).score(asked)
    assert_close(scores, Energy().fit(clipped, clipped, head).score(clipped), **EXACT)
    react = ReAct(100.0).fit(clipped, clipped, head).with_state(threshold=2.5)
    assert_close(scores, react.score(asked), **EXACT)


@pytest.mark.parametrize("activations", [0.0, 90.0, 100.0])
def test_line_of_equal_contributions_leaves_the_bias(activations):
    head = Head(torch.ones(3, 4).double(), F1["b"])
    train = features(torch.ones(3, 4).double(), torch.arange(3), head)
    scores = LINe(activations).fit(train, train, head).score(features(QUERIES.penultimate, head=head))
    assert_close(scores, torch.logsumexp(F1["b"], dim=0).expand(3), **EXACT)


def test_line_of_features_that_are_all_zero_is_of_the_bias():
    scores = LINe().fit(TRAIN, TRAIN, HEAD).score(features(torch.zeros(2, 4).double()))
    assert_close(scores, torch.logsumexp(F1["b"], dim=0).expand(2), **EXACT)


def test_line_of_one_class():
    head = Head(tensor([[1.0, 2.0, 3.0]]))
    train = features(tensor([[1.0, 1.0, 1.0]]), torch.tensor([0]), head)
    # Contributions (1, 2, 3), weights by them (1, 4, 9): the last alone is above 90 %.
    assert_close(LINe().fit(train, train, head).score(features(tensor([[0.5, 9.0, 0.25]]), head=head)),
                 tensor([0.75]), **EXACT)  # fmt: skip


def test_line_does_not_depend_on_the_order_of_the_features():
    order = torch.tensor([2, 0, 3, 1])
    moved = Head(HEAD.weight[:, order], HEAD.bias)
    train, asked = (f.including(penultimate=f.penultimate[:, order]) for f in (TRAIN, QUERIES))
    expected = LINe(50.0, 50.0).fit(TRAIN, TRAIN, HEAD).score(QUERIES)
    assert_close(LINe(50.0, 50.0).fit(train, train, moved).score(asked), expected, **EXACT)


def test_line_needs_an_image_of_every_class():
    with pytest.raises(ValueError, match="labels: no training image of class 1; each of 3 classes needs one"):
        LINe().fit(TRAIN[LABELS != 1], TRAIN, HEAD)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("activations", -1.0, "activations: expected None or a number from 0 to 100, got -1.0"),
        ("activations", 0.9, "activations: expected percent, such as 90, got 0.9; a share of 0.9 is 90"),
        ("weights", 100.5, "weights: expected None or a number from 0 to 100, got 100.5"),
        ("weights", math.nan, "weights: expected None or a number from 0 to 100, got nan"),
        ("clip", 0.0, "clip: expected None or a finite number above 0, got 0.0"),
        ("clip", math.inf, "clip: expected None or a finite number above 0, got inf"),
    ],
)
def test_line_hyperparameters_out_of_range(key, value, message):
    with pytest.raises(HyperparameterError, match=message):
        detector("line", **{key: value})
