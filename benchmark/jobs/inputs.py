"""Reading what earlier jobs left: image sets by part, trained networks, features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from benchmark.backbones.create import network_of
from benchmark.backbones.device import here, move
from benchmark.backbones.images import Images
from benchmark.backbones.network import Network, logits_of
from benchmark.jobs.config import NetworkConfig, SplitConfig
from benchmark.jobs.id_data import id_rows
from benchmark.store.artifacts import Artifact
from methods.features import Features
from methods.head import Head
from methods.registry import objective


def image_parts(
    name: str, stored: Artifact, split: SplitConfig | None
) -> tuple[dict[str, Images], dict[str, Tensor]]:
    """The parts of one image set of a track, and the labels (N,) of ID parts.

    ``id`` has the parts ``train``, ``val`` and perhaps ``test``; ``id_test`` is ``test``; ``shifts`` has
    ``shift.<kind>.<severity>``; any other set is one part of its own name. `split` is for ``id``.
    """
    tensors = stored.tensors("images")
    if name == "id" and split is not None:
        rows = id_rows(split, tensors["labels"])
        parts = {part: Images(tensors["images"], of) for part, of in rows.items()}
        return parts, {part: tensors["labels"][of] for part, of in rows.items()}
    if name == "shifts":
        return {f"shift.{part}": Images(images) for part, images in tensors.items() if part != "rows"}, {}
    if name == "id_test":
        return {"test": Images(tensors["images"])}, {"test": tensors["labels"]}
    return {name: Images(tensors["images"])}, {}


def trained_network(config: NetworkConfig, trained: Artifact) -> Network:
    """The network of a train job, in eval mode, where the networks of this process compute."""
    about = trained.json("about")
    network = network_of(config, about["classes"])
    network.adapt(objective(about["objective"], **about["hyperparameters"]), about["classes"])
    network.model.load_state_dict(trained.tensors("model"))
    network.precision = config.precision
    move(network, here())
    return network.eval()


def predictions(network: Network, images: Tensor | Images) -> Tensor:
    """(N, K) float64 probabilities of uint8 images (N, 3, S, S)."""
    return logits_of(network, images).double().softmax(dim=1)


def read_features(stored: Mapping[str, Tensor], part: str) -> Features:
    """The features of one part, as `benchmark.backbones.extract` stored them."""

    def several(name: str) -> list[Tensor] | None:
        found = [tensor for key, tensor in sorted(stored.items()) if key.startswith(f"{part}.{name}.")]
        return found or None

    return Features(
        stored[f"{part}.logits"],
        stored.get(f"{part}.penultimate"),
        stored.get(f"{part}.labels"),
        stages=several("stages"),
        gram=several("gram"),
        rank_one=stored.get(f"{part}.rank_one"),
        outputs=stored.get(f"{part}.outputs"),
    )


def read_head(stored: Mapping[str, Tensor], about: Mapping[str, Any]) -> Head:
    """The final layer, or the reason why it is not one linear layer."""
    if not about["linear_head"]:
        return Head.not_linear(about["reason"])
    return Head(stored["head.weight"], stored["head.bias"])
