"""What objectives of adversarial training share: the attack within each step, and how they are made of it."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from methods.attack import Loss, ascend, cross_entropy, uniform_start
from methods.objective import Batch, Objective, TrainableNetwork
from methods.objectives._precision import widened


def kl(clean: Tensor, adversarial: Tensor) -> Tensor:
    """KL(softmax(z) ‖ softmax(z')) of each row of logits z and z', both (N, K): (N,)."""
    log_p, log_q = functional.log_softmax(clean, dim=1), functional.log_softmax(adversarial, dim=1)
    return functional.kl_div(log_q, log_p, reduction="none", log_target=True).sum(dim=1)


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Share of rows of logits (N, K) whose largest is that of the label: a scalar without gradient."""
    return (logits.detach().argmax(dim=1) == labels).double().mean()


def check_weight(name: str, value: float) -> None:
    """Refuse what cannot weigh a loss.

    Raises
    ------
    ValueError
        If it is negative or not finite.
    """
    if not 0 <= value < math.inf:
        raise ValueError(f"{name}: expected a finite number of at least 0, got {value}")


@contextmanager
def as_in_use(network: TrainableNetwork) -> Iterator[None]:
    """Put the network in eval mode; afterwards each module has its own mode back.

    Batch normalisation uses its running statistics then, and does not change them. Nothing inside may
    be under `torch.no_grad`: autocast keeps its copies of weights for the loss that follows, which would get
    no gradient through them in releases of torch before the one that closed PyTorch's issue 112583.
    """
    modes = [(module, module.training) for module in network.modules()]
    network.train(False)
    try:
        yield
    finally:
        for module, was in modes:
            module.training = was


@dataclass(frozen=True)
class AdversarialObjective(Objective):
    """Trains on images that an attack moved; a subclass says how they are judged, and may say how they move.

    `fsr` builds on any of them by `adversarial` and `criterion`. The attack is PGD, which climbs the
    cross-entropy by signed steps from a uniformly drawn start, unless `_search` says what else.
    """

    epsilon: float = 8 / 255
    attack_steps: int = 10  # not `steps`: that is a method of every objective
    step_size: float = 2 / 255

    small = {"attack_steps": 2}
    detectors = ("msp", "energy")

    def __post_init__(self) -> None:
        if not 0 <= self.epsilon <= 1:
            raise ValueError(f"epsilon: expected a number in [0, 1], got {self.epsilon}")
        if self.attack_steps < 1:
            raise ValueError(f"attack_steps: expected at least 1, got {self.attack_steps}")
        if not 0 < self.step_size <= 1:
            raise ValueError(f"step_size: expected a number above 0, at most 1, got {self.step_size}")

    @abstractmethod
    def criterion(self, adversarial: Tensor, labels: Tensor, clean: Callable[[], Tensor]) -> Tensor:
        """Scalar loss of the logits (B, K) of moved images.

        `clean` gives the logits (B, K) of the images as they are. It costs a forward pass: an objective that
        does not need them does not call it.
        """

    def adversarial(self, network: TrainableNetwork, batch: Batch) -> Tensor:
        """The images of a batch (B, 3, H, W), moved against the network as it is.

        The network is in eval mode meanwhile, as the attacks that test it will find it, and its weights get
        no gradient. Random numbers come from the batch's generator.
        """
        with as_in_use(network):
            loss, moved = self._search(network, batch)
            path = ascend(loss, moved, batch.images, self.epsilon, self.step_size, self.attack_steps)
            for moved in path:  # noqa: B007 - the last one
                pass
        return moved

    def _search(self, network: TrainableNetwork, batch: Batch) -> tuple[Loss, Tensor]:
        """What the attack climbs, and from where (B, 3, H, W); called with the network in eval mode."""
        start = uniform_start(batch.images, self.epsilon, batch.rng)
        return lambda x: cross_entropy(widened(network(x)), batch.labels), start

    def loss(self, network: TrainableNetwork, batch: Batch, modules: Mapping[str, nn.Module]) -> Tensor:
        """Scalar loss of one batch, moved against the network as it is."""
        logits = widened(network(self.adversarial(network, batch)))
        batch.note("adversarial_accuracy", accuracy(logits, batch.labels))
        return self.criterion(logits, batch.labels, lambda: widened(network(batch.images)))
