"""mixup: training on convex combinations of images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from methods.method import Paper
from methods.objective import Batch, Objective, TrainableNetwork
from methods.objectives._mixing import check_alpha, mixed_cross_entropy, numpy_rng
from methods.registry import register


@register("mixup")
@dataclass(frozen=True)
class Mixup(Objective):
    r"""Cross-entropy of weighted means of two images, to the labels of both (Zhang et al. 2018).

    .. math::
        \tilde x_i &= \lambda x_i + (1 - \lambda) x_{\pi(i)}, \qquad
            \lambda \sim \mathrm{Beta}(\alpha, \alpha) \\
        L &= -\frac{1}{B} \sum_i \big[ \lambda \log p(\tilde x_i)_{y_i}
            + (1 - \lambda) \log p(\tilde x_i)_{y_{\pi(i)}} \big]

    with one λ and one random permutation π a batch.

    Parameters
    ----------
    alpha
        α > 0; 1 makes λ uniform. Small values leave most images nearly as they are: 0.2 suits fine-tuning.

    Deviations from the paper: none.
    """

    alpha: float = 1.0

    paper = Paper(
        title="mixup: Beyond Empirical Risk Minimization",
        authors="H. Zhang, M. Cisse, Y. N. Dauphin, D. Lopez-Paz",
        venue="ICLR",
        year=2018,
        arxiv="1710.09412",
    )
    detectors = ("msp",)

    def __post_init__(self) -> None:
        check_alpha(self.alpha)

    def loss(self, network: TrainableNetwork, batch: Batch, modules: Mapping[str, nn.Module]) -> Tensor:
        """Scalar loss of one batch, mixed."""
        share = float(numpy_rng(batch.rng).beta(self.alpha, self.alpha))
        order = torch.randperm(len(batch.images), generator=batch.rng).to(batch.images.device)
        logits = network(share * batch.images + (1 - share) * batch.images[order])
        return mixed_cross_entropy(logits, batch.labels, batch.labels[order], share)
