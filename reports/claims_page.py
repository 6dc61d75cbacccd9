"""What the claims page says of each test besides its numbers: the rule, a strip of dots, and the factors.

Everything here is text or geometry; the templates put it on the page. This module must not decide anything.
Source of the factors: spec/claims.md §0.4.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from benchmark.metrics.verdicts import CONFIRMATORY_SEEDS
from benchmark.results import Cell
from benchmark.spec import CheckpointFile, FractalDB, Scratch, Spec, SupervisedSource
from reports.claims import Finding, Missing, Outcome, Verdict, decide_claims, series_of
from reports.register import EVIDENCE, Metric, Register, Trial
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


def claims_page(register: Register, spec: Spec, selection: Selection) -> dict[str, Any]:
    """What the templates of the claims page need.

    Raises
    ------
    DataError
        If a record lacks a metric that a claim compares.
    """
    verdicts = decide_claims(register, spec, selection)
    tracks = sorted({cell.track for cell in selection.measured}, key=list(spec.tracks).index)
    return {
        "verdicts": verdicts,
        "shown": {v.claim.id: tuple(_shown(v, spec, selection)) for v in verdicts},
        "gaps": {v.claim.id: gaps(v) for v in verdicts},
        "untested": register.untested,
        "evidence": EVIDENCE,
        "tracks": {name: spec.tracks[name] for name in tracks},
        "recipes": {name: _recipe(name, spec) for name in tracks},
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
        "gain": f"{arm} is {more} than {other}, by {delta} or more.",
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


def _shown(verdict: Verdict, spec: Spec, selection: Selection) -> Iterator[Shown]:
    told: tuple[str, ...] = ()
    for finding in verdict.findings:
        scale, rows = _strips(finding)
        factors = tuple(_factors(finding, spec, selection))
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
    delta = finding.metric.delta / 100 if finding.metric.percent else finding.metric.delta
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


def _factors(finding: Finding, spec: Spec, selection: Selection) -> Iterator[str]:
    """What must be told with a verdict: settings, outliers, training, pre-training, conventions."""
    trial = finding.trial
    by_arm: dict[tuple[str, str], list[Measured]] = {}
    same = []
    for outcome in finding.outcomes:
        track, backbone, _ = outcome.setting
        arms: dict[str, list[Measured]] = {}
        for arm, entry, init in series_of(trial, outcome.setting):
            cells = [Cell(track, backbone, init, seed, entry) for seed in outcome.seeds]
            arms[arm] = [selection.measured[cell] for cell in cells]
            by_arm.setdefault((arm, track), []).extend(arms[arm])
        same.append(len({_networks(found) for found in arms.values()}) == 1)
    if not by_arm:
        return
    modes = {
        arm: _join(
            found.record.hp_mode for (name, _), items in by_arm.items() if name == arm for found in items
        )
        for arm in dict.fromkeys(arm for arm, _ in by_arm)
    }
    yield "Hyper-parameters: " + "; ".join(f"{arm} {mode}" for arm, mode in modes.items())
    tracks = list(dict.fromkeys(track for _, track in by_arm))
    for (arm, track), items in by_arm.items():
        if outliers := _outliers(items, spec):
            yield f"Outliers in training on {track}, arm {arm}: {outliers}"
    if all(same) and trial.b is not None:
        yield "Both arms score the same networks"
    elif trial.b is not None:
        for track in tracks:
            yield _training(track, by_arm["a", track], by_arm["b", track], spec)
    inits = dict.fromkeys(init for o in finding.outcomes for _, _, init in series_of(trial, o.setting))
    yield from (text for init in inits if (text := _source(init, spec)))
    if "fpr95" in finding.metric.metric:
        yield "FPR at the threshold that keeps 95 % of ID images; ID is positive"


def _training(track: str, a: Sequence[Measured], b: Sequence[Measured], spec: Spec) -> str:
    """Epochs and wall time of both arms. Clocks of a shared machine alone do not say what is matched."""
    parts = [f"arm {arm} {_cost(track, items, spec)}" for arm, items in (("a", a), ("b", b))]
    if _epochs(track, a, spec) != _epochs(track, b, spec):
        parts.append("not compute matched")
    elif {found.file.objective for found in a} != {found.file.objective for found in b}:
        parts.append("different objectives, matched as far as the wall times are")
    elif {found.record.init for found in a} != {found.record.init for found in b}:
        parts.append("the same recipe, compute matched but for pre-training")
    else:
        parts.append("the same recipe, compute matched")
    return f"Training on {track}: {'; '.join(parts)}"


def _cost(track: str, items: Sequence[Measured], spec: Spec) -> str:
    costs = [found.record.cost for found in items if found.record.cost]
    if not costs:
        return f"{_epochs(track, items, spec)}, wall time not recorded"
    before = [cost.pretrain_seconds for cost in costs if cost.pretrain_seconds is not None]
    once = f" after {fmean(before):.1f} s of pre-training" if before else ""
    seconds = fmean(cost.train_seconds for cost in costs)
    return f"{_epochs(track, items, spec)}, {seconds:.1f} s a network{once}"


def _epochs(track: str, items: Sequence[Measured], spec: Spec) -> str:
    """How long the networks were trained: by their objective's own epochs, or by the track's recipe."""
    uses = [spec.objectives.get(found.file.objective) for found in items]
    own = sorted({use.epochs for use in uses if use is not None and use.epochs is not None})
    if own:
        return f"{' or '.join(map(str, own))} epochs"
    return "the track's epochs" if spec.tracks[track].training else "published weights"


def _recipe(track: str, spec: Spec) -> str:
    """The epochs of a track's recipe."""
    known = spec.tracks[track]
    if known.training is None:
        return "published weights, as they are"
    tuning = f", {known.finetuning.epochs} of fine-tuning another's network" if known.finetuning else ""
    return f"{known.training.epochs} epochs of training{tuning}"


def _outliers(items: Iterable[Measured], spec: Spec) -> str:
    """Outlier sets that the networks were trained with, by leaderboard.yaml and by the records."""
    names: list[str] = []
    for found in items:
        use = spec.objectives.get(found.file.objective)
        if use is not None:
            names += use.outliers or ()
        data = found.record.provenance.data if found.record.provenance else ()
        names += [name for name in data if name in spec.tracks[found.file.track].outliers]
    return ", ".join(dict.fromkeys(names))


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
