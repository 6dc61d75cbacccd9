"""How every place of a leaderboard is trained and measured: its settings, resolved and complete."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, TypeVar

from benchmark.census.places import EVERYTHING, Axes, Listed, Selection, axes_of, places_of
from benchmark.records.place import Place
from benchmark.records.record import BOUNDARY, DETECTION, PLANE, TrainedWith
from benchmark.spec.images import Training
from benchmark.spec.leaderboard import ObjectiveUse, Spec
from benchmark.spec.networks import (
    TIMMS_OWN,
    AdversarialSource,
    Backbone,
    FirstWeights,
    FractalDB,
    Hub,
    Scratch,
    TrackNetworks,
)
from benchmark.studies.detection.settings import DetectionSettings, Scoring, scoring_of
from benchmark.studies.settings import PLAIN, AnyStudy, Declares, Given, MethodUse
from methods.declared import Declared, read

T = TypeVar("T")


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

    @property
    def tracks(self) -> list[str]:
        """Those of the leaderboard, and that of the experiment in two dimensions."""
        return [*self.spec.tracks, *([] if self.spec.boundary is None else [BOUNDARY])]

    def studies(self, name: str, selection: Selection = EVERYTHING) -> Mapping[str, AnyStudy]:
        """The selected studies of a track, OOD detection first."""
        return self._once(("studies", name, selection), lambda: self._studies(name, selection))

    def _studies(self, name: str, selection: Selection) -> dict[str, AnyStudy]:
        if name == BOUNDARY:
            asked = self.spec.boundary if selection.whole else None
            return {} if asked is None else {PLANE: asked}
        track = self.spec.tracks[name]
        entries = {entry: self.spec.entries[entry] for entry in selection.entries_of(track)}
        detection = {DETECTION: DetectionSettings(track, entries, self.scoring)} if entries else {}
        return {**detection, **selection.studies_of(track)}

    def study(self, place: Place) -> AnyStudy:
        """The study of a place, as a full run has it."""
        return self.studies(place.track)[place.study]

    def networks(self, name: str) -> Listed:
        """What the networks of a track are told apart by."""
        return self._once(("networks", name), lambda: self._networks(name))

    def _networks(self, name: str) -> Listed:
        track = self.spec.tracks.get(name)
        if track is not None:
            return Listed(track.backbones, track.all_inits, track.seeds)
        (alone,) = self.studies(name).values()
        row = alone.rows[0]
        return Listed(alone.backbones_on(row, []), alone.all_inits, alone.seeds_on(row, []))

    def axes(self, name: str, study: str, selection: Selection = EVERYTHING) -> dict[str, Axes]:
        """The selected rows of a study of a track, and what their places are made of."""
        known = self.studies(name, selection).get(study)
        networks = self.networks(name)
        return {} if known is None else {r: axes_of(known, r, networks, selection) for r in known.rows}

    def places(self, name: str, study: str, selection: Selection = EVERYTHING) -> Iterator[Place]:
        """Every selected place of a study of a track."""
        return places_of(name, study, self.networks(name), self.axes(name, study, selection))

    def everywhere(self) -> Iterator[Place]:
        """Every place of a full run."""
        for name, study in self._rows:
            yield from self.places(name, study)

    def not_asked(self, place: Place) -> str | None:
        """Which part of a place the leaderboard does not have; None if it asks for it."""
        name, row = place.track, place.row
        if name not in self.tracks:
            return f"track {name!r} is not in leaderboard.yaml"
        study = self.studies(name).get(place.study)
        if study is None:
            return f"study {place.study!r} is not on track {name!r}"
        what, where = f"{study.word} {row!r}", study.where(name, place.study)
        axes = self._rows[name, place.study].get(row)
        if axes is None:
            return f"{what} is not {where}"
        listed = {
            "backbone": (place.backbone, axes.backbones),
            "init": (place.init, axes.inits),
            "seed": (place.seed, axes.seeds),
            "condition": (place.condition, axes.conditions),
        }
        for part, (item, items) in listed.items():
            if item not in items:
                return f"{part} {item!r} of {what} is not {where}"
        return None

    def count(self, name: str, study: str) -> int:
        """How many places of a full run there are."""
        return sum(axes.count for axes in self._rows.get((name, study), {}).values())

    @cached_property
    def _rows(self) -> dict[tuple[str, str], dict[str, Axes]]:
        return {(name, study): self.axes(name, study) for name in self.tracks for study in self.studies(name)}

    # How networks are trained

    def objective(self, place: Place) -> str:
        """The objective of a place's network, as the leaderboard calls it."""
        return self.study(place).objective_of(place.row)

    def given(self, place: Place) -> Given:
        """What a place's network is trained on."""
        known = self._once(
            ("given", place.track, place.study),
            lambda: {
                at: given
                for full in (False, True)  # which need not have the same strengths
                for name, study in self.studies(place.track, Selection(full=full)).items()
                if name == place.study
                for at, given in study.given(self.configured).items()
            },
        )
        return known.get((place.row, place.condition), PLAIN)

    def training(self, place: Place) -> TrainedWith | None:
        """How the network of a place is trained, of an ensemble each; None if it is none of the track's."""
        if not self.study(place).trains:
            return None
        network = place.track, place.backbone, place.init
        return self.trained(network, self.objective(place), self.given(place))

    def trained(self, network: tuple[str, str, str], objective: str, given: Given = PLAIN) -> TrainedWith:
        """How the networks of a track, a backbone and an init are trained with an objective."""
        key = "trained", network, objective, repr(given)
        return self._once(key, lambda: self._trained(network, objective, given))

    def ways(self, name: str, objective: str, backbone: str, init: str, seed: int) -> list[TrainedWith]:
        """How the networks of an objective are trained that places stand on, themselves or by another."""
        key = "ways", name, objective, backbone, init
        known = self._once(key, lambda: list(self._ways(name, objective, backbone, init)))
        return [way for seeds, ways in known if seed in seeds for way in ways]

    def _ways(
        self, name: str, objective: str, backbone: str, init: str
    ) -> Iterator[tuple[frozenset[int], list[TrainedWith]]]:
        """The same for each row, with the seeds of its networks."""
        for study in self.studies(name):
            for row, axes in self._rows[name, study].items():
                if axes.seeds and backbone in axes.backbones and init in axes.inits:
                    place = Place(name, study, row, backbone, init, axes.seeds[0])
                    places = [place._replace(condition=condition) for condition in axes.conditions]
                    ways = ((self.training(p), self.objective(p)) for p in places)
                    found = (_going_into(way, name, objective) for way, name in ways if way is not None)
                    seeds = (seed for first in axes.seeds for seed in self.seeds(name, study, row, first))
                    yield frozenset(seeds), [way for ways in found for way in ways]

    def declared(self, family: str, name: str) -> Declared | None:
        """What a method declares; None if that is not known."""
        return self._once(("declared", family, name), lambda: self._declares(family, name))

    def declared_objective(self, name: str) -> Declared | None:
        """What an objective of the registry declares."""
        return self.declared("objectives", name) or self.declared("corrections", name)

    def _trained(self, network: tuple[str, str, str], objective: str, given: Given) -> TrainedWith:
        name, backbone, init = network
        track, source = self.spec.tracks[name], self.spec.first_weights(name, init)
        use = self.spec.objectives.get(objective) or _as_it_is(objective)
        declared = self.declared_objective(use.objective) or Declared()
        start, first = declared.starts_from, declared.first_phase
        recipe = track.recipe(backbone, init)
        if recipe is not None and start is not None and track.finetuning is not None:
            recipe = track.finetuning
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
            starts_from=None if start is None else self.trained(network, start, given),
            first_phase=None if first is None else self.trained(network, first, asked),
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
        entry = self.spec.entries[name]
        return self._once(
            ("scoring", name), lambda: scoring_of(entry, self.declared("detectors", entry.detector))
        )

    def seeds(self, name: str, study: str, row: str, first: int) -> tuple[int, ...]:
        """The seeds of the networks that a place stands on: several of an ensemble."""
        seeds = self.networks(name).seeds
        at = seeds.index(first)
        return tuple(seeds[at : at + self.studies(name)[study].members_of(row)])

    def settings(self, place: Place) -> dict[str, Any]:
        """How a place is measured, as records say it."""
        return self._once(("settings", place._replace(seed=0)), lambda: self._settings(place))

    def _settings(self, place: Place) -> dict[str, Any]:
        study = self.study(place)
        found = study.measured_with(place.row, self.configured)
        if not study.groups:
            return found
        return {**found, "groups": self.spec.tracks[place.track].ood_sets(study.groups)}

    def made_of(self, place: Place) -> dict[str, Any] | None:
        """Of which images, architecture and first weights a place is made, as the leaderboard has them."""
        if not self.study(place).trains:
            return None
        by_seed = place.init in self.spec.tracks[place.track].networks
        at = place if by_seed else place._replace(seed=0)
        return self._once(("made of", at), lambda: self._made_of(place))

    def _made_of(self, place: Place) -> dict[str, Any]:
        spec, track, study = self.spec, self.spec.tracks[place.track], self.study(place)
        use = spec.objectives.get(self.objective(place))
        images = track.model_dump(include={"id", "id_test", "split", "shifts"}, exclude_none=True)
        of = spec.backbones[place.backbone]
        look = track.look(of)
        images |= {"image_size": look.image_size, "crop": look.crop}
        if look.interpolation != "bilinear":
            images["interpolation"] = look.interpolation
        if not study.shifts:
            images.pop("shifts", None)
        groups = study.sets_of(place.row)
        sets = {name: source for group in groups for name, source in track.sets[group].items()}
        if use is not None:
            sets |= {name: track.outliers[name] for name in use.outliers or () if name in track.outliers}
        return {
            "backbone": _architecture(of),
            "init": _first_weights(spec.first_weights(place.track, place.init), track.pretraining)
            | _published(spec, place),
            **images,
            "sets": {name: source.model_dump(exclude_none=True) for name, source in sets.items()},
        }

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


def _architecture(backbone: Backbone) -> dict[str, Any]:
    """What a network looks like; how it is shown images is said beside."""
    kept = {"options", "enlarged", "interpolation"} if backbone.enlarged else {"options"}
    asked = {name: value for name, value in backbone.model_dump(include=kept).items() if value}
    return {"architecture": backbone.architecture, "stem": backbone.stem, **asked}


def _published(spec: Spec, place: Place) -> dict[str, Any]:
    """Which published weights a network goes on from, without where a file of them lies."""
    source = spec.first_weights(place.track, place.init)
    if isinstance(source, TrackNetworks):
        weights = source.weights[place.backbone][place.seed]
    elif isinstance(source, Hub):
        weights = spec.backbones[place.backbone].weights.get(place.init, TIMMS_OWN)
    else:
        return {}
    return weights.model_dump(exclude={"file"}, exclude_none=True, exclude_defaults=True)


def _first_weights(source: FirstWeights, pretraining: Training | None) -> dict[str, Any]:
    """What the first weights are, without where a file of them lies, and what is tuned of them."""
    if isinstance(source, AdversarialSource):
        of = _first_weights(source.of, pretraining)
        return {**source.model_dump(exclude={"tune", "of"}), "of": of}
    if isinstance(source, TrackNetworks):
        return {"source": source.source}
    found: dict[str, Any] = source.model_dump(exclude={"tune", "file"}, exclude_none=True)
    if isinstance(source, FractalDB) and pretraining is not None:
        found["training"] = pretraining.model_dump()
    return found
