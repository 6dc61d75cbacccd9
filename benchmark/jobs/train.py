"""Training one network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from benchmark.jobs.config import NetworkConfig, SplitConfig
from benchmark.jobs.job import Task
from benchmark.store.artifacts import Artifact

T = TypeVar("T")
LIBRARIES = ("numpy", "torch", "timm")


@dataclass(frozen=True)
class Config(NetworkConfig):
    """How a network is trained."""

    training: Mapping[str, Any] | None  # the recipe; None takes published weights as they are
    split: SplitConfig
    seeds: Mapping[str, int]  # for weights and order
    objective: str
    hyperparameters: Mapping[str, Any]
    blend: Mapping[str, float | None]  # of each outlier set, see `benchmark.jobs.id_data.outlier_images`
    source: str  # of its first weights
    sampler: Mapping[str, Any] | None
    watched: bool  # whether its test accuracy is kept after each epoch


@dataclass(frozen=True)
class Inputs(Generic[T]):
    """The images, and the networks that it goes on from."""

    id: T
    id_test: T | None = None  # to watch
    training_set: T | None = None  # takes the place of the track's own
    outliers: Mapping[str, T] = field(default_factory=dict)
    pretrained: T | None = None  # its first weights
    start: T | None = None  # the network, of another objective, that it starts from instead
    first: T | None = None  # the network that is asked for its predictions of the training images


def run(task: Task[Config, Inputs[Artifact]]) -> None:
    """Train one network on the ID training images; validation metrics of each epoch are kept with it."""
    import torch

    from benchmark.backbones.batches import LabelledImages
    from benchmark.backbones.checkpoint import Checkpoint
    from benchmark.backbones.create import network_of
    from benchmark.backbones.network import load_weights
    from benchmark.backbones.train import Trained, train
    from benchmark.jobs.id_data import id_images, outlier_images
    from benchmark.jobs.inputs import predictions, trained_network
    from methods.registry import objective, sampler

    config, inputs, draft = task.config, task.inputs, task.draft
    recipe, seeds = config.training, config.seeds
    sets = id_images(config.split, inputs.id)
    classes = int(sets["train"].labels.max()) + 1
    if inputs.training_set is not None:
        images = inputs.id.tensors("images")["images"]
        chosen_rows = inputs.training_set.tensors("training_set")
        sets["train"] = LabelledImages(
            images[chosen_rows["rows"]], chosen_rows["labels"], chosen_rows.get("trusted")
        )
    torch.manual_seed(seeds["weights"])
    network = network_of(config, classes)
    network.precision = config.precision
    chosen = objective(config.objective, **config.hyperparameters)
    network.adapt(chosen, classes)
    loaded = None
    if inputs.start is not None:
        weights, source = inputs.start.tensors("model"), "the network to start from"
        has_own_head = chosen.head(network.dimension, classes) is not None
        loaded = load_weights(network, weights, source=source, with_classifier=not has_own_head)
    elif inputs.pretrained is not None:
        loaded = load_weights(
            network,
            inputs.pretrained.tensors("model"),
            source=f"the weights of the init {config.source}",
            with_classifier=recipe is None,
            partly=config.source == "checkpoint",
        )
    trained = Trained([])
    if recipe is not None:
        first = None
        if inputs.first is not None:
            first = predictions(trained_network(config, inputs.first), sets["train"].images)
        watched = None
        if config.watched:
            stored = None if inputs.id_test is None else inputs.id_test.tensors("images")
            watched = sets["test"] if stored is None else LabelledImages(stored["images"], stored["labels"])
        trained = train(
            network,
            chosen,
            sets["train"],
            # Of those with a training set of their own nobody reads it epoch by epoch.
            sets["val"] if inputs.training_set is None else None,
            recipe,
            seeds["order"],
            outliers=outlier_images(config.blend, inputs.outliers, sets["val"].images, seeds["order"]),
            first=first,
            sampler=None if config.sampler is None else sampler(**config.sampler),
            watched=watched,
            checkpoint=Checkpoint(draft.partial),
            report=draft.report,
        )
    draft.tensors("model", network.weights())
    if trained.kept:
        draft.tensors("kept", trained.kept)
    draft.json("history", trained.history)
    about = {"classes": classes, "loaded": loaded}
    draft.json("about", about | {"objective": chosen.name, "hyperparameters": chosen.hyperparameters()})
