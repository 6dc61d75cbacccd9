"""GROOD against paper arithmetic and a slow transcription."""

import math

import numpy as np
import pytest
import torch
from detector_examples import HEAD, LABELS, QUERIES, ROTATION, TRAIN
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features, HyperparameterError, NotApplicable
from methods.detectors import grood
from methods.detectors.grood import GROOD
from methods.registry import detector

ROUNDED = {"rtol": 1e-9, "atol": 1e-12}


def crowd(n, seed=0, classes=4, width=6):
    """Features of classes that overlap, and logits that are wrong for some and have ties."""
    rng, labels = np.random.default_rng(seed), np.arange(n) % classes
    h = np.maximum(rng.normal(size=(n, width)) + 1.5 * np.eye(classes, width)[labels], 0)
    logits = np.round(h[:, :classes] * 2)
    return Features(logits, h, torch.from_numpy(labels))


def slow_gradient(h, prototypes, origin):
    """π (h - o) / ‖h - o‖, term by term."""
    to_origin = math.dist(h, origin)
    total = math.exp(-to_origin) + sum(math.exp(-math.dist(h, p)) for p in prototypes)
    return [math.exp(-to_origin) / total * (x - o) / to_origin for x, o in zip(h, origin, strict=True)]


def slow_scores(train, asked, outlier, mixing):
    h, z, labels = (t.numpy() for t in (train.penultimate, train.logits, train.labels))
    prototypes = [h[labels == k].mean(axis=0) for k in range(z.shape[1])]
    if outlier == "mean":
        origin = np.mean(prototypes, axis=0)
    else:
        second = [sorted(range(len(row)), key=lambda k, row=row: (-row[k], k))[1] for row in z]
        mixed = [mixing * x + (1 - mixing) * prototypes[c] for x, c in zip(h, second, strict=True)]
        origin = np.mean(mixed, axis=0)
    bank = [
        slow_gradient(x, prototypes, origin)
        for x, row, y in zip(h, z, labels, strict=True)
        if row.argmax() == y
    ]
    assert 0 < len(bank) < len(h)
    found = [slow_gradient(x, prototypes, origin) for x in asked.penultimate.numpy()]
    return tensor([-min(math.dist(g, b) for b in bank) for g in found])


@pytest.mark.parametrize(("outlier", "mixing"), [("mixed", 0.5), ("mixed", 0.9), ("mixed", 0.0), ("mean", 1)])
@pytest.mark.parametrize("rows", [1, 7, 4096])
def test_grood_is_the_slow_transcription(outlier, mixing, rows, monkeypatch):
    monkeypatch.setattr(grood, "ROWS", rows)
    train, asked = crowd(60), crowd(20, seed=1).without("labels")
    scores = GROOD(outlier, mixing).fit(train, train, HEAD).score(asked)
    assert_close(scores, slow_scores(train, asked, outlier, mixing), **ROUNDED)


# Two classes of one image each, at (0, 0) and (2, 0); each is its class's prototype, and o = (1, 0).
PAIR = Features([[1.0, 0.0], [0.0, 1.0]], tensor([[0.0, 0.0], [2.0, 0.0]]), torch.tensor([0, 1]))


def asked(*rows):
    return Features([[0.0, 0.0]] * len(rows), tensor(list(rows)))


@pytest.mark.parametrize("method", [GROOD(outlier="mean"), GROOD(), GROOD(mixing=0.25)])
def test_grood_by_hand(method):
    # ``mixed`` is the same o: half of the mean image, and half of the mean of the other class's prototypes.
    fitted = method.fit(PAIR, PAIR, HEAD)
    assert fitted.origin.tolist() == [1.0, 0.0]
    # At a prototype π = e⁻¹ / (e⁰ + e⁻² + e⁻¹), and g = (∓π, 0).
    own = math.exp(-1) / (1 + math.exp(-2) + math.exp(-1))
    # At (1, 1) the class prototypes are √2 away and o is 1 away: g = (0, π).
    aside = math.exp(-1) / (2 * math.exp(-math.sqrt(2)) + math.exp(-1))
    scores = fitted.score(asked([0.0, 0.0], [1.0, 1.0], [1.0, 0.0]))
    assert_close(scores, tensor([0.0, -math.hypot(own, aside), -own]), **EXACT)  # at o itself, g = 0


def test_grood_scores_training_images_that_are_classified_right_highest():
    train = crowd(60)
    scores = GROOD().fit(train, train, HEAD).score(train)
    right = train.logits.argmax(dim=1) == train.labels
    assert_close(scores[right], torch.zeros(int(right.sum())).double(), rtol=0, atol=1e-12)
    assert (scores[~right] < -1e-3).all()


def test_grood_does_not_ask_for_the_prediction_of_an_image():
    train, queries = crowd(60), crowd(20, seed=1)
    fitted = GROOD().fit(train, train, HEAD)
    other = queries.including(logits=-queries.logits)
    assert torch.equal(fitted.score(queries), fitted.score(other))


def test_grood_sees_distances_alone():
    shift = tensor([3.0, -1.0, 0.5, 7.0])
    train, queries = (f.including(penultimate=(f.penultimate + shift) @ ROTATION) for f in (TRAIN, QUERIES))
    expected = GROOD().fit(TRAIN, TRAIN, HEAD).score(QUERIES)
    assert_close(GROOD().fit(train, train).score(queries), expected, **ROUNDED)


def test_grood_does_not_depend_on_the_order_of_the_training_images():
    train, queries = crowd(60), crowd(20, seed=1)
    shuffled = train[torch.from_numpy(np.random.default_rng(2).permutation(60))]
    expected = GROOD().fit(train, train, HEAD).score(queries)
    assert_close(GROOD().fit(shuffled, train, HEAD).score(queries), expected, **ROUNDED)


def test_grood_of_equal_features_is_the_same_for_all_that_are_like_them():
    train = Features(TRAIN.logits, torch.ones(9, 4), LABELS)  # all prototypes and o are one point
    scores = (
        GROOD()
        .fit(train, train, HEAD)
        .score(Features(torch.zeros(3, 3), tensor([[1.0] * 4, [0.0] * 4, [3.0] * 4])))
    )
    # Four prototypes at equal distances: π = 1/4 in whatever direction, and 0 at the point itself.
    assert_close(scores, tensor([0.0, -0.25, -0.25]), **EXACT)


@pytest.mark.parametrize("scale", [1e-9, 1e3, 1e6])
def test_grood_is_finite_where_all_probabilities_are_rounded(scale):
    train, queries = (f.including(penultimate=f.penultimate * scale) for f in (crowd(60), crowd(20, seed=1)))
    scores = GROOD().fit(train, train, HEAD).score(queries)
    assert torch.isfinite(scores).all()
    assert (scores <= 0).all()


def test_grood_of_features_that_are_all_zero():
    assert torch.isfinite(
        GROOD().fit(TRAIN, TRAIN, HEAD).score(asked([0.0] * 4).including(logits=[[0.0] * 3]))
    )


def test_grood_needs_two_classes():
    train = Features([[0.0]] * 3, torch.ones(3, 2), [0, 0, 0])
    with pytest.raises(NotApplicable, match="one class has no other to be mixed with"):
        GROOD().fit(train, train)


def test_grood_needs_an_image_that_is_classified_right():
    train = TRAIN.including(logits=torch.roll(torch.eye(3)[LABELS], 1, dims=1))
    with pytest.raises(NotApplicable, match="no training image is classified right"):
        GROOD().fit(train, train)


def test_grood_needs_an_image_of_every_class():
    with pytest.raises(ValueError, match="labels: no training image of class 1; each of 3 classes needs one"):
        GROOD().fit(TRAIN[LABELS != 1], TRAIN, HEAD)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("outlier", "noise", "outlier: expected one of 'mixed', 'mean', got 'noise'"),
        ("mixing", -0.1, "mixing: expected a number from 0 to 1, got -0.1"),
        ("mixing", 1.1, "mixing: expected a number from 0 to 1, got 1.1"),
        ("mixing", math.nan, "mixing: expected a number from 0 to 1, got nan"),
    ],
)
def test_grood_hyperparameters_out_of_range(key, value, message):
    with pytest.raises(HyperparameterError, match=message):
        detector("grood", **{key: value})


def test_grood_refuses_an_outlier_that_there_is_not():
    with pytest.raises(ValueError, match="outlier: expected one of mixed, mean, got 'noise'"):
        GROOD(outlier="noise")
