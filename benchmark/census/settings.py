"""How every place of a leaderboard is trained and measured: its settings, resolved and complete."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, TypeVar

from benchmark.census.places import (
    EVERYTHING,
    Axes,
    Selection,
    entry_axes,
    places_of,
    study_axes,
)
from benchmark.records.place import Place
from benchmark.records.record import DETECTION, HpMode, TrainedWith
from benchmark.spec.leaderboard import (
    AdversarialSource,
    FractalDB,
    Init,
    ObjectiveUse,
    Scratch,
    Spec,
    Training,
)
from benchmark.studies.boundary import ARMS, Arm
from benchmark.studies.settings import PLAIN, Given, MethodUse, StudySettings
from methods.declared import Declared, read

Declares = Callable[[str, str], Declared | None]  # of a family and a name; None where that is not known
T = TypeVar("T")


@dataclass(frozen=True)
class Scoring:
    """How an entry scores."""

    points: list[dict[str, Any]]  # hyper-parameters; several where they are tuned
    mode: HpMode | None  # None: it depends on defaults that are not known
    members: int  # 1, or how many networks an ensemble has
    chosen: str | None  # the hyper-parameter that ID validation images choose

    @property
    def tuned(self) -> bool:
        """Whether hyper-parameters are chosen on the validation sets."""
        return self.mode == "proxy_ood"


class Census:
    """The places of a leaderboard, and the settings of each.

    It checks nothing: who makes something of a place finds out whether that can be.

    Parameters
    ----------
    declares : what a method declares; by default as its file says.
    """

    def __init__(self, spec: Spec, declares: Declares = read) -> None:
        self.spec, self._declares = spec, declares
        self._known: dict[Any, Any] = {}  # what was worked out already

    def axes(self, name: str, study: str, selection: Selection = EVERYTHING) -> dict[str, Axes]:
        """The selected rows of a study of a track, or of OOD detection, and what their places are made of."""
        track = self.spec.tracks[name]
        if study == DETECTION:
            return {
                entry: entry_axes(track, entry, selection, self.scoring(entry).members)
                for entry in selection.entries_of(track)
            }
        known = selection.studies_of(track).get(study)
        return {} if known is None else {r: study_axes(track, known, r, selection) for r in known.rows}

    def places(self, name: str, study: str, selection: Selection = EVERYTHING) -> Iterator[Place]:
        """Every selected place of a study of a track, or of OOD detection."""
        return places_of(name, self.spec.tracks[name], study, self.axes(name, study, selection))

    def everywhere(self) -> Iterator[Place]:
        """Every place of a full run."""
        for name, track in self.spec.tracks.items():
            for study in (DETECTION, *track.studies.chosen(full=True)):
                yield from self.places(name, study)

    def arms(self) -> list[tuple[Arm, int, int]]:
        """Arm, seed and steps of every training of the experiment in two dimensions."""
        asked = self.spec.boundary
        return [] if asked is None else [(arm, seed, asked.steps) for seed in asked.seeds for arm in ARMS]

    def not_asked(self, place: Place) -> str | None:
        """Which part of a place the leaderboard does not have; None if it asks for it."""
        name, study, row = place.track, place.study, place.row
        track = self.spec.tracks.get(name)
        if track is None:
            return f"track {name!r} is not in leaderboard.yaml"
        if study != DETECTION and study not in track.studies.chosen(full=True):
            return f"study {study!r} is not on track {name!r}"
        where = f"on track {name!r}" if study == DETECTION else f"in study {study!r} on track {name!r}"
        kind = "entry" if study == DETECTION else "row"
        axes = self._rows[name, study].get(row)
        if axes is None:
            return f"{kind} {row!r} is not {where}"
        listed = {
            "backbone": (place.backbone, axes.backbones),
            "init": (place.init, axes.inits),
            "seed": (place.seed, axes.seeds),
            "condition": (place.condition, axes.conditions),
        }
        for part, (item, items) in listed.items():
            if item not in items:
                return f"{part} {item!r} of {kind} {row!r} is not {where}"
        return None

    def count(self, name: str, study: str) -> int:
        """How many places of a full run there are."""
        return sum(axes.count for axes in self._rows[name, study].values())

    @cached_property
    def _rows(self) -> dict[tuple[str, str], dict[str, Axes]]:
        return {
            (name, study): self.axes(name, study)
            for name, track in self.spec.tracks.items()
            for study in (DETECTION, *track.studies.chosen(full=True))
        }

    # How networks are trained

    def objective(self, place: Place) -> str:
        """The objective of a place's network, as the leaderboard calls it."""
        if place.study == DETECTION:
            return self.spec.entries[place.row].objective
        return self._study(place).objective_of(place.row)

    def given(self, place: Place) -> Given:
        """What a place's network is trained on."""
        if place.study == DETECTION:
            return PLAIN
        studies = self.spec.tracks[place.track].studies
        known = self._once(
            ("given", place.track, place.study),
            lambda: {
                at: given
                for full in (False, True)  # which need not have the same strengths
                for name, study in studies.chosen(full=full).items()
                if name == place.study
                for at, given in study.given(self.configured).items()
            },
        )
        return known.get((place.row, place.condition), PLAIN)

    def training(self, place: Place) -> TrainedWith:
        """How the network of a place is trained; of an ensemble each."""
        return self.trained(place.track, place.init, self.objective(place), self.given(place))

    def trained(self, name: str, init: str, objective: str, given: Given = PLAIN) -> TrainedWith:
        """How the networks of an objective of the leaderboard are trained from an init."""
        key = "trained", name, init, objective, repr(given)
        return self._once(key, lambda: self._trained(name, init, objective, given))

    def ways(self, name: str, objective: str, backbone: str, init: str, seed: int) -> list[TrainedWith]:
        """How the networks of an objective are trained that places stand on, themselves or by another."""
        key = "ways", name, objective, backbone, init
        known = self._once(key, lambda: list(self._ways(name, objective, backbone, init)))
        return [way for seeds, ways in known if seed in seeds for way in ways]

    def _ways(
        self, name: str, objective: str, backbone: str, init: str
    ) -> Iterator[tuple[frozenset[int], list[TrainedWith]]]:
        """The same for each row, with the seeds of its networks."""
        for study in (DETECTION, *self.spec.tracks[name].studies.chosen(full=True)):
            for row, axes in self._rows[name, study].items():
                if axes.seeds and backbone in axes.backbones and init in axes.inits:
                    place = Place(name, study, row, backbone, init, axes.seeds[0])
                    places = [place._replace(condition=condition) for condition in axes.conditions]
                    found = (_going_into(self.training(p), self.objective(p), objective) for p in places)
                    seeds = (seed for first in axes.seeds for seed in self.seeds(name, study, row, first))
                    yield frozenset(seeds), [way for ways in found for way in ways]

    def declared(self, family: str, name: str) -> Declared | None:
        """What a method declares; None if that is not known."""
        return self._once(("declared", family, name), lambda: self._declares(family, name))

    def declared_objective(self, name: str) -> Declared | None:
        """What an objective of the registry declares."""
        return self.declared("objectives", name) or self.declared("corrections", name)

    def _trained(self, name: str, init: str, objective: str, given: Given) -> TrainedWith:
        track, source = self.spec.tracks[name], self.spec.inits[init]
        use = self.spec.objectives.get(objective) or _as_it_is(objective)
        declared = self.declared_objective(use.objective) or Declared()
        start, first = declared.starts_from, declared.first_phase
        recipe = track.training if start is None else track.finetuning or track.training
        if recipe is not None and use.epochs is not None:
            recipe = recipe.model_copy(update={"epochs": use.epochs})
        tune = "all" if isinstance(source, Scratch) else source.tune
        asked = given.first_phase(trusted=declared.trusted)
        blends = {item: track.outliers[item].blend for item in use.outliers or () if item in track.outliers}
        return TrainedWith(
            objective=use.objective,
            precision=self.spec.precision,
            hyperparameters={**declared.hyperparameters, **use.hyperparameters},
            outliers=blends,
            recipe=None if recipe is None else {**recipe.model_dump(), "tune": tune},
            starts_from=None if start is None else self.trained(name, init, start, given),
            first_phase=None if first is None else self.trained(name, init, first, asked),
            training_set=given.training_set,
            sampler=None if given.sampler is None else dict(given.sampler),
        )

    # How they are measured

    def configured(self, family: str, use: MethodUse) -> dict[str, Any]:
        """A method with its hyper-parameters, complete as far as the defaults are known."""
        declared = self.declared(family, use.method) or Declared()
        return {
            "method": use.method,
            "hyperparameters": {**declared.hyperparameters, **use.hyperparameters},
        }

    def scoring(self, name: str) -> Scoring:
        """How an entry scores."""
        return self._once(("scoring", name), lambda: self._scoring(name))

    def seeds(self, name: str, study: str, row: str, first: int) -> tuple[int, ...]:
        """The seeds of the networks that a place stands on: several of an ensemble."""
        seeds = self.spec.tracks[name].seeds
        at = seeds.index(first)
        return tuple(seeds[at : at + (self.scoring(row).members if study == DETECTION else 1)])

    def _scoring(self, name: str) -> Scoring:
        entry = self.spec.entries[name]
        known = self.declared("detectors", entry.detector)
        declared = known or Declared()
        grid = entry.tune or {}
        points = [
            {**declared.hyperparameters, **entry.hyperparameters, **dict(zip(grid, values, strict=True))}
            for values in product(*grid.values())
        ]
        step = declared.step_name
        chosen = step if any(step in point and point[step] is None for point in points) else None
        mode: HpMode | None = "published" if points[0] == declared.hyperparameters else "declared"
        if grid or known is None:
            mode = "proxy_ood" if grid else None
        elif chosen:
            mode = "id_val"
        members = max(point["members"] if declared.ensemble else 1 for point in points)
        return Scoring(points, mode, members, chosen)

    def settings(self, place: Place) -> dict[str, Any]:
        """How a place of a study is measured, as records say it; of OOD detection `scoring` tells."""
        return self._once(("settings", place._replace(seed=0)), lambda: self._settings(place))

    def _settings(self, place: Place) -> dict[str, Any]:
        if place.study == DETECTION:
            return {}
        study, track = self._study(place), self.spec.tracks[place.track]
        found = study.measured_with(place.row, self.configured)
        return {**found, "groups": track.ood_sets(study.groups)} if study.groups else found

    def made_of(self, place: Place) -> dict[str, Any]:
        """Of which images, architecture and first weights a place is made, as the leaderboard has them."""
        return self._once(("made of", place._replace(seed=0)), lambda: self._made_of(place))

    def _made_of(self, place: Place) -> dict[str, Any]:
        spec, track = self.spec, self.spec.tracks[place.track]
        study = None if place.study == DETECTION else self._study(place)
        groups = ("near", "far") if study is None else study.groups
        use = spec.objectives.get(self.objective(place))
        images = track.model_dump(
            include={"image_size", "crop", "id", "id_test", "split", "shifts"}, exclude_none=True
        )
        if study is not None:
            images.pop("shifts", None)
        sets = {name: source for group in groups for name, source in getattr(track, group).items()}
        if study is None and self.scoring(place.row).tuned:
            sets |= track.validation
        if use is not None:
            sets |= {name: track.outliers[name] for name in use.outliers or () if name in track.outliers}
        return {
            "backbone": spec.backbones[place.backbone].model_dump(),
            "init": _first_weights(spec.inits[place.init], track.pretraining),
            **images,
            "sets": {name: source.model_dump(exclude_none=True) for name, source in sets.items()},
        }

    def _study(self, place: Place) -> StudySettings:
        only = Selection(studies=(str(place.study),), full=True)
        (study,) = only.studies_of(self.spec.tracks[place.track]).values()
        return study

    def _once(self, key: tuple[Any, ...], work: Callable[[], T]) -> T:
        if key not in self._known:
            self._known[key] = work()
        found: T = self._known[key]
        return found


def _as_it_is(objective: str) -> ObjectiveUse:
    return ObjectiveUse(objective=objective, hyperparameters={}, outliers=None, epochs=None)


def _going_into(training: TrainedWith, name: str, objective: str) -> Iterator[TrainedWith]:
    """Of a training of the objective `name`, and of those that it builds on, those of `objective`."""
    if name == objective:
        yield training
    for before in (training.starts_from, training.first_phase):
        if before is not None:
            yield from _going_into(before, before.objective, objective)


def _first_weights(source: Init, pretraining: Training | None) -> dict[str, Any]:
    """What the first weights are, without where a file of them lies, and what is tuned of them."""
    if isinstance(source, AdversarialSource):
        of = _first_weights(source.of, pretraining)
        return {**source.model_dump(exclude={"tune", "of"}), "of": of}
    found: dict[str, Any] = source.model_dump(exclude={"tune", "file"}, exclude_none=True)
    if isinstance(source, FractalDB) and pretraining is not None:
        found["training"] = pretraining.model_dump()
    return found
