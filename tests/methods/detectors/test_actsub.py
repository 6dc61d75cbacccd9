"""ActSub against arithmetic on paper, SCALE, and a plain loop that follows the formula."""

import math

import numpy as np
import pytest
import torch
from detector_examples import F1, HEAD, QUERIES, TRAIN, features
from scipy.special import logsumexp
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features, Head, HyperparameterError, NotApplicable
from methods.detectors.actsub import ActSub
from methods.detectors.scale import Scale

RNG = np.random.default_rng(0)
WIDE = Head(tensor(RNG.normal(size=(3, 8)).tolist()), tensor([0.3, 0, -0.3]))  # rank 3 of 8
WIDE_TRAIN = features(tensor(np.maximum(RNG.normal(size=(30, 8)), 0).tolist()), head=WIDE)
WIDE_QUERIES = features(tensor(np.maximum(RNG.normal(size=(6, 8)), 0).tolist()), head=WIDE)


def by_loop(dim, percentile, power, neighbours):
    """The score of each query, an image at a time."""
    weight, bias = WIDE.weight.numpy(), WIDE.bias.numpy()
    axes = np.linalg.svd(weight)[2][:dim]
    projection = axes.T @ axes
    bank = [h - projection @ h for h in WIDE_TRAIN.penultimate.numpy()]
    scores = []
    for h in WIDE_QUERIES.penultimate.numpy():
        inside = projection @ h
        top = sorted(inside)[-(8 - round(8 * percentile / 100)) :]
        energy = logsumexp(weight @ (inside * math.exp(sum(inside) / sum(top))) + bias)
        rest = h - inside
        cosines = sorted(rest @ b / np.linalg.norm(rest) / np.linalg.norm(b) for b in bank)
        scores.append(energy * max(-math.log(1 - np.mean(cosines[-neighbours:])), 0) ** power)
    return tensor(scores)


def test_actsub_by_hand():
    # The head sees the first direction alone, so that is the decisive one; the top are both entries, so that
    # the factor is exp(1). The query (2, 3, 4) has the logits (2e, -2e) and so the energy log(e^2e + e^-2e).
    # Outside, (3, 4) has the cosines 3/5 and 4/5 with (1, 0) and (0, 1) of the bank: 0.7 on average.
    head = Head(tensor([[1.0, 0, 0], [-1, 0, 0]]))
    train = features(tensor([[1.0, 7, 0], [2, 0, 2]]), head=head)
    fitted = ActSub(percentile=0.0, neighbours=2).fit(train, train, head)
    assert_close(fitted.decisive, torch.diag(tensor([1.0, 0, 0])), **EXACT)
    (score,) = fitted.score(features(tensor([[2.0, 3, 4]]), head=head)).tolist()
    energy = math.log(math.exp(2 * math.e) + math.exp(-2 * math.e))
    assert score == pytest.approx(energy * math.log(1 / 0.3) ** 2, rel=1e-12)


@pytest.mark.parametrize(("percentile", "power", "neighbours"), [(50.0, 2.0, 10), (75.0, 0.5, 1)])
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_actsub_follows_the_formula(dim, percentile, power, neighbours):
    fitted = ActSub(percentile, power, neighbours, dim).fit(WIDE_TRAIN, WIDE_TRAIN, WIDE)
    expected = by_loop(dim, percentile, power, neighbours)
    assert_close(fitted.score(WIDE_QUERIES), expected, rtol=1e-10, atol=1e-10)


def test_actsub_balances_the_two_components():
    axes = np.linalg.svd(WIDE.weight.numpy())[2]
    gaps = []
    for k in (1, 2, 3):  # the rank of the weight
        inside = np.linalg.norm(WIDE_TRAIN.penultimate.numpy() @ axes[:k].T, axis=1)
        outside = np.linalg.norm(WIDE_TRAIN.penultimate.numpy() @ axes[k:].T, axis=1)
        gaps.append(abs(inside.mean() - outside.mean()))
    best = 1 + int(np.argmin(gaps))
    chosen, given = (
        ActSub(50.0, dim=d).fit(WIDE_TRAIN, WIDE_TRAIN, WIDE).score(WIDE_QUERIES) for d in (None, best)
    )
    assert torch.equal(chosen, given)


def test_actsub_does_not_take_directions_that_the_head_does_not_see():
    # Features are far longer outside of what the head sees, so that more directions would balance them.
    far = WIDE_TRAIN.penultimate + 100 * torch.linalg.svd(WIDE.weight).Vh[-1]
    train = features(far, head=WIDE)
    fitted = ActSub(50.0).fit(train, train, WIDE)
    assert round(fitted.decisive.trace().item(), 9) == 3
    assert_close(fitted.decisive @ WIDE.weight.T, WIDE.weight.T, **EXACT)


def test_actsub_of_power_0_is_scale_where_all_directions_but_one_decide():
    # The last direction is one that neither the head nor any feature has.
    head = Head(torch.cat([torch.linalg.qr(F1["W"][:, :3]).Q, torch.zeros(3, 1)], dim=1))
    train, queries = (
        features(given.penultimate * tensor([1.0, 1, 1, 0]), head=head) for given in (TRAIN, QUERIES)
    )
    beside = features(train.penultimate + tensor([0.0, 0, 0, 1]), head=head)
    fitted = ActSub(50.0, power=0.0, dim=3, neighbours=1).fit(beside, beside, head)
    assert_close(fitted.score(queries), Scale(50.0).fit(train, train, head).score(queries), **EXACT)


def test_actsub_of_an_image_unlike_all_others_outside_scores_zero():
    # Orthogonal and opposite to all of the bank alike, whatever the power.
    head = Head(tensor([[1.0, 0, 0], [-1, 0, 0]]))
    train = features(tensor([[1.0, 1, 0], [2, 2, 0]]), head=head)
    fitted = ActSub(0.0, power=0.5, neighbours=1).fit(train, train, head)
    assert fitted.score(features(tensor([[1.0, 0, 3], [1, -1, 0], [1, 0, 0]]), head=head)).tolist() == [
        0,
        0,
        0,
    ]


def test_actsub_of_a_training_image_is_finite():
    fitted = ActSub(50.0, neighbours=1).fit(WIDE_TRAIN, WIDE_TRAIN, WIDE)
    scores = fitted.score(WIDE_TRAIN)
    assert torch.isfinite(scores).all()
    assert (scores[WIDE_TRAIN.logits.amax(dim=1) > 0] > 0).all()


def test_actsub_of_features_that_are_all_zero_is_finite():
    fitted = ActSub(50.0).fit(WIDE_TRAIN, WIDE_TRAIN, WIDE)
    assert fitted.score(features(torch.zeros(1, 8, dtype=torch.float64), head=WIDE)).tolist() == [0]


def test_actsub_similarity_does_not_depend_on_the_length_outside():
    fitted = ActSub(50.0).fit(WIDE_TRAIN, WIDE_TRAIN, WIDE)
    h = WIDE_QUERIES.penultimate
    inside = h @ fitted.decisive
    longer = features(inside + 5 * (h - inside), head=WIDE)
    assert_close(fitted.score(longer), fitted.score(WIDE_QUERIES), rtol=1e-10, atol=1e-10)


def test_actsub_draws_a_tenth_of_many_images_and_takes_all_of_few():
    many = features(tensor(RNG.normal(size=(10_000, 8)).tolist()), head=WIDE)
    rng = torch.Generator().manual_seed(0)
    assert len(ActSub(50.0).fit(many, many, WIDE, rng).bank) == 1000
    assert len(ActSub(50.0).fit(many[:9990], many, WIDE).bank) == 9990
    assert len(ActSub(50.0, fraction=0.5).fit(many, many, WIDE, rng).bank) == 5000
    with pytest.raises(ValueError, match="rng: 1000 of 10000 training images are drawn"):
        ActSub(50.0).fit(many, many, WIDE)


def test_actsub_refuses_a_bank_and_a_subspace_that_are_too_small():
    with pytest.raises(
        HyperparameterError, match="neighbours: expected at most the size of the bank, 9, got 10"
    ):
        ActSub(50.0).fit(TRAIN, TRAIN, HEAD)
    with pytest.raises(HyperparameterError, match="dim: expected less than the number of features, 8"):
        ActSub(50.0, dim=8).fit(WIDE_TRAIN, WIDE_TRAIN, WIDE)
    with pytest.raises(HyperparameterError, match=r"percentile: 95\.0 removes all of 8 features"):
        ActSub().fit(WIDE_TRAIN, WIDE_TRAIN, WIDE)


def test_actsub_does_not_apply_without_weights_or_anything_outside():
    train = Features(torch.zeros(30, 3), WIDE_TRAIN.penultimate)
    with pytest.raises(NotApplicable, match="every weight of the head is zero"):
        ActSub(50.0).fit(train, train, Head(torch.zeros(3, 8)))
    flat = features(WIDE_TRAIN.penultimate @ torch.linalg.pinv(WIDE.weight) @ WIDE.weight, head=WIDE)
    with pytest.raises(NotApplicable, match="nothing outside of 3 decisive directions"):
        ActSub(50.0, dim=3).fit(flat, flat, WIDE)


@pytest.mark.parametrize(
    ("hyperparameters", "message"),
    [
        ({"percentile": 100.0}, "percentile: expected a number of at least 0, below 100, got 100"),
        ({"percentile": 0.95}, "percentile: expected percent"),
        ({"power": -1.0}, "power: expected a finite number of at least 0, got -1"),
        ({"power": math.nan}, "power: expected a finite number"),
        ({"neighbours": 0}, "neighbours: expected at least 1, got 0"),
        ({"dim": 0}, "dim: expected None or at least 1, got 0"),
        ({"fraction": 0.0}, "fraction: expected None or above 0 and at most 1, got 0"),
    ],
)
def test_actsub_refuses_what_makes_no_sense(hyperparameters, message):
    with pytest.raises(ValueError, match=message):
        ActSub(**hyperparameters)
