"""Planning where a network's first weights come from, and the images that anything is made of."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmark.datasets import FRACTAL_PRESETS, Dataset, StoredDataset
from benchmark.datasets.declared import datasets_of
from benchmark.errors import DataError, SpecError
from benchmark.jobs import data, pretrain
from benchmark.jobs.config import NetworkConfig
from benchmark.jobs.job import Job, Kind
from benchmark.plan.objectives import definitions_of, pretraining_objective
from benchmark.seeds import derive_seed
from benchmark.spec.images import ImageSource, Look
from benchmark.spec.leaderboard import Spec
from benchmark.spec.networks import (
    TIMMS_OWN,
    AdversarialSource,
    CheckpointFile,
    FirstWeights,
    FractalDB,
    Hub,
    Scratch,
    TrackNetworks,
    Weights,
)
from benchmark.store.files import NotRegular, open_regular
from methods.names import did_you_mean


def image_config(spec: Spec, name: str, item: str, source: ImageSource, look: Look) -> data.Config:
    """Configuration of the job that builds one image set of the track called `name`.

    Raises
    ------
    DataMissing
        If its files are not here.
    """
    known = datasets_of(spec)[source.dataset]
    stored = isinstance(known, StoredDataset)
    config = data.Config(
        dataset=source.dataset,
        image_size=look.image_size,
        seed=derive_seed(name, item, "images"),
        n=source.n if stored else source.n or known.card.size,
        classes=chosen_classes(source, known.card.class_names),
    )
    if not isinstance(known, StoredDataset):
        return config
    split = source.split or next(iter(known.splits))
    return replace(
        config,
        split=split,
        columns=[known.image_column, known.label_column],
        crop=look.crop,
        interpolation=None if look.interpolation == "bilinear" else look.interpolation,
        sha256=known.digest(split),
        **known.declares(split),
    )


def most_images(known: Dataset, config: data.Config) -> int:
    """How many images a set has at most, as far as is known before they are read."""
    if sizes := known.class_sizes(config.split):
        of_classes = sum(sizes[label] for label in config.classes or range(len(sizes)))
        return min(config.n or of_classes, of_classes) if known.splits else of_classes
    return config.n or known.splits.get(config.split or "", known.card.size)


def chosen_classes(source: ImageSource, names: Sequence[str]) -> list[int] | None:
    """The classes of a source by number, of a dataset with these names; None if all are taken.

    Raises
    ------
    LookupError
        If there is no such class: says which, and what there is.
    """
    if source.without is not None:
        left_out = set(_numbers(source.without, names))
        return [label for label in range(len(names)) if label not in left_out]
    return None if source.classes is None else _numbers(source.classes, names)


def _numbers(classes: Iterable[int | str], names: Sequence[str]) -> list[int]:
    numbers = {name: label for label, name in enumerate(names)}
    found = []
    for one in classes:
        if not names:
            raise LookupError(f"no class {one!r}; it has no labels")
        if isinstance(one, int) and one >= len(names):
            raise LookupError(f"no class {one}; expected 0 to {len(names) - 1}")
        if isinstance(one, str) and one not in numbers:
            raise LookupError(f"no class {one!r}; {did_you_mean(one, names)}")
        found.append(one if isinstance(one, int) else numbers[one])
    return found


def published(spec: Spec, track: str, cell: tuple[str, str, int]) -> Weights | None:
    """The published weights that the network of a backbone, an init and a seed goes on from, if it does."""
    backbone, init, seed = cell
    source = spec.first_weights(track, init)
    if isinstance(source, TrackNetworks):
        return source.weights[backbone][seed]
    # Without an entry timm's default tag is taken.
    return spec.backbones[backbone].weights.get(init, TIMMS_OWN) if isinstance(source, Hub) else None


def network_config(spec: Spec, track: str, cell: tuple[str, str, int]) -> NetworkConfig:
    """What the network of a backbone, an init and a seed looks like, and how its inputs are prepared."""
    of, weights = spec.backbones[cell[0]], published(spec, track, cell) or TIMMS_OWN
    tag = f".{weights.tag}" if weights.tag else ""  # which names the input normalisation too
    return NetworkConfig(
        of.architecture + tag,
        of.stem,
        spec.tracks[track].look(of).image_size,
        options=of.options or None,
        enlarged=of.enlarged,
        interpolation=None if of.enlarged is None else of.interpolation,
        mean=weights.mean,
        std=weights.std,
        precision=spec.precision,
    )


def pretraining_job(spec: Spec, track: str, cell: tuple[str, str, int], images: str | None) -> Job:
    """The job that makes the first weights of a network that does not draw them; one serves all seeds.

    A track's own networks have one for each seed. `images` is the key of those of the init's
    `supervised_source`, if it has one.

    Raises
    ------
    SpecError
        If there is no such preset or objective; names file, line and key.
    DataError
        If a file of weights cannot be read.
    """
    backbone, init, seed = cell
    source = spec.first_weights(track, init)
    assert not isinstance(source, Scratch)
    of = source.of if isinstance(source, AdversarialSource) else source
    objective = pretraining_objective(spec, init, source)
    weights = published(spec, track, cell)
    where: tuple[str | int, ...] = "backbones", backbone, "weights", init, "file"
    file = None if weights is None else weights.file
    if isinstance(source, CheckpointFile):
        file, where = source.file, ("inits", init, "file")
    elif isinstance(source, TrackNetworks):
        where = "tracks", track, "networks", init, "weights", backbone, seed, "file"
    path = None if file is None else spec.beside(file)
    recipe = _recipe(spec, track, init, source)
    if weights is not None:
        recipe |= weights.model_dump(exclude={"file", "mean", "std"}, exclude_none=True)
    if path is not None:
        recipe["sha256"] = _sha256(path, spec.where(*where), recipe.get("sha256"))
    config = pretrain.Config(
        **asdict(network_config(spec, track, cell)),
        init=recipe,
        objective=objective.name,
        hyperparameters=objective.hyperparameters(),
        # Of the source, not of the init's name: inits that differ in what is tuned share the weights.
        seeds={p: derive_seed(backbone, of.source, p) for p in ("images", "weights", "order")},
        file=None if path is None else str(path.resolve()),
    )
    inputs, label = pretrain.Inputs(images), f"pre-train {backbone} on {init}"
    if isinstance(source, TrackNetworks):
        label = f"{track}: weights of {init}, {backbone} seed {seed}"
    return Job(Kind.PRETRAIN, config, inputs, definitions_of(objective), label)


def _recipe(spec: Spec, track: str, init: str, source: FirstWeights) -> dict[str, Any]:
    if isinstance(source, TrackNetworks):
        return {"source": source.source}
    if isinstance(source, AdversarialSource):
        return {"source": source.source, "of": _recipe(spec, track, init, source.of)}
    if isinstance(source, FractalDB) and source.preset not in FRACTAL_PRESETS:
        hint = did_you_mean(source.preset, FRACTAL_PRESETS)
        raise SpecError(f"{spec.where('inits', init, 'preset')}: no preset {source.preset!r}; {hint}")
    recipe = source.model_dump(exclude={"tune", "images", "file"})
    pretraining = spec.tracks[track].pretraining
    if isinstance(source, FractalDB) and pretraining is not None:
        recipe["training"] = pretraining.model_dump()
    return recipe


def _sha256(path: Path, where: str, expected: str | None) -> str:
    """SHA-256 of a file of weights."""
    try:
        with open_regular(path) as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except NotRegular as error:
        raise DataError(f"{where}: {path} is {error.kind}; expected a safetensors file") from error
    except OSError as error:
        raise DataError(
            f"{where}: {path} cannot be read ({error.strerror}); expected a safetensors file"
        ) from error
    if expected not in (None, found):
        raise DataError(f"{where}: {path} has SHA-256 {found}, expected {expected}")
    return found
