"""Planning what networks are trained with: an objective of leaderboard.yaml, checked, and its code."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.errors import SpecError
from benchmark.plan.methods import method_errors
from benchmark.spec.leaderboard import ObjectiveUse, Spec
from benchmark.spec.networks import AdversarialSource, FirstWeights
from benchmark.store.fingerprints import definition_of
from methods.base import Objective
from methods.names import did_you_mean
from methods.registry import objective, objective_class


@dataclass(frozen=True)
class TrainingPlan:
    """An objective as the leaderboard uses it, and its code; `Census.trained` has its settings."""

    name: str  # in the leaderboard
    objective: str  # in the registry
    definitions: tuple[str, ...]  # the code of the objective, and of those that it uses
    outliers: tuple[str, ...]  # of the track's
    start: TrainingPlan | None  # whose network it fine-tunes
    first: TrainingPlan | None  # whose network it asks for its predictions of the training images
    trusted: bool  # whether some labels must be known to be right


def resolve_objective(spec: Spec, track_name: str, name: str, where: tuple[str | int, ...]) -> TrainingPlan:
    """Resolve an objective that the leaderboard names at `where`.

    Raises
    ------
    SpecError
        If there is none, or it lacks what it needs; names file, line and key.
    """
    track = spec.tracks[track_name]

    def further(other: str) -> TrainingPlan:
        """The objective of another network that this one builds on: as it is, never a use of that name."""
        if other in spec.objectives:
            raise SpecError(
                f"{spec.where('objectives', other)}: {use.objective!r} builds on the objective of this name "
                "as it is; expected another name"
            )
        return resolve_objective(spec, track_name, other, ("objectives", name, "objective"))

    listed = spec.objectives.get(name)
    place: tuple[str | int, ...] = where if listed is None else ("objectives", name, "objective")
    use = listed or ObjectiveUse(objective=name, hyperparameters={}, outliers=None, epochs=None)
    with method_errors(spec.where(*place)):
        found = objective_class(use.objective)
    with method_errors(spec.where("objectives", name, "hyperparameters")):
        configured = found.configure(use.hyperparameters)
    outliers = tuple(use.outliers or ())
    at = ("objectives", name, "outliers")
    if found.needs and not outliers:
        known = ", ".join(track.outliers) or "none"
        raise SpecError(
            f"{spec.where(*(at[:2] if name in spec.objectives else where))}: the objective "
            f"{use.objective!r} needs {' and '.join(sorted(found.needs))}; expected "
            f"`objectives.{name}` with `outliers`, of those of the track: {known}"
        )
    for i, item in enumerate(outliers):
        if not found.needs:
            raise SpecError(f"{spec.where(*at)}: the objective {use.objective!r} takes none")
        if item not in track.outliers:
            hint = did_you_mean(item, track.outliers)
            raise SpecError(
                f"{spec.where(*at, i)}: {item!r} is no outlier set of track {track_name!r}; {hint}"
            )
    start, asked = found.starts_from, found.first_phase
    return TrainingPlan(
        name=name,
        objective=use.objective,
        definitions=definitions_of(configured),
        outliers=outliers,
        start=None if start is None else further(start),
        first=None if asked is None else further(asked),
        trusted=found.trusted,
    )


def definitions_of(objective: Objective) -> tuple[str, ...]:
    """Roots of the code of an objective, and of those that it builds on."""
    below = (root for other in objective.builds_on for root in definitions_of(other))
    return definition_of(type(objective)), *below


def pretraining_objective(spec: Spec, init: str, source: FirstWeights) -> Objective:
    """What is learnt in pre-training: cross-entropy, unless it is adversarial; errors as above."""
    if not isinstance(source, AdversarialSource):
        with method_errors(spec.where("inits", init)):
            return objective("cross_entropy")
    where = ("inits", init, "objective")
    with method_errors(spec.where(*where)):
        cls = objective_class(source.objective)
    with method_errors(spec.where("inits", init, "hyperparameters")):
        found = cls.configure(source.hyperparameters)
    if found.needs or found.starts_from or found.first_phase:
        raise SpecError(
            f"{spec.where(*where)}: {source.objective!r} needs more than labelled images; expected "
            "an objective that trains from them alone, such as pgd_at"
        )
    return found
