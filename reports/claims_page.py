"""What the claims page says of each test besides its numbers: the rule, a strip of dots, and the factors.

Everything here is text or geometry; the templates put it on the page. This module must not decide anything.
Source of the factors: spec/claims.md §0.4.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from benchmark.boundary import BoundaryFile
from benchmark.metrics.verdicts import CONFIRMATORY_SEEDS
from benchmark.results import BOUNDARY, Cell, TrainedWith
from benchmark.spec import CheckpointFile, FractalDB, Scratch, Spec, SupervisedSource
from benchmark.trainings import TrainingFile
from reports.claims import Finding, Missing, Outcome, Verdict, decide_claims
from reports.register import EVIDENCE, TRAINED, Metric, Register, Setting, Trial
from reports.selection import Measured, Selection

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
    selection: Selection,
    trainings: Sequence[TrainingFile] = (),
    boundary: BoundaryFile | None = None,
) -> dict[str, Any]:
    """What the templates of the claims page need.

    Raises
    ------
    DataError
        If a record lacks a metric that a claim compares.
    """
    verdicts = decide_claims(register, spec, selection, trainings, boundary)
    tracks = sorted({cell.track for cell in selection.measured}, key=list(spec.tracks).index)
    return {
        "verdicts": verdicts,
        "shown": {v.claim.id: tuple(_shown(v, spec, selection, boundary)) for v in verdicts},
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
        arm, other = f"{trial.a} on the pre-trained init", f"on {trial.versus_init}"
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


def _shown(
    verdict: Verdict, spec: Spec, selection: Selection, boundary: BoundaryFile | None
) -> Iterator[Shown]:
    told: tuple[str, ...] = ()
    for finding in verdict.findings:
        scale, rows = _strips(finding)
        factors = tuple(_factors(finding, spec, selection, boundary))
        claim = f"{verdict.claim.id}-from-{finding.repeated}" if finding.repeated else verdict.claim.id
        yield Shown(
            anchor=f"{claim}-{finding.trial.id}",
            finding=finding,
            rule=rule(finding.trial, finding.metric),
            scale=scale,
            rows=rows,
            factors=() if factors == told else factors,
        )
        told = factors or told


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


def _factors(
    finding: Finding, spec: Spec, selection: Selection, boundary: BoundaryFile | None
) -> Iterator[str]:
    """What must be told with a verdict: settings, outliers, training, pre-training, conventions."""
    trial = finding.trial
    if any(outcome.setting.track == BOUNDARY for outcome in finding.outcomes):
        yield from _of_plane(trial, boundary)
        return
    by_arm: dict[tuple[str, str], list[Measured]] = {}
    same = []
    for outcome in finding.outcomes:
        track, backbone, _ = outcome.setting
        arms: dict[str, list[Measured]] = {}
        for arm, entry, init in trial.series(outcome.setting):
            cells = [Cell(track, backbone, init, seed, entry) for seed in outcome.seeds]
            arms[arm] = [selection.measured[cell] for cell in cells]
            by_arm.setdefault((track, arm), []).extend(arms[arm])
        same.append(len({_networks(found) for found in arms.values()}) == 1)
        for arm in outcome.uneven:
            yield f"The networks of arm {arm} on {outcome.setting} were not all trained alike: exploratory"
    if not by_arm:
        return
    modes = {
        arm: _join(
            found.record.hp_mode for (_, name), items in by_arm.items() if name == arm for found in items
        )
        for arm in dict.fromkeys(arm for _, arm in by_arm)
    }
    yield "Hyper-parameters: " + "; ".join(f"{arm} {mode}" for arm, mode in modes.items())
    if all(same) and trial.b is not None:
        yield "Both arms score the same networks"
    for track in dict.fromkeys(track for track, _ in by_arm):
        shown = {arm: items for (name, arm), items in by_arm.items() if name == track}
        if all(same):
            shown = {"": shown["a"]}
        yield from _training(track, shown)
    inits = dict.fromkeys(init for o in finding.outcomes for _, _, init in trial.series(o.setting))
    yield from (text for init in inits if (text := _source(init, spec)))
    if "fpr95" in finding.metric.metric:
        yield "FPR at the threshold that keeps 95 % of ID images; ID is positive"


def _of_plane(trial: Trial, boundary: BoundaryFile | None) -> Iterator[str]:
    """The same of the experiment in two dimensions, which has no records of its own."""
    for result in boundary.results[:1] if boundary else ():
        yield f"{result.steps} steps for each classifier; outliers, where there are any, are half of a batch"
        yield "Wall time not recorded; the classifiers with outliers are compute matched"
    named = dict.fromkeys(entry.split("+")[0] for _, entry, _ in trial.series(Setting(BOUNDARY, "", "")))
    for arm, name in TRAINED.items():
        found = boundary.of_arm(arm) if boundary and name in named else ()
        if found:
            yield f"{name}: ID test accuracy {100 * fmean(result.accuracy for result in found):.2f}"


def _training(track: str, arms: Mapping[str, Sequence[Measured]]) -> Iterator[str]:
    """Outliers, epochs and wall time of the arms. Clocks of a shared machine do not say what is matched."""
    ways = {arm: _ways(items) for arm, items in arms.items()}
    lrs = {_join(_lr(way) for way in found) for found in ways.values()}
    parts = []
    for arm, items in arms.items():
        name = f"arm {arm} " if arm else ""
        if outliers := _join(text for way in ways[arm] if (text := _outliers(way))):
            yield f"Outliers in training on {track}{', ' if arm else ''}{name.strip()}: {outliers}"
        lr = f" at learning rate {_join(_lr(way) for way in ways[arm])}" if len(lrs) > 1 else ""
        parts.append(f"{name}{_join(_epochs(way) for way in ways[arm])}{lr}, {_cost(items)}")
    if {"a", "b"} <= arms.keys():
        parts.append(_matched(arms["a"], arms["b"]))
    yield f"Training on {track}: {'; '.join(parts)}"


def _matched(a: Sequence[Measured], b: Sequence[Measured]) -> str:
    """Whether the arms were trained for as long and in the same way, cell by cell."""
    pairs = [(x.record.training, y.record.training) for x, y in zip(a, b, strict=True)]
    known = [(x, y) for x, y in pairs if x is not None and y is not None]
    if len(known) < len(pairs):
        return "whether they are compute matched is not recorded"
    if any(x.epochs != y.epochs for x, y in known):
        return "not compute matched"
    if differ := sorted({key for x, y in known for key in _differences(x, y)}):
        return f"as many epochs, but not the same {', '.join(differ)}: matched as far as the wall times are"
    if {found.record.init for found in a} != {found.record.init for found in b}:
        return "the same recipe, compute matched but for pre-training"
    return "the same recipe, compute matched"


def _differences(a: TrainedWith, b: TrainedWith) -> Iterator[str]:
    """What differs between two trainings, of their last stages and of all before."""
    yield from (name for name in ("objective", "outliers") if getattr(a, name) != getattr(b, name))
    if a.objective == b.objective and a.hyperparameters != b.hyperparameters:
        yield "hyper-parameters"
    recipes = a.recipe or {}, b.recipe or {}
    yield from (key for key in recipes[0] | recipes[1] if recipes[0].get(key) != recipes[1].get(key))
    if a.starts_from != b.starts_from:
        yield "first network"


def _ways(items: Iterable[Measured]) -> list[TrainedWith | None]:
    """How networks were trained, each way once; None is not recorded."""
    ways: list[TrainedWith | None] = []
    for training in (item.record.training for item in items):
        if training not in ways:
            ways.append(training)
    return ways


def _stages(training: TrainedWith) -> list[TrainedWith]:
    """All trainings that a network went through, the first one first."""
    return [*(_stages(training.starts_from) if training.starts_from else ()), training]


def _epochs(training: TrainedWith | None) -> str:
    """How long a network was trained, over all stages."""
    if training is None:
        return "epochs and outliers not recorded"
    own = [f"{stage.recipe['epochs']} of {stage.objective}" for stage in _stages(training) if stage.recipe]
    if not own:
        return "published weights"
    stages = f" ({', then '.join(own)})" if len(own) > 1 else ""
    return f"{training.epochs} epochs{stages}"


def _lr(training: TrainedWith | None) -> str:
    if training is None:
        return "not recorded"
    return ", then ".join(f"{stage.recipe['lr']:g}" for stage in _stages(training) if stage.recipe)


def _outliers(training: TrainedWith | None) -> str:
    """Sets of outliers that a network saw in any stage."""
    sets = (
        {} if training is None else {k: v for stage in _stages(training) for k, v in stage.outliers.items()}
    )
    return ", ".join(
        name if blend is None else f"{name} ({100 * blend:g} % in a mix with ID images)"
        for name, blend in sets.items()
    )


def _cost(items: Sequence[Measured]) -> str:
    costs = [found.record.cost for found in items if found.record.cost]
    if not costs:
        return "wall time not recorded"
    before = [cost.pretrain_seconds for cost in costs if cost.pretrain_seconds is not None]
    once = f" after {fmean(before):.1f} s of pre-training" if before else ""
    return f"{fmean(cost.train_seconds for cost in costs):.1f} s a network{once}"


def _source(init: str, spec: Spec) -> str:
    """What an init was pre-trained on, and that it is one checkpoint."""
    known = spec.inits.get(init)
    if known is None or isinstance(known, Scratch):
        return ""
    images = {
        FractalDB: "images drawn by formula, no overlap with any test set",
        SupervisedSource: f"dataset {known.images.dataset}" if isinstance(known, SupervisedSource) else "",
        CheckpointFile: known.trained_on if isinstance(known, CheckpointFile) else "",
    }.get(type(known), "published weights, overlap with the test sets not known")
    return f"Init {init}: {images}; conditional on one checkpoint that all seeds start from"


def _networks(found: Sequence[Measured]) -> tuple[str, ...]:
    return tuple(item.record.provenance.checkpoint if item.record.provenance else "" for item in found)


def _join(words: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(words))
