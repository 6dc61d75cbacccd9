"""Detectors of a network's stages, and the Gaussians that they share, against numbers.

Numbers are the unrounded worked examples of the specification, scikit-learn's or NumPy's, slow transcriptions
of the formulas, or paper arithmetic.
"""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import scipy.special
import torch
from sklearn.covariance import EmpiricalCovariance
from torch.testing import assert_close

from methods.base import Features, Head, HyperparameterError, NotApplicable
from methods.detectors import _gaussian, rankfeat
from methods.detectors import gram as gram_module
from methods.detectors._gaussian import Gaussian, NoVariation, class_means, covariance, whitener
from methods.detectors.energy import Energy
from methods.detectors.gram import Gram
from methods.detectors.layerwise_uncertainty import LayerwiseUncertainty
from methods.detectors.logit_mahalanobis import LogitMahalanobis
from methods.detectors.mahalanobis import Mahalanobis
from methods.detectors.mahalanobis_ensemble import MahalanobisEnsemble
from methods.detectors.prob_mahalanobis import ProbMahalanobis
from methods.detectors.rankfeat import RankFeat
from methods.detectors.relative_mahalanobis import RelativeMahalanobis
from methods.registry import detector
from methods.statistics import gram, pooled, rank_one

WORKED = json.loads((Path(__file__).parent / "stage_worked_examples.json").read_text())
INPUTS, VALUES = WORKED["inputs"], WORKED["values"]
EXACT = {"rtol": 1e-12, "atol": 1e-12}


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


F1 = {key: tensor(value) for key, value in INPUTS["F1"].items()}
LABELS = F1["Y"].long()
HEAD = Head(F1["W"], F1["b"])


def features(h, labels=None):
    return Features(h @ F1["W"].T + F1["b"], h, labels)


TRAIN = features(F1["H"], LABELS)
QUERIES = features(F1["Q"])


def normal(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


# ---------------------------------------------------------------------------------------------- Gaussians


def clustered(n=200, d=6, classes=3, seed=0):
    """Correlated rows around three means, and their labels, in no order."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % classes)
    rows = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + 3 * rng.normal(size=(classes, d))[labels]
    return torch.from_numpy(rows), torch.from_numpy(labels)


def slow_distances(rows, labels, queries):
    """Squared distance to the nearest mean by NumPy's pseudo-inverse."""
    rows, labels, queries = rows.double().numpy(), labels.numpy(), queries.double().numpy()
    means = np.stack([rows[labels == c].mean(axis=0) for c in range(labels.max() + 1)])
    residuals = rows - means[labels]
    precision = np.linalg.pinv(residuals.T @ residuals / len(rows), rcond=1e-10, hermitian=True)
    gaps = queries[:, None] - means
    return torch.from_numpy(np.einsum("nkd,de,nke->nk", gaps, precision, gaps).min(axis=1))


@pytest.mark.parametrize("rows_at_once", [1, 7, 4096])
def test_covariance_agrees_with_scikit_learn_in_blocks_of_any_size(rows_at_once, monkeypatch):
    monkeypatch.setattr(_gaussian, "ROWS", rows_at_once)
    rows, labels = clustered(50)
    means = class_means(rows, labels, 3)
    expected = np.stack([rows[labels == c].numpy().mean(axis=0) for c in range(3)])
    assert_close(means, torch.from_numpy(expected), **EXACT)
    residuals = rows.numpy() - expected[labels.numpy()]
    oracle = EmpiricalCovariance(assume_centered=True).fit(residuals).covariance_
    assert_close(covariance(rows, labels, means), torch.from_numpy(oracle), **EXACT)


@pytest.mark.parametrize("rows_at_once", [1, 7, 512])
def test_distances_agree_with_numpy_in_blocks_of_any_size(rows_at_once, monkeypatch):
    monkeypatch.setattr(_gaussian, "SCORED", rows_at_once)
    rows, labels = clustered()
    queries = 3 * normal(20, 6, seed=1)
    found = Gaussian.fit(rows, labels, 3, "x").nearest(queries)
    assert_close(found, slow_distances(rows, labels, queries), rtol=1e-10, atol=1e-12)


def test_statistics_of_float32_rows_are_accumulated_in_float64():
    rows, labels = clustered()
    rows = (rows + 1e3).float()  # float32 sums of squares would keep nothing of a variance near 1
    assert class_means(rows, labels, 3).dtype == torch.float64
    gaussian = Gaussian.fit(rows, labels, 3, "x")
    exact = Gaussian.fit(rows.double(), labels, 3, "x")
    assert_close(gaussian.nearest(rows), exact.nearest(rows.double()), **EXACT)
    assert_close(exact.nearest(rows), slow_distances(rows, labels, rows), rtol=1e-8, atol=1e-8)


def test_rows_of_a_read_only_memory_mapped_file_are_read(tmp_path):
    rows, labels = clustered()
    np.save(tmp_path / "rows.npy", rows.float().numpy())
    mapped = torch.from_numpy(np.load(tmp_path / "rows.npy", mmap_mode="c"))
    expected = Gaussian.fit(rows.float(), labels, 3, "x").nearest(rows.float())
    assert torch.equal(Gaussian.fit(mapped, labels, 3, "x").nearest(mapped), expected)


def test_whitener_is_a_root_of_the_pseudo_inverse():
    rows = normal(40, 3) @ normal(3, 5, seed=1)  # rank 3 of 5
    sigma = rows.T @ rows / 40
    root = whitener(sigma)
    assert root.shape == (5, 3)
    assert_close(root @ root.T, torch.linalg.pinv(sigma, hermitian=True, rtol=1e-10), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("share", "rank"), [(1.1e-10, 2), (0.9e-10, 1)])
def test_whitener_leaves_out_less_than_1e_10_of_the_largest(share, rank):
    assert whitener(torch.diag(tensor([7.0, 7.0 * share]))).shape == (2, rank)


def test_a_distance_in_a_direction_of_tiny_variance_keeps_its_digits():
    # Means a million deviations apart in the narrow direction: inner products would lose twelve digits.
    means = tensor([[0.0, 0.0], [0.0, 1.0], [3.0, 1.0]])
    gaussian = Gaussian.of(means, torch.diag(tensor([1.0, 1e-9])), "x")
    gaps = tensor([[0.5, 2.0**-20], [0.25, -(2.0**-18)], [2.0**-10, 2.0**-22]])
    expected = gaps[:, 0].square() + gaps[:, 1].square() / 1e-9
    assert_close(gaussian.nearest(means + gaps), expected, rtol=1e-9, atol=0.0)


def test_half_the_distance_has_the_gradient_of_its_nearest_gaussian():
    gaussian = Gaussian.of(tensor([[0.0, 0.0], [4.0, 0.0]]), torch.diag(tensor([1.0, 4.0])), "x")
    rows = tensor([[1.0, 2.0], [3.5, -4.0]]).requires_grad_()
    (gaussian.nearest(rows) / 2).sum().backward()
    assert_close(rows.grad, tensor([[1.0, 0.5], [-0.5, -1.0]]), **EXACT)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6 / 3])
def test_rounding_of_constant_rows_is_no_variation(value):
    rows, labels = torch.full((1000, 3), value, dtype=torch.float64), torch.arange(1000) % 3
    with pytest.raises(NoVariation, match="here: no feature varies within any class"):
        Gaussian.fit(rows, labels, 3, "here")


@pytest.mark.parametrize(
    ("method", "space"),
    [
        (Mahalanobis(), "penultimate"),
        (RelativeMahalanobis(), "penultimate"),
        (LogitMahalanobis(), "logits"),
        (ProbMahalanobis(), "probabilities"),
    ],
)
def test_errors_name_the_space(method, space):
    with pytest.raises(ValueError, match=f"^{space}: no feature varies within any class"):
        method.fit(TRAIN[torch.tensor([0, 3, 6])], TRAIN, HEAD)


# -------------------------------------------------------------------------------------------- mahalanobis


class Linear:
    """Features that are linear in images (N, 1, 1, 2); keeps what it was shown and the gradient."""

    def __init__(self, weight):
        self.weight = weight
        self.shown, self.gradients = [], []

    def __call__(self, images):
        self.shown.append(images.detach().clone())
        if images.requires_grad:
            images.register_hook(lambda gradient: self.gradients.append(gradient.clone()))
        h = images.flatten(1) @ self.weight.T
        return Features(torch.zeros(len(h), 2), h, stages=[h[:, :2], h])


MP = {key: tensor(value) for key, value in INPUTS["mp"].items()}
GAUSSIAN = Gaussian.of(MP["mu"], torch.diag(1 / MP["P"]), "x")
IMAGE = MP["x"].reshape(1, 1, 1, 2)


def test_mahalanobis_step_of_the_worked_example():
    network = Linear(MP["A"])
    fitted = Mahalanobis(magnitude=float(MP["m"])).with_state(gaussian=GAUSSIAN)
    score = fitted.score_images(network, IMAGE)
    assert_close(network(IMAGE).penultimate, tensor(VALUES["mp.f"]), **EXACT)
    assert_close(network.gradients[0].flatten(), tensor(VALUES["mp.grad"]), **EXACT)
    assert_close(network.shown[1].flatten(1), tensor(VALUES["mp.x2"]), **EXACT)
    assert_close(score, tensor(VALUES["mp.score"]), **EXACT)


def test_mahalanobis_without_a_step_of_the_worked_example():
    network = Linear(MP["A"])
    fitted = Mahalanobis().with_state(gaussian=GAUSSIAN)
    assert fitted.step == 0
    assert_close(fitted.score_images(network, IMAGE), tensor(VALUES["mp.score0"]), **EXACT)
    assert len(network.shown) == 1
    assert_close(fitted.loss(network(IMAGE)), -tensor(VALUES["mp.score0"]) / 2, **EXACT)


def test_mahalanobis_looks_for_the_nearest_class_again_after_the_step():
    # From 0.4 the step of 0.6 towards the mean at 0 goes beyond it; from 0.6, towards that at 1, beyond that.
    gaussian = Gaussian.of(tensor([[0.0], [1.0]]), torch.eye(1).double(), "x")
    fitted = Mahalanobis(magnitude=0.6).with_state(gaussian=gaussian)
    images = tensor([0.4, 0.6, 0.9]).reshape(3, 1, 1, 1)
    scores = fitted.score_images(lambda x: Features(torch.zeros(len(x), 2), x.flatten(1)), images)
    # -0.2 is 0.2 from the first mean, 1.2 is 0.2 from the second, 1.5 is 0.5 from the second.
    assert_close(scores, -tensor([0.04, 0.04, 0.25]), **EXACT)
    far = Mahalanobis(magnitude=1.4).with_state(gaussian=gaussian)
    crossed = far.score_images(lambda x: Features(torch.zeros(len(x), 2), x.flatten(1)), images[1:2])
    assert_close(crossed, -tensor([1.0]), **EXACT)  # 2.0
    back = far.score_images(lambda x: Features(torch.zeros(len(x), 2), x.flatten(1)), 2.0 + images[:1])
    assert_close(back, tensor([0.0]), **EXACT)  # 2.4 - 1.4 = 1


@pytest.mark.parametrize("name", ["mahalanobis", "mahalanobis_ensemble"])
@pytest.mark.parametrize("magnitude", [-0.1, math.inf, math.nan])
def test_a_magnitude_out_of_range(name, magnitude):
    with pytest.raises(HyperparameterError, match="magnitude: expected a finite number of at least 0, got"):
        detector(name, magnitude=magnitude)


# ----------------------------------------------------------------------------------- relative_mahalanobis


def slow_relative(train, labels, queries):
    everything = slow_distances(train, torch.zeros_like(labels), queries)
    return everything - slow_distances(train, labels, queries)


@pytest.mark.parametrize("classes", [1, 3, 12])  # as many as directions, and more
def test_relative_mahalanobis_agrees_with_both_distances_in_full(classes):
    rows, labels = clustered(300, 8, classes)
    labels[:20] = 0  # classes of unequal size
    train = Features(torch.zeros(300, classes), rows, labels)
    fitted = RelativeMahalanobis().fit(train, train, HEAD)
    assert fitted.classwise.whitener.shape == (8, min(classes, 8))
    queries = 5 * normal(30, 8, seed=1)
    scores = fitted.score(Features(torch.zeros(30, classes), queries))
    assert_close(scores, slow_relative(rows, labels, queries), rtol=1e-9, atol=1e-9)


def test_relative_mahalanobis_of_features_that_never_fire():
    rows, labels = clustered(300, 8, 3)
    rows[:, [1, 6]] = 0.0
    train = Features(torch.zeros(300, 3), rows, labels)
    fitted = RelativeMahalanobis().fit(train, train, HEAD)
    assert fitted.classwise.whitener.shape == (8, 3)
    queries = 5 * normal(30, 8, seed=1)
    expected = slow_relative(rows, labels, queries)
    assert_close(fitted.score(Features(torch.zeros(30, 3), queries)), expected, rtol=1e-9, atol=1e-9)


def test_relative_mahalanobis_where_only_the_class_means_differ():
    # No class varies in the third feature, all images together do: the covariances differ in rank.
    rows, labels = clustered(300, 5, 3)
    rows[:, 2] = tensor([0.0, 1.0, 5.0])[labels]
    train = Features(torch.zeros(300, 3), rows, labels)
    fitted = RelativeMahalanobis().fit(train, train, HEAD)
    assert fitted.classwise.whitener.shape == (5, 4)
    assert fitted.background.whitener.shape == (5, 5)
    queries = 5 * normal(30, 5, seed=1)
    expected = slow_relative(rows, labels, queries)
    assert_close(fitted.score(Features(torch.zeros(30, 3), queries)), expected, rtol=1e-9, atol=1e-9)


def test_relative_mahalanobis_where_a_direction_counts_within_classes_only():
    # Far class means raise the largest eigenvalue of all images; the fourth feature falls below its share.
    rows, labels = clustered(300, 4, 3)
    rows[:, 3] = 1e-4 * normal(300, seed=3)
    rows[:, 0] += 100.0 * labels
    train = Features(torch.zeros(300, 3), rows, labels)
    fitted = RelativeMahalanobis().fit(train, train, HEAD)
    assert fitted.classwise.whitener.shape == (4, 4)
    assert fitted.background.whitener.shape == (4, 3)
    queries = rows[:30] + 1e-3 * normal(30, 4, seed=1)
    expected = slow_relative(rows, labels, queries)
    assert_close(fitted.score(Features(torch.zeros(30, 3), queries)), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("difference", "directions"), [(1e-5, 5), (0.0, 3)])
def test_relative_mahalanobis_where_class_means_leave_the_directions_that_count(difference, directions):
    # The variance of the third feature is too small to count, in a class as in all images.
    rows, labels = clustered(300, 6, 3)
    rows[:, 2] = 1e-6 * difference * normal(300, seed=3) + difference * tensor([0.0, 1.0, 5.0])[labels]
    train = Features(torch.zeros(300, 3), rows, labels)
    fitted = RelativeMahalanobis().fit(train, train, HEAD)
    assert fitted.classwise.whitener.shape == fitted.background.whitener.shape == (6, directions)


# ----------------------------------------------------------------------------------- mahalanobis_ensemble


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


# --------------------------------------------------------------------------------------------------- gram


def slow_gram(train, val, queries, powers):
    """Image by image, as the specification writes it."""

    def predicted(f):
        return f.logits.argmax(dim=1).tolist()

    def deviations(f):
        found = []
        for i, k in enumerate(predicted(f)):
            members = [j for j, p in enumerate(predicted(train)) if p == k]
            members = members or [j for j, y in enumerate(train.labels.tolist()) if y == k]
            members = members or list(range(len(train)))
            row = []
            for stage_train, stage in zip(train.gram, f.gram, strict=True):
                total = 0.0
                for q in range(powers):
                    known = stage_train[members, q].double().numpy()
                    v, mn, mx = stage[i, q].double().numpy(), known.min(axis=0), known.max(axis=0)
                    total += (np.maximum(mn - v, 0) / np.abs(mn + 1e-6)).sum()
                    total += (np.maximum(v - mx, 0) / np.abs(mx + 1e-6)).sum()
                row.append(total / scipy.special.softmax(f.logits[i].double().numpy()).max())
            found.append(row)
        return np.array(found)

    return torch.from_numpy(-(deviations(queries) / (deviations(val).mean(axis=0) + 1e-7)).sum(axis=1))


def mapped(n, seed, logits=None, scale=1.0):
    """Signed maps of two stages with their statistics, and logits of four classes."""
    maps = [scale * normal(n, 3, 4, 4, seed=seed), scale * normal(n, 5, 2, 2, seed=seed + 1)]
    logits = 2 * normal(n, 4, seed=seed + 2) if logits is None else logits
    return Features(logits, labels=torch.arange(n) % 4, gram=[gram(m) for m in maps])


@pytest.mark.parametrize("powers", [1, 3, 5])
@pytest.mark.parametrize("block", [1, 3, 128])
def test_gram_agrees_with_a_slow_transcription(powers, block, monkeypatch):
    monkeypatch.setattr(gram_module, "ROWS", block)
    train, val, queries = mapped(60, 0), mapped(20, 10), mapped(25, 20, scale=1.5)
    scores = Gram(powers).fit(train, val, HEAD).score(queries)
    assert (scores < 0).all()
    assert_close(scores, slow_gram(train, val, queries, powers), **EXACT)


def test_gram_of_the_worked_example():
    given = INPUTS["gram"]
    maps = tensor(given["F"]).reshape(1, 2, 1, 3)
    logits = tensor([[math.log(given["confidence"]), math.log(1 - given["confidence"])]])
    bounds = [tensor([given[key] * 2] * 2) for key in ("mn", "mx")]  # of 2 powers, in 2 classes
    fitted = Gram(powers=2).with_state(
        lowest=(bounds[0],), highest=(bounds[1],), units=tensor([given["unit"]])
    )
    assert_close(fitted.score(Features(logits, gram=[gram(maps)])), tensor([VALUES["gram.score"]]), **EXACT)
    # By power, with a unit that leaves the deviation as it is: 1 / (1 - 1e-7 + 1e-7), confidence 1.
    sure = tensor([[0.0, -1e4]])
    for powers, expected in [(1, VALUES["gram.dev1"][0]), (2, VALUES["gram.sum"])]:
        fitted = Gram(powers=powers).with_state(
            lowest=(bounds[0][:, : 2 * powers],),
            highest=(bounds[1][:, : 2 * powers],),
            units=tensor([1 - 1e-7]),
        )
        assert_close(fitted.score(Features(sure, gram=[gram(maps)])), -tensor([expected]), **EXACT)
    assert VALUES["gram.dev1"][0] + VALUES["gram.dev2"][0] == pytest.approx(VALUES["gram.sum"], rel=1e-14)


def test_gram_falls_back_to_labels_and_then_to_all_images():
    # Everything is predicted as 0 or 1; class 2 has images by label only, class 3 none at all.
    logits = torch.nn.functional.one_hot(torch.arange(60) % 2, 4).double()
    train = mapped(60, 0, logits)
    train = Features(train.logits, labels=torch.arange(60) % 3, gram=train.gram)
    val, queries = mapped(20, 10), mapped(40, 20, scale=1.5)
    assert set(queries.logits.argmax(dim=1).tolist()) == {0, 1, 2, 3}
    fitted = Gram().fit(train, val, HEAD)
    assert_close(fitted.score(queries), slow_gram(train, val, queries, 5), **EXACT)
    stage = train.gram[1].flatten(1)
    assert torch.equal(fitted.lowest[1][2], stage[2::3].amin(dim=0))
    assert torch.equal(fitted.highest[1][2], stage[2::3].amax(dim=0))
    assert torch.equal(fitted.lowest[1][3], stage.amin(dim=0))
    assert torch.equal(fitted.highest[1][3], stage.amax(dim=0))


def test_gram_of_training_images_is_no_deviation():
    train = mapped(60, 0)
    assert not Gram().fit(train, mapped(20, 10), HEAD).score(train).any()


def test_gram_where_no_validation_image_deviates_is_finite():
    train = mapped(60, 0)
    scores = Gram().fit(train, train, HEAD).score(mapped(20, 10, scale=2.0))
    assert torch.isfinite(scores).all()
    assert (scores < -1e5).all()  # the unit is 1e-7


def test_gram_refuses_more_powers_than_were_collected():
    train = mapped(12, 0)
    with pytest.raises(
        HyperparameterError, match="powers: expected at most the 5 that were collected, got 6"
    ):
        Gram(6).fit(train, train, HEAD)
    with pytest.raises(HyperparameterError, match="powers: expected at least 1, got 0"):
        detector("gram", powers=0)


def test_gram_of_no_validation_image():
    train = mapped(12, 0)
    with pytest.raises(ValueError, match="val: expected at least one validation image"):
        Gram().fit(train, train[:0], HEAD)


# ----------------------------------------------------------------------------------------------- rankfeat


def ranked(maps):
    h = pooled(maps)
    return Features(h @ F1["W"].to(h).T + F1["b"].to(h), h, rank_one=rank_one(maps))


@pytest.mark.parametrize("shape", [(20, 4, 3, 3), (20, 4, 1, 3)])
def test_rankfeat_is_the_energy_of_maps_without_their_leading_component(shape):
    maps = normal(*shape).abs()
    u, s, v = torch.linalg.svd(maps.flatten(2), full_matrices=False)
    s[:, 0] = 0
    rest = (u @ torch.diag_embed(s) @ v).reshape(shape)
    expected = Energy().score(features(pooled(rest)))
    scores = RankFeat().fit(ranked(maps), ranked(maps), HEAD).score(ranked(maps))
    assert_close(scores, expected, rtol=1e-10, atol=1e-10)
    assert (scores - Energy().score(features(pooled(maps)))).abs().max() > 0.1


def test_rankfeat_by_hand():
    # Two positions with one channel each, 3 and 1: the larger goes, and h is (3, 1, 0, 0) / 2.
    maps = torch.zeros(1, 4, 1, 2, dtype=torch.float64)
    maps[0, 0, 0, 0], maps[0, 1, 0, 1] = 3.0, 1.0
    expected = Energy().score(features(tensor([[0.0, 0.5, 0.0, 0.0]])))
    assert_close(RankFeat().fit(ranked(maps), ranked(maps), HEAD).score(ranked(maps)), expected, **EXACT)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rankfeat_of_maps_of_one_position_is_not_applicable(dtype, monkeypatch):
    monkeypatch.setattr(rankfeat, "ROWS", 1)
    train = ranked(normal(10, 4, 1, 1).to(dtype))
    with pytest.raises(NotApplicable, match="the last feature map has rank one"):
        RankFeat().fit(train, train, HEAD)
    mixed = Features(
        train.logits, train.penultimate, rank_one=train.rank_one * torch.linspace(1, 1.1, 10)[:, None]
    )
    RankFeat().fit(mixed, mixed, HEAD)


def test_rankfeat_of_float32_features_is_computed_in_float64():
    single = ranked(normal(6, 4, 3, 3).float())
    rest = single.penultimate.double() - single.rank_one.double()
    scores = RankFeat().fit(single, single, HEAD).score(single)
    assert_close(scores, torch.logsumexp(rest @ F1["W"].T + F1["b"], dim=1), **EXACT)


# ---------------------------------------------------------------------------------- layerwise_uncertainty


def uncertain(rows):
    """Rows of the largest logit and the layers' log-variances."""
    rows = tensor(rows)
    return Features(torch.stack([rows[:, 0], rows[:, 0] - 1.0], dim=1), log_variances=rows[:, 1:])


UFEL = INPUTS["ufel"]


@pytest.mark.parametrize(("sign", "key"), [("two_sided", "ufel.two_sided"), ("up", "ufel.z")])
def test_layerwise_uncertainty_of_the_worked_example(sign, key):
    # One deviation below and above the mean: these images have the worked mean and deviation.
    mean, std = np.array(UFEL["mean"]), np.array(UFEL["std"])
    val = uncertain(np.stack([mean - std, mean + std]).tolist())
    fitted = detector("layerwise_uncertainty", sign=sign).fit(val, val, HEAD)
    assert_close(fitted.mean, tensor(UFEL["mean"]), **EXACT)
    assert_close(fitted.deviation, tensor(UFEL["std"]), **EXACT)
    assert_close(fitted.score(uncertain(UFEL["queries"])), tensor(VALUES[key]), rtol=1e-12, atol=1e-11)


def test_a_low_log_variance_is_unusual_on_two_sides_only():
    val = uncertain([[4.0, -1.0], [6.0, 1.0]])
    low = uncertain([[5.0, -3.0]])
    assert LayerwiseUncertainty().fit(val, val, HEAD).score(low).tolist() == [-3.0]
    assert LayerwiseUncertainty(sign="up").fit(val, val, HEAD).score(low).tolist() == [3.0]


def test_layerwise_uncertainty_learns_from_validation_images_alone():
    val, train = uncertain([[4.0, -1.0], [6.0, 1.0]]), uncertain([[0.0, 0.0]])
    assert LayerwiseUncertainty().fit(train, val, HEAD).score(val).tolist() == [-2.0, 0.0]


def test_layerwise_uncertainty_of_a_network_without_variance_heads():
    with pytest.raises(NotApplicable, match="the network has no variance heads"):
        LayerwiseUncertainty().fit(TRAIN, TRAIN, HEAD)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1.0, 2.0, 0.1], [1.0, 3.0, 0.2]], "the largest logit is the same"),
        ([[1.0, 2.0, 0.1], [2.0, 3.0, 0.1], [4.0, 3.0, 0.1]], "the log-variance of layer 1 is the same"),
        ([[1.0, 2.0, 0.1]], "the largest logit is the same"),
    ],
)
def test_layerwise_uncertainty_of_what_does_not_vary(rows, message):
    with pytest.raises(NotApplicable, match=message):
        LayerwiseUncertainty().fit(uncertain(rows), uncertain(rows), HEAD)
    with pytest.raises(NotApplicable, match="the largest logit is the same"):
        LayerwiseUncertainty().fit(uncertain(rows), uncertain(rows)[:0], HEAD)


def test_layerwise_uncertainty_refuses_another_sign():
    with pytest.raises(HyperparameterError, match="sign: expected one of 'two_sided', 'up', got 'down'"):
        detector("layerwise_uncertainty", sign="down")
    with pytest.raises(ValueError, match="sign: expected one of two_sided, up, got 'down'"):
        LayerwiseUncertainty(sign="down")
