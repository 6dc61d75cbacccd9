"""KL matching where validation images are never predicted as some class (case L2, spec/methods.md §1.21)."""

import pytest
import scipy.special
import scipy.stats
import torch

from methods.base import Features, Head
from methods.registry import detector

VAL = Features([[6.0, 0, 0], [5, 0, 0], [0, 6, 0], [0, 5, 0]], labels=[0, 0, 1, 1])
HEAD = Head(torch.zeros(3, 1))


def test_l2_a_class_that_is_never_predicted_is_never_the_nearest():
    # The specification's number, and SciPy's divergence from the two templates that there are.
    fitted = detector("klm").fit(VAL, VAL, HEAD)
    query = torch.tensor([[0.0, 0, 12]], dtype=torch.float64)
    (score,) = fitted.score(Features(query)).tolist()
    assert score == pytest.approx(-5.3908, abs=5e-5)
    p, q = (scipy.special.softmax(z.double().numpy(), axis=1) for z in (VAL.logits, query))
    nearest = min(scipy.stats.entropy(q[0], p[rows].mean(axis=0)) for rows in ([0, 1], [2, 3]))
    assert score == pytest.approx(-nearest, rel=1e-12)


def test_l2_predictions_of_an_unseen_class_are_the_farthest():
    fitted = detector("klm").fit(VAL, VAL, HEAD)
    seen, unsure, unseen = fitted.score(Features([[6.0, 0, 0], [1, 1, 1], [0, 0, 6]])).tolist()
    assert seen > unsure > unseen
