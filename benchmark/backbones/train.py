"""Training: one network, one objective, one seed; deterministic, and it goes on where it was killed.

No objective is known here by name: what they need is in `methods.objective.Objective`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from statistics import fmean
from typing import Any

import torch
from timm.optim._optim_factory import create_optimizer_v2
from timm.scheduler.scheduler_factory import create_scheduler_v2
from torch import Tensor, nn
from torch.nn import functional

from benchmark.backbones.batches import Batches, LabelledImages
from benchmark.backbones.checkpoint import Checkpoint, optimizer_tensors, restore_optimizer
from benchmark.backbones.device import (
    CPU,
    ahead,
    autocast,
    here,
    move,
    on_cpu,
    ran_out,
    random_states,
    restore_random_states,
)
from benchmark.backbones.network import Network, logits_of
from benchmark.backbones.speed import Report, Speed
from benchmark.errors import OutOfMemory
from benchmark.seeds import derive_seed
from methods.imbalance import Sampler
from methods.objective import NETWORK, Batch, Objective, Optimizer, Setup

CHECKPOINT_EVERY = 1.0  # seconds between two checkpoints


class TrainingDiverged(ArithmeticError):  # noqa: N818
    """The loss became NaN or infinite."""


@dataclass(frozen=True)
class Trained:
    """What a training leaves besides the network: an entry an epoch, and tensors that the objective keeps."""

    history: list[dict[str, Any]]
    kept: Mapping[str, Tensor] = field(default_factory=dict)


def train(
    network: Network,
    objective: Objective,
    data: LabelledImages,
    val: LabelledImages | None,
    recipe: Mapping[str, Any],
    order_seed: int,
    *,
    outliers: Tensor | None = None,
    first: Tensor | None = None,
    sampler: Sampler | None = None,
    watched: LabelledImages | None = None,
    checkpoint: Checkpoint | None = None,
    report: Report | None = None,
) -> Trained:
    """Train `network` in place, in its precision, where the networks of this process compute.

    The last epoch's weights are kept: no epoch is selected, so validation data never choose weights.

    Parameters
    ----------
    recipe
        A `benchmark.spec.leaderboard.Training`; every step's learning rates come from timm's scheduler.
    order_seed
        The images are visited in an order drawn from it; what else is random is drawn from streams of its
        own, so that two objectives see the same images in the same order.
    outliers
        uint8 images (M, 3, H, W), for objectives that need them.
    first
        (N, K) probabilities of the training images by the first phase's network, for such objectives.
    sampler
        Which images an epoch shows; each once if absent.
    watched
        Images whose accuracy the history shows after each epoch; nothing is selected by it.
    checkpoint
        Where the state is kept after each epoch (at most once a second), and found.
    report
        Called about once a second with ``epoch``, ``epochs``, ``loss``, ``val_accuracy`` (of the epoch
        before), ``images_per_second`` and ``seconds_left``.

    Raises
    ------
    TrainingDiverged
        If a training or validation loss is not finite; names the epoch.
    OutOfMemory
        If memory does not hold a batch: its size is part of the recipe, and no half of it is the same.
    """
    batches = Batches(data, objective, recipe, order_seed, outliers=outliers, sampler=sampler, device=here())
    trainer = _Trainer(network, objective, batches, val, watched, first, order_seed)
    if checkpoint is not None:
        trainer.restore(checkpoint)
    speed = Speed(recipe["epochs"], batches.size, report)
    saved = -math.inf
    for epoch in range(len(trainer.history), recipe["epochs"]):
        try:
            trainer.epoch(epoch, partial(speed, epoch, trainer.history))
        except (RuntimeError, MemoryError) as error:
            if not ran_out(error):
                raise
            raise OutOfMemory(
                f"out of memory in training at batch_size {recipe['batch_size']}, which belongs to the "
                "recipe in leaderboard.yaml and is not changed by itself: another one trains another network"
            ) from error
        now = time.monotonic()
        if checkpoint is not None and (now - saved >= CHECKPOINT_EVERY) and epoch + 1 < recipe["epochs"]:
            trainer.save(checkpoint)
            saved = now
    return trainer.finish()


class _Trainer:
    """All that changes in a training."""

    def __init__(
        self,
        network: Network,
        objective: Objective,
        batches: Batches,
        val: LabelledImages | None,
        watched: LabelledImages | None,
        first: Tensor | None,
        order_seed: int,
    ) -> None:
        self.objective, self.batches, self.val, self.watched = objective, batches, val, watched
        self.recipe, self.device = batches.recipe, batches.device
        self.network = network
        move(network, self.device)
        data = batches.data
        torch.manual_seed(derive_seed(order_seed, "modules"))  # these, dropout, and noise of necks
        setup = Setup(
            network=network,
            dimension=network.dimension,
            classes=1 + max(int(part.labels.max()) for part in (data, val) if part is not None),
            image_size=data.images.shape[-1],
            epochs=self.recipe["epochs"],
            val=(data if val is None else val).images[:],
            outliers=batches.outliers,
            unlabelled=0 if batches.unlabelled is None else len(batches.unlabelled),
            labels=data.labels,
            trusted=data.trusted,
            first=first,
        )
        self.modules = dict(objective.modules(setup))
        self.beside = nn.ModuleDict(self.modules)
        move(self.beside, self.device)
        self.optimizers = self._optimizers()
        self.schedulers = [self._scheduler(o) for o in self.optimizers.values()]
        self.history: list[dict[str, Any]] = []

    def epoch(self, epoch: int, on_step: Callable[[int, float], None]) -> None:
        """Visit every image once."""
        losses, seen, notes = 0.0, 0, dict[str, list[float]]()
        self._training_mode()
        for step, batch in enumerate(ahead(self.batches.epoch(epoch, notes))):
            for scheduler in self.schedulers:
                if scheduler is not None:
                    scheduler.step_update(epoch * self.batches.steps + step)
            loss = self._step(batch)
            losses += loss * len(batch.labels)
            seen += len(batch.labels)
            if not math.isfinite(losses):
                rate = self.optimizers[NETWORK].param_groups[0]["lr"]
                raise TrainingDiverged(f"the loss is {loss} in epoch {epoch + 1} at rate {rate:g}")
            on_step(seen, losses / seen)
        self.objective.end_epoch(self.network, self.modules, epoch + 1)
        accuracy, nll = validate(self.network, self.val) if self.val else (None, None)
        if nll is not None and not math.isfinite(nll):
            raise TrainingDiverged(f"the validation loss is {nll} after epoch {epoch + 1}")
        self.history.append(
            {
                "epoch": epoch + 1,
                "loss": losses / seen,
                "val_accuracy": accuracy,
                "val_nll": nll,
                "notes": {name: fmean(values) for name, values in notes.items()},
            }
        )
        if self.watched is not None:
            self.history[-1]["watched_accuracy"] = validate(self.network, self.watched)[0]

    def finish(self) -> Trained:
        """Leave the network in eval mode on the CPU; the last validation is of it as it is left."""
        kept = {name: on_cpu(t) for name, t in self.objective.finish(self.network, self.modules).items()}
        if self.val and self.history:
            accuracy, nll = validate(self.network, self.val)
            self.history[-1] |= {"val_accuracy": accuracy, "val_nll": nll}
        self.network.requires_grad_(requires_grad=True).eval()
        move(self.network, CPU)
        return Trained(self.history, kept)

    def _step(self, batch: Batch) -> float:
        """Lower the losses of one batch; returns the network's."""
        shown = 0.0
        losses = self.objective.steps(self.network, batch, self.modules)
        while True:
            with autocast(self.device, self.network.precision):
                found = next(losses, None)
            if found is None:
                return shown
            name, loss = found
            optimizer = self.optimizers[name]
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            if name == NETWORK:
                shown = loss.item()
                if self.objective.clip_norm is not None:
                    parameters = [p for group in optimizer.param_groups for p in group["params"]]
                    nn.utils.clip_grad_norm_(parameters, self.objective.clip_norm)
            optimizer.step()

    def _training_mode(self) -> None:
        self.beside.train()
        self.network.train()
        if self.recipe["tune"] == "head":  # a linear probe: the body stays as it is, its statistics too
            self.network.eval()
            self.network.head.train()

    def _optimizers(self) -> dict[str, torch.optim.Optimizer]:
        own = dict(self.objective.optimizers())
        recipe = self.recipe
        if recipe["tune"] == "head":
            self.network.requires_grad_(requires_grad=False)
            self.network.head.requires_grad_(requires_grad=True)
        shared = _Together({n: m for n, m in self.modules.items() if n not in own})
        shared[NETWORK] = self.network
        made = {
            NETWORK: _optimizer(
                shared, Optimizer(recipe["optimizer"], recipe["lr"], {}, recipe["weight_decay"])
            )
        }
        return made | {name: _optimizer(self.modules[name], optimizer) for name, optimizer in own.items()}

    def _scheduler(self, optimizer: torch.optim.Optimizer) -> Any:
        recipe = self.recipe
        if recipe["scheduler"] == "none":
            return None
        scheduler, _ = create_scheduler_v2(
            optimizer,
            sched=recipe["scheduler"],
            num_epochs=recipe["epochs"] - recipe["warmup_epochs"],  # so that the rate ends at zero
            warmup_epochs=recipe["warmup_epochs"],
            warmup_lr=optimizer.param_groups[0]["lr"] / 100,
            warmup_prefix=True,
            min_lr=0.0,
            step_on_epochs=False,
            updates_per_epoch=self.batches.steps,
        )
        return scheduler

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep the state after an epoch."""
        tensors = {f"network.{n}": t for n, t in self.network.model.state_dict().items()}
        tensors |= {f"modules.{n}": t for n, t in self.beside.state_dict().items()}
        tensors |= {f"rng.{n}": g.get_state() for n, g in self.batches.generators.items()}
        tensors |= random_states(self.device)
        numbers: dict[str, float] = {}
        for name, optimizer in self.optimizers.items():
            found, plain = optimizer_tensors(f"optimizer.{name}", optimizer)
            tensors |= found
            numbers |= plain
        state = {"history": self.history, "numbers": numbers, "device": self.device.type}
        checkpoint.save(len(self.history), tensors, state)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from the last state that was kept, if there is one."""
        found = checkpoint.load()
        if found is None or found[1]["device"] != self.device.type:
            return
        tensors, state = found
        self.network.model.load_state_dict(_below("network", tensors))
        self.beside.load_state_dict(_below("modules", tensors))
        for name, generator in self.batches.generators.items():
            generator.set_state(tensors[f"rng.{name}"])
        restore_random_states(tensors, self.device)
        for name, optimizer in self.optimizers.items():
            restore_optimizer(f"optimizer.{name}", optimizer, tensors, state["numbers"])
        self.history = state["history"]


class _Together(nn.ModuleDict):
    """Modules that share an optimizer."""

    def no_weight_decay(self) -> set[str]:
        """Parameters that their own module wants undecayed, as timm's optimizer factory asks for them."""
        return {
            f"{place}.{name}"
            for place, module in self.named_modules()
            if module is not self and hasattr(module, "no_weight_decay")
            for name in module.no_weight_decay()
        }


@torch.inference_mode()
def validate(network: Network, data: LabelledImages) -> tuple[float, float]:
    """Accuracy and mean negative log-likelihood in nats."""
    network.eval()
    logits = logits_of(network, data.images)
    accuracy = (logits.argmax(dim=1) == data.labels).double().mean().item()
    return accuracy, functional.cross_entropy(logits.double(), data.labels).item()


def _optimizer(module: nn.Module, wanted: Optimizer) -> torch.optim.Optimizer:
    made: torch.optim.Optimizer = create_optimizer_v2(
        module, opt=wanted.name, lr=wanted.lr, weight_decay=wanted.weight_decay, **wanted.options
    )
    return made


def _below(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(f"{name}."): t for n, t in tensors.items() if n.startswith(f"{name}.")}
