"""Training: one network, one objective, one seed; deterministic, and it goes on where it was killed.

No objective is known here by name: what they need is in `methods.objective.Objective`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from statistics import fmean
from typing import Any

import torch
from timm.optim._optim_factory import create_optimizer_v2
from timm.scheduler.scheduler_factory import create_scheduler_v2
from torch import Tensor, nn
from torch.nn import functional

from benchmark.backbones.checkpoint import Checkpoint, optimizer_tensors, restore_optimizer
from benchmark.backbones.network import Network, to_pixels
from benchmark.seeds import derive_seed
from methods.objective import NETWORK, Batch, Data, Objective, Optimizer, Setting

REPORT_EVERY = 1.0  # seconds between two reports, and between two checkpoints
STREAMS = ("outliers", "unlabelled", "objective")  # of random numbers, besides the order of the images

Report = Callable[[dict[str, Any]], None]


class TrainingDiverged(ArithmeticError):  # noqa: N818
    """The loss became NaN or infinite."""


@dataclass(frozen=True)
class LabelledImages:
    """uint8 images (N, 3, H, W) and class indices (N,)."""

    images: Tensor
    labels: Tensor


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
    device: str = "cpu",
    checkpoint: Checkpoint | None = None,
    report: Report | None = None,
) -> Trained:
    """Train `network` in place; on an accelerator in bfloat16.

    The last epoch's weights are kept: no epoch is selected, so validation data never choose weights.

    Parameters
    ----------
    recipe
        A `benchmark.spec.Training`; every step's learning rates come from timm's scheduler.
    order_seed
        The images are visited in an order drawn from it; what else is random is drawn from streams of its
        own, so that two objectives see the same images in the same order.
    outliers
        uint8 images (M, 3, H, W), for objectives that need them.
    device
        A type of torch's: ``cpu``, ``cuda``.
    checkpoint
        Where the state is kept after each epoch (at most once a second), and found.
    report
        Called about once a second with ``epoch``, ``epochs``, ``loss``, ``val_accuracy`` (of the epoch
        before), ``images_per_second`` and ``seconds_left``.

    Raises
    ------
    TrainingDiverged
        If a training or validation loss is not finite; names the epoch.
    """
    trainer = _Trainer(network, objective, data, val, recipe, order_seed, outliers, torch.device(device))
    if checkpoint is not None:
        trainer.restore(checkpoint)
    speed = _Speed(recipe["epochs"], len(data.labels), report)
    saved = -math.inf
    for epoch in range(len(trainer.history), recipe["epochs"]):
        trainer.epoch(epoch, partial(speed, epoch, trainer.history))
        now = time.monotonic()
        if checkpoint is not None and (now - saved >= REPORT_EVERY) and epoch + 1 < recipe["epochs"]:
            trainer.save(checkpoint)
            saved = now
    return trainer.finish()


class _Trainer:
    """All that changes in a training."""

    def __init__(
        self,
        network: Network,
        objective: Objective,
        data: LabelledImages,
        val: LabelledImages | None,
        recipe: Mapping[str, Any],
        order_seed: int,
        outliers: Tensor | None,
        device: torch.device,
    ) -> None:
        self.objective, self.data, self.val, self.recipe = objective, data, val, recipe
        self.device = device
        self.network = network.to(self.device)
        self.outliers = _wanted(objective, Data.OUTLIERS, outliers)
        self.unlabelled = None
        if Data.UNLABELLED in objective.needs:
            self.unlabelled = torch.cat([data.images, _wanted(objective, Data.UNLABELLED, outliers)])
        torch.manual_seed(derive_seed(order_seed, "modules"))  # these, and dropout
        setting = Setting(
            network=network,
            dimension=network.dimension,
            classes=int(data.labels.max()) + 1,
            image_size=data.images.shape[-1],
            epochs=recipe["epochs"],
            val=data.images if val is None else val.images,
            outliers=self.outliers,
            unlabelled=0 if self.unlabelled is None else len(self.unlabelled),
        )
        self.modules = dict(objective.modules(setting))
        self.beside = nn.ModuleDict(self.modules).to(self.device)
        # Equal parts of at least two images: batch normalisation cannot take one.
        self.steps = max(1, min(round(len(data.labels) / recipe["batch_size"]), len(data.labels) // 2))
        self.optimizers = self._optimizers()
        self.schedulers = [self._scheduler(o) for o in self.optimizers.values()]
        self.order = torch.Generator().manual_seed(order_seed)
        self.streams = {s: torch.Generator().manual_seed(derive_seed(order_seed, s)) for s in STREAMS}
        self.history: list[dict[str, Any]] = []

    def epoch(self, epoch: int, on_step: Callable[[int, float], None]) -> None:
        """Visit every image once."""
        losses, seen, notes = 0.0, 0, dict[str, list[float]]()
        for step, batch in enumerate(self._batches(epoch, notes)):
            for scheduler in self.schedulers:
                if scheduler is not None:
                    scheduler.step_update(epoch * self.steps + step)
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

    def finish(self) -> Trained:
        """Leave the network in eval mode on the CPU; the last validation is of it as it is left."""
        kept = {name: t.cpu() for name, t in self.objective.finish(self.network, self.modules).items()}
        if self.val and self.history:
            accuracy, nll = validate(self.network, self.val)
            self.history[-1] |= {"val_accuracy": accuracy, "val_nll": nll}
        self.network.requires_grad_(requires_grad=True).eval().cpu()
        return Trained(self.history, kept)

    def _batches(self, epoch: int, notes: dict[str, list[float]]) -> Iterator[Batch]:
        data, recipe, ratio = self.data, self.recipe, self.objective.outlier_ratio
        self._training_mode()
        parts = torch.randperm(len(data.labels), generator=self.order).tensor_split(self.steps)
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
                labels=data.labels[part].to(self.device),
                outliers=None if self.outliers is None else self._pixels(more(self.outliers[outliers[step]])),
                unlabelled=None
                if self.unlabelled is None
                else self._pixels(self.unlabelled[unlabelled[step]]),
                rows=None if self.unlabelled is None else unlabelled[step].to(self.device),
                progress=epoch + step / self.steps,
                epochs=recipe["epochs"],
                rng=self.streams["objective"],
                notes=notes,
            )

    def _pixels(self, images: Tensor) -> Tensor:
        return to_pixels(images.to(self.device))

    def _step(self, batch: Batch) -> float:
        """Lower the losses of one batch; returns the network's."""
        shown = 0.0
        losses = self.objective.steps(self.network, batch, self.modules)
        while True:
            with autocast(self.device):
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
            updates_per_epoch=self.steps,
        )
        return scheduler

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep the state after an epoch."""
        tensors = {f"network.{n}": t for n, t in self.network.model.state_dict().items()}
        tensors |= {f"modules.{n}": t for n, t in self.beside.state_dict().items()}
        tensors |= {f"rng.{n}": g.get_state() for n, g in self._generators().items()}
        tensors["rng"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors["rng.cuda"] = torch.cuda.get_rng_state(self.device)
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
        for name, generator in self._generators().items():
            generator.set_state(tensors[f"rng.{name}"])
        torch.set_rng_state(tensors["rng"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(tensors["rng.cuda"], self.device)
        for name, optimizer in self.optimizers.items():
            restore_optimizer(f"optimizer.{name}", optimizer, tensors, state["numbers"])
        self.history = state["history"]

    def _generators(self) -> dict[str, torch.Generator]:
        return {"order": self.order, **self.streams}


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


class _Speed:
    """Tells now and then how far a training is."""

    def __init__(self, epochs: int, images: int, report: Report | None) -> None:
        self.epochs, self.images, self.report = epochs, images, report
        self.started = self.last = time.monotonic()
        self.first: int | None = None

    def __call__(self, epoch: int, history: list[dict[str, Any]], seen: int, loss: float) -> None:
        now = time.monotonic()
        self.first = epoch if self.first is None else self.first
        if self.report is None or now - self.last < REPORT_EVERY:
            return
        self.last = now
        speed = ((epoch - self.first) * self.images + seen) / (now - self.started)
        self.report(
            {
                "epoch": epoch + 1,
                "epochs": self.epochs,
                "loss": loss,
                "val_accuracy": history[-1]["val_accuracy"] if history else None,
                "images_per_second": speed,
                "seconds_left": ((self.epochs - epoch) * self.images - seen) / speed,
            }
        )


@contextmanager
def autocast(device: torch.device) -> Iterator[None]:
    """Compute in bfloat16 where that is safe, on an accelerator."""
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type != "cpu"):
        yield


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
    device = next(network.parameters()).device
    logits = torch.cat([network(to_pixels(part.to(device))).cpu() for part in torch.split(data.images, 256)])
    accuracy = (logits.argmax(dim=1) == data.labels).double().mean().item()
    return accuracy, functional.cross_entropy(logits.double(), data.labels).item()


def _optimizer(module: nn.Module, wanted: Optimizer) -> torch.optim.Optimizer:
    made: torch.optim.Optimizer = create_optimizer_v2(
        module, opt=wanted.name, lr=wanted.lr, weight_decay=wanted.weight_decay, **wanted.options
    )
    return made


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


def _below(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(f"{name}."): t for n, t in tensors.items() if n.startswith(f"{name}.")}
