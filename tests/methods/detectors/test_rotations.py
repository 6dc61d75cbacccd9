"""Detectors that no rotation of the feature space may change."""

from typing import get_args

import pytest
from detector_examples import F1, HEAD, QUERIES, ROTATION, TRAIN, features
from torch.testing import assert_close
from worked_examples import EXACT

from methods.base import Head
from methods.detectors import she
from methods.registry import detector


@pytest.mark.parametrize(
    ("name", "hyperparameters"),
    [
        ("relative_mahalanobis", {}),
        ("gradorth", {}),
        ("residual", {}),
        ("vim", {}),
        *(("she", {"metric": metric}) for metric in get_args(she.Metric)),
        ("nnguide", {"k": 2}),
        ("fdbd", {}),
    ],
)
def test_a_rotation_of_the_feature_space_changes_no_score(name, hyperparameters):
    head = Head(F1["W"] @ ROTATION, F1["b"])
    train = features(F1["H"] @ ROTATION, TRAIN.labels, head)
    rotated = detector(name, **hyperparameters).fit(train, train, head)
    expected = detector(name, **hyperparameters).fit(TRAIN, TRAIN, HEAD).score(QUERIES)
    assert_close(rotated.score(features(F1["Q"] @ ROTATION, head=head)), expected, **EXACT)
