"""What a training is shown, step by step: which images, in which order, varied how."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benchmark.backbones.device import moved
from benchmark.backbones.images import Images
from benchmark.backbones.network import to_pixels
from benchmark.seeds import derive_seed
from methods.imbalance import Sampler
from methods.objective import Batch, Data, Objective

STREAMS = ("outliers", "unlabelled", "objective")  # of random numbers, besides the order of the images


@dataclass(frozen=True)
class LabelledImages:
    """uint8 images (N, 3, H, W), perhaps read when they are asked for, and class indices (N,)."""

    images: Tensor | Images
    labels: Tensor
    trusted: Tensor | None = None  # (N,) bool: labels that are known to be right, where some are not


class Batches:
    """The batches of one training; all that is random in them comes from `order_seed`.

    Every objective sees the same images in the same order, whatever else it draws: the order has a stream of
    random numbers of its own.

    Parameters
    ----------
    data
        The training images.
    objective
        What it needs besides decides what a batch holds.
    recipe
        A `benchmark.spec.leaderboard.Training`.
    outliers
        uint8 images (M, 3, H, W), for objectives that need them.
    sampler
        Which images an epoch shows; each once if absent.

    Raises
    ------
    ValueError
        If the objective needs outliers and there are none, or the sampler refuses the training set.
    """

    def __init__(
        self,
        data: LabelledImages,
        objective: Objective,
        recipe: Mapping[str, Any],
        order_seed: int,
        *,
        outliers: Tensor | None,
        sampler: Sampler | None,
        device: torch.device,
    ) -> None:
        if sampler is not None:
            rng = torch.Generator().manual_seed(derive_seed(order_seed, "sampler"))
            data = LabelledImages(*sampler.resampled(data.images[:], data.labels, rng))
        self.data, self.objective, self.recipe, self.sampler = data, objective, recipe, sampler
        self.device = device
        self.outliers = _wanted(objective, Data.OUTLIERS, outliers)
        self.unlabelled = None
        if Data.UNLABELLED in objective.needs:
            self.unlabelled = torch.cat([data.images[:], _wanted(objective, Data.UNLABELLED, outliers)])
        self.size = len(data.labels) if sampler is None else sampler.size(data.labels)  # images an epoch
        # Equal parts of at least two images: batch normalisation cannot take one.
        self.steps = max(1, min(round(self.size / recipe["batch_size"]), self.size // 2))
        self.order = torch.Generator().manual_seed(order_seed)
        self.streams = {s: torch.Generator().manual_seed(derive_seed(order_seed, s)) for s in STREAMS}

    @property
    def generators(self) -> dict[str, torch.Generator]:
        """Every stream of random numbers, by name."""
        return {"order": self.order, **self.streams}

    def epoch(self, epoch: int, notes: dict[str, list[float]]) -> Iterator[Batch]:
        """The batches of epoch number `epoch`, counted from 0; what the objective notes goes to `notes`."""
        data, recipe, ratio = self.data, self.recipe, self.objective.outlier_ratio
        if self.sampler is None:
            rows = torch.randperm(self.size, generator=self.order)
        else:
            rows = self.sampler.epoch(data.labels, self.order)
        parts = rows.tensor_split(self.steps)
        counts = [max(1, round(len(part) * ratio)) for part in parts]
        outliers = _dealt(self.outliers, counts, self.streams["outliers"])
        size = 0 if self.unlabelled is None else len(self.unlabelled)
        unlabelled = torch.randperm(size, generator=self.streams["unlabelled"]).tensor_split(self.steps)
        for step, part in enumerate(parts):
            # The order's own stream: with and without outliers the ID images are varied alike.
            images = augmented(data.images[part], recipe["augment"], self.order)
            more = partial(augmented, how=recipe["augment"], rng=self.streams["outliers"])
            yield Batch(
                images=self._pixels(images),
                labels=moved(data.labels[part], self.device),
                outliers=None if self.outliers is None else self._pixels(more(self.outliers[outliers[step]])),
                unlabelled=None
                if self.unlabelled is None
                else self._pixels(self.unlabelled[unlabelled[step]]),
                rows=None if self.unlabelled is None else moved(unlabelled[step], self.device),
                trusted=None if data.trusted is None else moved(data.trusted[part], self.device),
                progress=epoch + step / self.steps,
                epochs=recipe["epochs"],
                rng=self.streams["objective"],
                notes=notes,
            )

    def _pixels(self, images: Tensor) -> Tensor:
        return to_pixels(moved(images, self.device))


def augmented(images: Tensor, how: str, rng: torch.Generator) -> Tensor:
    """Return images (B, 3, H, W) as they are trained on.

    ``none`` leaves them; ``flip_crop`` mirrors each with probability 1/2 and moves it by up to an eighth of
    its side in both directions, black pixels coming in (a crop of the padded image, as is usual on CIFAR).
    """
    if how == "none":
        return images
    count, _, height, width = images.shape
    reach = width // 8
    mirrored = torch.rand(count, generator=rng) < 0.5
    down, right = torch.randint(0, 2 * reach + 1, (2, count), generator=rng)
    across = torch.arange(width)
    columns = torch.where(mirrored[:, None], across.flip(0), across) + right[:, None]  # (B, W)
    rows = torch.arange(height) + down[:, None]  # (B, H)
    padded = functional.pad(images, (reach, reach, reach, reach))
    return padded[torch.arange(count)[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(
        0, 3, 1, 2
    )


def _wanted(objective: Objective, what: Data, outliers: Tensor | None) -> Any:
    """The outliers, if the objective needs `what`."""
    if what not in objective.needs:
        return None
    if outliers is None or not len(outliers):
        raise ValueError(f"{objective.name}: needs {what}, of which outlier images are a part, and got none")
    return outliers


def _dealt(images: Tensor | None, counts: list[int], rng: torch.Generator) -> tuple[Tensor, ...]:
    """Rows of `images`, as many as each of `counts` says, each image as often as every other."""
    if images is None:
        return ()
    rounds = math.ceil(sum(counts) / len(images))
    rows = torch.cat([torch.randperm(len(images), generator=rng) for _ in range(rounds)])
    return torch.split(rows[: sum(counts)], counts)
