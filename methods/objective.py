"""The contract of a training objective: all that a contributor of one must read."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from methods.method import Method
from methods.tensors import at_once

NETWORK = "network"  # the optimizer of the network, in `Objective.steps`


class Data(StrEnum):
    """What an objective needs besides labelled in-distribution images."""

    OUTLIERS = "outliers"
    UNLABELLED = "unlabelled"  # in-distribution training images and outliers, mixed, without labels


class TrainableNetwork(Protocol):
    """A network as an `Objective` sees it."""

    training: bool

    def __call__(self, images: Tensor) -> Tensor:
        """Logits (N, K) of images (N, 3, H, W) with pixels in [0, 1]; normalisation happens inside."""

    def maps(self, images: Tensor) -> Tensor:
        """(N, C, H', W') last feature maps, of a transformer its grid of tokens; before the neck."""

    def classify(self, maps: Tensor) -> Tensor:
        """Logits (N, K) of maps (N, C, H', W') that have passed the neck: pooled, then the head."""

    @property
    def neck(self) -> ObjectiveNeck | None:
        """What the last feature maps pass before they are pooled, if an objective put something there."""

    def penultimate(self, images: Tensor) -> Tensor:
        """(N, D): what the head is given."""

    @property
    def head(self) -> nn.Module:
        """The last module, from penultimate features (N, D) to logits (N, K)."""

    def modules(self) -> Iterator[nn.Module]:
        """Every module, as `torch.nn.Module.modules` gives them."""

    def train(self, mode: bool = True) -> Any:
        """Set train or eval mode, as `torch.nn.Module.train` does."""


class ObjectiveHead(nn.Module):
    """A head that takes the place of the linear one: ``forward`` maps penultimate (N, D) to logits (N, K)."""

    @property
    def linear(self) -> nn.Linear | None:
        """The linear layer, where the logits are exactly what it gives."""
        return None

    def outputs(self, penultimate: Tensor) -> Tensor:
        """(N, M) what the head gives besides the logits, for a detector that needs `Signal.OUTPUTS`."""
        return penultimate.new_zeros(len(penultimate), 0)

    def no_weight_decay(self) -> set[str]:
        """Names of this module's parameters that are not decayed."""
        return set()


class ObjectiveNeck(nn.Module):
    """A module between the last feature maps and the pooling: ``forward`` keeps the shape (N, C, H, W).

    It is part of the network, in use as in training. In eval mode it draws no random numbers.
    """


@dataclass(frozen=True)
class Batch:
    """One training step's data. Images are (B, 3, H, W) floats in [0, 1]."""

    images: Tensor
    labels: Tensor  # (B,) class indices
    outliers: Tensor | None = None  # (B · outlier_ratio, 3, H, W)
    unlabelled: Tensor | None = None  # (B, 3, H, W)
    rows: Tensor | None = None  # (B,) which of all unlabelled images those are
    trusted: Tensor | None = None  # (B,) bool: labels that are known to be right, where some are
    progress: float = 0.0  # epochs done, a fraction within one
    epochs: int = 1  # in all
    rng: torch.Generator = field(default_factory=torch.Generator)  # on the CPU
    notes: dict[str, list[float]] = field(default_factory=dict)  # for the history: means over the epoch

    def note(self, name: str, value: Tensor | float) -> None:
        """Keep a number for the epoch's history."""
        self.notes.setdefault(name, []).append(float(value))


@dataclass(frozen=True)
class Setup:
    """What a training starts from. Image sets are uint8 (N, 3, H, W)."""

    network: TrainableNetwork  # on its first weights
    dimension: int  # D, of the penultimate features
    classes: int  # K
    image_size: int
    epochs: int
    val: Tensor  # ID validation images
    outliers: Tensor | None = None
    unlabelled: int = 0  # how many unlabelled images there are
    labels: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))  # (N,) of training
    trusted: Tensor | None = None  # (N,) bool: training labels that are known to be right, where some are
    first: Tensor | None = None  # (N, K) probabilities of the training images by the first phase's network

    def logits(self, images: Tensor) -> Tensor:
        """Logits (N, K) of uint8 images by the network in eval mode, without gradient."""
        device = next(p for m in self.network.modules() for p in m.parameters()).device
        network: Any = self.network
        was = network.training
        network.eval()
        with torch.no_grad():
            parts = torch.split(images, at_once(images))
            found = [network(part.to(device, torch.float32) / 255).cpu() for part in parts]
        network.train(was)
        return torch.cat(found)


@dataclass(frozen=True)
class Optimizer:
    """The optimizer of an extra module that does not share the network's."""

    name: str  # one of timm's optimizer factory
    lr: float
    options: Mapping[str, Any] = field(default_factory=dict)  # such as betas
    weight_decay: float = 0.0


class Objective(Method):
    """How a network is trained on the in-distribution data.

    The simplest gives `loss` alone. What the others need is in the methods below: a head of their own,
    modules that are trained beside the network, several optimizers, another objective's network to start
    from. Instances are frozen and hold hyper-parameters only; what changes in training lies in the
    parameters and buffers of `modules`, so that a training that was killed goes on from its last epoch.
    """

    needs: ClassVar[frozenset[Data]] = frozenset()
    outlier_ratio: ClassVar[float] = 1.0  # outliers in a batch for each ID image
    starts_from: ClassVar[str | None] = None  # the objective whose network this one fine-tunes
    first_phase: ClassVar[str | None] = None  # the objective whose network is asked first: `Setup.first`
    trusted: ClassVar[bool] = False  # whether some labels must be known to be right: `Setup.trusted`
    detectors: ClassVar[tuple[str, ...]]  # that the paper scores it with, the first its own choice
    cost: ClassVar[float] = 1.0  # of an epoch, in forward and backward passes of cross_entropy's
    clip_norm: ClassVar[float | None] = None  # of the network's gradient

    @property
    def builds_on(self) -> tuple[Objective, ...]:
        """Objectives that it uses and finds by name: their changes outdate a training too."""
        return ()

    def head(self, dimension: int, classes: int) -> ObjectiveHead | None:
        """Make a head for D features and K classes, freshly initialised; None keeps the linear layer."""
        return None

    def neck(self, channels: int, *, tokens: bool) -> ObjectiveNeck | None:
        """Make a neck for last feature maps of C channels, of a transformer where `tokens`; None: none."""
        return None

    def modules(self, setup: Setup) -> Mapping[str, nn.Module]:
        """Make what is trained or kept beside the network, with its optimizer or with one of its own."""
        return {}

    def optimizers(self) -> Mapping[str, Optimizer]:
        """Optimizers of modules that have their own, by name of the module."""
        return {}

    @abstractmethod
    def loss(self, network: TrainableNetwork, batch: Batch, modules: Mapping[str, nn.Module]) -> Tensor:
        """Scalar training loss of one batch, differentiable in the network's weights."""

    def steps(
        self, network: TrainableNetwork, batch: Batch, modules: Mapping[str, nn.Module]
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield the losses of one batch in turn, each with whose optimizer lowers it before the next is made.

        The names are those of `optimizers`, and `NETWORK`. The loss that is yielded for `NETWORK` is the one
        that the history shows.
        """
        yield NETWORK, self.loss(network, batch, modules)

    def end_epoch(self, network: TrainableNetwork, modules: Mapping[str, nn.Module], epoch: int) -> None:
        """Do what is due after epoch number `epoch`, counted from 1."""

    def finish(self, network: TrainableNetwork, modules: Mapping[str, nn.Module]) -> Mapping[str, Tensor]:
        """Leave the network as it is to be used; return what to keep, such as ``samples`` (uint8 images)."""
        return {}

    def examine(
        self, network: TrainableNetwork, images: Tensor, labels: Tensor, kept: Mapping[str, Tensor]
    ) -> Mapping[str, Tensor]:
        """What is worth knowing of the trained network under attack: scalars, and series (M,).

        `images` (N, 3, H, W) are adversarial, `labels` (N,) their classes; `kept` is what `finish` returned.
        The network is in eval mode.
        """
        return {}
