"""LTS, pNML, gradient uncertainty and NAC: pytorch-ood's numbers, slow transcriptions, or paper work."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import expit, logsumexp, softmax
from torch import nn
from torch.testing import assert_close

from methods.base import Features, Head, HyperparameterError, NotApplicable
from methods.detectors.energy import Energy
from methods.detectors.gradient_uncertainty import GradientUncertainty
from methods.detectors.gradnorm import GradNorm
from methods.detectors.lts import LTS
from methods.detectors.nac import NAC
from methods.detectors.pnml import PNML
from methods.registry import detector

WORKED = json.loads((Path(__file__).parent / "feature_worked_examples.json").read_text())
EXACT = {"rtol": 1e-12, "atol": 1e-12}


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def features(h, head, labels=None):
    return Features(h @ head.weight.T + head.bias, h, labels)


F1 = {key: tensor(value) for key, value in WORKED["inputs"]["F1"].items()}
HEAD = Head(F1["W"], F1["b"])
TRAIN, QUERIES = features(F1["H"], HEAD), features(F1["Q"], HEAD)


class Linear:
    """A random layer of D features and K classes, and features for it: rectified, or signed."""

    def __init__(self, n=300, width=40, classes=5, signed=False, weight=1.0):
        rng = torch.Generator().manual_seed(0)

        def normal(*shape):
            return torch.randn(*shape, generator=rng, dtype=torch.float64)

        self.module = nn.Linear(width, classes).double()
        with torch.no_grad():
            self.module.weight.copy_(weight * normal(classes, width))
            self.module.bias.copy_(normal(classes))
        self.head = Head(self.module.weight.detach(), self.module.bias.detach())
        train, asked = normal(n, width), 1.5 * normal(30, width)
        if not signed:
            train, asked = train.relu(), asked.relu()
        self.train, self.asked = features(train, self.head), features(asked, self.head)

    def score(self, unfitted):
        return unfitted.fit(self.train, self.train, self.head).score(self.asked)


both_signs = pytest.mark.parametrize("signed", [False, True], ids=["rectified", "signed"])


# LTS


@both_signs
@pytest.mark.parametrize("percentile", [95.0, 65.0, 0.0])
def test_lts_is_that_of_pytorch_ood(signed, percentile):
    library = pytest.importorskip("pytorch_ood.detector")
    world = Linear(width=100, signed=signed)
    other = library.LTS(None, world.module, p=1 - percentile / 100)
    expected = -other.predict_features(world.asked.penultimate)
    assert_close(world.score(LTS(percentile)), expected, **EXACT)


def test_lts_by_hand():
    # The positive activations are 4, 2 and 1; a quarter of the four features is one.
    asked = Features(tensor([[0.3, -0.2]]), tensor([[2.0, 4.0, -3.0, 1.0]]))
    for percentile, kept in ((75.0, 4.0), (50.0, 6.0), (25.0, 7.0)):
        expected = np.log(np.exp([0.3 * (7 / kept) ** 2, -0.2 * (7 / kept) ** 2]).sum())
        assert LTS(percentile).score(asked).item() == pytest.approx(expected, rel=1e-14)


def test_lts_keeps_one_feature_of_few():
    expected = np.log(np.exp(QUERIES.logits[0].numpy() * (3.2 / 2.0) ** 2).sum())
    assert LTS().score(QUERIES)[0].item() == pytest.approx(expected, rel=1e-13)  # 5 % of 4 features


def test_lts_of_an_image_without_activations_is_its_energy():
    asked = Features(tensor([[0.3, -0.2], [1.0, 2.0]]), tensor([[0.0, 0.0], [-1.0, -3.0]]))
    assert torch.equal(LTS().score(asked), Energy().score(asked))


def test_lts_of_tiny_activations_is_that_of_the_same_ones_larger():
    h = tensor([[3.0, 1.0, 0.0, 0.5]])
    logits = tensor([[1.0, 2.0]])
    assert_close(LTS().score(Features(logits, 1e-300 * h)), LTS().score(Features(logits, h)), **EXACT)


@pytest.mark.parametrize("percentile", [-1.0, 100.0, math.nan])
def test_lts_percentile_out_of_range(percentile):
    with pytest.raises(HyperparameterError, match="percentile: expected a number of at least 0, below 100"):
        detector("lts", percentile=percentile)


def test_lts_of_all_features_is_the_energy():
    scores = LTS(percentile=0.0).score(TRAIN)  # none of them is negative
    assert_close(scores, torch.from_numpy(logsumexp(TRAIN.logits.numpy(), axis=1)), **EXACT)


# pNML


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
    assert_close(fitted.score(features(lengths * world.asked.penultimate, world.head)), expected, **EXACT)
    rotation = torch.linalg.qr(torch.randn(40, 40, generator=torch.Generator().manual_seed(1)).double()).Q
    head = Head(world.head.weight @ rotation, world.head.bias)
    train, asked = (features(f.penultimate @ rotation, head) for f in (world.train, world.asked))
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
    train = features(tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]), head)
    x = train.penultimate[:1]
    fitted = PNML().fit(train, train, head)
    energy = mpmath.mpf(1) / (mpmath.mpf("1.36") - mpmath.mpf("0.48") ** 2 / mpmath.mpf("1.64"))
    gain = energy / (1 + energy)
    weights = [mpmath.e**120, mpmath.mpf(1), mpmath.mpf(1)]
    p = [w / sum(weights) for w in weights]
    expected = mpmath.log(sum(q / (q + (1 - q) * q**gain) for q in p)) / mpmath.log(3)
    assert 0 < expected < 1e-16
    assert -fitted.score(features(x, head)).item() == pytest.approx(float(expected), rel=1e-9, abs=0)


def test_pnml_of_logits_without_bounds_is_finite():
    head = Head(tensor([[1e5, 0.0], [-1e5, 0.0]]))
    train = features(tensor([[1.0, 0.0], [0.0, 1.0]]), head)
    scores = PNML().fit(train, train, head).score(features(tensor([[1.0, 0.0], [0.0, 2.0]]), head))
    p, gain = 0.5, 1 / 2
    regret = math.log(2 * p / (p + (1 - p) * p**gain)) / math.log(2)
    assert_close(scores, tensor([0.0, -regret]), **EXACT)


def test_pnml_of_zero_features_is_0():
    fitted = PNML().fit(TRAIN, TRAIN, HEAD)
    assert fitted.score(features(torch.zeros(1, 4).double(), HEAD)).item() == 0


def test_pnml_needs_directions_and_two_classes():
    nothing = features(torch.zeros(5, 4).double(), HEAD)
    with pytest.raises(NotApplicable, match="every training feature is zero"):
        PNML().fit(nothing, nothing, HEAD)
    head = Head(tensor([[1.0, 0.0]]))
    train = features(tensor([[1.0, 0.0], [0.0, 1.0]]), head)
    with pytest.raises(NotApplicable, match="one class"):
        PNML().fit(train, train, head)


# Gradient uncertainty


@both_signs
def test_gradient_uncertainty_is_that_of_pytorch_ood_on_the_last_layer(signed):
    library = pytest.importorskip("pytorch_ood.detector")
    world = Linear(width=10, signed=signed, weight=0.5)  # it clamps probabilities below 1e-12
    model = nn.Sequential(nn.Identity(), world.module)
    expected = -library.GradUncertainty(model, param_filter=lambda name: name.startswith("1.")).predict(
        world.asked.penultimate
    )
    assert_close(world.score(GradientUncertainty()), expected, rtol=1e-9, atol=1e-9)


def test_gradient_uncertainty_by_hand():
    p = softmax(QUERIES.logits[0].numpy())
    h = F1["Q"][0].numpy()
    expected = sum((3 * q - 1) ** 2 for q in p) * (sum(v * v for v in h) + 1)
    fitted = GradientUncertainty().fit(TRAIN, TRAIN, HEAD)
    assert fitted.score(QUERIES)[0].item() == pytest.approx(expected, rel=1e-13)


def test_gradient_uncertainty_of_a_uniform_prediction_is_0():
    head = Head(F1["W"])
    flat = features(torch.zeros(1, 4).double(), head)
    fitted = GradientUncertainty().fit(flat, flat, head)
    assert fitted.score(flat).item() == 0


def test_gradient_uncertainty_is_gradnorm_squared_and_the_bias():
    world = Linear()
    product, output = (world.score(GradNorm(norm="l2", factor=factor)) for factor in ("UV", "V"))
    expected = 25 * (product.square() + output.square())
    assert_close(world.score(GradientUncertainty()), expected, **EXACT)


# NAC


def slow_nac(train, asked, weight, bias, thresholds, steepness, enough):
    """Coverage by comparison of every state with every pair of thresholds."""

    def states(h):
        p = softmax(h @ weight.T + bias, axis=1)
        return expit(steepness * h * ((p - 1 / p.shape[1]) @ weight))

    def member(s):
        return (s[..., None] >= thresholds[:-1]) & (s[..., None] < thresholds[1:])  # (N, D, bins)

    covered = np.minimum(member(states(train)).sum(axis=0) / enough, 1)
    return tensor((member(states(asked)) * covered).sum(axis=2).mean(axis=1).tolist())


def release_thresholds(m):
    below = np.log(np.linspace(1, math.sqrt(1000), m // 2)) / math.log(1000)
    below[-1] = 0.5
    return np.concatenate([below, 1 - below[-2:0:-1], [1.01]])


@both_signs
@pytest.mark.parametrize(
    ("bins", "steepness", "enough"),
    [(50, 100.0, 50), (50, 1.0, 7), (4, 0.1, 500), (6, 3.0, 1), (200, 0.5, 3)],
)
def test_nac_is_the_slow_transcription(signed, bins, steepness, enough):
    world = Linear(signed=signed)
    expected = slow_nac(
        world.train.penultimate.numpy(),
        world.asked.penultimate.numpy(),
        world.head.weight.numpy(),
        world.head.bias.numpy(),
        release_thresholds(bins),
        steepness,
        enough,
    )
    assert expected.min() > 0
    assert_close(world.score(NAC(bins, steepness, enough)), expected, **EXACT)


@both_signs
def test_nac_is_that_of_pytorch_ood_with_the_same_bins(signed, monkeypatch):
    library = pytest.importorskip("pytorch_ood.detector.nac")
    world = Linear(signed=signed, weight=0.1)  # it adds 1e-12 to probabilities
    thresholds = torch.from_numpy(release_thresholds(50))

    def same_bins(states, m):
        return torch.bucketize(states, thresholds, right=True) - 1

    monkeypatch.setattr(library, "_bin_indices_geometric", same_bins)
    entrance = nn.Identity()
    other = library.NACUE(nn.Sequential(entrance, world.module), [entrance], m_bins=50, alpha=2.0, o_star=9)
    other.fit([world.train.penultimate.requires_grad_()])
    expected = -other.predict(world.asked.penultimate.requires_grad_())
    scores = world.score(NAC(steepness=2.0, enough=9)).detach()
    assert_close(scores, expected.double(), rtol=1e-5, atol=1e-6)  # it averages in float32


def test_nac_bins_are_finest_at_the_state_of_a_feature_that_does_not_fire():
    edges = NAC(steepness=1.0).fit(TRAIN, TRAIN, HEAD).edges
    assert len(edges) == 47
    assert edges[23] == 0
    assert torch.equal(edges, -edges.flip(0))
    widths = edges.sigmoid().diff()
    assert (widths[:22].diff() < 0).all()
    assert edges.sigmoid()[0].item() == pytest.approx(
        math.log(1 + (math.sqrt(1000) - 1) / 24) / math.log(1000)
    )


def test_nac_by_hand():
    # Two classes, one feature: v = h w (p - 1/2) with w = (1, -1), so v = h (2 p - 1) > 0 unless h = 0.
    head = Head(tensor([[1.0], [-1.0]]))
    train = features(tensor([[0.0], [0.0], [0.0], [-1.0], [2.0]]), head)
    fitted = NAC(bins=4, enough=10).fit(train, train, head)
    assert_close(fitted.coverage, tensor([[0.0, 0.5]]), **EXACT)  # all five are at 1/2 or above
    assert_close(fitted.score(features(tensor([[0.0], [3.0]]), head)), tensor([0.5, 0.5]), **EXACT)


def test_nac_counts_no_bin_for_more_than_full():
    world = Linear()
    fitted = NAC(enough=1).fit(world.train, world.train, world.head)
    assert fitted.coverage.unique().tolist() == [0, 1]
    assert (fitted.score(world.train) == 1).all()  # every state of theirs is covered


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("bins", 49, "bins: expected an even number of at least 4, got 49"),
        ("bins", 2, "bins: expected an even number of at least 4, got 2"),
        ("steepness", 0.0, "steepness: expected a finite number above 0, got 0.0"),
        ("steepness", math.inf, "steepness: expected a finite number above 0, got inf"),
        ("enough", 0, "enough: expected a whole number of at least 1, got 0"),
    ],
)
def test_nac_hyperparameters_out_of_range(name, value, message):
    with pytest.raises(HyperparameterError, match=message):
        detector("nac", **{name: value})


def test_nac_is_shown_at_most_1000_images():
    assert NAC.fit_limit == 1000
