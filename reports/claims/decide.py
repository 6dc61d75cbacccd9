"""The claims of the register, decided from the records: per setting the arms, the gain, and a verdict.

Pairs share a seed. What cannot be decided says what is missing. This module must not know how it is shown.
Source: spec/claims.md §0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean
from typing import Literal

from benchmark.metrics.verdicts import CONFIRMATORY_SEEDS, Answer, decide, sign_test
from benchmark.spec.leaderboard import Spec
from reports.claims.arms import Arms, Lack, Records
from reports.claims.register import Claim, Metric, Register, Setting, Trial
from reports.select import Counted

Reading = Literal["supported", "refuted", "undecided", "no verdict"]
Overall = Literal["supported", "refuted", "undecided", "not run", "no verdict"]

_READINGS: dict[str, Reading] = {"supported": "supported", "contradicted": "refuted"}


@dataclass(frozen=True)
class Outcome:
    """A test in one setting. Values are in the metric's unit; gains are positive where the claim predicts."""

    trial: Trial
    setting: Setting
    seeds: tuple[int, ...]
    a: tuple[float, ...]
    b: tuple[float, ...]
    gains: tuple[float, ...]
    answer: Answer
    left_out: tuple[int, ...]  # shared seeds that say nothing about a recovered share
    uneven: tuple[str, ...] = ()  # arms whose networks were not all trained alike

    @property
    def mean_a(self) -> float:
        """Mean of arm a over the seeds."""
        return fmean(self.a)

    @property
    def mean_b(self) -> float:
        """Mean of arm b over the seeds, or the threshold."""
        return fmean(self.b)

    @property
    def reading(self) -> Reading:
        """The verdict in the site's three words; secondary tests have none."""
        if self.trial.role == "secondary":
            return "no verdict"
        return _READINGS.get(self.answer.verdict, "undecided")

    @property
    def detail(self) -> str:
        """The finer verdict where it says more, and what decided."""
        if self.trial.role == "secondary":
            return "secondary, unadjusted"
        if self.trial.role == "capped":
            return "exploratory: capped"
        if self.uneven:
            return f"exploratory: arm {' and '.join(self.uneven)} not trained alike in all seeds"
        if self.answer.gain.n < CONFIRMATORY_SEEDS:
            return f"exploratory: fewer than {CONFIRMATORY_SEEDS} seeds"
        answer = self.answer
        if self.trial.kind == "non_inferiority":
            return "bound of the interval"
        if answer.effect == "negligible":
            basis = "90 % interval"
        else:
            basis = "t-based" if answer.t_based else "exact test"
        kind = "" if self.trial.kind == "gain" else "gain "
        return basis if not kind and answer.effect == "supported" else f"{kind}{answer.effect}, {basis}"


@dataclass(frozen=True)
class Missing:
    """Settings of a test that were not run, all for the same reason."""

    reason: str
    commands: tuple[str, ...]  # what would run it, once leaderboard.yaml has it; none if nothing would
    settings: tuple[Setting, ...]


@dataclass(frozen=True)
class Finding:
    """A test of a claim over all its settings."""

    trial: Trial
    metric: Metric
    outcomes: tuple[Outcome, ...]
    missing: tuple[Missing, ...]
    repeated: str = ""  # the claim that it is shown from

    @cached_property
    def counts(self) -> Counter[str]:
        """How many settings have which reading."""
        return Counter(outcome.reading for outcome in self.outcomes)

    @property
    def sign_p(self) -> float | None:
        """Two-sided exact sign test of the settings' mean gains; None for fewer than two settings."""
        means = [outcome.answer.gain.mean for outcome in self.outcomes]
        return sign_test(means) if len(means) > 1 else None


@dataclass(frozen=True)
class Verdict:
    """A claim with all that was found."""

    claim: Claim
    findings: tuple[Finding, ...]

    @property
    def counts(self) -> Counter[str]:
        """How many primary tests, over settings, have which reading, and how many were not run."""
        primary = [finding for finding in self.findings if finding.trial.role != "secondary"]
        total = sum((finding.counts for finding in primary), Counter[str]())
        total["not run"] = sum(len(gap.settings) for finding in primary for gap in finding.missing)
        return total

    @property
    def overall(self) -> Overall:
        """Supported or refuted where all primary tests say so and none ran nowhere, else undecided.

        A claim without primary tests is only shown.
        """
        primary = [finding for finding in self.findings if finding.trial.role != "secondary"]
        ran = {outcome.reading for finding in primary for outcome in finding.outcomes}
        if not ran:
            shown = not primary and any(finding.outcomes for finding in self.findings)
            return "no verdict" if shown else "not run"
        whole = all(finding.outcomes for finding in primary)
        if whole and ran == {"supported"}:
            return "supported"
        return "refuted" if whole and ran == {"refuted"} else "undecided"


def decide_claims(register: Register, spec: Spec, counted: Counted) -> list[Verdict]:
    """Decide every claim of the register; Holm's adjustment is over all of a family's tests that were run.

    Raises
    ------
    DataError
        If a record lacks a metric that a claim compares.
    """
    records = Records(spec, counted)
    families: dict[str, list[tuple[tuple[str, str], Metric, Arms]]] = {}
    gaps: dict[tuple[str, str], dict[tuple[str, tuple[str, ...]], list[Setting]]] = {}
    for claim in register.claims:
        for trial in claim.trials:
            key, metric = (claim.id, trial.id), register.metric(trial)
            for setting in register.places(trial):
                try:
                    arms = records.arms(trial, metric, setting, f"{claim.id} {trial.id}")
                    families.setdefault(claim.family, []).append((key, metric, arms))
                except Lack as lack:
                    gaps.setdefault(key, {}).setdefault((lack.reason, lack.commands), []).append(setting)
    outcomes: dict[tuple[str, str], list[Outcome]] = {}
    for tests in families.values():
        answers = decide([arms.question(metric) for _, metric, arms in tests])
        for (key, metric, arms), answer in zip(tests, answers, strict=True):
            outcomes.setdefault(key, []).append(_outcome(arms, metric, answer))
    findings = {
        (claim.id, trial.id): Finding(
            trial,
            register.metric(trial),
            tuple(outcomes.get((claim.id, trial.id), ())),
            tuple(
                Missing(reason, commands, tuple(settings))
                for (reason, commands), settings in gaps.get((claim.id, trial.id), {}).items()
            ),
        )
        for claim in register.claims
        for trial in claim.trials
    }
    return [Verdict(claim, tuple(_findings_of(claim, findings))) for claim in register.claims]


def _outcome(arms: Arms, metric: Metric, answer: Answer) -> Outcome:
    sign = 1 if metric.better == "higher" else -1
    gains = tuple(sign * (a - b) for a, b in zip(arms.a, arms.b, strict=True))
    return Outcome(
        arms.trial, arms.setting, arms.seeds, arms.a, arms.b, gains, answer, arms.left_out, arms.uneven
    )


def _findings_of(claim: Claim, findings: Mapping[tuple[str, str], Finding]) -> Iterator[Finding]:
    for repeat in claim.repeats:
        found = findings[repeat.claim, repeat.trial]
        yield replace(
            found,
            outcomes=tuple(o for o in found.outcomes if o.setting.init == repeat.init),
            missing=tuple(
                replace(gap, settings=kept)
                for gap in found.missing
                if (kept := tuple(s for s in gap.settings if s.init == repeat.init))
            ),
            repeated=repeat.claim,
        )
    yield from (findings[claim.id, trial.id] for trial in claim.trials)
