"""FSR: what is robust in the last maps is separated from the rest, and the rest is put to use."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional

from methods.errors import MethodError
from methods.method import Paper
from methods.objective import Batch, Objective, Setup, TrainableNetwork
from methods.objectives._adversarial import AdversarialObjective, accuracy, check_weight
from methods.objectives._fsr import SeparationNeck, pooled, separation_loss
from methods.objectives._precision import widened
from methods.registry import objective_class, objectives, register


@register("fsr")
@dataclass(frozen=True)
class FSR(Objective):
    r"""Feature separation and recalibration, within any adversarial training (Kim et al. 2023).

    .. math::
        f^+ &= m \circ f, \qquad f^- = (1 - m) \circ f, \qquad m = \sigma((S(f) + g_0 - g_1) / \tau) \\
        \tilde f^- &= f^- + (1 - m) \circ R(f^-), \qquad \hat f = f^+ + \tilde f^- \\
        L &= L_\mathrm{AT}(z(\hat f), y)
            + \lambda_\mathrm{sep} \big( CE(a(f^+), y) + CE(a(f^-), y') \big)
            + \lambda_\mathrm{rec} CE(a(\tilde f^-), y)

    with f the last maps of moved images, :math:`\circ` the elementwise product, S and R nets of three
    convolutions each, g Gumbel noise in training and 0 otherwise, a one linear layer on means over positions,
    and y' the class of the largest logit that is not the label's. :math:`L_\mathrm{AT}` and the attack are
    those of the base, whose clean images pass the network too. The attack sees the mask without noise. S and
    R are part of the network; a is not, and is kept as ``aux.weight`` (K, C) and ``aux.bias`` (K).

    Shapes: f (N, C, H, W), m the same, a (N, K). Cost: that of the base, and of the nets.

    Parameters
    ----------
    base
        An objective of adversarial training: ``pgd_at``, ``trades``, ``mart``.
    recalibrate
        False: without R and its loss, so that :math:`\hat f = f^+`. The paper's ablation.
    temperature
        τ > 0.
    separation, recalibration
        λ_sep ≥ 0 and λ_rec ≥ 0.
    hidden
        Channels within S and R.
    epsilon, attack_steps, step_size
        The base's, with its own defaults for None, so that the two differ in nothing else. For ``pgd_at``
        they are the paper's: 10 steps of ε/4.

    Deviations from the paper: the mask is computed as a sigmoid, which is the same and needs no small numbers
    in logarithms. On transformers f is the grid of tokens, and S and R normalise the channels of each
    position instead of the batch: an extension of this project. Optimizer and schedule are those of the
    track.
    """

    base: str = "pgd_at"
    recalibrate: bool = True
    temperature: float = 0.1
    separation: float = 1.0
    recalibration: float = 1.0
    hidden: int = 64
    epsilon: float | None = None
    attack_steps: int | None = None
    step_size: float | None = None

    paper = Paper(
        title="Feature Separation and Recalibration for Adversarial Robustness",
        authors="W. J. Kim, Y. Cho, J. Jung, S.-E. Yoon",
        venue="CVPR",
        year=2023,
        arxiv="2303.13846",
    )
    small = {"attack_steps": 2}
    detectors = ("msp", "energy")
    cost = 11.0

    def __post_init__(self) -> None:
        _ = self.based_on  # refuses what it cannot be
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature: expected a finite number above 0, got {self.temperature}")
        check_weight("separation", self.separation)
        check_weight("recalibration", self.recalibration)
        if self.hidden < 1:
            raise ValueError(f"hidden: expected at least 1, got {self.hidden}")

    @cached_property
    def based_on(self) -> AdversarialObjective:
        """The adversarial training that this one is put into.

        Raises
        ------
        ValueError
            If `base` is none, or refuses its hyper-parameters.
        """
        try:
            found = objective_class(self.base)
        except MethodError as error:
            raise ValueError(f"base: {error}") from error
        if not issubclass(found, AdversarialObjective):
            known = [name for name, cls in objectives().items() if issubclass(cls, AdversarialObjective)]
            choices = ", ".join(known)
            raise ValueError(f"base: expected an adversarial training ({choices}), got {self.base!r}")
        wanted = {name: getattr(self, name) for name in ("epsilon", "attack_steps", "step_size")}
        return found(**{name: value for name, value in wanted.items() if value is not None})

    @property
    def builds_on(self) -> tuple[Objective, ...]:
        """The base."""
        return (self.based_on,)

    def neck(self, channels: int, *, tokens: bool) -> SeparationNeck:
        """Make S and R for maps of C channels."""
        return SeparationNeck(
            channels, self.hidden, self.temperature, recalibrate=self.recalibrate, tokens=tokens
        )

    def modules(self, setup: Setup) -> Mapping[str, nn.Module]:
        """Make the auxiliary head, for the channels that the neck was made for."""
        return {"aux": nn.Linear(_neck(setup.network).channels, setup.classes)}

    def loss(self, network: TrainableNetwork, batch: Batch, modules: Mapping[str, nn.Module]) -> Tensor:
        """Scalar loss of one batch, moved against the network as it is."""
        base, labels = self.based_on, batch.labels
        parts = _neck(network).parts(network.maps(base.adversarial(network, batch)))
        logits = widened(network.classify(parts.joined))

        def aux(maps: Tensor) -> Tensor:
            return widened(modules["aux"](pooled(maps)))

        separation = separation_loss(aux(parts.robust), aux(parts.rest), logits, labels)
        batch.note("adversarial_accuracy", accuracy(logits, labels))
        batch.note("mask", parts.mask.detach().mean())
        batch.note("separation_loss", separation.detach())
        total = base.criterion(logits, labels, lambda: widened(network(batch.images)))
        total = total + self.separation * separation
        if parts.recalibrated is not None:
            recalibration = functional.cross_entropy(aux(parts.recalibrated), labels)
            batch.note("recalibration_loss", recalibration.detach())
            total = total + self.recalibration * recalibration
        return total

    def finish(self, network: TrainableNetwork, modules: Mapping[str, nn.Module]) -> Mapping[str, Tensor]:
        """Keep the auxiliary head: ``aux.weight`` (K, C) and ``aux.bias`` (K)."""
        return {f"aux.{name}": value.detach().clone() for name, value in modules["aux"].state_dict().items()}

    def examine(
        self, network: TrainableNetwork, images: Tensor, labels: Tensor, kept: Mapping[str, Tensor]
    ) -> Mapping[str, Tensor]:
        """Say what the parts are worth under attack.

        Returns
        -------
        ``robust.accuracy``, ``negative.accuracy`` and ``recalibrated.accuracy`` of the auxiliary head on f⁺,
        f⁻ and f̃⁻ (the last without the ablation), ``mask`` (C · H · W,), the mean over the images, and
        ``mask_shape``, its C, H and W.
        """
        parts = _neck(network).parts(network.maps(images))
        divided = {"robust": parts.robust, "negative": parts.rest, "recalibrated": parts.recalibrated}
        aux = [kept[f"aux.{name}"].to(images) for name in ("weight", "bias")]
        found = {
            f"{name}.accuracy": accuracy(functional.linear(pooled(maps), *aux), labels)
            for name, maps in divided.items()
            if maps is not None
        }
        shape = torch.tensor(parts.mask.shape[1:])
        return {**found, "mask": parts.mask.mean(dim=0).flatten(), "mask_shape": shape}


def _neck(network: TrainableNetwork) -> SeparationNeck:
    found = network.neck
    if not isinstance(found, SeparationNeck):
        got = "none" if found is None else type(found).__name__
        raise ValueError(f"network.neck: fsr expected the one that it makes, got {got}")
    return found
