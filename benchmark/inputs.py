"""Reading what earlier jobs left: image sets, trained networks, features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from benchmark.artifacts import Artifact
from benchmark.backbones.network import Network, create_network
from benchmark.backbones.train import LabelledImages
from benchmark.datasets.splits import balanced_split
from methods.base import Features, Head


def id_images(config: Mapping[str, Any], data: Artifact) -> dict[str, LabelledImages]:
    """The ID set of one seed, divided into train, val and test."""
    stored = data.tensors("images")
    images, labels = stored["images"], stored["labels"]
    split = balanced_split(labels.numpy(), **config["split"])
    rows = {"train": split.train, "val": split.val, "test": split.test}
    return {name: LabelledImages(images[index], labels[index]) for name, index in rows.items()}


def test_images(inputs: Mapping[str, Artifact]) -> dict[str, Tensor]:
    """The OOD sets by name, and the shifted ID images as ``shift.<kind>.<severity>``."""
    images = {
        role.removeprefix("data."): artifact.tensors("images")["images"]
        for role, artifact in inputs.items()
        if role.startswith("data.") and role != "data.id"
    }
    shifted = inputs["shifts"].tensors("images")
    return images | {f"shift.{name}": tensor for name, tensor in shifted.items() if name != "rows"}


def trained_network(config: Mapping[str, Any], trained: Artifact) -> Network:
    """The network of a train job, in eval mode."""
    network = create_network(config["architecture"], trained.json("about")["classes"], config["image_size"])
    network.model.load_state_dict(trained.tensors("model"))
    return network


def read_features(stored: Mapping[str, Tensor], name: str) -> Features:
    """The features of one image set."""
    return Features(stored[f"{name}.logits"], stored.get(f"{name}.penultimate"), stored.get(f"{name}.labels"))


def read_head(stored: Mapping[str, Tensor], about: Mapping[str, Any]) -> Head:
    """The final layer, or the reason why it is not one linear layer."""
    if not about["linear_head"]:
        return Head.not_linear(about["reason"])
    return Head(stored["head.weight"], stored["head.bias"])
