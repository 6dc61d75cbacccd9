"""The Mahalanobis ensemble against worked numbers and slow transcriptions."""

import pytest
import torch
from detector_examples import F1, HEAD, INPUTS, LABELS, TRAIN, VALUES
from stage_examples import GAUSSIAN, IMAGE, MP, Linear, clustered, normal, slow_distances
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features, NotApplicable
from methods.detectors._gaussian import Gaussian
from methods.detectors.mahalanobis import Mahalanobis
from methods.detectors.mahalanobis_ensemble import MahalanobisEnsemble


def staged(h, labels=None, *, widths=(2,), classes=3):
    """The first features as stages, all of them as the last one."""
    return Features(torch.zeros(len(h), classes), h, labels, stages=[h[:, :w].sin() for w in widths])


def test_ensemble_of_the_worked_example():
    # Distances of one-dimensional layers around means at 0: squares of the features.
    def layers(scores):
        roots = (-tensor(scores)).sqrt()
        return Features(torch.zeros(len(roots), 1), roots[:, 1:], stages=[roots[:, :1]])

    unit = Gaussian.of(tensor([[0.0]]), torch.eye(1).double(), "x")
    val, queries = layers(INPUTS["ml"]["val"]), layers(INPUTS["ml"]["queries"])
    detector = MahalanobisEnsemble().with_state(
        gaussians=(unit, unit), means=tensor(VALUES["ml.mean"]), deviations=tensor(VALUES["ml.std"])
    )
    assert_close(detector.score(queries), tensor(VALUES["ml.zsum"]), **EXACT)
    # Training images at ±1, of mean 0 and variance 1, make `fit` learn the same.
    ones = tensor([[1.0, -1.0], [-1.0, 1.0]])
    train = Features(torch.zeros(2, 1), ones[:, 1:], [0, 0], stages=[ones[:, :1]])
    fitted = MahalanobisEnsemble().fit(train, val, HEAD)
    assert_close(fitted.means, tensor(VALUES["ml.mean"]), **EXACT)
    assert_close(fitted.deviations, tensor(VALUES["ml.std"]), **EXACT)
    assert_close(fitted.score(queries), tensor(VALUES["ml.zsum"]), **EXACT)


def test_ensemble_sums_the_standardised_scores_of_each_layer():
    rows, labels = clustered()
    train, val = staged(rows, labels, widths=(2, 4)), staged(2 * normal(30, 6, seed=1), widths=(2, 4))
    queries = staged(3 * normal(20, 6, seed=2), widths=(2, 4))
    expected = torch.zeros(20, dtype=torch.float64)
    for pick in (lambda f: f.stages[0], lambda f: f.stages[1], lambda f: f.penultimate):
        of_val, of_queries = (-slow_distances(pick(train), labels, pick(f)) for f in (val, queries))
        expected += (of_queries - of_val.mean()) / of_val.std(correction=0)
    scores = MahalanobisEnsemble().fit(train, val, HEAD).score(queries)
    assert_close(scores, expected, rtol=1e-9, atol=1e-9)


def ensemble_of_one(f, train, val):
    """What `mahalanobis` gives for the penultimate layer, standardised."""
    one = Mahalanobis().fit(train, val, HEAD)
    of_val = one.score(val)
    return (one.score(f) - of_val.mean()) / of_val.std(correction=0)


@pytest.mark.parametrize("case", ["constant", "constant within a class", "the penultimate layer itself"])
def test_ensemble_leaves_out_a_stage(case):
    rows, labels = clustered()

    def make(h, labels=None):
        by_class = torch.zeros(len(h)) if labels is None else labels.double()
        stage = {
            "constant": torch.full((len(h), 2), 0.1),
            "constant within a class": by_class[:, None] * torch.ones(1, 3),
            "the penultimate layer itself": h * (1 + 1e-7),
        }[case]
        return Features(torch.zeros(len(h), 3), h, labels, stages=[stage])

    train, val, queries = make(rows, labels), make(2 * normal(30, 6, seed=1)), make(normal(9, 6, seed=2))
    fitted = MahalanobisEnsemble().fit(train, val, HEAD)
    assert fitted.gaussians[0] is None
    assert_close(fitted.score(queries), ensemble_of_one(queries, train, val), **EXACT)


def test_ensemble_counts_a_last_stage_that_differs_from_the_penultimate_layer():
    rows, labels = clustered()
    train = Features(torch.zeros(200, 3), rows, labels, stages=[rows * (1 + 1e-3)])
    fitted = MahalanobisEnsemble().fit(train, train, HEAD)
    assert None not in fitted.gaussians
    assert_close(fitted.score(train), 2 * ensemble_of_one(train, train, train), rtol=1e-9, atol=1e-9)


def test_ensemble_without_any_variation_is_not_applicable():
    h = LABELS.double()[:, None]
    train = Features(TRAIN.logits, h, LABELS, stages=[h, torch.ones(9, 2)])
    with pytest.raises(NotApplicable, match="no layer's features vary within any class"):
        MahalanobisEnsemble().fit(train, train, HEAD)


@pytest.mark.parametrize("rows", [slice(0, 1), slice(0, 0), torch.tensor([2, 2])])
def test_ensemble_of_validation_images_at_one_distance(rows):
    train = Features(TRAIN.logits, F1["H"], LABELS, stages=[F1["H"][:, :2]])
    with pytest.raises(ValueError, match="val: the validation images are all at one distance"):
        MahalanobisEnsemble().fit(train, train[rows], HEAD)


def test_ensemble_names_the_class_without_images():
    train = Features(TRAIN.logits, F1["H"], LABELS, stages=[F1["H"][:, :2]])
    with pytest.raises(ValueError, match="labels: no training image of class 1; each of 3"):
        MahalanobisEnsemble().fit(train[LABELS != 1], train, HEAD)


def test_ensemble_steps_along_the_weighted_sum_of_its_layers():
    # The layers are h₁, h₂ (deviation 3) and h₁, h₂, h₃ (deviation 1/2) of the worked example's network.
    network, step = Linear(MP["A"]), float(MP["m"])
    first = Gaussian.of(MP["mu"][:, :2], torch.diag(tensor([0.5, 3.0])), "x")
    fitted = MahalanobisEnsemble(magnitude=step).with_state(
        gaussians=(first, None, GAUSSIAN), means=tensor([-1.0, 2.0]), deviations=tensor([3.0, 0.5])
    )
    h = tensor(VALUES["mp.f"])[0]
    near = h - MP["mu"][0]  # the nearest in both layers
    by_first = MP["A"][:2].T @ (near[:2] / tensor([0.5, 3.0])) / 3
    by_second = tensor(VALUES["mp.grad"]) / 0.5
    score = fitted.score_images(network, IMAGE)
    assert_close(network.gradients[0].flatten(), by_first + by_second, **EXACT)
    stepped = MP["x"] - step * (2 * (by_first + by_second >= 0).double() - 1)
    assert_close(network.shown[1].flatten(1), stepped, **EXACT)
    assert len(network.gradients) == 1
    distances = [g.nearest(rows) for g, rows in zip([first, GAUSSIAN], network(stepped).stages, strict=True)]
    expected = (-distances[0] + 1.0) / 3.0 + (-distances[1] - 2.0) / 0.5
    assert_close(score, expected, **EXACT)
