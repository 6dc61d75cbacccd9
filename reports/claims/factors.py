"""What must be told with a verdict besides its numbers: settings, training, pre-training, conventions.

Everything here is text. This module must not decide anything. Source: spec/claims.md §0.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean

from benchmark.records.record import BOUNDARY, Cell, TrainedWith
from benchmark.spec.leaderboard import Spec
from benchmark.spec.networks import (
    AdversarialSource,
    CheckpointFile,
    FractalDB,
    Hub,
    Scratch,
    SupervisedSource,
)
from reports.claims.decide import Finding
from reports.claims.register import TRAINED, Setting, Trial
from reports.select import Counted, Found
from reports.studies.numbers import numbers_of
from reports.studies.plane.numbers import Arms, arms_of


def factors(finding: Finding, spec: Spec, counted: Counted) -> Iterator[str]:
    """A line for each factor of the settings in which a test was made."""
    trial = finding.trial
    if any(outcome.setting.track == BOUNDARY for outcome in finding.outcomes):
        yield from _of_plane(trial, arms_of(counted))
        return
    by_arm: dict[tuple[str, str], list[Found]] = {}
    measured = counted.of_study(finding.metric.study)
    same = []
    for outcome in finding.outcomes:
        track, backbone, *_ = outcome.setting
        arms: dict[str, list[Found]] = {}
        for arm, entry, init in trial.series(outcome.setting):
            cells = [Cell(track, backbone, init, seed, entry) for seed in outcome.seeds]
            arms[arm] = [measured[cell] for cell in cells]
            by_arm.setdefault((track, arm), []).extend(arms[arm])
        same.append(len({_networks(found) for found in arms.values()}) == 1)
        for arm in outcome.uneven:
            yield f"The networks of arm {arm} on {outcome.setting} were not all trained alike: exploratory"
    if not by_arm:
        return
    modes = {
        arm: _join(
            mode
            for (_, name), items in by_arm.items()
            if name == arm
            for found in items
            for mode in found.hp_modes
        )
        for arm in dict.fromkeys(arm for _, arm in by_arm)
    }
    yield "Hyper-parameters: " + "; ".join(f"{arm} {mode}" for arm, mode in modes.items())
    if all(same) and trial.b is not None:
        yield "Both arms score the same networks"
    for track in dict.fromkeys(track for track, _ in by_arm):
        study = str(finding.metric.study)
        asked = spec.tracks[track].studies.chosen(full=True).get(study)
        if asked is not None and (told := numbers_of(study).told(track, asked)):
            yield told
        shown = {arm: items for (name, arm), items in by_arm.items() if name == track}
        if all(same):
            shown = {"": shown["a"]}
        yield from _training(track, shown, counted.devices)
    inits = dict.fromkeys(init for o in finding.outcomes for _, _, init in trial.series(o.setting))
    yield from (text for init in inits if (text := _source(init, spec)))
    if "fpr95" in finding.metric.metric:
        yield "FPR at the threshold that keeps 95 % of ID images; ID is positive"


def _of_plane(trial: Trial, arms: Arms) -> Iterator[str]:
    """The same of the experiment in two dimensions."""
    for records in [*arms.values()][:1]:
        steps = records[0].settings["steps"]
        yield f"{steps} steps for each classifier; outliers, where there are any, are half of a batch"
        yield "Wall time not recorded; the classifiers with outliers are compute matched"
    named = dict.fromkeys(entry.split("+")[0] for _, entry, _ in trial.series(Setting(BOUNDARY, "", "")))
    for arm, name in TRAINED.items():
        if name in named and (found := arms.get(arm)):
            accuracy = fmean(record.numbers["accuracy"] for record in found)
            yield f"{name}: ID test accuracy {100 * accuracy:.2f}"


def _training(
    track: str, arms: Mapping[str, Sequence[Found]], devices: Mapping[str, str | None]
) -> Iterator[str]:
    """Outliers, epochs and wall time of the arms. Clocks of a shared machine do not say what is matched."""
    ways = {arm: _ways(items) for arm, items in arms.items()}
    places = (where for items in arms.values() for found in items for where in found.trained_in)
    alike = len({devices.get(where) for where in places}) <= 1
    lrs = {_join(_lr(way) for way in found) for found in ways.values()}
    parts = []
    for arm, items in arms.items():
        name = f"arm {arm} " if arm else ""
        if outliers := _join(text for way in ways[arm] if (text := _outliers(way))):
            yield f"Outliers in training on {track}{', ' if arm else ''}{name.strip()}: {outliers}"
        lr = f" at learning rate {_join(_lr(way) for way in ways[arm])}" if len(lrs) > 1 else ""
        parts.append(f"{name}{_join(_epochs(way) for way in ways[arm])}{lr}, {_cost(items, alike=alike)}")
    if {"a", "b"} <= arms.keys():
        parts.append(_matched(arms["a"], arms["b"]))
    yield f"Training on {track}: {'; '.join(parts)}"


def _matched(a: Sequence[Found], b: Sequence[Found]) -> str:
    """Whether the arms were trained for as long and in the same way, cell by cell."""
    pairs = [
        (way, y.trained[condition])
        for x, y in zip(a, b, strict=True)
        for condition, way in x.trained.items()
        if condition in y.trained
    ]
    known = [(x, y) for x, y in pairs if x is not None and y is not None]
    if len(known) < len(pairs):
        return "whether they are compute matched is not recorded"
    if any(x.epochs != y.epochs for x, y in known):
        return "not compute matched"
    if differ := sorted({key for x, y in known for key in _differences(x, y)}):
        return f"as many epochs, but not the same {', '.join(differ)}: matched as far as the wall times are"
    if {found.init for found in a} != {found.init for found in b}:
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
    if a.first_phase != b.first_phase:
        yield "first phase"
    if a.training_set != b.training_set:
        yield "training set"
    if a.sampler != b.sampler:
        yield "sampler"


def _ways(items: Iterable[Found]) -> list[TrainedWith | None]:
    """How networks were trained, each way once; None is not recorded."""
    ways: list[TrainedWith | None] = []
    for training in (way for item in items for way in item.trained.values()):
        if training not in ways:
            ways.append(training)
    return ways


def _stages(training: TrainedWith) -> list[TrainedWith]:
    """All trainings that a network went through, the first one first."""
    before = (training.starts_from, training.first_phase)
    return [*(stage for way in before if way is not None for stage in _stages(way)), training]


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


def _cost(items: Sequence[Found], *, alike: bool) -> str:
    seconds = [s for found in items for s in found.train_seconds]
    if not seconds:
        return "wall time not recorded"
    if not alike:
        return "wall times of several devices, which are not compared"
    before = [s for found in items for s in found.pretrain_seconds]
    once = f" after {fmean(before):.1f} s of pre-training" if before else ""
    return f"{fmean(seconds):.1f} s a network{once}"


def _source(init: str, spec: Spec) -> str:
    """What an init was pre-trained on, and that it is one checkpoint."""
    known = spec.inits.get(init)
    if known is None or isinstance(known, Scratch):
        return ""
    how = f"trained adversarially with {known.objective} on " if isinstance(known, AdversarialSource) else ""
    source = known.of if isinstance(known, AdversarialSource) else known
    images = {
        FractalDB: "images drawn by formula, no overlap with any test set",
        SupervisedSource: f"dataset {source.images.dataset}" if isinstance(source, SupervisedSource) else "",
        CheckpointFile: source.trained_on if isinstance(source, CheckpointFile) else "",
        Hub: _published(init, spec),
    }.get(type(source), "published weights, trained on what is not said")
    images = f"{how}{images}; only the last layer is tuned" if known.tune == "head" else f"{how}{images}"
    return f"Init {init}: {images}; conditional on one checkpoint that all seeds start from"


def _published(init: str, spec: Spec) -> str:
    """What the published weights that backbones have for an init were trained on."""
    named = (weights[init].trained_on for b in spec.backbones.values() if init in (weights := b.weights))
    known = ", ".join(dict.fromkeys(name for names in named for name in names))
    return f"published weights, trained on {known or 'what is not said'}"


def _networks(found: Sequence[Found]) -> tuple[str, ...]:
    return tuple(checkpoint for item in found for checkpoint in item.checkpoints)


def _join(words: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(words))
