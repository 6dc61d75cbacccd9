"""Training: one network, one objective, one seed; deterministic, with its validation history."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from timm.optim._optim_factory import create_optimizer_v2
from timm.scheduler.scheduler_factory import create_scheduler_v2
from torch import Tensor
from torch.nn import functional

from benchmark.backbones.network import Network, to_pixels
from methods.objective import Batch, Objective


class TrainingDiverged(ArithmeticError):  # noqa: N818
    """The loss became NaN or infinite."""


@dataclass(frozen=True)
class LabelledImages:
    """uint8 images (N, 3, H, W) and class indices (N,)."""

    images: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to: mean training loss, validation accuracy and negative log-likelihood."""

    epoch: int
    loss: float
    val_accuracy: float | None
    val_nll: float | None


def train(
    network: Network,
    objective: Objective,
    data: LabelledImages,
    val: LabelledImages | None,
    recipe: Mapping[str, Any],
    order_seed: int,
) -> list[dict[str, Any]]:
    """Train `network` in place; return the history, an `Epoch` as dict each.

    `recipe` is a `benchmark.spec.Training`. The images are visited in an order drawn from `order_seed`;
    every step's learning rate comes from timm's scheduler. The last epoch's weights are kept: no epoch is
    selected, so validation data never choose weights.

    Raises
    ------
    TrainingDiverged
        If a training or validation loss is not finite; names the epoch.
    """
    optimizer = create_optimizer_v2(
        network, opt=recipe["optimizer"], lr=recipe["lr"], weight_decay=recipe["weight_decay"]
    )
    # Equal parts of at least two images: batch normalisation cannot take one.
    steps = max(1, min(round(len(data.labels) / recipe["batch_size"]), len(data.labels) // 2))
    scheduler = None
    if recipe["scheduler"] != "none":
        scheduler, _ = create_scheduler_v2(
            optimizer,
            sched=recipe["scheduler"],
            num_epochs=recipe["epochs"] - recipe["warmup_epochs"],  # so that the rate ends at zero
            warmup_epochs=recipe["warmup_epochs"],
            warmup_lr=recipe["lr"] / 100,
            warmup_prefix=True,
            min_lr=0.0,
            step_on_epochs=False,
            updates_per_epoch=steps,
        )
    order = torch.Generator().manual_seed(order_seed)
    history = []
    for epoch in range(recipe["epochs"]):
        network.train()
        total = 0.0
        parts = torch.randperm(len(data.labels), generator=order).tensor_split(steps)
        for step, part in enumerate(parts, start=epoch * steps):
            if scheduler is not None:
                scheduler.step_update(step)
            images = augmented(data.images[part], recipe["augment"], order)
            loss = objective.loss(network, Batch(to_pixels(images), data.labels[part]))
            total += loss.item() * len(part)
            if not math.isfinite(total):
                lr = optimizer.param_groups[0]["lr"]
                raise TrainingDiverged(f"the loss is {loss.item()} in epoch {epoch + 1} at rate {lr:g}")
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
        accuracy, nll = validate(network, val) if val else (None, None)
        if nll is not None and not math.isfinite(nll):
            raise TrainingDiverged(f"the validation loss is {nll} after epoch {epoch + 1}")
        history.append(asdict(Epoch(epoch + 1, total / len(data.labels), accuracy, nll)))
    network.eval()
    return history


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


@torch.inference_mode()
def validate(network: Network, data: LabelledImages) -> tuple[float, float]:
    """Accuracy and mean negative log-likelihood in nats."""
    network.eval()
    logits = torch.cat([network(to_pixels(part)) for part in torch.split(data.images, 256)])
    accuracy = (logits.argmax(dim=1) == data.labels).double().mean().item()
    return accuracy, functional.cross_entropy(logits.double(), data.labels).item()
