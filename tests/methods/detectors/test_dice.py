"""DICE against the specification's worked numbers and paper arithmetic."""

import pytest
import torch
from detector_examples import F1, HEAD, QUERIES, TRAIN, VALUES, features
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features, Head
from methods.detectors.dice import DICE


@pytest.mark.parametrize("percentile", [50, 70])
def test_dice_keeps_the_weights_of_the_worked_example(percentile):
    fitted = DICE(percentile=float(percentile)).fit(TRAIN, TRAIN, HEAD)
    assert fitted.threshold == pytest.approx(VALUES[f"dice.t{percentile}"], rel=1e-12)
    assert_close(fitted.weight, F1["W"] * tensor(VALUES[f"dice.mask{percentile}"]), **EXACT)


@pytest.mark.parametrize(("classes", "kept"), [(999, 100), (1000, 300)])
def test_dice_published_sparsity_is_of_the_number_of_classes(classes, kept):
    head = Head(1.0 + torch.arange(classes).double()[:, None])  # contributions 1, 2, …, K
    train = features(torch.ones(1, 1).double(), head=head)
    assert int((DICE().fit(train, train, head).weight > 0).sum()) == kept


def test_dice_drops_weights_at_the_threshold():
    head = Head(torch.ones(3, 4).double(), F1["b"])
    train = features(torch.ones(1, 4).double(), head=head)
    fitted = DICE(percentile=0.0).fit(train, train, head)
    # All contributions are equal, so all go, and the bias alone is left.
    assert_close(fitted.score(QUERIES), torch.logsumexp(F1["b"], dim=0).expand(3), **EXACT)


def test_dice_of_signed_features_keeps_the_negative_weights_of_negative_means():
    head = Head([[1.0, -1.0]])
    train = features(torch.tensor([[-2.0, -1.0], [0.0, -1.0]]), head=head)
    fitted = DICE(percentile=50.0).fit(train, train, head)
    # Means -1, -1; contributions -1, 1; threshold 0; the logit of (-2, -3) is 3.
    assert fitted.score(Features([[0.0]], tensor([[-2.0, -3.0]]))).tolist() == [3.0]
