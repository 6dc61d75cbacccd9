"""The Dirichlet detector against worked numbers and integrals over the simplex."""

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from logit_objective_examples import ALPHAS, OUT, VALUES, Z, log_density, simplex
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features
from methods.detectors.dirichlet import _DIGAMMA, _LOG_GAMMA, Dirichlet
from methods.registry import detector


@pytest.mark.parametrize(
    ("measure", "key", "sign"),
    [
        ("mutual_information", "dpnu.MI", -1),
        ("differential_entropy", "dpnu.dE", -1),
        ("precision", "dpnu.a0", 1),
        ("max_probability", "dpnu.maxp", 1),
        ("expected_kl", "dpnu.EPKL", -1),
    ],
)
def test_detector_worked_number(measure, key, sign):
    features = Features(torch.cat([Z, OUT]))
    assert_close(Dirichlet(measure).score(features), sign * tensor(VALUES[key]), **EXACT)


def test_mutual_information_is_the_entropy_less_the_expected_entropy():
    expected = tensor(VALUES["dpnu.EH"]) - tensor(VALUES["dpnu.H"])
    assert_close(Dirichlet().score(Features(torch.cat([Z, OUT]))), expected, **EXACT)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_detector_agrees_with_integrals_over_the_simplex(alpha):
    points, weights = simplex()
    density = weights * np.exp(log_density(points, alpha))
    mean, mean_log = density @ points, density @ np.log(points)
    expected_entropy = -(density @ (points * np.log(points)).sum(axis=1))
    features = Features(tensor([alpha]).log())

    def found(measure):
        return Dirichlet(measure).score(features).item()

    mutual = scipy.stats.entropy(mean) - expected_entropy
    assert found("mutual_information") == pytest.approx(-mutual, rel=1e-8)
    entropy = -(density @ log_density(points, alpha))
    assert found("differential_entropy") == pytest.approx(-entropy, rel=1e-8)
    assert found("differential_entropy") == pytest.approx(-scipy.stats.dirichlet.entropy(alpha), rel=1e-10)
    pairs = -expected_entropy - mean @ mean_log  # two independent draws
    assert found("expected_kl") == pytest.approx(-pairs, rel=1e-8)
    assert found("max_probability") == pytest.approx(mean.max(), rel=1e-10)


def test_precision_is_the_exponential_of_the_energy_score():
    features = Features(torch.cat([Z, OUT]))
    energy = detector("energy").score(features)
    assert_close(Dirichlet("precision").score(features), energy.exp(), **EXACT)


LOGITS = [
    [2.9, 3.1, 3.0],  # around 20, where the series takes over
    [2.995, 2.9957, 2.996],
    [0.5, 3.5, -2.0],
    [50.0, 49.0, 0.0],
    [100.0, -100.0, 3.0],
    [200.0, 199.0, 150.0],
    [-30.0, -31.0, -30.5],
    [-200.0, 2.0, 200.0],
    [12.0, 12.0, 12.0],
]


@pytest.mark.parametrize(
    "measure", ["mutual_information", "differential_entropy", "precision", "expected_kl"]
)
def test_scores_keep_their_digits_at_any_size_of_logits(measure):
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workdps(400):

        def exact(z):
            alpha = [mpmath.exp(mpmath.mpf(v)) for v in z]
            total = mpmath.fsum(alpha)
            if measure == "precision":
                return total
            if measure == "expected_kl":
                return -(len(z) - 1) / total
            if measure == "mutual_information":
                terms = [
                    a / total * (mpmath.psi(0, a + 1) - mpmath.psi(0, total + 1) - mpmath.log(a / total))
                    for a in alpha
                ]
                return -mpmath.fsum(terms)
            terms = [mpmath.loggamma(a) - (a - 1) * (mpmath.psi(0, a) - mpmath.psi(0, total)) for a in alpha]
            return mpmath.loggamma(total) - mpmath.fsum(terms)

        expected = [float(exact(z)) for z in LOGITS]
    found = Dirichlet(measure).score(Features(tensor(LOGITS)))
    # exp(200) has a relative error of 200 roundings.
    assert_close(found, tensor(expected), rtol=1e-12, atol=0.0)


def test_coefficients_of_the_series_are_of_bernoulli_numbers():
    n = np.arange(2, 12, 2)
    bernoulli = scipy.special.bernoulli(10)[n]
    assert pytest.approx(bernoulli / n, rel=1e-12) == _DIGAMMA
    assert pytest.approx(bernoulli / (n * (n - 1)), rel=1e-12) == _LOG_GAMMA


@pytest.mark.parametrize(
    "measure", ["mutual_information", "differential_entropy", "precision", "max_probability", "expected_kl"]
)
def test_scores_are_finite_for_any_finite_logits(measure):
    logits = tensor([[v, w, 0.0] for v in (0, 700, 1e5, 1e300) for w in (0, 700, -1e5, -1e300)])
    for rows in (logits, -logits, logits - 2000):
        assert torch.isfinite(Dirichlet(measure).score(Features(rows))).all()
        assert torch.isfinite(Dirichlet(measure).score(Features(rows.clamp(-3e38, 3e38).float()))).all()


@pytest.mark.parametrize(
    "measure", ["mutual_information", "differential_entropy", "precision", "expected_kl"]
)
def test_sharper_distributions_score_higher(measure):
    # The same prediction, ever more precise: all but the largest probability tell.
    logits = torch.linspace(-3, 60, 200, dtype=torch.float64)[:, None] + tensor([[1.0, 0.0, -1.0]])
    if measure == "differential_entropy":
        logits = logits[logits.amin(dim=1) > 0]  # below, mass in the corners counts as sharp too
    scores = Dirichlet(measure).score(Features(logits))
    assert (scores.diff() > 0).all()
    largest = Dirichlet("max_probability").score(Features(logits))
    assert_close(largest, largest[:1].expand_as(largest), **EXACT)
