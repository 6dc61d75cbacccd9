"""The claims of the register, decided from the records: per setting the arms, the gain, and a verdict.

Pairs share a seed. What cannot be decided says what is missing. This module must not know how it is shown.
Source: spec/claims.md §0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean
from typing import Literal

from benchmark.boundary import BoundaryFile
from benchmark.errors import DataError
from benchmark.metrics.verdicts import CONFIRMATORY_SEEDS, Answer, Question, decide, sign_test
from benchmark.results import BOUNDARY, Cell
from benchmark.spec import Spec
from benchmark.trainings import TrainingFile, TrainingRecord
from reports.register import CURVE, DENSITY, GROUPS, SCORED, TRAINED, Claim, Metric, Register, Setting, Trial
from reports.selection import Measured, Selection

Reading = Literal["supported", "refuted", "undecided", "no verdict"]
Overall = Literal["supported", "refuted", "undecided", "not run"]
_Values = dict[str, dict[int, float]]  # by arm and seed

_RECOVERABLE = 0.01  # least gain of explicit outliers of which a share is taken: one point
_CONVERGED = 0.95  # of arm b's final validation accuracy
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
        """Supported or refuted where all primary tests say so and none ran nowhere, else undecided."""
        primary = [finding for finding in self.findings if finding.trial.role != "secondary"]
        ran = {outcome.reading for finding in primary for outcome in finding.outcomes}
        if not ran:
            return "not run"
        whole = all(finding.outcomes for finding in primary)
        if whole and ran == {"supported"}:
            return "supported"
        return "refuted" if whole and ran == {"refuted"} else "undecided"


class _Lack(Exception):  # noqa: N818
    """What keeps a test from being made."""

    def __init__(self, reason: str, commands: tuple[str, ...]) -> None:
        super().__init__(reason)
        self.reason, self.commands = reason, commands


def decide_claims(
    register: Register,
    spec: Spec,
    selection: Selection,
    trainings: Sequence[TrainingFile] = (),
    boundary: BoundaryFile | None = None,
) -> list[Verdict]:
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
    curves = {
        Cell(file.track, *record.network, entry=file.objective): record
        for file in trainings
        for record in file.records
        if record.val_accuracy and None not in record.val_accuracy
    }
    records = _Records(spec, selection, by_series, curves, _plane(boundary))
    families: dict[str, list[tuple[tuple[str, str], Metric, _Arms]]] = {}
    gaps: dict[tuple[str, str], dict[tuple[str, tuple[str, ...]], list[Setting]]] = {}
    for claim in register.claims:
        for trial in claim.trials:
            key, metric = (claim.id, trial.id), register.metric(trial)
            for setting in register.places(trial):
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


def _plane(boundary: BoundaryFile | None) -> dict[str, dict[int, dict[str, float]]]:
    """The numbers of the experiment in two dimensions, by arm, seed and metric path."""
    found: dict[str, dict[int, dict[str, float]]] = {}
    for result in boundary.results if boundary else ():
        regions = result.regions.items()
        found.setdefault(TRAINED[result.arm], {})[result.seed] = {
            **{f"regions.{name}.auroc": region.auroc for name, region in regions},
            **{f"regions.{name}.confident": region.confident for name, region in regions},
        }
        for score, entry in SCORED.items() if result.density else ():
            found.setdefault(entry, {})[result.seed] = {DENSITY: float(getattr(result.density, score))}
    return found


@dataclass(frozen=True)
class _Arms:
    """Both arms of a test in one setting, one value a shared seed, in the metric's unit."""

    trial: Trial
    setting: Setting
    seeds: tuple[int, ...]
    a: tuple[float, ...]
    b: tuple[float, ...]
    left_out: tuple[int, ...]
    uneven: tuple[str, ...]

    def question(self, metric: Metric) -> Question:
        better, worse = (self.a, self.b) if metric.better == "higher" else (self.b, self.a)
        confirmatory = self.trial.role == "primary" and not self.uneven
        return Question(better, worse, metric.least, self.trial.kind, confirmatory)

    def outcome(self, metric: Metric, answer: Answer) -> Outcome:
        sign = 1 if metric.better == "higher" else -1
        gains = tuple(sign * (a - b) for a, b in zip(self.a, self.b, strict=True))
        return Outcome(
            self.trial, self.setting, self.seeds, self.a, self.b, gains, answer, self.left_out, self.uneven
        )


@dataclass(frozen=True)
class _Records:
    """Where the arms come from."""

    spec: Spec
    selection: Selection
    series: Mapping[tuple[str, str, str, str], Mapping[int, Measured]]
    curves: Mapping[Cell, TrainingRecord]  # the objective in place of the entry
    plane: Mapping[str, Mapping[int, Mapping[str, float]]]

    def arms(self, trial: Trial, metric: Metric, setting: Setting, where: str) -> _Arms:
        """Both arms over the seeds that all series of the test share; raises `_Lack` without any."""
        found: dict[str, Mapping[int, Measured]] = {}
        if setting.track == BOUNDARY:
            values = self._in_two_dimensions(trial, metric, setting)
        else:
            found = self._found(trial, setting)
            if metric.metric == CURVE:
                values = self._epochs(setting, found)
            else:
                values = {
                    arm: {seed: _value(item, metric, where) for seed, item in by_seed.items()}
                    for arm, by_seed in found.items()
                }
        seeds = sorted(set.intersection(*map(set, values.values())))
        if not seeds:
            raise _Lack("the arms share no seed", ())
        trained = {arm: [by_seed[seed].record.training for seed in seeds] for arm, by_seed in found.items()}
        uneven = tuple(arm for arm, ways in trained.items() if ways.count(ways[0]) < len(ways))
        a, b, left_out = values["a"], values.get("b", {}), []
        if trial.minus is not None:
            a = {seed: a[seed] - values["minus a"][seed] for seed in seeds}
            b = {seed: b[seed] - values["minus b"][seed] for seed in seeds}
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
            uneven,
        )

    def _found(self, trial: Trial, setting: Setting) -> dict[str, Mapping[int, Measured]]:
        found: dict[str, Mapping[int, Measured]] = {}
        lacks: dict[str, str] = {}
        for arm, entry, init in trial.series(setting):
            place = setting.track, setting.backbone, init, entry
            if place in self.series:
                found[arm] = self.series[place]
            else:
                reason, command = self._lack(*place)
                lacks[reason] = command
        if lacks:
            raise _Lack("; ".join(lacks), tuple(dict.fromkeys(filter(None, lacks.values()))))
        return found

    def _in_two_dimensions(self, trial: Trial, metric: Metric, setting: Setting) -> _Values:
        values: _Values = {}
        for arm, entry, _ in trial.series(setting):
            if entry not in self.plane:
                raise _Lack(f"no record of {entry} in two dimensions", ("oodbench run --full",))
            values[arm] = {seed: numbers[metric.metric] for seed, numbers in self.plane[entry].items()}
        return values

    def _epochs(self, setting: Setting, found: Mapping[str, Mapping[int, Measured]]) -> _Values:
        """Epochs until each arm's network is nearly as accurate as b's in the end, or all of its epochs."""
        curves: dict[str, dict[int, list[float]]] = {arm: {} for arm in found}
        for arm, by_seed in found.items():
            for seed, item in by_seed.items():
                network = Cell(*setting[:2], item.record.init, seed, item.file.objective)
                curve = self.curves.get(network)
                if curve is not None and curve.training == item.record.training:
                    curves[arm][seed] = [accuracy or 0.0 for accuracy in curve.val_accuracy]
        if not all(curves.values()):
            run = f"oodbench run --track {setting.track}"
            raise _Lack("no validation curves of the networks of the records", (run,))
        goals = {seed: _CONVERGED * curve[-1] for seed, curve in curves["b"].items()}
        return {
            arm: {seed: _reached(curve, goals[seed]) for seed, curve in by_seed.items() if seed in goals}
            for arm, by_seed in curves.items()
        }

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


def _reached(curve: Sequence[float], goal: float) -> float:
    """The first epoch, from 1, in which the goal is reached; the last one if it never is."""
    return float(next((e for e, value in enumerate(curve, 1) if value >= goal - 1e-9), len(curve)))
