"""MART: adversarial training that looks more closely at what the network gets wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from methods.method import Paper
from methods.objectives._adversarial import AdversarialObjective, check_weight, kl
from methods.registry import register


def boosted_cross_entropy(adversarial: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of logits (B, K), with a margin to the strongest wrong class added: (B,)."""
    wrong = torch.softmax(adversarial, dim=1).scatter(1, labels[:, None], 0.0).amax(dim=1)
    margin = -torch.log(1.0001 - wrong + 1e-12)
    return functional.cross_entropy(adversarial, labels, reduction="none") + margin


def weighted_kl(clean: Tensor, adversarial: Tensor, labels: Tensor) -> Tensor:
    """KL between predictions from logits (B, K), less where a clean image has its class: (B,)."""
    right = torch.softmax(clean, dim=1).gather(1, labels[:, None])[:, 0]
    return kl(clean, adversarial) * (1.0000001 - right)


def mart_loss(clean: Tensor, adversarial: Tensor, labels: Tensor, beta: float) -> Tensor:
    """Scalar loss of the logits (B, K) of images and of moved images, and labels (B,)."""
    boosted = boosted_cross_entropy(adversarial, labels).mean()
    return boosted + beta * weighted_kl(clean, adversarial, labels).mean()


@register("mart")
@dataclass(frozen=True)
class MART(AdversarialObjective):
    r"""Adversarial training that weighs misclassified images more (Wang et al. 2020).

    .. math::
        L = \frac{1}{B} \sum_i \Big( CE(z(x'_i), y_i)
            - \log(1 - \max_{k \ne y_i} p_k(x'_i)) \Big)
            + \frac{\beta}{B} \sum_i \mathrm{KL}(p(x_i) \,\|\, p(x'_i)) \, (1 - p_{y_i}(x_i))

    with x' of `pgd_at`: PGD on the cross-entropy from a uniform start. As in the release, the first 1 is
    1.0001 and the second 1.0000001, so that logarithm and weight stay positive. The loss is differentiated in
    both predictions. The network is in eval mode during the attack and in train mode for the loss, where
    images and moved images are a pass each.

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
        β ≥ 0, the paper's λ: 5 in the release's scripts, 6 as its function's default.

    Deviations from the paper: ε, η and the start are those of the other objectives here; the release has
    0.031, 0.007 and starts from noise of standard deviation 0.001. The last epoch is kept. Optimizer and
    schedule are those of the track.
    """

    beta: float = 5.0

    paper = Paper(
        title="Improving Adversarial Robustness Requires Revisiting Misclassified Examples",
        authors="Y. Wang, D. Zou, J. Yi, J. Bailey, X. Ma, Q. Gu",
        venue="ICLR",
        year=2020,
    )
    cost = 12.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_weight("beta", self.beta)

    def criterion(self, adversarial: Tensor, labels: Tensor, clean: Callable[[], Tensor]) -> Tensor:
        """Scalar loss of the logits (B, K) of moved images, and of the clean ones."""
        return mart_loss(clean(), adversarial, labels, self.beta)
