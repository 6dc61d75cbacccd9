"""Each detector against numbers: the unrounded worked examples of the specification, or paper arithmetic."""

import json
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import scipy.special
import torch
from sklearn.neighbors import NearestNeighbors
from torch.testing import assert_close

from methods.base import Features, Head, HyperparameterError
from methods.detectors import gradnorm, knn
from methods.detectors.energy import Energy
from methods.detectors.gradnorm import GradNorm
from methods.detectors.knn import KNN
from methods.detectors.mahalanobis import Mahalanobis
from methods.detectors.msp import MSP
from methods.detectors.odin import ODIN
from methods.detectors.react import ReAct
from methods.registry import detector

WORKED = json.loads((Path(__file__).parent / "worked_examples.json").read_text())
VALUES = WORKED["values"]
EXACT = {"rtol": 1e-12, "atol": 1e-12}


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


F1 = {key: tensor(value) for key, value in WORKED["inputs"]["F1"].items()}
HEAD = Head(F1["W"], F1["b"])


def features(h, labels=None):
    return Features(h @ F1["W"].T + F1["b"], h, labels)


TRAIN = features(F1["H"], F1["Y"].long())
QUERIES = features(F1["Q"])


@pytest.mark.parametrize(
    ("name", "hyperparameters", "key"),
    [
        ("msp", {}, "msp"),
        ("max_logit", {}, "max_logit"),
        ("energy", {}, "energy"),
        ("energy", {"temperature": 2.0}, "energy_T2"),
        ("mahalanobis", {}, "mahalanobis"),
        ("knn", {}, "knn_k1"),  # the rule: 1 % of 9 images, at least 1
        ("knn", {"k": 1}, "knn_k1"),
        ("knn", {"k": 2}, "knn_k2"),
        ("knn", {"k": 3}, "knn_k3"),
        ("react", {}, "react"),
        ("gradnorm", {}, "gradnorm"),
        ("gradnorm", {"norm": "l2"}, "gradnorm_l2"),
        ("gradnorm", {"norm": "linf"}, "gradnorm_linf"),
        ("gradnorm", {"norm": "l0.5"}, "gradnorm_l05"),
        ("gradnorm", {"factor": "U"}, "gradnorm.U"),
        ("gradnorm", {"factor": "V"}, "gradnorm.V"),
    ],
)
def test_worked_example(name, hyperparameters, key):
    fitted = detector(name, **hyperparameters).fit(TRAIN, QUERIES, HEAD)
    assert_close(fitted.score(QUERIES), tensor(VALUES[key]), **EXACT)


def test_msp_in_float32_logits_does_not_saturate():
    logits = torch.tensor([[20.0, 0.0], [25.0, 0.0]])  # both exactly 1.0 in a float32 softmax
    first, second = MSP().score(Features(logits))
    assert first < second < 1


def test_msp_of_huge_logits_is_finite():
    assert_close(MSP().score(Features(tensor([[1e308, -1e308]]))), tensor([1.0]), **EXACT)


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


ODIN_INPUTS = {key: tensor(value) for key, value in WORKED["inputs"]["odin"].items()}
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


def test_mahalanobis_learns_the_statistics_of_the_worked_example():
    fitted = Mahalanobis().fit(TRAIN, TRAIN, HEAD).gaussian
    precision = tensor(np.linalg.pinv(VALUES["maha.cov"]).tolist())
    assert_close(fitted.whitener @ fitted.whitener.T, precision, rtol=1e-12, atol=1e-9)  # entries up to 1e3
    assert fitted.whitener.shape[1] == VALUES["maha.rank"]
    assert_close(fitted.centres, (tensor(VALUES["maha.mu"]) - fitted.origin) @ fitted.whitener, **EXACT)
    squared = ((F1["Q"] - fitted.origin)[:, None] @ fitted.whitener - fitted.centres).square().sum(-1)
    assert_close(squared, tensor(VALUES["maha.d2"]), **EXACT)


def test_mahalanobis_of_a_singular_covariance_is_that_of_its_support():
    # Repeated and constant features add nothing: on the support of Σ the distance is the worked example's.
    def widen(h):
        return torch.cat([h, h, torch.full((len(h), 1), 3.0)], dim=1)

    train = Features(TRAIN.logits, widen(F1["H"]), TRAIN.labels)
    fitted = Mahalanobis().fit(train, train, HEAD)
    assert fitted.gaussian.whitener.shape == (9, 4)
    scores = fitted.score(Features(QUERIES.logits, widen(F1["Q"])))
    assert_close(scores, tensor(VALUES["mahalanobis"]), **EXACT)


def test_mahalanobis_names_the_class_without_images():
    train = TRAIN[TRAIN.labels != 1]
    with pytest.raises(ValueError, match="labels: no training image of class 1; each of 3"):
        Mahalanobis().fit(train, train, HEAD)


def test_mahalanobis_of_features_that_do_not_vary():
    train = TRAIN[torch.tensor([0, 3, 6])]
    with pytest.raises(ValueError, match="penultimate: no feature varies within any class"):
        Mahalanobis().fit(train, train, HEAD)


@pytest.mark.parametrize(
    ("images", "k"), [(1, 1), (120, 1), (150, 2), (250, 2), (5000, 50), (5001, 5), (45000, 45), (50000, 50)]
)
def test_knn_rule_for_k(images, k):
    bank = Features(torch.zeros(images, 1), torch.zeros(images, 1))
    assert KNN().fit(bank, bank, HEAD).used_k == k


def test_knn_agrees_with_scikit_learn_in_blocks_of_any_size(monkeypatch):
    rng = np.random.default_rng(0)
    bank, queries = rng.normal(size=(50, 6)), rng.normal(size=(11, 6))
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (bank, queries)]
    reference = NearestNeighbors(n_neighbors=7, algorithm="brute").fit(unit[0]).kneighbors(unit[1])[0][:, 6]
    train = Features(np.zeros((50, 3)), bank)
    fitted = KNN(k=7).fit(train, train, HEAD)
    for similarities in (1, 150, 2**24):  # one row at a time, three, all
        monkeypatch.setattr(knn, "SIMILARITIES", similarities)
        scores = fitted.score(Features(np.zeros((11, 3)), queries))
        assert_close(scores, -torch.from_numpy(reference), **EXACT)


def test_knn_finds_a_training_image_at_distance_zero():
    assert KNN(k=1).fit(TRAIN, TRAIN, HEAD).score(TRAIN).tolist() == [0.0] * 9


def test_knn_of_features_that_are_all_zero():
    scores = KNN(k=9).fit(TRAIN, TRAIN, HEAD).score(features(torch.zeros(1, 4, dtype=torch.float64)))
    assert_close(scores, tensor([-1.0]), **EXACT)  # from the origin to the unit sphere


def test_knn_refuses_a_k_beyond_the_bank():
    with pytest.raises(HyperparameterError, match=r"k: expected at most .* images, 9, got 10"):
        KNN(k=10).fit(TRAIN, TRAIN, HEAD)


def test_react_threshold_is_of_all_features_together():
    assert ReAct().fit(TRAIN, TRAIN, HEAD).threshold == pytest.approx(VALUES["react.c"], rel=1e-12)


def test_react_leaves_negative_features_alone():
    h = tensor([[-5.0, -1.0, 0.0, 9.0]])
    fitted = ReAct().fit(TRAIN, TRAIN, HEAD)
    clipped = features(tensor([[-5.0, -1.0, 0.0, VALUES["react.c"]]]))
    assert_close(fitted.score(features(h)), Energy().score(clipped), **EXACT)


def test_react_with_msp():
    logits = np.minimum(F1["Q"].numpy(), VALUES["react.c"]) @ F1["W"].numpy().T + F1["b"].numpy()
    expected = torch.from_numpy(scipy.special.softmax(logits, axis=1).max(1))
    assert_close(ReAct(base="msp").fit(TRAIN, TRAIN, HEAD).score(QUERIES), expected, **EXACT)


def test_react_takes_more_values_than_torch_quantile_does():
    h = torch.zeros(2**12 + 1, 2**12)
    h[0, 0] = 1.0
    head = Head(torch.zeros(3, h.shape[1]))
    train = Features(torch.zeros(len(h), 3), h)
    assert ReAct(percentile=100).fit(train, train, head).threshold == 1.0


@pytest.mark.parametrize("norm", get_args(gradnorm.Norm))
@pytest.mark.parametrize("factor", get_args(gradnorm.Factor))
def test_gradnorm_is_the_norm_of_the_gradient_at_another_temperature(norm, factor):
    fitted = GradNorm(norm, factor, temperature=2.0).fit(TRAIN, TRAIN, HEAD)
    assert_close(fitted.score(QUERIES), fitted.by_autograd(QUERIES), **EXACT)


def test_gradnorm_of_the_uniform_prediction_is_zero():
    flat = TRAIN.including(logits=torch.zeros(9, 3))
    fitted = GradNorm().fit(flat, flat, Head(torch.zeros(3, 4)))
    assert_close(fitted.score(QUERIES), tensor([0.0, 0.0, 0.0]), **EXACT)


@pytest.mark.parametrize(
    ("name", "key", "value", "expected"),
    [
        ("energy", "temperature", 0.0, "a finite number above 0, got 0.0"),
        ("energy", "temperature", float("nan"), "a finite number above 0, got nan"),
        ("odin", "temperature", 0.0, "a finite number above 0, got 0.0"),
        ("odin", "temperature", float("inf"), "a finite number above 0, got inf"),
        ("odin", "epsilon", -0.1, "a finite number of at least 0, got -0.1"),
        ("odin", "epsilon", float("nan"), "a finite number of at least 0, got nan"),
        ("knn", "k", 0, "None or at least 1, got 0"),
        ("react", "percentile", -1.0, "a number from 0 to 100, got -1.0"),
        ("react", "percentile", 100.5, "a number from 0 to 100, got 100.5"),
        ("react", "percentile", float("nan"), "a number from 0 to 100, got nan"),
        ("gradnorm", "temperature", -1.0, "a finite number above 0, got -1.0"),
    ],
)
def test_a_hyperparameter_out_of_range(name, key, value, expected):
    with pytest.raises(HyperparameterError, match=f"^{name}: {key}: expected {expected}$"):
        detector(name, **{key: value})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ReAct(base="max_logit"), "base: expected one of energy, msp, got 'max_logit'"),
        (lambda: GradNorm(norm="l3"), "norm: expected one of l1, l2, linf, l0.5, got 'l3'"),
        (lambda: GradNorm(factor="W"), "factor: expected one of UV, U, V, got 'W'"),
    ],
)
def test_a_choice_that_there_is_not(make, message):
    with pytest.raises(ValueError, match=message):
        make()
