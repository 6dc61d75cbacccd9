"""Gram against worked numbers and a slow transcription."""

import math

import numpy as np
import pytest
import scipy.special
import torch
from detector_examples import HEAD, INPUTS, VALUES
from stage_examples import normal
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features, HyperparameterError
from methods.detectors import gram as gram_module
from methods.detectors.gram import Gram
from methods.registry import detector
from methods.statistics import gram


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
