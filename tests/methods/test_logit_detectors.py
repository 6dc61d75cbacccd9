"""The detectors that need logits alone: worked examples of the specification, SciPy, or paper arithmetic."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats
import torch
from sklearn.neighbors import NearestNeighbors
from torch.testing import assert_close

from methods.base import Features, Head, HyperparameterError, NotApplicable
from methods.detectors import _nearest
from methods.detectors.gen import GEN
from methods.detectors.klm import KLM
from methods.detectors.logit_knn import LogitKNN
from methods.detectors.logit_mahalanobis import LogitMahalanobis
from methods.detectors.prob_knn import ProbKNN
from methods.detectors.prob_mahalanobis import ProbMahalanobis
from methods.detectors.temperature_scaling import TemperatureScaling
from methods.detectors.xent_uniform import XentUniform
from methods.registry import detector

HERE = Path(__file__).parent
WORKED = json.loads((HERE / "logit_worked_examples.json").read_text())
VALUES = WORKED["values"]
EXACT = {"rtol": 1e-12, "atol": 1e-12}


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


F1 = {
    key: tensor(value)
    for key, value in json.loads((HERE / "worked_examples.json").read_text())["inputs"]["F1"].items()
}
HEAD = Head(F1["W"], F1["b"])
TRAIN = Features(F1["H"] @ F1["W"].T + F1["b"], labels=F1["Y"].long())
QUERIES = Features(F1["Q"] @ F1["W"].T + F1["b"])
CALIBRATION = Features(tensor(WORKED["inputs"]["ts"]["Z"]), labels=WORKED["inputs"]["ts"]["y"])


def fit(method, train=None, val=None):
    given = next((part for part in (train, val) if part is not None), TRAIN)
    return method.fit(given if train is None else train, given if val is None else val, HEAD)


@pytest.mark.parametrize(
    ("name", "hyperparameters", "key"),
    [
        ("entropy", {}, "neg_entropy"),
        ("xent_uniform", {}, "xent_uniform"),
        ("gen", {"top": 3}, "gen_g01_M3"),
        ("gen", {}, "gen_g01_M3"),  # 100 is more than the 3 classes
        ("gen", {"top": 2}, "gen_g01_M2"),
        ("gen", {"gamma": 0.5}, "gen_g05_M3"),
        ("klm", {}, "klm_min"),
        ("logit_knn", {"k": 1}, "logit_knn_k1"),
        ("prob_knn", {"k": 1}, "prob_knn_k1"),
        ("logit_mahalanobis", {}, "logit_maha"),
        ("prob_mahalanobis", {}, "prob_maha"),
    ],
)
def test_worked_example(name, hyperparameters, key):
    assert_close(fit(detector(name, **hyperparameters)).score(QUERIES), tensor(VALUES[key]), **EXACT)


@pytest.mark.parametrize("classes", [2, 10])
def test_entropy_of_the_uniform_and_of_the_certain_prediction(classes):
    logits = torch.zeros(2, classes)
    logits[1, 0] = 1e30
    assert_close(detector("entropy").score(Features(logits)), tensor([-math.log(classes), 0.0]), **EXACT)


def test_entropy_separates_what_the_float64_softmax_ties():
    logits = tensor([[50.0, 0.0], [60.0, 0.0]])
    assert torch.softmax(logits, dim=1).amax(dim=1).tolist() == [1.0, 1.0]
    low, high = detector("entropy").score(Features(logits))
    assert low < high < 0


def test_xent_uniform_is_the_divergence_from_the_uniform_prediction():
    divergence = XentUniform().score(QUERIES) - math.log(3)
    assert_close(divergence, tensor(VALUES["kl_uniform_p"]), **EXACT)


def test_xent_uniform_does_not_feel_a_constant_added_to_all_logits():
    logits = tensor([[3.0, 1.0, -2.0], [0.5, 0.25, 0.0]])
    moved = XentUniform().score(Features(logits + 2.0**40))  # a power of two: the sum is exact
    assert_close(moved, XentUniform().score(Features(logits)), **EXACT)


def test_gen_with_gamma_one_is_the_gini_index():
    p = scipy.special.softmax(QUERIES.logits.numpy(), axis=1)
    assert_close(GEN(gamma=1.0).score(QUERIES), torch.from_numpy((p**2).sum(1) - 1), **EXACT)


def test_gen_is_exact_where_the_largest_probability_rounds_to_one():
    # Two classes a margin m apart have p (1 - p) = 1 / (2 + 2 cosh m), which tends to exp(-m).
    margins = tensor([0.0, 17.0, 40.0, 1000.0])
    scores = GEN().score(Features(torch.stack([margins, torch.zeros(4)], dim=1)))
    expected = [-2 * 0.25**0.1, -2 * (2 + 2 * math.cosh(17)) ** -0.1, -2 * math.exp(-4), -2 * math.exp(-100)]
    assert_close(scores, tensor(expected), rtol=1e-12, atol=0.0)


def test_gen_of_a_probability_of_zero_is_finite():
    assert GEN().score(Features(tensor([[1e308, -1e308, -1e308]]))).tolist() == [0.0]


def test_gen_counts_the_largest_probabilities_whatever_their_order():
    turned = Features(QUERIES.logits[:, [2, 0, 1]])
    assert_close(GEN(top=2).score(turned), tensor(VALUES["gen_g01_M2"]), **EXACT)


def test_klm_templates_of_the_worked_example():
    templates = fit(KLM()).templates
    assert_close(templates, tensor(VALUES["klm.templates"]), **EXACT)
    assert templates[2].tolist() == [0.0, 0.0, 1.0]  # never predicted


def test_klm_pred_of_the_worked_example():
    # The specification's numbers are from templates of predictions, as if those were the labels.
    val = Features(TRAIN.logits, labels=TRAIN.logits.argmax(dim=1))
    assert_close(fit(KLM(mode="pred"), val=val).score(QUERIES), tensor(VALUES["klm_pred"]), **EXACT)


def test_klm_agrees_with_scipy_in_both_modes():
    logits = np.random.default_rng(0).normal(size=(30, 4)) * 2
    labels = np.arange(30) % 4
    val, queries = Features(logits[:20], labels=labels[:20]), Features(logits[20:])
    p = scipy.special.softmax(logits, axis=1)
    predicted = p.argmax(axis=1)
    assert (predicted[20:] != labels[20:]).any()

    def divergences(members):
        templates = np.stack([p[:20][members == c].mean(axis=0) for c in range(4)])
        return np.array([[scipy.stats.entropy(row, template) for template in templates] for row in p[20:]])

    nearest = divergences(predicted[:20]).min(axis=1)
    assert_close(fit(KLM(), val=val).score(queries), -torch.from_numpy(nearest), **EXACT)
    own = divergences(labels[:20])[np.arange(10), predicted[20:]]
    assert_close(fit(KLM(mode="pred"), val=val).score(queries), -torch.from_numpy(own), **EXACT)


def test_klm_templates_are_of_validation_images():
    fitted = KLM().fit(QUERIES, TRAIN, HEAD)
    assert_close(fitted.templates, tensor(VALUES["klm.templates"]), **EXACT)


def test_klm_floor_makes_the_divergence_from_a_zero_finite():
    # Certain predictions of class 1, whose template is (1, 0), and of class 0, which is empty: (1, 0) too.
    val = Features(tensor([[1000.0, 0.0]]), labels=torch.tensor([1]))
    scores = fit(KLM(mode="pred"), val=val).score(Features(tensor([[0.0, 1000.0], [1000.0, 0.0]])))
    assert_close(scores, tensor([-12 * math.log(10), 0.0]), **EXACT)


def test_klm_min_needs_no_labels():
    assert_close(fit(KLM(), val=Features(TRAIN.logits)).score(QUERIES), tensor(VALUES["klm_min"]), **EXACT)
    with pytest.raises(NotApplicable, match="no labels"):
        fit(KLM(mode="pred"), val=Features(TRAIN.logits))


def test_klm_of_no_validation_image():
    with pytest.raises(ValueError, match="val: expected at least one validation image"):
        fit(KLM(), val=TRAIN[:0])


def nll(logits, labels, temperature):
    logs = scipy.special.log_softmax(logits / temperature, axis=1)
    return -logs[np.arange(len(labels)), labels].mean()


def test_temperature_of_the_worked_example():
    fitted = fit(TemperatureScaling(), val=CALIBRATION)
    assert math.log(fitted.temperature) == pytest.approx(math.log(VALUES["ts.T"]), abs=1e-8)  # its tolerance
    assert not fitted.at_bound
    logits, labels = CALIBRATION.logits.numpy(), CALIBRATION.labels.numpy()
    assert nll(logits, labels, 1.0) == pytest.approx(VALUES["ts.nll_before"], rel=1e-12)
    assert nll(logits, labels, fitted.temperature) == pytest.approx(VALUES["ts.nll_after"], rel=1e-12)


def test_temperature_scaling_worked_score():
    fitted = TemperatureScaling().with_state(temperature=VALUES["ts.T"], at_bound=False)
    assert_close(fitted.score(QUERIES), tensor(VALUES["ts.msp"]), **EXACT)


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_temperature_has_the_least_loss(scale):
    rng = np.random.default_rng(1)
    labels = rng.integers(5, size=80)
    logits = scale * (rng.normal(size=(80, 5)) + 2 * np.eye(5)[labels])
    fitted = fit(TemperatureScaling(), val=Features(logits, labels=labels))
    assert not fitted.at_bound
    bounds = math.log(0.05), math.log(20)
    search = scipy.optimize.minimize_scalar(
        lambda log_t: nll(logits, labels, math.exp(log_t)), bounds=bounds, method="bounded"
    )
    assert nll(logits, labels, fitted.temperature) <= search.fun * (1 + 1e-14)  # its sum is rounded
    # Twice the logits are calibrated by twice the temperature.
    doubled = fit(TemperatureScaling(), val=Features(2 * logits, labels=labels))
    assert doubled.temperature == pytest.approx(2 * fitted.temperature, rel=1e-10)


@pytest.mark.parametrize(
    ("logits", "labels", "temperature", "at_bound"),
    [
        ([[1.0, 0.0], [0.0, 1.0]], [0, 1], 0.05, True),  # all right: the colder the better
        ([[10.0, 0.0], [0.0, 10.0]], [0, 1], 0.05, True),  # the loss there rounds to zero
        ([[40.0, 0.0], [0.0, 40.0]], [0, 1], 0.05, True),  # and so does its slope
        ([[1.0, 0.0], [0.0, 1.0]], [1, 0], 20.0, True),  # all wrong: the hotter the better
        ([[2.0, 2.0], [5.0, 5.0]], [0, 1], 1.0, False),  # no temperature makes a difference
    ],
)
def test_temperature_at_a_bound(logits, labels, temperature, at_bound):
    fitted = fit(TemperatureScaling(), val=Features(logits, labels=labels))
    assert (fitted.temperature, fitted.at_bound) == (temperature, at_bound)


def test_temperature_is_that_of_validation_images():
    other = Features(-CALIBRATION.logits, labels=CALIBRATION.labels)
    fitted = TemperatureScaling().fit(other, CALIBRATION, HEAD)
    assert fitted.temperature == fit(TemperatureScaling(), CALIBRATION, CALIBRATION).temperature


def test_temperature_of_no_image():
    with pytest.raises(ValueError, match="val: the loss of 0 images has slope nan, expected a finite"):
        fit(TemperatureScaling(), val=TRAIN[:0])


def test_temperature_without_labels_is_not_applicable():
    with pytest.raises(NotApplicable, match="no labels"):
        fit(TemperatureScaling(), val=QUERIES)


@pytest.mark.parametrize("cls", [LogitKNN, ProbKNN])
def test_knn_agrees_with_scikit_learn_in_blocks_of_any_size(cls, monkeypatch):
    rng = np.random.default_rng(2)
    bank, queries = rng.normal(size=(50, 6)), rng.normal(size=(11, 6))
    spaces = [scipy.special.softmax(rows, axis=1) if cls is ProbKNN else rows for rows in (bank, queries)]
    reference = NearestNeighbors(n_neighbors=7, algorithm="kd_tree").fit(spaces[0]).kneighbors(spaces[1])[0]
    fitted = fit(cls(k=7), Features(bank))
    for distances in (1, 150, 2**24):  # one row at a time, three, all
        monkeypatch.setattr(_nearest, "DISTANCES", distances)
        assert_close(fitted.score(Features(queries)), -torch.from_numpy(reference[:, 6]), **EXACT)


@pytest.mark.parametrize("cls", [LogitKNN, ProbKNN])
def test_knn_takes_the_fiftieth_neighbour(cls):
    # Only 49 images are as the query is; the fiftieth nearest is the other one.
    logits = tensor([[0.0, 0.0]] * 49 + [[math.log(3), 0.0]])  # probabilities 1/2, 1/2 and 3/4, 1/4
    distance = {LogitKNN: math.log(3), ProbKNN: math.sqrt(2) / 4}[cls]
    assert_close(fit(cls(), Features(logits)).score(Features(logits[:1])), tensor([-distance]), **EXACT)


def test_prob_knn_of_probabilities_that_are_almost_certain():
    # 1 - p is exp(-30) and exp(-32): differences of 1e-13, of which inner products would keep nothing.
    fitted = fit(ProbKNN(k=1), Features(tensor([[30.0, 0.0]])))
    expected = -math.sqrt(2) * (scipy.special.expit(-30) - scipy.special.expit(-32))
    score = fitted.score(Features(tensor([[32.0, 0.0]]))).item()
    assert score == pytest.approx(expected, rel=2e-3, abs=0)  # 1 - 9e-14 is kept in steps of 1.1e-16


@pytest.mark.parametrize("cls", [LogitKNN, ProbKNN])
def test_knn_refuses_a_k_beyond_the_bank(cls):
    with pytest.raises(HyperparameterError, match=r"k: expected at most .* images, 9, got 10"):
        fit(cls(k=10))
    assert fit(cls(k=9)).score(QUERIES).shape == (3,)


@pytest.mark.parametrize(("cls", "key"), [(LogitMahalanobis, "logit_rank"), (ProbMahalanobis, "prob_rank")])
def test_mahalanobis_has_the_rank_of_the_worked_example(cls, key):
    assert fit(cls()).gaussian.whitener.shape == (3, VALUES[key])


def test_mahalanobis_feels_the_scale_of_the_logits_and_the_softmax_its_saturation():
    # Twice as far out along a class: farther in logits, no farther in probabilities.
    far, farther = Features(tensor([[20.0, 0.0, -20.0]])), Features(tensor([[40.0, 0.0, -40.0]]))
    logits, probabilities = fit(LogitMahalanobis()), fit(ProbMahalanobis())
    assert logits.score(farther) < 3 * logits.score(far)
    assert probabilities.score(farther).item() == pytest.approx(probabilities.score(far).item(), rel=1e-6)


@pytest.mark.parametrize("cls", [LogitMahalanobis, ProbMahalanobis])
def test_mahalanobis_names_the_class_without_images(cls):
    with pytest.raises(ValueError, match="labels: no training image of class 1; each of 3"):
        fit(cls(), TRAIN[TRAIN.labels != 1])


@pytest.mark.parametrize("cls", [LogitMahalanobis, ProbMahalanobis])
def test_mahalanobis_of_one_image_a_class(cls):
    with pytest.raises(ValueError, match="no feature varies within any class"):
        fit(cls(), TRAIN[torch.tensor([0, 3, 6])])


@pytest.mark.parametrize(
    ("name", "key", "value", "expected"),
    [
        ("gen", "gamma", 0.0, "a finite number above 0, got 0.0"),
        ("gen", "gamma", float("nan"), "a finite number above 0, got nan"),
        ("gen", "top", 0, "at least 1, got 0"),
        ("klm", "mode", "max", "one of 'min', 'pred', got 'max'"),
        ("logit_knn", "k", 0, "at least 1, got 0"),
        ("prob_knn", "k", 0, "at least 1, got 0"),
    ],
)
def test_a_hyperparameter_out_of_range(name, key, value, expected):
    with pytest.raises(HyperparameterError, match=rf"^{name}(: |\.){key}: expected {expected}$"):
        detector(name, **{key: value})


def test_klm_made_directly_refuses_another_mode():
    with pytest.raises(ValueError, match="mode: expected one of min, pred, got 'max'"):
        KLM(mode="max")
