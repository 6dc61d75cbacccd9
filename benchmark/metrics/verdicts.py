"""Verdicts on claims from paired seeds: declared tests, one family of them at a time.

Every question is put so that the claim predicts a positive gain, arm a minus arm b. This module must not know
what the numbers measure, nor which claim asks.
Source: spec/claims.md §0.2 and §0.3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy
from numpy.typing import ArrayLike

from benchmark.metrics.statistics import PairedDifference, finite_vector, holm, paired_difference

LEVEL = 0.05
"""The family-wise error rate of `supported`, and of `contradicted`."""

CONFIRMATORY_SEEDS = 6
"""Fewer paired seeds give the verdict `exploratory`, whatever they say."""

Kind = Literal["gain", "non_inferiority", "two_sided", "not_better"]
Verdict = Literal["supported", "contradicted", "negligible", "inconclusive", "exploratory"]


@dataclass(frozen=True)
class Question:
    """One test of a family: two arms with one value a seed, and how much of a gain counts.

    The arms are sign-normalised: the claim is about a − b > 0. What each kind makes of the four outcomes
    supported, contradicted, negligible and inconclusive of the gain:

    * ``gain``: as they are.
    * ``non_inferiority``: supported if the lower bound of the one-sided 95 % t interval is above −delta,
      contradicted if the upper one is below it, else inconclusive.
    * ``two_sided``: the claim is that there is no gain. A negligible gain supports it, a supported gain
      contradicts it, and a loss decides nothing.
    * ``not_better``: the claim is that a is not clearly better. A negligible gain or a loss supports it, a
      supported gain contradicts it.
    """

    a: ArrayLike
    b: ArrayLike
    delta: float  # least effect that counts, in the values' unit; of non-inferiority, the margin
    kind: Kind = "gain"
    confirmatory: bool = True  # False: a secondary measure, or a method capped at `exploratory`


@dataclass(frozen=True)
class Answer:
    """A verdict with the numbers that it rests on.

    `p` is the one-sided decision p of a gain (of non-inferiority: of gain > −delta) and `p_reverse` that of
    the opposite; `p_holm` and `p_reverse_holm` are adjusted over the `family_size` confirmatory tests. For a
    test that is not confirmatory the last three are None and 0.
    """

    verdict: Verdict
    effect: Verdict  # the same before the question's kind is heeded: what the gain itself comes to
    gain: PairedDifference
    low_90: float  # two-sided 90 % t interval: its bounds are the one-sided 95 % ones
    high_90: float
    p: float
    p_reverse: float
    p_holm: float | None
    p_reverse_holm: float | None
    t_based: bool  # too few seeds for the exact test in a family of this size
    family_size: int


@dataclass(frozen=True)
class _Evidence:
    """One question with its statistics, before the family is known."""

    question: Question
    gain: PairedDifference
    loss: PairedDifference
    above_margin: float  # one-sided t p of gain > −delta; NaN unless it is about non-inferiority
    below_margin: float
    low_90: float
    high_90: float

    def p(self, exact: bool) -> tuple[float, float]:
        """Decision p-values of the question and of its reverse."""
        if self.question.kind == "non_inferiority":
            return self.above_margin, self.below_margin
        if exact:
            return self.gain.p_sign_flip, self.loss.p_sign_flip
        return self.gain.p_t_greater, self.loss.p_t_greater


def exact_test_feasible(seeds: int, tests: int) -> bool:
    """Whether the sign-flip test of `seeds` pairs can reach 5 % after Holm over `tests`: 2^S ≥ 20 m.

    Examples
    --------
    >>> exact_test_feasible(8, 12), exact_test_feasible(8, 13)
    (True, False)
    """
    return 1 << seeds >= 20 * tests


def decide(family: Sequence[Question], seed: int = 0) -> list[Answer]:
    r"""Answer all questions of one family; Holm's adjustment is over its confirmatory ones.

    A gain is supported if p_holm ≤ .05 and its mean is at least delta, contradicted if the same holds of the
    loss, negligible if the 90 % t interval lies inside (−delta, delta), and inconclusive otherwise. p is the
    sign-flip p where 2^S ≥ 20 m. Elsewhere it is the paired t p, and the unadjusted sign-flip p must be at
    most .05 as well. Fewer than six pairs, or a question that is not confirmatory, are exploratory.

    Parameters
    ----------
    family : the questions of one family, in any order.
    seed : of the random sign flips of more than 16 pairs; each question is tested with the same ones.

    Returns
    -------
    One answer a question, in their order.

    Raises
    ------
    ValueError
        If the arms of a question differ in length, are empty or not finite, or a delta is negative or not
        finite.

    Examples
    --------
    >>> question = Question([2.1, 1.4, 0.3, 1.9, 0.8, 1.2], [0, 0, 0, 0, 0, 0], delta=0.5)
    >>> answer, = decide([question])
    >>> answer.verdict, answer.p_holm
    ('supported', 0.015625)
    """
    evidence = [_gather(question, seed) for question in family]
    counted = [i for i, item in enumerate(evidence) if _confirmatory(item)]
    m = len(counted)
    exact = [exact_test_feasible(item.gain.n, m) for item in evidence]
    pairs = [item.p(is_exact) for item, is_exact in zip(evidence, exact, strict=True)]
    forward = dict(zip(counted, holm([pairs[i][0] for i in counted]), strict=True))
    reverse = dict(zip(counted, holm([pairs[i][1] for i in counted]), strict=True))
    answers = []
    for i, item in enumerate(evidence):
        in_family = i in forward
        effect = _effect(item, forward[i], reverse[i], exact[i]) if in_family else "exploratory"
        answers.append(
            Answer(
                verdict=_verdict(item, effect) if in_family else "exploratory",
                effect=effect,
                gain=item.gain,
                low_90=item.low_90,
                high_90=item.high_90,
                p=pairs[i][0],
                p_reverse=pairs[i][1],
                p_holm=float(forward[i]) if in_family else None,
                p_reverse_holm=float(reverse[i]) if in_family else None,
                t_based=in_family and not exact[i] and item.question.kind != "non_inferiority",
                family_size=m if in_family else 0,
            )
        )
    return answers


def sign_test(means: ArrayLike) -> float:
    """Two-sided exact sign test of the means of several settings; zeros are dropped, none left gives 1.

    Raises
    ------
    ValueError
        If `means` is empty, not 1-D or not finite.

    Examples
    --------
    >>> sign_test([0.2, 1.0, 0.3, 0.1, 0.4, 0.9])
    0.03125
    """
    vector = finite_vector("means", means)
    n, positive = int(np.count_nonzero(vector)), int(np.count_nonzero(vector > 0))
    return min(1.0, 2 * float(scipy.stats.binom.cdf(min(positive, n - positive), n, 0.5)))


def _gather(question: Question, seed: int) -> _Evidence:
    if not (math.isfinite(question.delta) and question.delta >= 0):
        raise ValueError(f"delta: expected a finite number that is not negative, got {question.delta}")
    a, b = finite_vector("a", question.a), finite_vector("b", question.b)
    gain = paired_difference(a, b, rng=np.random.default_rng(seed))
    error = gain.sd / math.sqrt(gain.n)
    half = float(scipy.stats.t.ppf(1 - LEVEL, gain.n - 1)) * error if gain.n > 1 else math.nan
    above, below = math.nan, math.nan
    if question.kind == "non_inferiority":
        raised = a + question.delta
        above = paired_difference(raised, b, rng=np.random.default_rng(seed)).p_t_greater
        below = paired_difference(b, raised, rng=np.random.default_rng(seed)).p_t_greater
    return _Evidence(
        question=question,
        gain=gain,
        loss=paired_difference(b, a, rng=np.random.default_rng(seed)),
        above_margin=above,
        below_margin=below,
        low_90=gain.mean - half,
        high_90=gain.mean + half,
    )


def _confirmatory(item: _Evidence) -> bool:
    return item.question.confirmatory and item.gain.n >= CONFIRMATORY_SEEDS


def _effect(item: _Evidence, p: float, p_reverse: float, exact: bool) -> Verdict:
    delta = item.question.delta
    if item.question.kind == "non_inferiority":
        if item.low_90 > -delta:
            return "supported"
        return "contradicted" if item.high_90 < -delta else "inconclusive"
    if _convincing(item.gain, p, delta, exact):
        return "supported"
    if _convincing(item.loss, p_reverse, delta, exact):
        return "contradicted"
    return "negligible" if -delta < item.low_90 and item.high_90 < delta else "inconclusive"


def _verdict(item: _Evidence, effect: Verdict) -> Verdict:
    """What an effect means for the claim."""
    kind = item.question.kind
    if kind in ("gain", "non_inferiority"):
        return effect
    if effect == "supported":
        return "contradicted"
    return (
        "supported"
        if effect == "negligible" or (effect, kind) == ("contradicted", "not_better")
        else "inconclusive"
    )


def _convincing(difference: PairedDifference, p: float, delta: float, exact: bool) -> bool:
    """Whether a difference is significant and large enough."""
    return p <= LEVEL and difference.mean >= delta and (exact or difference.p_sign_flip <= LEVEL)
