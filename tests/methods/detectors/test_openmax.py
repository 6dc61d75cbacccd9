"""OpenMax against SciPy and a slow transcription."""

import math

import numpy as np
import pytest
import torch
from detector_examples import HEAD
from random_rows import normal
from scipy.special import softmax
from scipy.stats import weibull_min
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features
from methods.detectors import openmax
from methods.detectors.openmax import OpenMax, weibull


@pytest.mark.parametrize(
    ("shape", "scale", "n"), [(0.7, 3.0, 20), (1.5, 1.0, 20), (8.0, 100.0, 20), (3.0, 1.0, 2)]
)
def test_weibull_is_that_of_scipy(shape, scale, n):
    sample = weibull_min.rvs(shape, scale=scale, size=n, random_state=0)
    found, log_scale = weibull(torch.from_numpy(np.log(sample)))
    expected, _, expected_scale = weibull_min.fit(sample, floc=0)
    assert found == pytest.approx(expected, rel=1e-3)  # SciPy searches with a simplex
    assert math.exp(log_scale) == pytest.approx(expected_scale, rel=1e-3)

    def likelihood(c, s):
        return weibull_min.logpdf(sample, c, scale=s).sum()

    best = likelihood(found, math.exp(log_scale))
    assert best >= likelihood(expected, expected_scale) - 1e-12
    for c, s in [(1.001, 1), (0.999, 1), (1, 1.001), (1, 0.999)]:
        assert likelihood(found * c, math.exp(log_scale) * s) < best


def test_weibull_of_a_translated_tail_has_no_slope():
    tail = np.sort(np.abs(normal(20).numpy()))
    logs = np.log1p((tail - tail[0]) / 1e4)
    k, log_scale = weibull(torch.from_numpy(logs))
    powers = np.exp(k * (logs - log_scale))
    assert powers.mean() == pytest.approx(1.0, rel=1e-9)
    assert 1 / k == pytest.approx((powers * logs).mean() - logs.mean(), rel=1e-6)


def test_weibull_without_spread_is_a_step():
    k, log_scale = weibull(torch.zeros(5).double())
    assert (k, log_scale) == (openmax.STEP, 0.0)


def unknown(fitted, z, alpha, rho):
    """P of the unknown class, with each class's Weibull distribution as SciPy has it."""
    k = len(z)
    omega = np.zeros(k)
    for rank, c in enumerate(np.argsort(-z, kind="stable")[:alpha]):
        omega[c] = (alpha - rank) / alpha
    recalibrated, spare = [], 0.0
    for c in range(k):
        mean = fitted.means[c].numpy()
        cosine = z @ mean / (np.linalg.norm(z) * np.linalg.norm(mean))
        distance = rho * np.linalg.norm(z - mean) + 1 - cosine
        scale = 1e4 * math.exp(float(fitted.log_scales[c]))
        w = weibull_min.cdf(distance - float(fitted.starts[c]) + 1e4, float(fitted.shapes[c]), scale=scale)
        recalibrated.append(z[c] * (1 - omega[c] * w))
        spare += z[c] * omega[c] * w
    return softmax([*recalibrated, spare])[-1]


def logits(n=200, classes=4, seed=0, apart=5.0):
    labels = torch.arange(n) % classes
    return Features(
        normal(n, classes, seed=seed) + apart * torch.eye(classes).double()[labels], labels=labels
    )


@pytest.mark.parametrize(
    ("alpha", "tail", "rho"), [(10, 20, 1 / 200), (2, 20, 0.5), (1, 7, 0.0), (4, 1000, 1.0)]
)
def test_openmax_is_its_formula(alpha, tail, rho):
    train = logits()
    fitted = OpenMax(alpha, tail, rho).fit(train, train, HEAD)
    queries = torch.cat([2 * normal(20, 4, seed=1), train.logits[:10]])
    expected = tensor([unknown(fitted, z, min(alpha, 4), rho) for z in queries.numpy()])
    scores = fitted.score(Features(queries))
    # SciPy's distribution of numbers about 1e4 loses digits that ours keeps.
    assert_close(torch.sigmoid(-scores), expected, rtol=1e-6, atol=1e-9)


def test_openmax_learns_from_images_that_are_classified_correctly():
    train = logits(apart=2.5)
    correct = train.logits.argmax(dim=1) == train.labels
    assert 0 < (~correct).sum() < 50
    fitted, alone = (OpenMax().fit(t, t, HEAD) for t in (train, train[correct]))
    for k in range(4):
        own = train.logits[correct & (train.labels == k)]
        mean = own.mean(dim=0)
        assert_close(fitted.means[k], mean, **EXACT)
        far = torch.linalg.vector_norm(own - mean, dim=1) / 200 + 1 - torch.cosine_similarity(own, mean[None])
        tail = far.sort().values[-20:]
        assert float(fitted.starts[k]) == pytest.approx(float(tail[0]), rel=1e-12)
        assert (float(fitted.shapes[k]), float(fitted.log_scales[k])) == pytest.approx(
            weibull(torch.log1p((tail - tail[0]) / 1e4)), rel=1e-6
        )
    assert_close(fitted.score(train), alone.score(train), **EXACT)


def test_openmax_class_that_is_never_right_is_described_by_all_its_images():
    train = logits()
    z = train.logits.clone()
    z[train.labels == 2, 0] = 20.0  # all images of class 2 are taken for class 0
    train = Features(z, labels=train.labels)
    fitted = OpenMax().fit(train, train, HEAD)
    for k in range(4):
        assert_close(fitted.means[k], z[train.labels == k].mean(dim=0), **EXACT)
    assert torch.isfinite(fitted.score(train)).all()


def test_openmax_class_of_one_image_is_a_step():
    z = tensor([[5.0, 0.0], [0.0, 4.0]])
    train = Features(z, labels=torch.tensor([0, 1]))
    fitted = OpenMax(alpha=1).fit(train, train, HEAD)
    far = Features(tensor([[7.0, 6.9]]))
    # Beyond the step the largest logit goes to the unknown class.
    assert_close(fitted.score(far), tensor([np.logaddexp(0.0, 6.9) - 7.0]), **EXACT)


def test_openmax_does_not_tie_where_the_probability_rounds_to_one():
    train = logits()
    scores = OpenMax().fit(train, train, HEAD).score(Features(tensor([[100.0] * 4, [200.0] * 4])))
    assert torch.sigmoid(-scores).tolist() == [1.0, 1.0]
    assert scores[1] < scores[0]


def test_openmax_of_logits_that_are_all_zero():
    train = logits()
    scores = OpenMax().fit(train, train, HEAD).score(Features(torch.zeros(1, 4).double()))
    assert_close(scores, tensor([math.log(4)]), **EXACT)


def test_openmax_names_the_class_without_images():
    train = logits()
    with pytest.raises(ValueError, match="labels: no training image of class 1; each of 4"):
        OpenMax().fit(train[train.labels != 1], train, HEAD)
