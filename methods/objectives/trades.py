"""TRADES: a trade-off between accuracy on images and agreement on their neighbours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from methods.attack import Loss
from methods.method import Paper
from methods.objective import Batch, TrainableNetwork
from methods.objectives._adversarial import AdversarialObjective, check_weight, kl
from methods.objectives._precision import widened
from methods.registry import register

START = 0.001  # standard deviation of the first step: at the image itself the divergence has no gradient


def trades_loss(clean: Tensor, adversarial: Tensor, labels: Tensor, beta: float) -> Tensor:
    """Scalar loss of the logits (B, K) of images and of moved images, and labels (B,)."""
    return functional.cross_entropy(clean, labels) + beta * kl(clean, adversarial).mean()


@register("trades")
@dataclass(frozen=True)
class TRADES(AdversarialObjective):
    r"""Cross-entropy of images, and how far predictions move within the ball (Zhang et al. 2019).

    .. math::
        L = \frac{1}{B} \sum_i CE(z(x_i), y_i)
            + \frac{\beta}{B} \sum_i \mathrm{KL}(p(x_i) \,\|\, p(x'_i)), \qquad
        x'_i \approx \arg\max_{\lVert x' - x_i \rVert_\infty \le \epsilon} \mathrm{KL}(p(x_i) \,\|\, p(x'))

    where the maximum is sought by signed steps of η from :math:`x + 0.001\,\mathcal{N}(0, I)`, each projected
    onto the ball and onto [0, 1]. Labels play no part in it. The divergence is a sum over classes and a mean
    over images. The loss is differentiated in both predictions. The network is in eval mode during the
    attack and in train mode for the loss, where images and moved images are a pass each.

    Cost: `attack_steps` + 2 times that of cross-entropy.

    Parameters
    ----------
    epsilon
        ε in [0, 1], of pixels in [0, 1].
    attack_steps
        At least 1.
    step_size
        0 < η ≤ 1.
    beta
        β ≥ 0, the paper's 1/λ.

    Deviations from the paper: none in the loss; the defaults are those of the release's script for CIFAR-10.
    The last epoch is kept. Optimizer and schedule are those of the track.
    """

    epsilon: float = 0.031
    step_size: float = 0.007
    beta: float = 6.0

    paper = Paper(
        title="Theoretically Principled Trade-off between Robustness and Accuracy",
        authors="H. Zhang, Y. Yu, J. Jiao, E. P. Xing, L. El Ghaoui, M. I. Jordan",
        venue="ICML",
        year=2019,
        arxiv="1901.08573",
    )
    cost = 12.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_weight("beta", self.beta)

    def _search(self, network: TrainableNetwork, batch: Batch) -> tuple[Loss, Tensor]:
        clean = widened(network(batch.images)).detach()  # and not under `torch.no_grad`: see `as_in_use`
        noise = torch.randn(batch.images.shape, generator=batch.rng).to(batch.images)
        return lambda x: kl(clean, widened(network(x))), batch.images + START * noise

    def criterion(self, adversarial: Tensor, labels: Tensor, clean: Callable[[], Tensor]) -> Tensor:
        """Scalar loss of the logits (B, K) of moved images, and of the clean ones."""
        return trades_loss(clean(), adversarial, labels, self.beta)
