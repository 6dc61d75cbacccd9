"""What the AdaSCALE detectors share, against arithmetic on paper and a loop over images and activations."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features, Head, HyperparameterError, InputError, NotFitted
from methods.detectors._adascale import AdaScale, _ratio

WIDTH, CLASSES, NUMBERS = 20, 3, 12
RNG = np.random.default_rng(0)
LAYER = tensor(RNG.normal(size=(WIDTH, NUMBERS)).tolist())
HEAD = Head(tensor(RNG.normal(size=(CLASSES, WIDTH)).tolist()), tensor([0.1, 0, -0.1]))
IMAGES = tensor(RNG.random(size=(9, 3, 2, 2)).tolist())
LABELS = torch.arange(9) % CLASSES
SET_TO = {"low": 50.0, "high": 90.0, "shifted": 15.0, "corrected": 40.0, "emphasis": 2.0, "share": 0.5}


@dataclass(frozen=True)
class Ratio(AdaScale):
    """Scores by r itself, the larger the more in-distribution."""

    name = "ratio"

    def _energy(self, logits, r):
        return r


def network(images):
    h = torch.relu(images.flatten(1) @ LAYER.T)
    return Features(h @ HEAD.weight.T + HEAD.bias, h)


def fit(**set_to):
    train = network(IMAGES).including(labels=LABELS)
    return Ratio(**{**SET_TO, **set_to}).fit(train, train, HEAD)


def by_loop(image, epsilon=0.113):
    """λQ + C and the activations of one image."""
    x = image[None].clone().requires_grad_()
    features = network(x)
    (gradient,) = torch.autograd.grad(features.logits.max(), x)
    gradient = gradient.flatten().numpy()
    moved = image.flatten().numpy().copy()
    for j in np.argsort(abs(gradient))[: NUMBERS // 2]:
        moved[j] += epsilon * np.sign(gradient[j])
    h = features.penultimate[0].detach().numpy()
    there = network(tensor(moved.tolist()).view(1, 3, 2, 2)).penultimate[0].numpy()
    largest = np.argsort(-h, kind="stable")
    shift = sum(abs(h[d] - there[d]) for d in largest[:3])  # 15 % of 20
    return 2 * shift + sum(max(there[d], 0) for d in largest[:8]), h


def test_adascale_is_the_loop_over_images():
    known, scored = IMAGES[:5], IMAGES[5:]
    fitted = fit()
    calibrated = fitted.calibrated(fitted.calibration(network, known))
    reference = [by_loop(image)[0] for image in known]
    assert_close(calibrated.reference, tensor(sorted(reference)), **EXACT)
    expected = []
    for image in scored:
        value, h = by_loop(image)
        unlike = np.mean([value >= one for one in reference])
        percentile = 50 + (1 - unlike) * 40
        kept = 20 - round(20 * percentile / 100)
        expected.append(sum(h) / sum(sorted(h)[-kept:]))
    assert len(set(expected)) > 2
    assert_close(calibrated.score_images(network, scored), tensor(expected), **EXACT)


def test_adascale_shift_by_hand():
    # The largest of (5, 1, 4, 0) are 5 and 4, which become 2 and 6: Q = 3 of the first, C = 2 + 6 of both.
    # A shifted activation below 0 counts for Q but adds nothing to C.
    fitted = fit(shifted=5.0, corrected=10.0, emphasis=10.0)  # of 20 activations: 1 and 2
    h, moved = torch.zeros(2, 20, dtype=torch.float64), torch.zeros(2, 20, dtype=torch.float64)
    h[:, :4] = tensor([5.0, 1, 4, 0])
    moved[:, :4] = tensor([[2.0, 9, 6, 7], [-1, 0, 6, 0]])
    assert fitted._shift(h, moved).tolist() == [30 + 8, 60 + 6]


def test_adascale_counts_the_first_of_equal_activations():
    fitted = fit(shifted=5.0, corrected=5.0, emphasis=1.0)
    h = torch.ones(1, 20, dtype=torch.float64)
    moved = torch.arange(20, dtype=torch.float64)[None]
    assert fitted._shift(h, moved).tolist() == [1]  # |1 - 0| + 0


def test_adascale_ratio_by_hand():
    # 50 % of 4 leaves 3 + 1 of 3 + 1 + 1 + 0, 75 % leaves 3, and 12.5 % of 4 rounds to 0.
    h = tensor([[1.0, 3, 0, 1]]).expand(3, 4)
    assert_close(_ratio(h, tensor([50.0, 75, 12.5])), tensor([5 / 4, 5 / 3, 1]), **EXACT)


def test_adascale_of_no_activations_scales_by_one():
    assert _ratio(torch.zeros(1, 4), tensor([50.0])).tolist() == [1]


@pytest.mark.parametrize(("reference", "percentile"), [(-1.0, 50), (1e9, 90)])
def test_adascale_shifts_beyond_all_others_have_the_extreme_percentiles(reference, percentile):
    fitted = fit().calibrated(tensor([reference] * 3))
    h = network(IMAGES).penultimate
    expected = _ratio(h, tensor([percentile] * 9))
    assert_close(fitted.score_images(network, IMAGES), expected, **EXACT)


def test_adascale_scales_less_where_activations_shift_more():
    at = [fit().calibrated(tensor([value])).score_images(network, IMAGES) for value in (-1.0, 1e9)]
    assert (at[0] < at[1]).all()


def test_adascale_moves_the_numbers_of_the_smallest_gradients_so_that_the_logit_rises():
    fitted = fit(share=0.25)
    step = fitted.direction(network, IMAGES).flatten(1)
    gradient = fitted.gradient(network, IMAGES).flatten(1)  # of minus the logit
    assert (step != 0).sum(dim=1).tolist() == [3] * 9
    assert torch.equal(step[step != 0], gradient[step != 0].sign())
    moved = gradient.abs().where(step != 0, 0).amax(dim=1)
    assert (moved < gradient.abs().where(step == 0, math.inf).amin(dim=1)).all()
    small = 1e-6 * fitted.direction(network, IMAGES)
    assert (network(IMAGES - small).logits.amax(dim=1) > network(IMAGES).logits.amax(dim=1)).all()


def test_adascale_leaves_numbers_without_gradient_where_they_are():
    def blind(images):
        seen = images.clone()
        return network(torch.cat([seen[:, :1] * 0, seen[:, 1:]], dim=1))

    step = fit(share=4 / 12).direction(blind, IMAGES)
    assert step.abs().sum() == 0  # the four of the smallest gradients are those of the first channel


def test_adascale_of_share_0_compares_an_image_with_itself():
    fitted = fit(share=0.0)
    values = fitted.calibration(network, IMAGES)
    assert_close(values, network(IMAGES).penultimate.topk(8).values.sum(dim=1), **EXACT)


def test_adascale_without_a_step_learns_from_validation_features():
    staying = fit(epsilon=0.0)
    again = staying.calibrated(staying.calibration(network, IMAGES))
    assert torch.equal(staying.reference, again.reference)
    features = network(IMAGES)
    assert torch.equal(staying.score(features), again.score_images(network, IMAGES))


def test_adascale_says_what_it_must_be_shown():
    with pytest.raises(NotFitted, match=r"ratio: learns from how .* use calibrated\(calibration\(network"):
        fit().score_images(network, IMAGES)
    with pytest.raises(NotFitted, match="ratio: call fit before score"):
        Ratio().score_images(network, IMAGES)
    calibrated = fit().calibrated(tensor([1.0]))
    assert torch.isfinite(calibrated.with_step(0.113).score_images(network, IMAGES)).all()
    with pytest.raises(NotFitted, match="learns from how"):
        calibrated.with_step(0.2).score_images(network, IMAGES)
    with pytest.raises(InputError, match="moves each image by epsilon"):
        calibrated.score(network(IMAGES))


def test_adascale_of_one_image_of_a_batch_is_its_own():
    fitted = fit()
    calibrated = fitted.calibrated(fitted.calibration(network, IMAGES[:5]))
    alone = torch.cat([calibrated.score_images(network, image[None]) for image in IMAGES[5:]])
    assert_close(alone, calibrated.score_images(network, IMAGES[5:]), **EXACT)


def test_adascale_refuses_a_percentile_that_leaves_nothing():
    with pytest.raises(HyperparameterError, match=r"percentile: 99\.0 removes all of 20 features"):
        fit(high=99.0)


@pytest.mark.parametrize(
    ("hyperparameters", "message"),
    [
        ({"low": 0.6}, "low: expected percent"),
        ({"low": -1.0}, "low: expected a number of at least 0"),
        ({"low": 80.0, "high": 75.0}, "high: expected a number of at least low, 80"),
        ({"high": 100.0}, "high: expected a number"),
        ({"shifted": 0.0}, "shifted: expected percent above 0, at most 100, got 0"),
        ({"corrected": 101.0}, "corrected: expected percent above 0"),
        ({"emphasis": -1.0}, "emphasis: expected a finite number of at least 0, got -1"),
        ({"share": 1.5}, "share: expected a number from 0 to 1, got 1.5"),
        ({"epsilon": math.inf}, "epsilon: expected a finite number of at least 0, got inf"),
    ],
)
def test_adascale_refuses_what_makes_no_sense(hyperparameters, message):
    with pytest.raises(ValueError, match=message):
        Ratio(**hyperparameters)
