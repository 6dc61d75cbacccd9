"""CADRef against arithmetic on paper, CARef, and a plain loop that follows the formula."""

import math

import numpy as np
import pytest
import torch
from detector_examples import F1, HEAD, QUERIES, TRAIN
from scipy.special import logsumexp, softmax
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features, Head, NotApplicable
from methods.detectors.cadref import CADRef
from methods.detectors.caref import CARef

LN2 = math.log(2)
CONFIDENCE = {
    "energy": lambda z: logsumexp(z),
    "max_logit": max,
    "msp": lambda z: max(softmax(z)),
    "gen": lambda z: 1 / sum((p * (1 - p)) ** 0.1 for p in sorted(softmax(z))[-10:]),
}


def test_cadref_by_hand():
    # Logits (a, a) have the energy a + ln 2. Those of the training images, with a = ln 2 and 5 ln 2, have
    # 2 ln 2 and 6 ln 2, on average 4 ln 2. Both are predicted as class 0, whose mean is (4, 2) and whose
    # weights are (1, -1). The query (6, 4) is off by (2, 2), of which the first raises the logit and the
    # second lowers it: E_p = E_n = 2 / 10. With a = 0 its energy is ln 2: s = -(0.2 / ln 2 + 0.2 / (4 ln 2)).
    head = Head(tensor([[1.0, -1.0], [1, -1]]), tensor([0.0, 0]))
    train = Features(LN2 * tensor([[1.0, 1], [5, 5]]), tensor([[3.0, 1], [5, 3]]), [0, 1])
    fitted = CADRef().fit(train, train, free(head))
    assert fitted.typical == pytest.approx(4 * LN2, rel=1e-15)
    assert fitted.means[0].tolist() == [4, 2]
    query = Features(tensor([[0.0, 0]]), tensor([[6.0, 4]]))
    assert fitted.score(query).item() == pytest.approx(-0.25 / LN2, rel=1e-12)


@pytest.mark.parametrize("logit_score", CONFIDENCE)
def test_cadref_follows_the_formula(logit_score):
    fitted = CADRef(logit_score).fit(TRAIN, TRAIN, HEAD)
    own = CONFIDENCE[logit_score]
    typical = np.mean([own(z) for z in TRAIN.logits.numpy()])
    expected = []
    for h, z in zip(F1["Q"].numpy(), QUERIES.logits.numpy(), strict=True):
        predicted = int(np.argmax(z))
        raising = lowering = 0.0
        for d, value in enumerate(h):
            off = value - fitted.means[predicted, d].item()
            weight = F1["W"][predicted, d].item()
            if weight * off > 0:
                raising += abs(off)
            elif weight * off < 0:
                lowering += abs(off)
        expected.append(-(raising / own(z) + lowering / typical) / sum(abs(h)))
    assert_close(fitted.score(QUERIES), tensor(expected), **EXACT)


def test_cadref_is_caref_where_all_images_are_as_confident():
    # Every weight is -0.5 or 1 and no logit differs: the two errors have the same divisor, ln 3.
    weight = F1["W"].where(F1["W"] != 0, -0.5)
    flat = [part.including(logits=torch.zeros_like(part.logits)) for part in (TRAIN, QUERIES)]
    detectors = [CADRef().fit(flat[0], flat[0], free(Head(weight))), CARef().fit(flat[0], flat[0])]
    ours, caref = (d.score(flat[1]) for d in detectors)
    assert_close(ours, caref / math.log(3), **EXACT)


def test_cadref_leaves_out_features_without_weight():
    # Class 0 gives the last feature no weight: it counts as one more only in the size of the features.
    fitted = CADRef().fit(TRAIN, TRAIN, HEAD)
    logits = tensor([[9.0, 0, 0]])
    at_mean = fitted.means[:1].clone()
    at_mean[0, 3] += 5
    assert fitted.score(Features(logits, at_mean)).tolist() == [0]


def test_cadref_of_an_image_whose_logits_are_all_low_is_finite_and_lower():
    fitted = CADRef().fit(TRAIN, TRAIN, HEAD)
    h = F1["Q"][:1] + 1
    high, zero, low = (
        fitted.score(Features(tensor([[z, z - 9, z - 9]]), h)).item() for z in (9.0, -0.0, -50)
    )
    assert high > zero > low > -math.inf


def test_cadref_of_features_that_are_all_zero_is_finite():
    fitted = CADRef().fit(TRAIN, TRAIN, HEAD)
    (score,) = fitted.score(Features(tensor([[3.0, 0, 0]]), torch.zeros(1, 4))).tolist()
    assert -math.inf < score < -1e6


def test_cadref_does_not_apply_where_energies_are_not_positive():
    train = TRAIN.including(logits=TRAIN.logits - 100)
    with pytest.raises(NotApplicable, match=r"the mean energy of the training images is -9.*not positive"):
        CADRef().fit(train, train, free(HEAD))
    assert torch.isfinite(CADRef("msp").fit(train, train, free(HEAD)).score(QUERIES)).all()


def test_cadref_gen_of_a_sure_prediction_is_finite():
    fitted = CADRef("gen").fit(TRAIN, TRAIN, HEAD)
    assert torch.isfinite(fitted.score(Features(tensor([[900.0, 0, 0]]), F1["Q"][:1]))).all()


def test_cadref_knows_its_scores_of_logits():
    with pytest.raises(ValueError, match="logit_score: expected one of energy, gen, max_logit, msp, got 'x'"):
        CADRef("x")


def free(head):
    """A head that is not held to logits that a test makes up."""

    class Free(Head):
        is_linear = False

    made = Head.__new__(Free)
    made.__dict__ |= head.__dict__
    return made
