"""Adversarial training: cross-entropy of images that PGD moved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from methods.method import Paper
from methods.objectives._adversarial import AdversarialObjective
from methods.registry import register


@register("pgd_at")
@dataclass(frozen=True)
class PGDAdversarialTraining(AdversarialObjective):
    r"""Cross-entropy of adversarial images only (Madry et al. 2018, eq. 2.1).

    .. math::
        L = \frac{1}{B} \sum_i CE(z(x'_i), y_i), \qquad
        x'_i \approx \arg\max_{\lVert x' - x_i \rVert_\infty \le \epsilon} CE(z(x'), y_i)

    where the maximum is sought by PGD from a uniform start: signed steps of η, each projected onto the ball
    and onto [0, 1]. The network is in eval mode during the attack and in train mode for the loss.

    Cost: `attack_steps` + 1 times that of cross-entropy.

    Parameters
    ----------
    epsilon
        ε in [0, 1], of pixels in [0, 1].
    attack_steps
        At least 1.
    step_size
        0 < η ≤ 1.

    Deviations from the paper: the defaults are those of Hendrycks et al. (2019), 10 steps of 2/255; the
    paper has 7 steps of the same size. The last epoch is kept: there is no early stopping on robust
    validation accuracy. Optimizer and schedule are those of the track.
    """

    aliases = ("adversarial_training", "madry")
    paper = Paper(
        title="Towards Deep Learning Models Resistant to Adversarial Attacks",
        authors="A. Madry, A. Makelov, L. Schmidt, D. Tsipras, A. Vladu",
        venue="ICLR",
        year=2018,
        arxiv="1706.06083",
    )
    cost = 11.0

    def criterion(self, adversarial: Tensor, labels: Tensor, clean: Callable[[], Tensor]) -> Tensor:
        """Scalar cross-entropy of the logits (B, K) of moved images; clean ones are not looked at."""
        return functional.cross_entropy(adversarial, labels)
