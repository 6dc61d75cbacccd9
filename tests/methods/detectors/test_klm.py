"""KL matching against worked numbers and SciPy."""

import math

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats
import torch
from detector_examples import HEAD, VALUES
from logit_examples import QUERIES, TRAIN, fit
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features, NotApplicable
from methods.detectors.klm import KLM


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


def test_klm_made_directly_refuses_another_mode():
    with pytest.raises(ValueError, match="mode: expected one of min, pred, got 'max'"):
        KLM(mode="max")
