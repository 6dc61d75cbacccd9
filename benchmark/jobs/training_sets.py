"""Transformations of a track's training split: noisy labels, and long tails.

What comes out is kept as an artifact of its own, with its fingerprint: every network that is trained on it,
with whatever method from whatever first weights, sees the same labels of the same images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from benchmark.datasets.splits import balanced_split
from benchmark.jobs.config import Transformation
from benchmark.seeds import derive_seed
from methods.registry import noise_model, profile


def transformed(config: Transformation, labels: Tensor) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Transform a training split.

    `labels` (N,) are the true classes of the whole ID set, counted from 0.

    Returns
    -------
    tensors
        ``rows`` (M,) into the ID set, ascending; ``labels`` (M,) as they are trained on; ``trusted`` (M,)
        bool, where some are.
    card
        ``fingerprint``, ``counts`` of the true classes, ``flipped``, the share of wrong labels, and the
        ``matrix`` that they were drawn from, None without noise.

    Raises
    ------
    ValueError
        If a class would be left without an image, or without a trusted one; names the class.
    """
    classes = int(labels.max()) + 1
    rows = torch.from_numpy(balanced_split(labels.numpy(), **asdict(config.split)).train)
    if config.profile is not None:
        rows = _long_tail(config.profile, rows, labels, classes, _stream(config, "profile"))
    true = labels[rows]
    observed, matrix = true, None
    noise = config.noise
    if noise is not None:
        model = noise_model(noise["method"], **noise["hyperparameters"])
        # Of the model and not of the strength: labels that are wrong at a strength stay so at a larger one.
        rng = _stream(config, f"noise {noise['method']}")
        observed, matrix = model.draw(true, classes, noise["strength"], rng)
    tensors = {"rows": rows, "labels": observed}
    if config.trusted > 0:
        trusted = _trusted(true, config.trusted, classes, _stream(config, "trusted"))
        tensors |= {"labels": torch.where(trusted, true, observed), "trusted": trusted}
        if config.untrusted_only:
            tensors = {name: tensor[~trusted] for name, tensor in tensors.items()}
            true = true[~trusted]
    card = {
        "fingerprint": _fingerprint(tensors),
        "counts": torch.bincount(true, minlength=classes).tolist(),
        "flipped": (tensors["labels"] != true).double().mean().item(),
        "matrix": None if matrix is None else matrix.tolist(),
        "n": len(true),
    }
    return tensors, card


def _long_tail(
    use: Mapping[str, Any], rows: Tensor, labels: Tensor, classes: int, rng: torch.Generator
) -> Tensor:
    """The rows that a profile leaves; which class has which rank is drawn."""
    members = [rows[labels[rows] == label] for label in range(classes)]
    counts = profile(use["method"], **use["hyperparameters"]).counts(classes, min(map(len, members)))
    ranked = torch.randperm(classes, generator=rng).tolist()
    kept = []
    for label, count in zip(ranked, counts, strict=True):
        of_class = members[label]
        kept.append(of_class[torch.randperm(len(of_class), generator=rng)[:count]])
    return torch.cat(kept).sort().values


def _trusted(labels: Tensor, share: float, classes: int, rng: torch.Generator) -> Tensor:
    """(M,) bool: a share of each class, drawn."""
    found = torch.zeros(len(labels), dtype=torch.bool)
    for label in range(classes):
        members = (labels == label).nonzero()[:, 0]
        count = round(share * len(members))
        if count < 1:
            raise ValueError(
                f"trusted: a share of {share:g} of the {len(members)} images of class {label} is none; "
                f"expected at least one image of each class"
            )
        found[members[torch.randperm(len(members), generator=rng)[:count]]] = True
    return found


def _stream(config: Transformation, purpose: str) -> torch.Generator:
    return torch.Generator().manual_seed(derive_seed(config.seed, purpose))


def _fingerprint(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()[:32]
