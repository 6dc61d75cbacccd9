"""What the claims page says of each test besides its numbers: the rule, the scale of its dots, the factors.

This module must not decide anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmark.spec.leaderboard import Spec
from reports.claims.decide import Finding, Missing, Outcome, Verdict
from reports.claims.factors import factors
from reports.claims.register import Metric, Trial
from reports.select import Counted
from reports.site.cells import Dots, Scale
from reports.site.numbers import fixed

GAINS = "Gains of the seeds"


@dataclass(frozen=True)
class Shown:
    """A test as it stands on the page."""

    anchor: str
    finding: Finding
    rule: str
    factors: tuple[str, ...]  # none where they are those of the test above


def shown_tests(verdict: Verdict, spec: Spec, counted: Counted) -> Iterator[Shown]:
    """The tests of a claim."""
    told: tuple[str, ...] = ()
    for finding in verdict.findings:
        told_now = tuple(factors(finding, spec, counted))
        claim = f"{verdict.claim.id}-from-{finding.repeated}" if finding.repeated else verdict.claim.id
        yield Shown(
            anchor=f"{claim}-{finding.trial.id}",
            finding=finding,
            rule=rule(finding.trial, finding.metric),
            factors=() if told_now == told else told_now,
        )
        told = told_now or told


def rule(trial: Trial, metric: Metric) -> str:
    """What the test asks, in one sentence."""
    delta = fixed(metric.least, percent=metric.percent) + (" points" if metric.percent else "")
    what, more = metric.title, metric.better
    arm, other = trial.a, trial.b
    if trial.versus_init is not None:
        ours = "the pre-trained init" if trial.versus_init == "scratch" else "the init of the setting"
        theirs = "" if trial.a == trial.b else f"{trial.b} "
        arm, other = f"{trial.a} on {ours}", f"{theirs}on {trial.versus_init}"
    if trial.threshold is not None:
        over = f" % of what {trial.relative_to} gains over {other}" if trial.relative_to else ""
        margin = f" by {delta} or more" if metric.delta else ""
        return f"{what}: {arm} exceeds {trial.threshold:g}{over}{margin}."
    if trial.minus is not None:
        return f"{what}: the gain of {arm} over {other} exceeds that of {trial.minus.a} by {delta} or more."
    sentence = {
        "gain": f"{arm} is {more} than {other}{f', by {delta} or more' if metric.delta else ''}.",
        "non_inferiority": f"{arm} is not worse than {other} by {delta} or more (non-inferiority).",
        "two_sided": f"{arm} and {other} differ by less than {delta} (equivalence).",
        "not_better": f"{arm} is not better than {other} by {delta} or more.",
    }[trial.kind]
    return f"{what}: {sentence}"


def gaps(verdict: Verdict) -> list[Missing]:
    """What was not run for a claim: each reason once, with all its settings and commands."""
    merged: dict[str, Missing] = {}
    for gap in (gap for finding in verdict.findings for gap in finding.missing):
        known = merged.get(gap.reason, Missing(gap.reason, (), ()))
        merged[gap.reason] = Missing(
            gap.reason,
            tuple(dict.fromkeys([*known.commands, *gap.commands])),
            tuple(dict.fromkeys([*known.settings, *gap.settings])),
        )
    return list(merged.values())


def scale_of(finding: Finding) -> Scale:
    """One scale for the dots of all settings of a test, zero and ±delta included."""
    delta = finding.metric.least
    numbers = [0.0, -delta, delta]
    for outcome in finding.outcomes:
        gain = outcome.answer.gain
        numbers += [*outcome.gains, *([gain.low, gain.high] if gain.n > 1 else [])]
    low, high = min(numbers), max(numbers)
    if low == high:
        low, high = -1.0, 1.0
    return Scale(low, high, delta, finding.metric.percent)


def dots_of(outcome: Outcome, scale: Scale) -> Dots:
    """The gains of the seeds of one setting."""
    gain = outcome.answer.gain
    interval = (gain.low, gain.high) if gain.n > 1 else None
    return Dots(GAINS, outcome.gains, gain.mean, interval, scale)
