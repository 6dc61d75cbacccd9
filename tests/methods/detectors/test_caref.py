"""CARef against arithmetic on paper, and a plain loop that follows the formula."""

import numpy as np
import pytest
import torch
from detector_examples import F1, HEAD, LABELS, QUERIES, TRAIN, features
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features, Head
from methods.detectors.caref import CARef

NO_HEAD = Head.not_linear("none is needed")


def test_caref_by_hand():
    # Two training images are predicted as class 0, (2, 0) and (4, 2), with mean (3, 1), and one as class 1,
    # (0, 4). The query (1, 3) is predicted as class 0: |1 - 3| + |3 - 1| = 4, over |1| + |3| = 4. The second
    # one, (1, 1), is predicted as class 1: |1 - 0| + |1 - 4| = 4, over 2.
    train = Features(tensor([[1.0, 0], [2, 0], [0, 1]]), tensor([[2.0, 0], [4, 2], [0, 4]]), [0, 1, 1])
    fitted = CARef().fit(train, train, NO_HEAD)
    assert fitted.means.tolist() == [[3, 1], [0, 4]]
    queries = Features(tensor([[5.0, 0], [0, 5]]), tensor([[1.0, 3], [1, 1]]))
    assert fitted.score(queries).tolist() == [-1, -2]


def test_caref_means_are_of_predicted_classes_and_else_of_labels():
    # The network predicts 0, 0, 0, 1, 1, 1, 0, 1, 0: class 2 is never predicted, so its mean is that of the
    # last three images, which count for the classes that they are predicted as, too.
    means = CARef().fit(TRAIN, TRAIN, HEAD).means
    h = F1["H"]
    assert_close(means, torch.stack([h[[0, 1, 2, 6, 8]].mean(0), h[[3, 4, 5, 7]].mean(0), h[6:].mean(0)]))


def test_caref_follows_the_formula():
    fitted = CARef().fit(TRAIN, TRAIN, HEAD)
    expected = []
    for h, z in zip(F1["Q"].numpy(), QUERIES.logits.numpy(), strict=True):
        mean = fitted.means[int(np.argmax(z))].numpy()
        expected.append(-sum(abs(h - mean)) / sum(abs(h)))
    assert_close(fitted.score(QUERIES), tensor(expected), **EXACT)


def test_caref_does_not_change_where_all_features_are_scaled():
    def scaled(given):
        return Features(given.logits, 7 * given.penultimate, given.collected().get("labels", [None])[0])

    expected = CARef().fit(TRAIN, TRAIN, HEAD).score(QUERIES)
    assert_close(CARef().fit(scaled(TRAIN), scaled(TRAIN), NO_HEAD).score(scaled(QUERIES)), expected, **EXACT)


def test_caref_of_the_mean_itself_is_zero_and_nothing_is_higher():
    fitted = CARef().fit(TRAIN, TRAIN, HEAD)
    logits = 5 * torch.eye(3, dtype=torch.float64)
    assert fitted.score(Features(logits, fitted.means)).tolist() == [0, 0, 0]


def test_caref_of_features_that_are_all_zero_is_very_low():
    fitted = CARef().fit(TRAIN, TRAIN, HEAD)
    (score,) = fitted.score(features(torch.zeros(1, 4, dtype=torch.float64))).tolist()
    assert score == pytest.approx(-fitted.means[0].sum().item() / 1e-12, rel=1e-12)


def test_caref_predicts_the_lowest_of_equal_classes():
    fitted = CARef().fit(TRAIN, TRAIN, HEAD)
    assert fitted.score(Features(tensor([[0.0, 1, 1]]), fitted.means[1:2])).tolist() == [0]


def test_caref_of_one_class_and_constant_features():
    train = Features(torch.zeros(4, 1), torch.ones(4, 3), [0] * 4)
    assert CARef().fit(train, train, NO_HEAD).score(train).tolist() == [0] * 4


def test_caref_names_the_class_without_images():
    train = TRAIN[LABELS != 2]
    with pytest.raises(ValueError, match="labels: no training image of class 2, nor one predicted so; each"):
        CARef().fit(train, train, HEAD)
