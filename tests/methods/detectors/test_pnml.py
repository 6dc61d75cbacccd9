"""pNML against pytorch-ood's numbers and a slow transcription."""

import math

import numpy as np
import pytest
import torch
from detector_examples import HEAD, TRAIN, features
from random_layer import Linear, both_signs
from scipy.special import softmax
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Head, NotApplicable
from methods.detectors.pnml import PNML


def slow_pnml(train, asked, weight, bias):
    def unit(rows):
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    inverse, found = np.linalg.pinv(unit(train)), []
    for x in unit(asked):
        p = softmax(weight @ x + bias)
        energy = float(x @ inverse @ inverse.T @ x)
        gain = energy / (1 + energy)
        refitted = [q / (q + (1 - q) * q**gain) for q in p]
        found.append(-math.log(sum(refitted)) / math.log(len(p)))
    return tensor(found)


@both_signs
@pytest.mark.parametrize("n", [300, 12], ids=["many", "fewer images than features"])
def test_pnml_is_the_slow_transcription(signed, n):
    world = Linear(n, signed=signed)
    expected = slow_pnml(
        world.train.penultimate.numpy(),
        world.asked.penultimate.numpy(),
        world.head.weight.numpy(),
        world.head.bias.numpy(),
    )
    assert_close(world.score(PNML()), expected, rtol=1e-9, atol=1e-12)


@both_signs
def test_pnml_is_that_of_pytorch_ood(signed):
    library = pytest.importorskip("pytorch_ood.detector")
    world = Linear(signed=signed)
    other = library.PNML(None, world.module.float())
    other.fit_features(world.train.penultimate, torch.zeros(300, dtype=torch.long))
    expected = -other.predict_features(world.asked.penultimate)
    assert_close(world.score(PNML()), expected.double(), rtol=1e-4, atol=1e-6)  # it computes in float32


def test_pnml_does_not_depend_on_the_length_or_the_basis_of_features():
    world = Linear()
    expected = world.score(PNML())
    lengths = torch.linspace(0.1, 9, 30, dtype=torch.float64)[:, None]
    fitted = PNML().fit(world.train, world.train, world.head)
    assert_close(
        fitted.score(features(lengths * world.asked.penultimate, head=world.head)), expected, **EXACT
    )
    rotation = torch.linalg.qr(torch.randn(40, 40, generator=torch.Generator().manual_seed(1)).double()).Q
    head = Head(world.head.weight @ rotation, world.head.bias)
    train, asked = (features(f.penultimate @ rotation, head=head) for f in (world.train, world.asked))
    assert_close(PNML().fit(train, train, head).score(asked), expected, rtol=1e-9, atol=1e-12)


def test_the_regret_is_at_most_1_and_falls_with_training_images():
    world = Linear()
    regrets = -torch.stack(
        [PNML().fit(world.train[:n], world.train, world.head).score(world.asked) for n in (50, 100, 300)]
    )
    assert ((regrets > 0) & (regrets <= 1)).all()
    assert (regrets.diff(dim=0) < 0).all()


def test_a_regret_far_below_rounding_keeps_its_digits():
    mpmath = pytest.importorskip("mpmath")
    mpmath.mp.dps = 60
    head = Head(tensor([[120.0, 0.0], [0.0, 0.0], [0.0, -3.0]]))
    train = features(tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]), head=head)
    x = train.penultimate[:1]
    fitted = PNML().fit(train, train, head)
    energy = mpmath.mpf(1) / (mpmath.mpf("1.36") - mpmath.mpf("0.48") ** 2 / mpmath.mpf("1.64"))
    gain = energy / (1 + energy)
    weights = [mpmath.e**120, mpmath.mpf(1), mpmath.mpf(1)]
    p = [w / sum(weights) for w in weights]
    expected = mpmath.log(sum(q / (q + (1 - q) * q**gain) for q in p)) / mpmath.log(3)
    assert 0 < expected < 1e-16
    assert -fitted.score(features(x, head=head)).item() == pytest.approx(float(expected), rel=1e-9, abs=0)


def test_pnml_of_logits_without_bounds_is_finite():
    head = Head(tensor([[1e5, 0.0], [-1e5, 0.0]]))
    train = features(tensor([[1.0, 0.0], [0.0, 1.0]]), head=head)
    scores = PNML().fit(train, train, head).score(features(tensor([[1.0, 0.0], [0.0, 2.0]]), head=head))
    p, gain = 0.5, 1 / 2
    regret = math.log(2 * p / (p + (1 - p) * p**gain)) / math.log(2)
    assert_close(scores, tensor([0.0, -regret]), **EXACT)


def test_pnml_of_zero_features_is_0():
    fitted = PNML().fit(TRAIN, TRAIN, HEAD)
    assert fitted.score(features(torch.zeros(1, 4).double(), head=HEAD)).item() == 0


def test_pnml_needs_directions_and_two_classes():
    nothing = features(torch.zeros(5, 4).double(), head=HEAD)
    with pytest.raises(NotApplicable, match="every training feature is zero"):
        PNML().fit(nothing, nothing, HEAD)
    head = Head(tensor([[1.0, 0.0]]))
    train = features(tensor([[1.0, 0.0], [0.0, 1.0]]), head=head)
    with pytest.raises(NotApplicable, match="one class"):
        PNML().fit(train, train, head)
