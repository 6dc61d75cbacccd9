"""From a leaderboard file and a selection to the cells, and the jobs that they need, each with a content key.

A job's key is the hash of all that makes its result: its configuration, the keys of its inputs, the source of
the code that computes it and the versions of the libraries below. Nothing is computed here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

from benchmark.datasets import FRACTAL_PRESETS, UnknownDatasetError, dataset
from benchmark.errors import SpecError, UsageError
from benchmark.fingerprints import code_fingerprint, library_versions
from benchmark.results import Cell, HpMode
from benchmark.seeds import derive_seed
from benchmark.spec import Entry, FractalDB, Hub, ImageSource, Scratch, Spec, Track
from methods.names import did_you_mean


class Kind(StrEnum):
    """What a job does; `benchmark.jobs` has one function of each name."""

    DATA = "data"
    SHIFT = "shift"
    PRETRAIN = "pretrain"
    TRAIN = "train"
    EXTRACT = "extract"
    CLASSIFY = "classify"
    SCORE = "score"
    MEASURE = "measure"


_LIBRARIES = {  # whose versions may change the result of a job
    Kind.DATA: ("numpy", "scikit-learn", "scipy", "pillow", "matplotlib"),
    Kind.SHIFT: ("numpy", "scipy"),
    Kind.PRETRAIN: ("numpy", "torch", "timm"),
    Kind.TRAIN: ("numpy", "torch", "timm"),
    Kind.EXTRACT: ("numpy", "torch", "timm"),
    Kind.CLASSIFY: ("numpy", "scipy"),
    Kind.SCORE: ("numpy", "scipy", "torch", "timm"),
    Kind.MEASURE: ("numpy", "scipy"),
}


@dataclass(frozen=True)
class Job:
    """One unit of work and the artifact that it makes."""

    kind: Kind
    config: Mapping[str, Any]  # JSON
    inputs: Mapping[str, str] = field(default_factory=dict)  # role → key of the job that makes it
    modules: tuple[str, ...] = ()  # methods whose source counts, besides that of the job itself
    label: str = ""  # for people; not part of the key

    @cached_property
    def code(self) -> str:
        """Hash of the source that computes this job."""
        return code_fingerprint(f"benchmark.jobs:{self.kind}", *self.modules)

    @cached_property
    def key(self) -> str:
        """Content key: equal keys, equal results."""
        made_of = {
            "kind": self.kind,
            "config": self.config,
            "inputs": self.inputs,
            "code": self.code,
            "libraries": library_versions(*_LIBRARIES[self.kind]),
        }
        text = json.dumps(made_of, sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Selection:
    """Which part of the leaderboard; an empty tuple selects all."""

    tracks: tuple[str, ...] = ()
    entries: tuple[str, ...] = ()
    backbones: tuple[str, ...] = ()
    inits: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()


@dataclass(frozen=True)
class PlannedCell:
    """A cell, and the chain of jobs that measures it."""

    cell: Cell
    entry: Entry
    hyperparameters: dict[str, Any]
    hp_mode: HpMode
    chain: Mapping[Kind, str]  # keys; no PRETRAIN where nothing is pre-trained
    data: Mapping[str, str]  # image set → key
    seeds: Mapping[str, int]  # by purpose

    @property
    def key(self) -> str:
        """Content key of the measurement."""
        return self.chain[Kind.MEASURE]


@dataclass(frozen=True)
class Plan:
    """Cells in the order of the leaderboard, and every job that they need, inputs first."""

    cells: tuple[PlannedCell, ...]
    jobs: Mapping[str, Job]


def make_plan(spec: Spec, selection: Selection) -> Plan:
    """Plan the selected cells.

    Raises
    ------
    UsageError
        If the selection names something that the leaderboard does not have.
    SpecError
        If an entry names an unknown method, dataset or hyper-parameter; names file, line and key.
    """
    _check_selection(spec, selection)
    jobs: dict[str, Job] = {}
    cells: list[PlannedCell] = []
    for name, track in spec.tracks.items():
        if selection.tracks and name not in selection.tracks:
            continue
        cells.extend(_plan_track(spec, name, track, selection, jobs))
    if not cells:
        raise UsageError(
            "nothing is selected: no track has all of the given backbones, inits, seeds and entries"
        )
    return Plan(tuple(cells), jobs)


def check_timm_names(spec: Spec, plan: Plan) -> None:
    """Check what the plan asks of timm: apart from planning, because timm takes seconds to import.

    Raises
    ------
    SpecError
        If timm has no such architecture or optimizer; names file, line and key.
    """
    from timm.optim._optim_factory import list_optimizers

    from benchmark.backbones.network import check_architecture

    for name in {planned.cell.backbone for planned in plan.cells}:
        try:
            check_architecture(spec.backbones[name].architecture)
        except UsageError as error:
            raise SpecError(f"{spec.where('backbones', name, 'architecture')}: {error}") from error
    places: dict[tuple[str, ...], str] = {}
    for track, init in {(planned.cell.track, planned.cell.init) for planned in plan.cells}:
        places["tracks", track, "training", "optimizer"] = spec.tracks[track].training.optimizer
        source = spec.inits[init]
        if isinstance(source, FractalDB):
            places["inits", init, "training", "optimizer"] = source.training.optimizer
    known = [str(name) for name in list_optimizers()]
    for place, optimizer in places.items():
        if optimizer.lower() not in known:
            hint = did_you_mean(optimizer, known)
            raise SpecError(f"{spec.where(*place)}: timm has no optimizer {optimizer!r}; {hint}")


def image_config(track: str, size: int, name: str, source: ImageSource) -> dict[str, Any]:
    """Configuration of the job that builds one image set of a track."""
    return {
        "dataset": source.dataset,
        "classes": source.classes,
        "n": source.n,
        "image_size": size,
        "seed": derive_seed(track, name, "images"),
    }


def check_datasets(spec: Spec, name: str) -> None:
    """Check the image sets of a track against the catalog.

    Raises
    ------
    SpecError
        If the catalog has no such dataset or class, the ID set has no labels, or a test set is kept for
        training outliers; names file, line and key.
    """
    track = spec.tracks[name]
    _check_dataset(spec, track.id, ("tracks", name, "id"))
    for group in ("near", "far", "outliers"):
        for item, source in getattr(track, group).items():
            _check_dataset(spec, source, ("tracks", name, group, item))


def _plan_track(
    spec: Spec, name: str, track: Track, selection: Selection, jobs: dict[str, Job]
) -> Iterator[PlannedCell]:
    def add(job: Job) -> str:
        jobs.setdefault(job.key, job)
        return job.key

    check_datasets(spec, name)
    data = {}
    for item, source in {"id": track.id, **track.near, **track.far}.items():
        config = image_config(name, track.image_size, item, source)
        module = dataset(source.dataset).module
        data[item] = add(Job(Kind.DATA, config, {}, (module,), f"{name}: images of {item}"))
    split = {**track.split.model_dump(), "track_seed": derive_seed(name, "split")}
    shifts = {**track.shifts.model_dump(), "split": split, "seed": derive_seed(name, "shifts")}
    shifted = add(Job(Kind.SHIFT, shifts, {"id": data["id"]}, label=f"{name}: shifted test images"))
    groups = {"near": list(track.near), "far": list(track.far)}

    entries = [e for e in track.entries if not selection.entries or e in selection.entries]
    methods = {entry: _resolve(spec, entry) for entry in entries}
    for backbone in _chosen(track.backbones, selection.backbones):
        architecture = spec.backbones[backbone].architecture
        for init in _chosen(track.inits, selection.inits):
            start = _pretraining(spec, track, backbone, init, add)
            weights = spec.inits[init]
            # A tag of weights names the input normalisation too.
            tag = f".{weights.tag}" if isinstance(weights, Hub) and weights.tag else ""
            for seed in _chosen(track.seeds, selection.seeds):
                # The init is not hashed: both arms of a comparison share head, data order and split.
                seeds = {
                    p: derive_seed(name, backbone, seed, p) for p in ("split", "weights", "order", "fit")
                }
                config = {
                    "architecture": architecture + tag,
                    "image_size": track.image_size,
                    "training": track.training.model_dump(),
                    "split": {**split, "seed": seeds["split"]},
                    "seeds": {p: seeds[p] for p in ("weights", "order")},
                }
                by_objective: dict[str, dict[Kind, str]] = {}
                for entry in entries:
                    objective, module, hp, mode, scorer = methods[entry]
                    place = f"{name} {backbone} {init} seed {seed}"
                    if objective not in by_objective:
                        by_objective[objective] = _network(
                            config, objective, module, start, data, shifted, place, add
                        )
                    chain = dict(by_objective[objective])
                    chain[Kind.SCORE] = add(
                        Job(
                            Kind.SCORE,
                            {
                                "detector": spec.entries[entry].detector,
                                "hyperparameters": hp,
                                "groups": groups,
                                "network": config,
                                "seed": seeds["fit"],
                            },
                            {
                                "features": chain[Kind.EXTRACT],
                                "network": chain[Kind.TRAIN],
                                "shifts": shifted,
                                **{f"data.{k}": v for k, v in data.items()},
                            },
                            (scorer,),
                            f"{place}: scores of {entry}",
                        )
                    )
                    chain[Kind.MEASURE] = add(
                        Job(
                            Kind.MEASURE,
                            {"groups": groups, "seed": derive_seed(name, "measure")},
                            {"scores": chain[Kind.SCORE], "classification": chain[Kind.CLASSIFY]},
                            label=f"{place}: measure {entry}",
                        )
                    )
                    yield PlannedCell(
                        Cell(name, backbone, init, seed, entry),
                        spec.entries[entry], hp, mode, chain, {**data, "shifts": shifted}, seeds,
                    )  # fmt: skip


def _network(
    config: dict[str, Any],
    objective: str,
    module: str,
    start: tuple[dict[str, Any], str | None],
    data: Mapping[str, str],
    shifted: str,
    place: str,
    add: Any,
) -> dict[Kind, str]:
    """Jobs of one trained network: train, extract, classify."""
    source, pretrained = start
    chain: dict[Kind, str] = {} if pretrained is None else {Kind.PRETRAIN: pretrained}
    inputs = {"id": data["id"], **({"pretrained": pretrained} if pretrained else {})}
    chain[Kind.TRAIN] = add(
        Job(
            Kind.TRAIN,
            {**config, "objective": objective, "init": source},
            inputs,
            (module,),
            f"{place}: train",
        )
    )
    chain[Kind.EXTRACT] = add(
        Job(
            Kind.EXTRACT,
            config,
            {"network": chain[Kind.TRAIN], "shifts": shifted, **{f"data.{k}": v for k, v in data.items()}},
            label=f"{place}: extract features",
        )
    )
    chain[Kind.CLASSIFY] = add(
        Job(Kind.CLASSIFY, {}, {"features": chain[Kind.EXTRACT]}, label=f"{place}: calibration")
    )
    return chain


def _pretraining(
    spec: Spec, track: Track, backbone: str, init: str, add: Any
) -> tuple[dict[str, Any], str | None]:
    """Where the first weights come from, and the job that makes them; one checkpoint serves all seeds."""
    source: Scratch | FractalDB | Hub = spec.inits[init]
    if isinstance(source, Scratch):
        return {"source": "scratch"}, None
    if isinstance(source, FractalDB) and source.preset not in FRACTAL_PRESETS:
        hint = did_you_mean(source.preset, FRACTAL_PRESETS)
        raise SpecError(f"{spec.where('inits', init, 'preset')}: no preset {source.preset!r}; {hint}")
    config = {
        "architecture": spec.backbones[backbone].architecture,
        "image_size": track.image_size,
        "init": source.model_dump(),
        "seeds": {p: derive_seed(backbone, init, p) for p in ("images", "weights", "order")},
    }
    return {"source": source.source}, add(Job(Kind.PRETRAIN, config, label=f"pre-train {backbone} on {init}"))


def _resolve(spec: Spec, name: str) -> tuple[str, str, dict[str, Any], HpMode, str]:
    """Objective, its module, the detector's hyper-parameters and their mode, its module."""
    from methods.base import HyperparameterError
    from methods.registry import UnknownMethod, detector_class, objective_class

    entry = spec.entries[name]
    try:
        scorer = detector_class(entry.detector)
    except UnknownMethod as error:
        raise SpecError(f"{spec.where('entries', name, 'detector')}: {error}") from error
    try:
        objective = objective_class(entry.objective)
    except UnknownMethod as error:
        raise SpecError(f"{spec.where('entries', name, 'objective')}: {error}") from error
    try:
        hyperparameters = scorer.configure(entry.hyperparameters).hyperparameters()
        defaults = scorer.configure({}).hyperparameters()
    except HyperparameterError as error:
        raise SpecError(f"{spec.where('entries', name, 'hyperparameters')}: {error}") from error
    mode: HpMode = "published" if hyperparameters == defaults else "declared"
    return entry.objective, objective.__module__, hyperparameters, mode, scorer.__module__


def _check_dataset(spec: Spec, source: ImageSource, loc: tuple[str, ...]) -> None:
    try:
        card = dataset(source.dataset).card
    except UnknownDatasetError as error:
        raise SpecError(f"{spec.where(*loc, 'dataset')}: {error}") from error
    for label in source.classes or []:
        if label >= len(card.class_names):
            raise SpecError(
                f"{spec.where(*loc, 'classes')}: {source.dataset} has no class {label}; "
                + (f"expected 0 to {len(card.class_names) - 1}" if card.labelled else "it has no labels")
            )
    if card.outlier_source and loc[2] != "outliers":
        raise SpecError(
            f"{spec.where(*loc, 'dataset')}: {source.dataset} is kept for training outliers; "
            "no test set may use it"
        )
    if loc[-1] == "id" and not card.labelled:
        raise SpecError(
            f"{spec.where(*loc, 'dataset')}: {source.dataset} has no labels; the ID set needs them"
        )


def _check_selection(spec: Spec, selection: Selection) -> None:
    tracks = {n: t for n, t in spec.tracks.items() if not selection.tracks or n in selection.tracks}
    known: dict[str, tuple[str, Iterable[Any]]] = {
        "tracks": ("track", spec.tracks),
        **{
            kind: (
                kind.removesuffix("s").replace("entrie", "entry"),
                [x for t in tracks.values() for x in getattr(t, kind)],
            )
            for kind in ("entries", "backbones", "inits", "seeds")
        },
    }
    for kind, (word, choices) in known.items():
        names = list(dict.fromkeys(str(choice) for choice in choices))
        for wanted in getattr(selection, kind):
            if str(wanted) not in names:
                raise UsageError(f"no {word} {str(wanted)!r}; {did_you_mean(str(wanted), names)}")


def _chosen(available: list[Any], wanted: tuple[Any, ...]) -> list[Any]:
    return [item for item in available if not wanted or item in wanted]
