"""Planning where a network's first weights come from, and the images that anything is made of."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

from benchmark.datasets import FRACTAL_PRESETS, HubDataset, dataset
from benchmark.errors import DataError, SpecError
from benchmark.jobs import data, pretrain
from benchmark.jobs.job import Job, Kind
from benchmark.plan.objectives import definitions_of, pretraining_objective
from benchmark.seeds import derive_seed
from benchmark.spec.leaderboard import (
    AdversarialSource,
    CheckpointFile,
    FractalDB,
    ImageSource,
    Pretrained,
    Scratch,
    Spec,
    Track,
)
from benchmark.store.files import NotRegular, open_regular
from methods.names import did_you_mean


def image_config(track: Track, name: str, item: str, source: ImageSource) -> data.Config:
    """Configuration of the job that builds one image set of the track called `name`.

    Raises
    ------
    DataMissing
        If it is a dataset of the Hub that the mirror does not hold.
    """
    known = dataset(source.dataset)
    config = data.Config(
        dataset=source.dataset,
        image_size=track.image_size,
        seed=derive_seed(name, item, "images"),
        n=source.n if isinstance(known, HubDataset) else source.n or known.card.size,
        classes=source.classes,
    )
    if not isinstance(known, HubDataset):
        return config
    split = source.split or next(iter(known.splits))
    columns = [known.image_column, known.label_column]
    return replace(config, split=split, columns=columns, crop=track.crop, sha256=known.digest(split))


def pretraining_job(spec: Spec, track: Track, backbone: str, init: str, images: str | None) -> Job:
    """The job that makes the first weights of an init that does not draw them; it serves all seeds.

    `images` is the key of those of its `supervised_source`, if it has one.

    Raises
    ------
    SpecError
        If there is no such preset or objective; names file, line and key.
    DataError
        If the file of a checkpoint cannot be read.
    """
    source = spec.inits[init]
    assert not isinstance(source, Scratch)
    of = source.of if isinstance(source, AdversarialSource) else source
    objective = pretraining_objective(spec, init, source)
    config = pretrain.Config(
        **spec.backbones[backbone].model_dump(),
        image_size=track.image_size,
        precision=spec.precision,
        init=_recipe(spec, track, init, source),
        objective=objective.name,
        hyperparameters=objective.hyperparameters(),
        # Of the source, not of the init's name: inits that differ in what is tuned share the weights.
        seeds={p: derive_seed(backbone, of.source, p) for p in ("images", "weights", "order")},
        file=str(spec.beside(source.file).resolve()) if isinstance(source, CheckpointFile) else None,
    )
    inputs, label = pretrain.Inputs(images), f"pre-train {backbone} on {init}"
    return Job(Kind.PRETRAIN, config, inputs, definitions_of(objective), label)


def _recipe(spec: Spec, track: Track, init: str, source: Pretrained) -> dict[str, Any]:
    if isinstance(source, AdversarialSource):
        return {"source": source.source, "of": _recipe(spec, track, init, source.of)}
    if isinstance(source, FractalDB) and source.preset not in FRACTAL_PRESETS:
        hint = did_you_mean(source.preset, FRACTAL_PRESETS)
        raise SpecError(f"{spec.where('inits', init, 'preset')}: no preset {source.preset!r}; {hint}")
    recipe = source.model_dump(exclude={"tune", "images", "file"})
    if isinstance(source, FractalDB) and track.pretraining is not None:
        recipe["training"] = track.pretraining.model_dump()
    if isinstance(source, CheckpointFile):
        path = spec.beside(source.file)
        where = spec.where("inits", init, "file")
        try:
            with open_regular(path) as file:
                recipe["sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
        except NotRegular as error:
            raise DataError(f"{where}: {path} is {error.kind}; expected a safetensors file") from error
        except OSError as error:
            raise DataError(
                f"{where}: {path} cannot be read ({error.strerror}); expected a safetensors file"
            ) from error
    return recipe
