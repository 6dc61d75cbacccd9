"""What the claims page says of each test besides its numbers: the rule, a strip of dots, and the factors.

Everything here is text or geometry; the templates put it on the page. This module must not decide anything.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.metrics.verdicts import CONFIRMATORY_SEEDS
from benchmark.records.trainings import TrainingFile
from benchmark.spec.leaderboard import Spec
from benchmark.studies.boundary import BoundaryFile
from reports.claims.decide import Finding, Missing, Outcome, Verdict, decide_claims
from reports.claims.factors import factors
from reports.claims.register import EVIDENCE, Metric, Register, Trial
from reports.select import Counted

WIDTH, HEIGHT, MARGIN = 220, 22, 8  # of a strip, in CSS pixels


@dataclass(frozen=True)
class Dots:
    """The gains of one setting on the scale that the settings of its test share; x in CSS pixels."""

    seeds: tuple[float, ...]
    mean: float
    interval: tuple[float, float] | None  # 95 %; None with a single seed
    alt: str


@dataclass(frozen=True)
class Scale:
    """Where zero, ±delta and the ticks are."""

    zero: float
    band: tuple[float, float]
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Shown:
    """A test as it stands on the page."""

    anchor: str
    finding: Finding
    rule: str
    scale: Scale | None
    rows: tuple[tuple[Outcome, Dots], ...]
    factors: tuple[str, ...]  # none where they are those of the test above


def claims_page(
    register: Register,
    spec: Spec,
    counted: Counted,
    trainings: Sequence[TrainingFile] = (),
    boundary: BoundaryFile | None = None,
) -> dict[str, Any]:
    """What the templates of the claims page need.

    Raises
    ------
    DataError
        If a record lacks a metric that a claim compares.
    """
    verdicts = decide_claims(register, spec, counted, trainings, boundary)
    cells = [counted.measured, *counted.studies.measured.values()]
    tracks = sorted({cell.track for found in cells for cell in found}, key=list(spec.tracks).index)
    return {
        "verdicts": verdicts,
        "shown": {v.claim.id: tuple(_shown(v, spec, counted, boundary)) for v in verdicts},
        "gaps": {v.claim.id: gaps(v) for v in verdicts},
        "untested": register.untested,
        "evidence": EVIDENCE,
        "tracks": {name: spec.tracks[name] for name in tracks},
        "confirmatory": CONFIRMATORY_SEEDS,
        "strip": {"width": WIDTH, "height": HEIGHT, "middle": HEIGHT / 2},
    }


def rule(trial: Trial, metric: Metric) -> str:
    """What the test asks, in one sentence."""
    delta = _number(metric.delta, metric, scaled=True) + (" points" if metric.percent else "")
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


def _shown(verdict: Verdict, spec: Spec, counted: Counted, boundary: BoundaryFile | None) -> Iterator[Shown]:
    told: tuple[str, ...] = ()
    for finding in verdict.findings:
        scale, rows = _strips(finding)
        told_now = tuple(factors(finding, spec, counted, boundary))
        claim = f"{verdict.claim.id}-from-{finding.repeated}" if finding.repeated else verdict.claim.id
        yield Shown(
            anchor=f"{claim}-{finding.trial.id}",
            finding=finding,
            rule=rule(finding.trial, finding.metric),
            scale=scale,
            rows=rows,
            factors=() if told_now == told else told_now,
        )
        told = told_now or told


def _strips(finding: Finding) -> tuple[Scale | None, tuple[tuple[Outcome, Dots], ...]]:
    """Dots of all settings of a test on one scale, zero and ±delta included."""
    if not finding.outcomes:
        return None, ()
    delta = finding.metric.least
    numbers = [0.0, -delta, delta]
    for outcome in finding.outcomes:
        gain = outcome.answer.gain
        numbers += [*outcome.gains, *([gain.low, gain.high] if gain.n > 1 else [])]
    low, high = min(numbers), max(numbers)
    if low == high:
        low, high = -1.0, 1.0

    def x(value: float) -> float:
        return round(MARGIN + (WIDTH - 2 * MARGIN) * (value - low) / (high - low), 1)

    factor = 100 if finding.metric.percent else 1
    ticks = tuple(
        (x(tick / factor), f"{tick:g}".replace("-", "−")) for tick in _ticks(factor * low, factor * high)
    )
    rows = []
    for outcome in finding.outcomes:
        gain = outcome.answer.gain
        interval = (x(gain.low), x(gain.high)) if gain.n > 1 else None
        listed = ", ".join(_number(g, finding.metric) for g in outcome.gains)
        dots = Dots(
            tuple(x(g) for g in outcome.gains), x(gain.mean), interval, f"Gains of the seeds: {listed}"
        )
        rows.append((outcome, dots))
    return Scale(x(0.0), (x(-delta), x(delta)), ticks), tuple(rows)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers within [low, high], two to six of them, zero among them."""
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw)
    return [i * step for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _number(value: float, metric: Metric, *, scaled: bool = False) -> str:
    """A number in the unit of the page; `scaled`: it is in that unit already."""
    text = f"{value if scaled or not metric.percent else 100 * value:.{2 if metric.percent else 3}f}"
    return text.replace("-", "−") if float(text) else text.lstrip("-")
