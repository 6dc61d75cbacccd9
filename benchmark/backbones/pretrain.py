"""Pre-training sources: where a network's first weights come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor

from benchmark.backbones.network import Network, create_network
from benchmark.backbones.train import LabelledImages, train
from benchmark.datasets.fractals import FRACTAL_PRESETS, fractal_images
from benchmark.errors import DataError
from methods.objectives.cross_entropy import CrossEntropy

WEIGHTS_FILE = "model.safetensors"  # the only form that is read: nothing is unpickled


def pretrain_on_fractals(
    architecture: str, image_size: int, init: Mapping[str, Any], seeds: Mapping[str, int]
) -> tuple[Network, list[dict[str, Any]], dict[str, Any]]:
    """Train a network to tell fractal categories apart (Kataoka et al. 2020; spec §9).

    Returns the network, its history and what is worth knowing about the source.
    """
    config = replace(FRACTAL_PRESETS[init["preset"]], side=image_size)
    source = fractal_images(config, seeds["images"])
    data = LabelledImages(torch.from_numpy(source.images), torch.from_numpy(source.labels))
    torch.manual_seed(seeds["weights"])
    network = create_network(architecture, config.categories, image_size)
    history = train(network, CrossEntropy(), data, None, init["training"], seeds["order"])
    return network, history, {"images": len(source), "fingerprint": source.fingerprint()}


def fetch_from_hub(
    architecture: str, tag: str | None, revision: str | None
) -> tuple[Path, int, dict[str, Any]]:
    """Find timm's published weights: in the local Hub cache, else over the network.

    Only `model.safetensors` is read. Returns the file, its number of classes, and what is worth
    knowing about it.

    Raises
    ------
    DataError
        If timm publishes none for this architecture and tag, or they cannot be had; says what to do.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    name = architecture if tag is None else f"{architecture}.{tag}"
    try:
        config = timm.models.get_pretrained_cfg(name)
    except RuntimeError:  # timm knows the architecture and not the tag
        config = None
    if config is None or not config.hf_hub_id:
        known = ", ".join(timm.list_pretrained(f"{architecture}.*")) or "none"
        raise DataError(
            f"timm publishes no weights {name!r} on the Hub; of {architecture} there are: {known}"
        )
    repository = config.hf_hub_id if "/" in config.hf_hub_id else f"timm/{config.hf_hub_id}"
    try:
        path = Path(hf_hub_download(repository, WEIGHTS_FILE, revision=revision))
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        raise DataError(
            f"{repository}: {WEIGHTS_FILE} cannot be had ({type(error).__name__}). With a network, run "
            f"`hf download {repository} {WEIGHTS_FILE}` and copy the Hub cache (HF_HOME) here"
        ) from error
    source = {
        "weights": f"{config.architecture}.{config.tag}",
        "repository": repository,
        "revision": path.parent.name,
        "licence": config.license,
    }
    return path, config.num_classes, source


def weights_from_hub(
    architecture: str, image_size: int, init: Mapping[str, Any]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Load timm's published weights, adapted by timm to `image_size`; returns them and their source.

    Raises
    ------
    DataError
        As `fetch_from_hub`, or if the file does not fit the architecture.
    """
    path, classes, source = fetch_from_hub(architecture, init["tag"], init["revision"])
    network = create_network(source["weights"], classes, image_size, weights=path)
    return network.weights(), source
