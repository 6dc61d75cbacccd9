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
from typing import Literal, NamedTuple

from benchmark.errors import DataError
from benchmark.metrics.verdicts import CONFIRMATORY_SEEDS, Answer, Question, decide, sign_test
from benchmark.results import Cell
from benchmark.spec import Spec
from reports.register import GROUPS, Claim, Metric, Register, Trial
from reports.selection import Measured, Selection

Reading = Literal["supported", "refuted", "undecided", "no verdict"]
Overall = Literal["supported", "refuted", "undecided", "not run"]

_RECOVERABLE = 0.01  # least gain of explicit outliers of which a share is taken: one point
_READINGS: dict[str, Reading] = {"supported": "supported", "contradicted": "refuted"}


class Setting(NamedTuple):
    """Where a test is made; `init` is that of arm a, and of arm b unless the init is the factor."""

    track: str
    backbone: str
    init: str


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
        if self.answer.gain.n < CONFIRMATORY_SEEDS:
            return f"exploratory: fewer than {CONFIRMATORY_SEEDS} seeds"
        answer = self.answer
        if self.trial.kind == "non_inferiority":
            return "bound of the interval"
        if answer.effect == "negligible":
            basis = "90 % interval"
        else:
            basis = "t-based" if answer.t_based else "exact test"
        if self.trial.kind != "gain":
            return f"gain {answer.effect}, {basis}"
        return basis if answer.effect == "supported" else f"{answer.effect}, {basis}"


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
        """Supported or refuted where all primary tests say so and none ran nowhere, else undecided."""
        primary = [finding for finding in self.findings if finding.trial.role != "secondary"]
        ran = {outcome.reading for finding in primary for outcome in finding.outcomes}
        if not ran:
            return "not run"
        if ran == {"supported"} and all(finding.outcomes for finding in primary):
            return "supported"
        return (
            "refuted" if ran == {"refuted"} and all(finding.outcomes for finding in primary) else "undecided"
        )


class _Lack(Exception):  # noqa: N818
    """What keeps a test from being made."""

    def __init__(self, reason: str, commands: tuple[str, ...]) -> None:
        super().__init__(reason)
        self.reason, self.commands = reason, commands


def decide_claims(register: Register, spec: Spec, selection: Selection) -> list[Verdict]:
    """Decide every claim of the register; Holm's adjustment is over all of a family's tests that were run.

    Raises
    ------
    DataError
        If a record lacks a metric that a claim compares.
    """
    by_series: dict[tuple[str, str, str, str], dict[int, Measured]] = {}
    for cell, found in selection.measured.items():
        if found.record.networks == 1:  # an ensemble takes several seeds and pairs with nothing
            series = cell.track, cell.backbone, cell.init, cell.entry
            by_series.setdefault(series, {})[cell.seed] = found
    records = _Records(spec, selection, by_series)
    families: dict[str, list[tuple[tuple[str, str], Metric, _Arms]]] = {}
    gaps: dict[tuple[str, str], dict[tuple[str, tuple[str, ...]], list[Setting]]] = {}
    for claim in register.claims:
        for trial in claim.trials:
            key, metric = (claim.id, trial.id), register.metric(trial)
            for setting in _settings(register, trial):
                try:
                    arms = records.arms(trial, metric, setting, f"{claim.id} {trial.id}")
                    families.setdefault(claim.family, []).append((key, metric, arms))
                except _Lack as lack:
                    gaps.setdefault(key, {}).setdefault((lack.reason, lack.commands), []).append(setting)
    outcomes: dict[tuple[str, str], list[Outcome]] = {}
    for tests in families.values():
        answers = decide([arms.question(metric) for _, metric, arms in tests])
        for (key, metric, arms), answer in zip(tests, answers, strict=True):
            outcomes.setdefault(key, []).append(arms.outcome(metric, answer))
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


def series_of(trial: Trial, setting: Setting) -> Iterator[tuple[str, str, str]]:
    """Arm, entry and init of every series of records that a test draws on."""
    init_b = trial.versus_init or setting.init
    yield "a", trial.a, setting.init
    if trial.b is not None:
        yield "b", trial.b, init_b
    if trial.relative_to is not None:
        yield "reference", trial.relative_to, setting.init
    if trial.minus is not None:
        yield "minus a", trial.minus.a, setting.init
        yield "minus b", trial.minus.b, init_b


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


def _settings(register: Register, trial: Trial) -> Iterator[Setting]:
    for name in trial.settings:
        place = register.settings[name]
        for backbone in place.backbones:
            for init in place.inits:
                yield Setting(place.track, backbone, init)


@dataclass(frozen=True)
class _Arms:
    """Both arms of a test in one setting, one value a shared seed, in the metric's unit."""

    trial: Trial
    setting: Setting
    seeds: tuple[int, ...]
    a: tuple[float, ...]
    b: tuple[float, ...]
    left_out: tuple[int, ...] = ()

    def question(self, metric: Metric) -> Question:
        better, worse = (self.a, self.b) if metric.better == "higher" else (self.b, self.a)
        delta = metric.delta / 100 if metric.percent else metric.delta
        return Question(better, worse, delta, self.trial.kind, self.trial.role == "primary")

    def outcome(self, metric: Metric, answer: Answer) -> Outcome:
        sign = 1 if metric.better == "higher" else -1
        gains = tuple(sign * (a - b) for a, b in zip(self.a, self.b, strict=True))
        return Outcome(
            self.trial, self.setting, self.seeds, self.a, self.b, gains, answer, left_out=self.left_out
        )


@dataclass(frozen=True)
class _Records:
    """Where the arms come from."""

    spec: Spec
    selection: Selection
    series: Mapping[tuple[str, str, str, str], Mapping[int, Measured]]

    def arms(self, trial: Trial, metric: Metric, setting: Setting, where: str) -> _Arms:
        """Both arms over the seeds that all series of the test share; raises `_Lack` without any."""
        track, backbone, _ = setting
        found: dict[str, Mapping[int, Measured]] = {}
        lacks: dict[str, str] = {}
        for arm, entry, init in series_of(trial, setting):
            if (track, backbone, init, entry) in self.series:
                found[arm] = self.series[track, backbone, init, entry]
            else:
                reason, command = self._lack(track, backbone, init, entry)
                lacks[reason] = command
        if lacks:
            raise _Lack("; ".join(lacks), tuple(dict.fromkeys(filter(None, lacks.values()))))
        seeds = sorted(set.intersection(*(set(by_seed) for by_seed in found.values())))
        if not seeds:
            raise _Lack("the arms share no seed", ())
        values = {
            arm: {seed: _value(by_seed[seed], metric, where) for seed in seeds}
            for arm, by_seed in found.items()
        }
        a, b, left_out = values["a"], values.get("b", {}), []
        if trial.minus is not None:
            a, b = _less(a, values["minus a"]), _less(b, values["minus b"])
        if trial.threshold is not None:
            if trial.relative_to is not None:
                sign = 1 if metric.better == "higher" else -1
                whole = {seed: sign * (values["reference"][seed] - b[seed]) for seed in seeds}
                left_out = [seed for seed in seeds if whole[seed] <= _RECOVERABLE]
                seeds = [seed for seed in seeds if whole[seed] > _RECOVERABLE]
                if not seeds:
                    gain = "no more than one point in any seed"
                    raise _Lack(f"{trial.relative_to} gains {gain}: there is nothing to recover", ())
                a = {seed: sign * (a[seed] - b[seed]) / whole[seed] for seed in seeds}
            b = dict.fromkeys(seeds, trial.threshold / 100 if metric.percent else trial.threshold)
        return _Arms(
            trial,
            setting,
            tuple(seeds),
            tuple(a[seed] for seed in seeds),
            tuple(b[seed] for seed in seeds),
            tuple(left_out),
        )

    def _lack(self, track: str, backbone: str, init: str, entry: str) -> tuple[str, str]:
        """Why nothing was measured, and what to run."""
        run = f"oodbench run --track {track} --entry {entry}"
        known = self.spec.tracks.get(track)
        if known is None:
            return f"track {track} is not in leaderboard.yaml", run
        if entry not in known.all_entries:
            return f"{entry} is not on track {track} in leaderboard.yaml", run
        if known.full is not None and entry in known.full.entries:
            run = "oodbench run --full"
        if backbone not in known.backbones_of(entry):
            return f"backbone {backbone} is not on track {track} in leaderboard.yaml for {entry}", run
        if init not in known.inits:
            return f"init {init} is not on track {track} in leaderboard.yaml", f"{run} --init {init}"
        for seed in known.seeds:
            record = self.selection.unmeasured.get(Cell(track, backbone, init, seed, entry))
            if record is not None:
                status = record.status.replace("_", " ")
                return f"{entry} {status}: {record.reason or 'no reason recorded'}", ""
        return f"no record of {entry}", run


def _value(found: Measured, metric: Metric, where: str) -> float:
    """One number of a measurement, of an arm's own metric or an aggregate over OOD sets."""
    scope, _, name = metric.metric.partition(".")
    if scope == "both":
        return fmean(found.number(f"{group}.{name}", where) for group in GROUPS)
    if scope == "worst":
        numbers = [found.number(f"detection.{ood}.{name}", where) for ood in found.measurement.detection]
        if not numbers:
            raise DataError(f"{where}: {metric.metric!r} needs an OOD set, and the record has none")
        return min(numbers) if metric.better == "higher" else max(numbers)
    return found.number(metric.metric, where)


def _less(values: Mapping[int, float], taken: Mapping[int, float]) -> dict[int, float]:
    return {seed: value - taken[seed] for seed, value in values.items()}
