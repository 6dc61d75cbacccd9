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
from benchmark.backbones.create import network_of
from benchmark.backbones.looks import Looks
from benchmark.backbones.network import Network
from benchmark.backbones.train import train
from benchmark.datasets.fractals import FRACTAL_PRESETS, fractal_images
from benchmark.datasets.mirror import mirror_folder
from benchmark.errors import DataError
from benchmark.store.artifacts import Artifact
from methods.objective import Objective

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
    looks: Looks,
    objective: Objective,
    recipe: Mapping[str, Any],
    seeds: Mapping[str, int],
    precision: str | None = None,
    **how: Any,
) -> tuple[Network, list[dict[str, Any]]]:
    """Train a fresh network to tell the classes of `data` apart; returns it and its history.

    `seeds` are those of its ``weights`` and of the ``order``; `how` are options of `train`.
    """
    torch.manual_seed(seeds["weights"])
    network = network_of(looks, int(data.labels.max()) + 1)
    network.precision = precision
    trained = train(network, objective, data, None, {**recipe, "tune": "all"}, seeds["order"], **how)
    return network, trained.history


def published_weights(
    looks: Looks, init: Mapping[str, Any], file: str | None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Parameters that someone published, by timm's names, and their source.

    They are in a file of the user's, in a repository in the form of the Hub, or timm's own, which timm adapts
    to the image size: `init` says which, as `benchmark.jobs.pretrain.Config` has it. A prefix ``module.`` or
    ``model.`` is taken off all names.

    Raises
    ------
    DataError
        If they cannot be had, are no safetensors, do not fit the architecture or are not the file that was
        planned with.
    """
    told = {name: init[name] for name in ("trained_on", "licence") if init.get(name)}
    source: dict[str, Any] = {}
    if file is not None:
        path = Path(file)
    elif init.get("repository") is not None:
        path = fetch(init["repository"], init.get("revision"))
        source = {"repository": init["repository"], "revision": init.get("revision")}
    else:
        path, classes, source = fetch_from_hub(looks.architecture, init.get("revision"))
        found = _checked_sha256(path, init.get("sha256"))
        network = network_of(looks, classes, path, architecture=source["weights"])
        return network.weights(), {**source, "sha256": found, **told}
    found = _checked_sha256(path, init.get("sha256"))
    return _read(path), {**source, "sha256": found, **told}


def _checked_sha256(path: Path, expected: str | None) -> str:
    """SHA-256 of a file of weights, which must be the one that is expected."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); expected safetensors") from error
    if expected not in (None, found):
        raise DataError(f"{path}: has SHA-256 {found}, expected {expected}; if it was changed, run again")
    return found


def _read(path: Path) -> dict[str, Tensor]:
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise DataError(
            f"{path}: cannot be read as safetensors ({error}); other formats hold pickles, which are never "
            "opened: convert them with safetensors.torch.save_file"
        ) from error
    for prefix in ("module.", "model."):
        if weights and all(name.startswith(prefix) for name in weights):
            weights = {name.removeprefix(prefix): tensor for name, tensor in weights.items()}
    return weights


def fetch(repository: str, revision: str | None) -> Path:
    """Find `model.safetensors` of a repository: in the mirror, in the local Hub cache, else over the network.

    Raises
    ------
    DataError
        If it cannot be had; says what to do.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    mirrored = mirror_folder() / repository / WEIGHTS_FILE
    if mirrored.is_file():
        return mirrored
    try:
        return Path(hf_hub_download(repository, WEIGHTS_FILE, revision=revision))
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        raise DataError(
            f"{repository}: {WEIGHTS_FILE} cannot be had ({type(error).__name__}). With a network, run "
            f"`hf download {repository} {WEIGHTS_FILE}` and copy the Hub cache (HF_HOME) here, or put the "
            f"file into the mirror as {mirrored}"
        ) from error


def fetch_from_hub(name: str, revision: str | None) -> tuple[Path, int, dict[str, Any]]:
    """Find timm's published weights of an architecture, whose tag may follow a dot; see `fetch`.

    Only `model.safetensors` is read. Returns the file, its number of classes, and what is worth
    knowing about it.

    Raises
    ------
    DataError
        If timm publishes none for this architecture and tag, or they cannot be had; says what to do.
    """
    architecture = name.partition(".")[0]
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
    path = fetch(repository, revision)
    cached = path.parent.parent.name == "snapshots"  # the Hub's cache, by commit; the mirror has no commits
    source = {
        "weights": f"{config.architecture}.{config.tag}",
        "repository": repository,
        "revision": path.parent.name if cached else revision,
        "licence": config.license,
    }
    return path, config.num_classes, source
