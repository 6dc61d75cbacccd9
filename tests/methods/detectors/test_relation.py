"""Relation against its formula."""

import numpy as np
import pytest
import torch
from detector_examples import F1, HEAD, TRAIN, features
from random_rows import blobs, normal
from scipy.special import softmax
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features
from methods.detectors import relation
from methods.detectors.relation import Relation


def related(train, queries, power, threshold):
    scores = []
    for h, z in zip(queries.penultimate.numpy(), queries.logits.numpy(), strict=True):
        total = 0.0
        for other, logits in zip(train.penultimate.numpy(), train.logits.numpy(), strict=True):
            cosine = h @ other / (np.linalg.norm(h) * np.linalg.norm(other))
            relation = max(0.0, cosine) * (softmax(z) @ softmax(logits))
            total += relation**power if relation > threshold else 0.0
        scores.append(total)
    return tensor(scores)


@pytest.mark.parametrize(("power", "threshold"), [(1.0, 0.03), (4.0, 0.03), (0.5, 0.3), (1.0, 0.0)])
@pytest.mark.parametrize("held", [1, 7, 256])
def test_relation_is_its_formula(power, threshold, held, monkeypatch):
    monkeypatch.setattr(relation, "ROWS", held)
    h, labels = blobs(each=20, width=4, apart=2.0)
    train, queries = features(h, labels), features(2 * normal(25, 4, seed=1))
    fitted = Relation(power, threshold).fit(train, train, HEAD)
    assert_close(fitted.score(queries), related(train, queries, power, threshold), **EXACT)


def test_relation_of_an_image_that_relates_to_none():
    fitted = Relation().fit(TRAIN[:3], TRAIN, HEAD)
    opposite = Features(tensor([[0.0, 0.0, 30.0]]), F1["H"][:1])  # no probability in common
    reverse = Features(TRAIN.logits[:1], -F1["H"][:1])  # no cosine above 0
    assert fitted.score(opposite).tolist() == [0.0]
    assert fitted.score(reverse).tolist() == [0.0]
    assert fitted.score(Features(TRAIN.logits[:1], torch.zeros(1, 4).double())).tolist() == [0.0]
