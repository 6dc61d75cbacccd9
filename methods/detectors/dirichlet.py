"""Dirichlet uncertainty: what the distribution over predictions of a prior network says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from methods.base import Detector, Features, Paper, Signal
from methods.registry import register

Measure = Literal["mutual_information", "differential_entropy", "precision", "max_probability", "expected_kl"]

_LARGE = math.log(20.0)  # from concentrations of 20 on the asymptotic series are exact to rounding
_LIMIT = 690.0  # exp(690) is finite in float64, also times 10^8 classes
_LOG_GAMMA = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188)  # of odd powers of 1 / x in Stirling's series
_DIGAMMA = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132)


@register("dirichlet")
@dataclass(frozen=True)
class Dirichlet(Detector):
    r"""Uncertainty of the Dirichlet distribution that a prior network predicts (Malinin & Gales 2018).

    .. math::
        \alpha &= e^z, \quad \alpha_0 = \sum_k \alpha_k, \quad p = \alpha / \alpha_0 \\
        s_\mathrm{mutual} &= \sum_k p_k \ln p_k - \sum_k p_k (\psi(\alpha_k + 1) - \psi(\alpha_0 + 1)) \\
        s_\mathrm{entropy} &= \ln \Gamma(\alpha_0) - \sum_k \ln \Gamma(\alpha_k)
            + \sum_k (\alpha_k - 1)(\psi(\alpha_k) - \psi(\alpha_0)) \\
        s_\mathrm{precision} &= \alpha_0, \qquad s_\mathrm{max} = \max_k p_k, \qquad
        s_\mathrm{pairs} = -(K - 1) / \alpha_0

    Computed from the remainders of lnΓ and ψ beyond Stirling's terms; those terms are summed by hand. So no
    score loses its digits where logits are large.

    Shapes: logits (N, K) → scores (N,). Cost: O(NK).

    Parameters
    ----------
    measure
        ``mutual_information``: minus that of class and distribution, small where the distribution is sharp;
        ``differential_entropy``: minus that of the distribution; ``precision``: α_0, the exponential of the
        energy score; ``max_probability``; ``expected_kl``: minus the expected divergence of two predictions
        that are drawn from the distribution.

    Deviations from the paper: none. Where references disagree: the authors' code has the expected divergence
    as K / α_0 in one place and as (K - 1) / α of each class in another. Logits of any network are accepted;
    the scores mean what the paper says only where it was trained as a prior network. Where a score would
    leave float64 it stays at a bound: the precision at exp(690), α_0 in the expected divergence and each α in
    the differential entropy at exp(-690).
    """

    measure: Measure = "mutual_information"

    paper = Paper(
        title="Predictive Uncertainty Estimation via Prior Networks",
        authors="A. Malinin, M. Gales",
        venue="NeurIPS",
        year=2018,
        arxiv="1802.10501",
    )
    needs = frozenset({Signal.LOGITS})

    def __post_init__(self) -> None:
        if self.measure not in get_args(Measure):
            raise ValueError(f"measure: expected one of {', '.join(get_args(Measure))}, got {self.measure!r}")

    def score(self, features: Features) -> Tensor:
        """Score logits (N, K): (N,) float64."""
        z = features.logits.double()
        if self.measure == "mutual_information":
            return -_mutual_information(z)
        if self.measure == "differential_entropy":
            return -_differential_entropy(z.clamp(min=-_LIMIT))
        if self.measure == "max_probability":
            return torch.softmax(z, dim=1).amax(dim=1)
        log_precision = torch.logsumexp(z, dim=1)
        if self.measure == "precision":
            return log_precision.clamp(max=_LIMIT).exp()
        return -(z.shape[1] - 1) * log_precision.clamp(min=-_LIMIT).neg().exp()


# The functions below take ln x for x, so that neither large nor small concentrations leave float64.


def _mutual_information(z: Tensor) -> Tensor:
    """(N,) mutual information of class and distribution, of log-concentrations (N, K)."""
    total = torch.logsumexp(z, dim=1, keepdim=True)
    log_p = z - total
    p = log_p.exp()
    broad = p * (torch.digamma(z.exp() + 1) - torch.digamma(total.exp() + 1) - log_p)
    sharp = p * (_gap(z) - _gap(total))
    return torch.where(total < _LARGE, broad, sharp).sum(dim=1)


def _differential_entropy(z: Tensor) -> Tensor:
    """(N,) differential entropy in nats, of log-concentrations (N, K)."""
    classes = z.shape[1]
    total = torch.logsumexp(z, dim=1)
    stirling = z.sum(dim=1) / 2 - (classes - 0.5) * total + (classes - 1) * math.log(2 * math.pi) / 2
    each = _log_gamma_rest(z) + _digamma_rest(z, 1)
    return stirling + each.sum(dim=1) - _log_gamma_rest(total) - _digamma_rest(total, classes)


def _gap(log_x: Tensor) -> Tensor:
    """ψ(x + 1) - ln x."""
    x, inverse = _small_and_inverse(log_x)
    return torch.where(log_x < _LARGE, torch.digamma(x + 1) - log_x, inverse * (1 - _series(inverse)))


def _digamma_rest(log_x: Tensor, shift: int) -> Tensor:
    """(x - shift) (ln x - ψ(x))."""
    x, inverse = _small_and_inverse(log_x)
    exact = (x - shift) * (log_x - torch.digamma(x))
    return torch.where(log_x < _LARGE, exact, (1 - shift * inverse) * _series(inverse))


def _log_gamma_rest(log_x: Tensor) -> Tensor:
    """What lnΓ(x) is beyond (x - 1/2) ln x - x + ln(2π) / 2."""
    x, inverse = _small_and_inverse(log_x)
    exact = torch.lgamma(x) - (x - 0.5) * log_x + x - math.log(2 * math.pi) / 2
    return torch.where(log_x < _LARGE, exact, inverse * _polynomial(inverse * inverse, _LOG_GAMMA))


def _series(inverse: Tensor) -> Tensor:
    """Asymptotic series of x (ln x - ψ(x)) in 1 / x."""
    return 0.5 + inverse * _polynomial(inverse * inverse, _DIGAMMA)


def _polynomial(x: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    """Sum of coefficients times powers of x, the constant first."""
    found = torch.zeros_like(x)
    for coefficient in reversed(coefficients):
        found = found * x + coefficient
    return found


def _small_and_inverse(log_x: Tensor) -> tuple[Tensor, Tensor]:
    """x, at most where it is large, and 1 / x, at least where it is small."""
    return log_x.clamp(max=_LARGE).exp(), log_x.clamp(min=_LARGE).neg().exp()
