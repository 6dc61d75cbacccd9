"""WeiPer against paper arithmetic, a slow transcription of its formulas, and its limits."""

import math

import numpy as np
import pytest
import torch
from detector_examples import HEAD, QUERIES, TRAIN, features
from scipy.special import softmax
from stage_examples import normal
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features, Head, HyperparameterError, NotApplicable
from methods.detectors import _blocks
from methods.detectors.weiper import WeiPer, _smoothed
from methods.registry import detector

WORLD = Head(normal(4, 9, seed=7), normal(4, seed=8))
LEARNT, ASKED = (features(n.relu(), head=WORLD) for n in (normal(60, 9), 2 * normal(25, 9, seed=1)))


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def fit(train=LEARNT, head=WORLD, seed=0, **set_to):
    return WeiPer(**set_to).fit(train, train, head, rng(seed))


def test_weiper_on_paper():
    """The head is the identity and nothing is perturbed, so that logits are the features.

    The training features are 0 and 1, and half of them lie in each of the two bins, up to 1/2 and from there.
    The first query has both in the first bin: its shares with the floor of 0.01 are (1.01, 0.01) / 1.02, and
    the divergence both ways from (1/2, 1/2) is (1.01 / 1.02 - 1/2) log 101; so for 0.025. Of the second query
    one value is outside of both bins. The third is as the training images are.
    """
    head = Head(torch.eye(2).double())
    train = features(tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]), head=head)
    settings = {"repeats": 1, "distance": 0.0, "bins": 2, "smoothing": 1, "smoothing_perturbed": 1}
    fitted = fit(train, head, lambda_1=3.0, lambda_2=0.5, **settings)
    scores = fitted.score(features(tensor([[0.2, 0.3], [2.0, 1.0], [1.0, 0.0]]), head=head))
    first = (0.5 / 1.02) * math.log(101), (0.5 / 1.05) * math.log(41)
    second = (0.25 / 0.52) * math.log(51), (0.25 / 0.55) * math.log(21)
    larger = 1 / (1 + math.exp(-0.1)), 1 / (1 + math.exp(-1))
    expected = [
        -first[0] - 3 * first[1] + 0.5 * larger[0],
        -second[0] - 3 * second[1] + 0.5 * larger[1],
        0.5 * larger[1],
    ]
    assert_close(scores, tensor(expected), rtol=1e-12, atol=1e-12)


def slow_weiper(train, asked, head, seed, repeats, distance, bins, lambda_1, lambda_2, widths):
    """One image at a time, by NumPy's histograms and loops over bins."""
    weight, bias, generator = head.weight.numpy(), head.bias.numpy(), rng(seed)
    perturbed = []
    for _ in range(repeats):
        noise = torch.randn(*weight.shape, generator=generator, dtype=torch.float64).numpy()
        for w, eta in zip(weight, noise, strict=True):
            perturbed.append(w + distance * np.linalg.norm(w) * eta / np.linalg.norm(eta))
    perturbed, biases = np.array(perturbed), np.tile(bias, repeats)

    def smooth(p, width):
        before, found = (width - 1) // 2, []
        for t in range(len(p)):
            near = [p[min(max(u, 0), len(p) - 1)] for u in range(t - before, t - before + width)]
            found.append(sum(near) / width)
        return np.array(found)

    def divergences(learnt, values, width, floor):
        edges = np.linspace(learnt.min(), learnt.max() + 1e-9, bins + 1)

        def shares(row):
            return np.histogram(row, edges)[0] / len(row)

        mean = np.mean([shares(row) for row in learnt], axis=0) + floor
        mean = mean / mean.sum()
        for row in values:
            q = smooth(shares(row), width) + floor
            q = q / q.sum()
            yield (q * np.log(q / mean)).sum() + (mean * np.log(mean / q)).sum()

    plain = divergences(train, asked, widths[0], 0.01)
    z = [h @ perturbed.T + biases for h in (train, asked)]
    moved = divergences(*z, widths[1], 0.025)
    largest = softmax(z[1].reshape(len(asked), repeats, -1), axis=2).max(axis=2).mean(axis=1)
    return [-a - lambda_1 * b + lambda_2 * m for a, b, m in zip(plain, moved, largest, strict=True)]


@pytest.mark.parametrize(
    ("repeats", "distance", "bins", "lambda_1", "lambda_2", "widths"),
    [
        (100, 2.4, 100, 2.5, 0.25, (40, 15)),  # as published, by network
        (100, 2.0, 80, 2.5, 0.1, (40, 15)),
        (100, 1.8, 100, 2.5, 0.1, (4, 15)),
        (100, 2.4, 100, 0.1, 1.0, (4, 40)),
        (3, 0.5, 7, 1.0, 1.0, (1, 2)),
        (1, 0.0, 5, 2.0, 0.0, (12, 3)),  # wider than there are bins
    ],
)
def test_weiper_is_the_slow_transcription(repeats, distance, bins, lambda_1, lambda_2, widths):
    settings = (repeats, distance, bins, lambda_1, lambda_2)
    expected = slow_weiper(LEARNT.penultimate.numpy(), ASKED.penultimate.numpy(), WORLD, 3, *settings, widths)
    fitted = WeiPer(*settings, *widths).fit(LEARNT, LEARNT, WORLD, rng(3))
    assert_close(fitted.score(ASKED), tensor(expected), rtol=1e-9, atol=1e-9)


def test_weiper_perturbs_each_weight_by_its_length():
    perturbed = torch.stack(fit(repeats=7, distance=1.5).perturbed)  # (7, 4, 9)
    moved = torch.linalg.vector_norm(perturbed - WORLD.weight, dim=2)
    lengths = torch.linalg.vector_norm(WORLD.weight, dim=1)
    assert_close(moved, 1.5 * lengths.expand(7, 4), **EXACT)
    assert len({tuple(p.flatten().tolist()) for p in perturbed}) == 7


def test_weiper_smooths_over_one_bin_more_above_than_below_where_the_width_is_even():
    shares = tensor([[8.0, 0, 0, 4, 0, 0]])
    # Before the first bin there is another 8: (8 + 8) / 4, (8 + 4) / 4, 4 / 4, 4 / 4, 4 / 4, 0.
    assert_close(_smoothed(shares, 4), tensor([[4.0, 3, 1, 1, 1, 0]]), **EXACT)
    assert_close(_smoothed(shares, 3), tensor([[16.0, 8, 4, 4, 4, 0]]) / 3, **EXACT)
    assert torch.equal(_smoothed(shares, 1), shares)


@pytest.mark.parametrize("width", [1, 2, 3, 4, 15, 40])
def test_weiper_smooths_as_a_convolution_of_torch_does(width):
    conv = torch.nn.Conv1d(1, 1, width, padding="same", padding_mode="replicate", bias=False).double()
    torch.nn.init.constant_(conv.weight, 1 / width)
    shares = torch.rand(5, 50, generator=rng(), dtype=torch.float64)
    assert_close(_smoothed(shares, width), conv(shares[:, None])[:, 0].detach(), **EXACT)


def test_weiper_without_the_logits_sees_no_order_of_the_features():
    order = torch.randperm(9, generator=rng(5))
    only = {"lambda_1": 0.0, "lambda_2": 0.0, "repeats": 2}
    moved = [Features(f.logits, f.penultimate[:, order]) for f in (LEARNT, ASKED)]
    head = Head(WORLD.weight[:, order], WORLD.bias)
    assert_close(fit(moved[0], head, **only).score(moved[1]), fit(**only).score(ASKED), **EXACT)


def test_weiper_that_perturbs_nothing_needs_one_repeat():
    once, often = (fit(distance=0.0, repeats=r).score(ASKED) for r in (1, 9))
    assert_close(often, once, rtol=1e-10, atol=1e-10)


def test_weiper_depends_on_the_generator_alone():
    assert torch.equal(fit(seed=1).score(ASKED), fit(seed=1).score(ASKED))
    assert not torch.equal(fit(seed=1).score(ASKED), fit(seed=2).score(ASKED))


def test_weiper_does_not_depend_on_how_many_repeats_are_looked_at_together(monkeypatch):
    whole = fit().score(ASKED)
    for at_once in (1, 40, 700):
        monkeypatch.setattr(_blocks, "AT_ONCE", at_once)
        assert_close(fit().score(ASKED), whole, rtol=1e-10, atol=1e-10)


def test_weiper_scores_training_images_at_the_ends_of_the_range():
    """The least and the largest value lie in a bin, whatever is scored beside them."""
    fitted = fit()
    for row in range(len(LEARNT)):
        one = LEARNT[row : row + 1].penultimate.double()
        assert fitted.of_features.counts(one).sum() == 9
        assert sum(fitted.of_logits.counts(z.flatten(1)).sum() for z in fitted._logits(one)) == 400


def test_weiper_of_images_whose_values_are_all_outside():
    far = features(torch.full((2, 9), -1e6).double(), head=WORLD)
    assert torch.isfinite(fit().score(far)).all()
    assert torch.isfinite(fit().score(features(torch.zeros(2, 9).double(), head=WORLD))).all()


def test_weiper_of_features_that_do_not_vary_between_images():
    constant = features(torch.arange(9.0).double().expand(20, 9), head=WORLD)
    scores = fit(constant).score(constant)
    assert torch.isfinite(scores).all()
    assert_close(scores, scores[:1].expand(20), **EXACT)


def test_weiper_of_features_that_are_all_one_number():
    zeros = features(torch.zeros(20, 9).double(), head=WORLD)
    with pytest.raises(NotApplicable, match="features: all are 0 for all training images"):
        fit(zeros)


def test_weiper_of_a_head_of_zeros():
    head = Head(torch.zeros(4, 9).double())
    train = features(LEARNT.penultimate, head=head)
    with pytest.raises(NotApplicable, match="perturbed logits: all are 0 for all training images"):
        fit(train, head)


def test_weiper_of_one_class_is_sure_of_it():
    head = Head(WORLD.weight[:1], WORLD.bias[:1])
    train, asked = (features(f.penultimate, head=head) for f in (LEARNT, ASKED))
    scores = [fit(train, head, lambda_2=weight).score(asked) for weight in (0.0, 1.0)]
    assert_close(scores[1], scores[0] + 1, **EXACT)


def test_weiper_of_the_worked_example_is_lower_far_out():
    scores = WeiPer(repeats=20).fit(TRAIN, TRAIN, HEAD, rng()).score(QUERIES)
    assert scores[2] < scores[0]


def test_weiper_draws_only_from_a_generator():
    with pytest.raises(ValueError, match="rng: 100 perturbations are drawn"):
        WeiPer().fit(LEARNT, LEARNT, WORLD)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("repeats", 0, "at least 1, got 0"),
        ("bins", 1, "at least 2, got 1"),
        ("smoothing", 0, "at least 1, got 0"),
        ("smoothing_perturbed", 0, "at least 1, got 0"),
        ("distance", -0.1, "a finite number of at least 0, got -0.1"),
        ("lambda_1", math.inf, "a finite number of at least 0, got inf"),
        ("lambda_2", math.nan, "a finite number of at least 0, got nan"),
    ],
)
def test_weiper_of_a_hyperparameter_out_of_range(key, value, expected):
    with pytest.raises(HyperparameterError, match=f"weiper: {key}: expected {expected}"):
        detector("weiper", **{key: value})
