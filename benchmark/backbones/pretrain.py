"""Pre-training sources: where a network's first weights come from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from benchmark.backbones.batches import LabelledImages
from benchmark.backbones.network import Network, create_network
from benchmark.backbones.train import train
from benchmark.datasets.fractals import FRACTAL_PRESETS, fractal_images
from benchmark.errors import DataError
from benchmark.store.artifacts import Artifact
from methods.registry import objective

WEIGHTS_FILE = "model.safetensors"  # the only form that is read: nothing is unpickled


def fractals(image_size: int, preset: str, seed: int) -> tuple[LabelledImages, dict[str, Any]]:
    """Images of fractal categories (Kataoka et al. 2020; spec §9), and what is worth knowing about them."""
    source = fractal_images(replace(FRACTAL_PRESETS[preset], side=image_size), seed)
    images = LabelledImages(torch.from_numpy(source.images), torch.from_numpy(source.labels))
    return images, {"images": len(source), "fingerprint": source.fingerprint()}


def labelled(stored: Artifact, without: Sequence[int]) -> tuple[LabelledImages, dict[str, Any]]:
    """The images of a dataset without some of its classes, which are counted anew, and its card.

    Raises
    ------
    DataError
        If fewer than two classes are left.
    """
    tensors, card = stored.tensors("images"), stored.json("card")
    kept = torch.tensor([c for c in range(len(card["classes"])) if c not in without])
    if len(kept) < 2:
        of = len(card["classes"])
        raise DataError(f"exclude_classes: leaves {len(kept)} of {of} classes; expected two or more")
    rows = torch.isin(tensors["labels"], kept)
    images = LabelledImages(tensors["images"][rows], torch.searchsorted(kept, tensors["labels"][rows]))
    return images, {**card, "excluded": [card["classes"][c] for c in without], "n": int(rows.sum())}


def pretrain_on(
    data: LabelledImages,
    config: Mapping[str, Any],
    recipe: Mapping[str, Any],
    **how: Any,
) -> tuple[Network, list[dict[str, Any]]]:
    """Train a fresh network to tell the classes of `data` apart; returns it and its history.

    `config` has ``architecture``, ``stem``, ``image_size``, ``precision``, ``objective``, ``hyperparameters``
    and ``seeds``; `how` are options of `train`.
    """
    torch.manual_seed(config["seeds"]["weights"])
    classes = int(data.labels.max()) + 1
    network = create_network(config["architecture"], classes, config["image_size"], config["stem"])
    network.precision = config["precision"]
    recipe = {**recipe, "tune": "all"}
    chosen = objective(config["objective"], **config["hyperparameters"])
    trained = train(network, chosen, data, None, recipe, config["seeds"]["order"], **how)
    return network, trained.history


def weights_from_file(config: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the parameters of a user's safetensors file; a prefix ``module.`` or ``model.`` is taken off.

    `config` has ``file`` and ``init``.

    Raises
    ------
    DataError
        If it cannot be read as safetensors, or is not the file that was planned with.
    """
    init, path = config["init"], Path(config["file"])
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise DataError(
            f"{path}: cannot be read as safetensors ({error}); other formats hold pickles, which are never "
            "opened: convert them with safetensors.torch.save_file"
        ) from error
    if found != init["sha256"]:
        raise DataError(f"{path}: has changed since the run was planned; run again")
    for prefix in ("module.", "model."):
        if weights and all(name.startswith(prefix) for name in weights):
            weights = {name.removeprefix(prefix): tensor for name, tensor in weights.items()}
    about = {"sha256": found, "trained_on": init["trained_on"], "licence": init["licence"]}
    return weights, about


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


def weights_from_hub(config: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Load timm's published weights, adapted by timm to the image size; returns them and their source.

    `config` has ``architecture``, ``image_size`` and ``init``.

    Raises
    ------
    DataError
        As `fetch_from_hub`, or if the file does not fit the architecture.
    """
    init = config["init"]
    path, classes, source = fetch_from_hub(config["architecture"], init["tag"], init["revision"])
    network = create_network(source["weights"], classes, config["image_size"], weights=path)
    return network.weights(), source
