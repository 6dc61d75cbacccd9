"""The contract itself: values handed to a method, the state that it keeps, the scores that it returns."""

from dataclasses import FrozenInstanceError, dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from methods.base import (
    Detector,
    Features,
    Head,
    HyperparameterError,
    NotApplicable,
    NotFitted,
    Paper,
    ScoreError,
    check_scores,
    fitted,
)


@dataclass(frozen=True)
class Shift(Detector):
    """Largest logit above that of the training images: a detector with one hyper-parameter and one state."""

    scale: float = 1.0

    offset: Tensor = fitted()

    name = "shift"
    paper = Paper(title="t", authors="a", venue="v", year=2000)
    needs = frozenset()

    def fit(self, train, val, head, rng=None):
        return self.with_state(offset=train.logits.max())

    def score(self, features):
        return self.scale * (features.logits.amax(1) - self.offset).double()


def test_features_take_arrays_and_tensors():
    features = Features(np.ones((2, 3)), torch.ones(2, 4), [0, 1])
    assert len(features) == 2
    assert features.logits.shape == (2, 3)
    assert features.penultimate.shape == (2, 4)
    assert features.labels.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0, 2.0],), r"logits: expected shape \(N, K\), got \(2,\)"),
        ((np.ones((2, 3)), np.ones(2)), r"penultimate: expected 2 dimension.* 2 rows .* got shape \(2,\)"),
        ((np.ones((2, 3)), np.ones((3, 4))), r"penultimate: .* 2 rows .* got shape \(3, 4\)"),
        ((np.ones((2, 3)), None, [0, 1, 2]), r"labels: expected 1 dimension.* 2 rows .* got shape \(3,\)"),
        ((np.ones((2, 3)), None, [[0], [1]]), r"labels: .* got shape \(2, 1\)"),
    ],
)
def test_features_of_a_wrong_shape_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Features(*arguments)


def test_a_signal_that_was_not_collected_is_not_applicable():
    features = Features(np.ones((2, 3)))
    with pytest.raises(NotApplicable, match="penultimate features were not collected"):
        _ = features.penultimate
    with pytest.raises(NotApplicable, match="no labels"):
        _ = features.labels


def test_rows_of_features_keep_together():
    features = Features(np.arange(6.0).reshape(3, 2), np.arange(3.0)[:, None], [0, 1, 0])
    some = features[torch.tensor([2, 0])]
    assert some.logits.tolist() == [[4.0, 5.0], [0.0, 1.0]]
    assert some.penultimate.tolist() == [[2.0], [0.0]]
    assert some.labels.tolist() == [0, 0]
    assert Features(np.ones((3, 2)))[1:].logits.shape == (2, 2)


def test_a_head_without_bias_has_a_bias_of_zeros():
    head = Head(np.ones((3, 4)))
    assert head.weight.shape == (3, 4)
    assert head.bias.tolist() == [0.0, 0.0, 0.0]
    assert head.bias.dtype == head.weight.dtype


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones(3),), r"weight: expected shape \(K, D\), got \(3,\)"),
        ((np.ones((3, 4)), np.ones(4)), r"bias: expected shape \(3,\), got \(4,\)"),
    ],
)
def test_a_head_of_a_wrong_shape_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Head(*arguments)


def test_a_head_that_is_not_linear_says_why():
    head = Head.not_linear("the logits are cosines")
    with pytest.raises(NotApplicable, match=r"^the logits are cosines$"):
        _ = head.weight
    with pytest.raises(NotApplicable, match=r"^the logits are cosines$"):
        _ = head.bias


def test_state_is_no_hyperparameter():
    assert Shift(scale=2.0).hyperparameters() == {"scale": 2.0}
    with pytest.raises(HyperparameterError, match="shift: no hyper-parameter 'offset'; it has: scale"):
        Shift.configure({"offset": 1.0})


def test_an_integer_is_a_float_and_a_boolean_is_none():
    assert Shift.configure({"scale": 2}).scale == 2
    with pytest.raises(HyperparameterError, match=r"shift\.scale: expected float, got False"):
        Shift.configure({"scale": False})


def test_fit_returns_a_fitted_copy():
    detector, data = Shift(), Features([[1.0, 3.0]])
    twin = detector.fit(data, data, Head([[1.0]]))
    assert twin.score(data).tolist() == [0.0]
    assert twin == detector  # state does not count
    with pytest.raises(NotFitted, match="shift: call fit before score"):
        detector.score(data)


def test_an_attribute_that_there_is_not():
    with pytest.raises(AttributeError, match="'Shift' has no attribute 'offsets'"):
        _ = Shift().offsets


def test_hyperparameters_are_frozen():
    with pytest.raises(FrozenInstanceError):
        Shift().scale = 2.0


def test_checked_scores_are_float64_on_the_cpu():
    scores = check_scores(torch.ones(3, requires_grad=True), 3)
    assert scores.dtype == torch.float64
    assert not scores.requires_grad


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (torch.ones(3, 1), r"expected scores of shape \(2,\), got \(3, 1\)"),
        (torch.ones(3), r"expected scores of shape \(2,\), got \(3,\)"),
        (torch.tensor(1.0), r"expected scores of shape \(2,\), got \(\)"),
        (np.ones(2), r"expected scores of shape \(2,\), got ndarray"),
        (torch.tensor([1.0, torch.nan]), "1 of 2 scores are NaN or infinite"),
        (torch.tensor([torch.inf, -torch.inf]), "2 of 2 scores are NaN or infinite"),
    ],
)
def test_scores_that_are_none(scores, message):
    with pytest.raises(ScoreError, match=message):
        check_scores(scores, 2)
