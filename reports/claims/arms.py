"""Where the arms of a claim's test come from: both arms' numbers by seed, or what keeps them from being had.

This module must not know a verdict, nor how anything is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean

from benchmark.errors import DataError
from benchmark.metrics.verdicts import Question
from benchmark.records.network_places import stand_apart
from benchmark.records.record import BOUNDARY, Cell, Record
from benchmark.records.trainings import ACCURACY
from benchmark.spec.leaderboard import Spec
from reports.claims.register import (
    CURVE,
    DENSITY,
    GROUPS,
    PRETRAINING,
    SCORED,
    SUMMARY,
    TRAINED,
    Metric,
    Setting,
    Trial,
)
from reports.select import Counted, Found, Measured
from reports.studies.plane.numbers import Arms as ArmsInPlane
from reports.studies.plane.numbers import arms_of

Series = tuple[str, str, str, str]  # track, backbone, init and entry
_Values = dict[str, dict[int, float]]  # by arm and seed

_RECOVERABLE = 0.01  # least gain of explicit outliers of which a share is taken: one point
_CONVERGED = 0.95  # of arm b's final validation accuracy


class Lack(Exception):  # noqa: N818
    """What keeps a test from being made."""

    def __init__(self, reason: str, commands: tuple[str, ...]) -> None:
        super().__init__(reason)
        self.reason, self.commands = reason, commands


@dataclass(frozen=True)
class Arms:
    """Both arms of a test in one setting, one value a shared seed, in the metric's unit."""

    trial: Trial
    setting: Setting
    seeds: tuple[int, ...]
    a: tuple[float, ...]
    b: tuple[float, ...]
    left_out: tuple[int, ...]  # shared seeds that say nothing about a recovered share
    uneven: tuple[str, ...]  # arms whose networks were not all trained alike

    def question(self, metric: Metric) -> Question:
        """What is asked of them."""
        better, worse = (self.a, self.b) if metric.better == "higher" else (self.b, self.a)
        confirmatory = self.trial.role == "primary" and not self.uneven
        return Question(better, worse, metric.least, self.trial.kind, confirmatory)


def plane(arms: ArmsInPlane) -> dict[str, dict[int, dict[str, float]]]:
    """The numbers of the experiment in two dimensions, by arm, seed and metric path."""
    found: dict[str, dict[int, dict[str, float]]] = {}
    for arm, records in arms.items():
        for record in records:
            of_regions = {path: n for path, n in record.numbers.items() if path.startswith("regions.")}
            found.setdefault(TRAINED[arm], {})[record.seed] = of_regions
            for score, entry in SCORED.items():
                if (path := f"density.{score}") in record.numbers:
                    found.setdefault(entry, {})[record.seed] = {DENSITY: record.numbers[path]}
    return found


class Records:
    """All that arms are made of."""

    def __init__(self, spec: Spec, counted: Counted) -> None:
        self.spec, self.counted, self.plane = spec, counted, plane(arms_of(counted))
        self.curves: dict[Cell, Record] = {  # the objective in place of the entry
            Cell(file.track, record.backbone, record.init, record.seed, file.row): record
            for file in counted.trainings
            for record in file.records
            if not record.condition and None not in record.series.get(ACCURACY, [None])
        }
        self._by_series: dict[str | None, dict[Series, dict[int, Found]]] = {}

    def series(self, study: str | None) -> Mapping[Series, Mapping[int, Found]]:
        """The measured cells of a study, or of OOD detection, by series and seed."""
        if study not in self._by_series:
            by_series = self._by_series.setdefault(study, {})
            for cell, found in self.counted.of_study(study).items():
                if found.networks == 1:  # an ensemble takes several seeds and pairs with nothing
                    series = cell.track, cell.backbone, cell.init, cell.entry
                    by_series.setdefault(series, {})[cell.seed] = found
        return self._by_series[study]

    def arms(self, trial: Trial, metric: Metric, setting: Setting, where: str) -> Arms:
        """Both arms over the seeds that all series of the test share.

        Raises
        ------
        Lack
            If there are none; says why.
        DataError
            If a record of OOD detection lacks the metric; `where` says who asked.
        """
        found: dict[str, Mapping[int, Found]] = {}
        if setting.track == BOUNDARY:
            values = self._in_two_dimensions(trial, metric, setting)
        else:
            found = self._found(trial, metric, setting)
            if metric.metric == CURVE:
                values = self._epochs(setting, found)
            else:
                values = {
                    arm: {seed: _value(item, metric, where) for seed, item in by_seed.items()}
                    for arm, by_seed in found.items()
                }
        seeds = sorted(set.intersection(*map(set, values.values())))
        if not seeds:
            raise Lack("the arms share no seed", ())
        _refuse_apart(
            trial, metric, setting, {arm: [by_seed[s] for s in seeds] for arm, by_seed in found.items()}
        )
        uneven = tuple(arm for arm, by_seed in found.items() if not _alike([by_seed[s] for s in seeds]))
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
                    raise Lack(f"{trial.relative_to} gains {gain}: there is nothing to recover", ())
                a = {seed: sign * (a[seed] - b[seed]) / whole[seed] for seed in seeds}
            b = dict.fromkeys(seeds, trial.threshold / 100 if metric.percent else trial.threshold)
        return Arms(
            trial,
            setting,
            tuple(seeds),
            tuple(a[seed] for seed in seeds),
            tuple(b[seed] for seed in seeds),
            tuple(left_out),
            uneven,
        )

    def _found(self, trial: Trial, metric: Metric, setting: Setting) -> dict[str, Mapping[int, Found]]:
        found: dict[str, Mapping[int, Found]] = {}
        lacks: dict[str, str] = {}
        known = self.series(metric.study)
        for arm, entry, init in trial.series(setting):
            place = setting.track, setting.backbone, init, entry
            if place not in known:
                why = self._lack_of_study if metric.study else self._lack
                reason, command = why(metric, *place)
                lacks[reason] = command
                continue
            found[arm] = known[place]
            if metric.study is not None:
                there = {s: item for s, item in known[place].items() if metric.number in item.numbers}
                found[arm] = there
                if not there:
                    one = next(iter(known[place].values()))
                    why_not = one.absent.get(metric.number, "") if not isinstance(one, Measured) else ""
                    told = f"no number {metric.metric} of {entry} from {init}"
                    if why_not:
                        lacks[f"{told}: {why_not}"] = "oodbench run --full"
                    else:  # another run would not ask for it either
                        lacks[f"{told}: it is not measured there"] = ""
        if lacks:
            raise Lack("; ".join(lacks), tuple(dict.fromkeys(filter(None, lacks.values()))))
        return found

    def _in_two_dimensions(self, trial: Trial, metric: Metric, setting: Setting) -> _Values:
        values: _Values = {}
        for arm, entry, _ in trial.series(setting):
            if entry not in self.plane:
                raise Lack(f"no record of {entry} in two dimensions", ("oodbench run --full",))
            values[arm] = {seed: numbers[metric.metric] for seed, numbers in self.plane[entry].items()}
        return values

    def _epochs(self, setting: Setting, found: Mapping[str, Mapping[int, Found]]) -> _Values:
        """Epochs until each arm's network is nearly as accurate as b's in the end, or all of its epochs."""
        curves: dict[str, dict[int, list[float]]] = {arm: {} for arm in found}
        for arm, by_seed in found.items():
            for seed, item in by_seed.items():
                if not isinstance(item, Measured):
                    continue
                network = Cell(*setting[:2], item.record.init, seed, item.objective)
                curve = self.curves.get(network)
                if curve is not None and curve.training == item.record.training:
                    curves[arm][seed] = [float(value or 0) for value in curve.series[ACCURACY]]
        if not all(curves.values()):
            run = f"oodbench run --track {setting.track}"
            raise Lack("no validation curves of the networks of the records", (run,))
        goals = {seed: _CONVERGED * curve[-1] for seed, curve in curves["b"].items()}
        return {
            arm: {seed: _reached(curve, goals[seed]) for seed, curve in by_seed.items() if seed in goals}
            for arm, by_seed in curves.items()
        }

    def _lack(self, metric: Metric, track: str, backbone: str, init: str, entry: str) -> tuple[str, str]:
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
        if init not in known.entry_inits:
            return f"init {init} is not on track {track} in leaderboard.yaml", f"{run} --init {init}"
        for seed in known.seeds:
            record = self.counted.unmeasured.get(Cell(track, backbone, init, seed, entry))
            if record is not None:
                status = record.status.replace("_", " ")
                return f"{entry} {status}: {record.reason or 'no reason recorded'}", ""
        return f"no record of {entry}", run

    def _lack_of_study(
        self, metric: Metric, track: str, backbone: str, init: str, row: str
    ) -> tuple[str, str]:
        """The same of a study's row."""
        run = "oodbench run --full"
        if metric.study == SUMMARY and row == PRETRAINING:
            return f"not all studies of {init} and of scratch on track {track} are there", run
        known = self.spec.tracks.get(track)
        if known is None:
            return f"track {track} is not in leaderboard.yaml", run
        study = known.studies.chosen(full=True).get(str(metric.study))
        named = str(metric.study).replace("_", " ")
        if study is None:
            return f"study {named} is not on track {track} in leaderboard.yaml", run
        if row not in study.rows:
            return f"{row} is not in study {named} on track {track} in leaderboard.yaml", run
        where = f"in study {named} on track {track} in leaderboard.yaml for {row}"
        if backbone not in study.backbones_on(row, known.backbones):
            return f"backbone {backbone} is not {where}", run
        if init not in study.inits_of(row):
            return f"init {init} is not {where}", run
        for (cell, _), record in self.counted.studies.failed.get(str(metric.study), {}).items():
            if (cell.track, cell.backbone, cell.init, cell.entry) == (track, backbone, init, row):
                return f"{row} {record.status}: {record.reason or 'no reason recorded'}", ""
        return f"no record of {row} from {init} in study {named}", run


def _refuse_apart(
    trial: Trial, metric: Metric, setting: Setting, found: Mapping[str, Sequence[Found]]
) -> None:
    """Refuse to pair arms that ought to share networks and do not; the declared tests are all paired."""
    for (one, a), (other, b) in combinations(found.items(), 2):
        differ = sum(stand_apart(x.stands, y.stands) for x, y in zip(a, b, strict=True))
        if differ:
            entries = dict.fromkeys(entry for arm, entry, _ in trial.series(setting) if arm in (one, other))
            run = f"oodbench run --track {setting.track} {' '.join(f'--entry {entry}' for entry in entries)}"
            raise Lack(
                f"{' and '.join(entries)} stand on different networks in {differ} of {len(a)} seeds, so that "
                "they cannot be paired",
                ("oodbench run --full" if metric.study else run,),
            )


def _alike(found: Sequence[Found]) -> bool:
    """Whether all networks were trained alike, under every condition that all of them have."""
    shared = set.intersection(*(set(item.trained) for item in found))
    ways = [{condition: item.trained[condition] for condition in shared} for item in found]
    return all(way == ways[0] for way in ways)


def _value(found: Found, metric: Metric, where: str) -> float:
    """One number of a measurement, of an arm's own metric or an aggregate over OOD sets."""
    scope, _, name = metric.metric.partition(".")
    if scope == "both":
        return fmean(found.number(f"{_unseen(found)}{group}.{name}", where) for group in GROUPS)
    if scope in GROUPS:
        return found.number(f"{_unseen(found)}{metric.number}", where)
    if scope == "worst" and isinstance(found, Measured):
        numbers = [found.number(f"detection.{ood}.{name}", where) for ood in found.ood_sets]
        if not numbers:
            raise DataError(f"{where}: {metric.metric!r} needs an OOD set, and the record has none")
        return min(numbers) if metric.better == "higher" else max(numbers)
    return found.number(metric.number, where)


def _unseen(found: Found) -> str:
    """Before the path of a group's mean: conclusions leave out OOD sets that weights were trained on."""
    return "unseen." if isinstance(found, Measured) and found.seen else ""


def _reached(curve: Sequence[float], goal: float) -> float:
    """The first epoch, from 1, in which the goal is reached; the last one if it never is."""
    return float(next((e for e, value in enumerate(curve, 1) if value >= goal - 1e-9), len(curve)))
