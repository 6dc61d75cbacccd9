"""What `fsr` puts into a network: a mask of what is robust in its last maps, and a use for the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from methods.objective import ObjectiveNeck
from methods.objectives._precision import widened

LEAST = 1e-8  # of a uniform draw, so that its logarithm is finite


def soft_mask(scores: Tensor, temperature: float, uniform: Tensor | None = None) -> Tensor:
    """Mask of scores (...), in (0, 1): near 1 where a score is high.

    With uniform draws (2, ...), a Gumbel-softmax sample; without, what it is with draws of 1/2.
    """
    if uniform is not None:
        # softmax over (log σ(a) + g_0, log(1 - σ(a)) + g_1) is a sigmoid of the difference: a + g_0 - g_1.
        gumbel = -torch.log(-torch.log(uniform.clamp(min=LEAST)))
        scores = scores + gumbel[0] - gumbel[1]
    return torch.sigmoid(scores / temperature)


@dataclass(frozen=True)
class Parts:
    """What maps are divided into and joined from, each (N, C, H, W)."""

    mask: Tensor
    robust: Tensor  # f⁺
    rest: Tensor  # f⁻
    recalibrated: Tensor | None  # f̃⁻; None where the rest is dropped
    joined: Tensor  # f̂, what the network goes on with

    @classmethod
    def of(cls, maps: Tensor, mask: Tensor, recalibrate: Callable[[Tensor], Tensor] | None) -> Parts:
        """Divide maps by a mask; what `recalibrate` makes of the rest is added where the mask is low."""
        robust, rest = mask * maps, (1 - mask) * maps
        if recalibrate is None:
            return cls(mask, robust, rest, None, robust)
        recalibrated = rest + (1 - mask) * recalibrate(rest)
        return cls(mask, robust, rest, recalibrated, robust + recalibrated)


class PositionNorm(nn.LayerNorm):
    """Layer normalisation over the channels of maps (N, C, H, W), at each position by itself."""

    def forward(self, maps: Tensor) -> Tensor:
        """Maps of the same shape."""
        return super().forward(maps.movedim(1, -1)).movedim(-1, 1)


class SeparationNeck(ObjectiveNeck):
    """The two nets of FSR over maps of C channels; in train mode the mask is drawn, in eval mode it is not.

    Both are three 3×3 convolutions without biases, C → hidden → hidden → C, with normalisation and ReLU in
    between: batch normalisation, or `PositionNorm` where the maps are a transformer's tokens.
    """

    def __init__(
        self, channels: int, hidden: int, temperature: float, *, recalibrate: bool, tokens: bool
    ) -> None:
        super().__init__()
        self.channels, self.temperature = channels, temperature
        self.separation = _net(channels, hidden, tokens=tokens)
        self.recalibration = _net(channels, hidden, tokens=tokens) if recalibrate else None

    def forward(self, maps: Tensor) -> Tensor:
        """f̂ (N, C, H, W), in the type of the maps."""
        return self.parts(maps).joined.to(maps.dtype)

    def parts(self, maps: Tensor) -> Parts:
        """All of what maps (N, C, H, W) are divided into, in float32 at least."""
        scores = widened(self.separation(maps))
        uniform = None
        if self.training:  # torch's own generator: a training seeds it and keeps its state
            uniform = torch.rand((2, *scores.shape), dtype=scores.dtype, device=scores.device)
        mask = soft_mask(scores, self.temperature, uniform)
        return Parts.of(widened(maps), mask, self.recalibration)


def _net(channels: int, hidden: int, *, tokens: bool) -> nn.Sequential:
    norm = PositionNorm if tokens else nn.BatchNorm2d
    return nn.Sequential(
        nn.Conv2d(channels, hidden, 3, padding=1, bias=False),
        norm(hidden),
        nn.ReLU(),
        nn.Conv2d(hidden, hidden, 3, padding=1, bias=False),
        norm(hidden),
        nn.ReLU(),
        nn.Conv2d(hidden, channels, 3, padding=1, bias=False),
    )


def pooled(maps: Tensor) -> Tensor:
    """Means (N, C) over the positions of maps (N, C, H, W)."""
    return maps.mean(dim=(2, 3))


def strongest_wrong(logits: Tensor, labels: Tensor) -> Tensor:
    """The class y' (N,) with the largest of the logits (N, K) other than the label's.

    That is the predicted class where it is wrong, and the second where it is right.
    """
    return logits.detach().scatter(1, labels[:, None], -torch.inf).argmax(dim=1)


def separation_loss(robust: Tensor, rest: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """Scalar loss of the auxiliary head's logits (N, K) of f⁺ and f⁻; `logits` are the network's own."""
    wrong = strongest_wrong(logits, labels)
    return functional.cross_entropy(robust, labels) + functional.cross_entropy(rest, wrong)
