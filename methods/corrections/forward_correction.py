"""Forward correction: the network is asked for true classes, the loss is of observed ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor, nn

from methods.corrections._anchors import check_percentile, from_anchors
from methods.corrections._forward import corrected_losses
from methods.label_noise import Correction
from methods.method import Paper
from methods.objective import Batch, Setup, TrainableNetwork
from methods.registry import register


@register("forward_correction")
@dataclass(frozen=True)
class ForwardCorrection(Correction):
    r"""Cross-entropy of the observed labels under probabilities that passed the noise (Patrini et al. 2017).

    .. math::
        L = -\frac{1}{B} \sum_i \log \max\big( (p_i^T \hat C)_{\tilde y_i}, 10^{-12} \big), \qquad
        \hat C_i = p'(x_{a(i)})

    Row i of Ĉ is what the network of the first phase, :math:`p'`, says of the anchor of class i: the training
    image to which it gives the most :math:`p'_i`, the topmost few left out. No label is trusted.

    Shapes: logits (B, K), Ĉ (K, K). Cost: a step costs what cross-entropy's does. The first phase is another
    training.

    Parameters
    ----------
    percentile
        In (0, 100]. The anchor has the largest :math:`p'_i` strictly below this percentile of all training
        images, or the largest of all at 100, or where none is below. The paper's values are 97 on CIFAR-10
        and 100 on CIFAR-100. None: for each class 97, or 100 where that leaves out half of the images that a
        class has on average, because there are more than 16 classes, few images, or many with equal
        :math:`p'_i`.

    Deviations from the paper: a probability below 1e-12 counts as that, without gradient. The release strikes
    out what is above the percentile in the matrix of probabilities itself, so that later classes see it; here
    it stays as it is. A class with far fewer images than the others can have an anchor of another class.
    """

    percentile: float | None = None

    paper = Paper(
        title="Making Deep Neural Networks Robust to Label Noise: a Loss Correction Approach",
        authors="G. Patrini, A. Rozza, A. Krishna Menon, R. Nock, L. Qu",
        venue="CVPR",
        year=2017,
        arxiv="1609.03683",
    )
    detectors = ("msp",)

    def __post_init__(self) -> None:
        check_percentile(self.percentile)

    def estimate(self, setup: Setup) -> Tensor:
        """(K, K) float64 from the anchors."""
        return from_anchors(self.probabilities(setup), self.percentile)

    def modules(self, setup: Setup) -> Mapping[str, nn.Module]:
        """Keep the estimated matrix; errors as for every correction.

        No label of the highest class may be left by the noise: the first phase's network knows all classes.
        """
        classes = setup.classes if setup.first is None else max(setup.classes, setup.first.shape[-1])
        return super().modules(replace(setup, classes=classes))

    def loss(self, network: TrainableNetwork, batch: Batch, modules: Mapping[str, nn.Module]) -> Tensor:
        """Scalar loss of one batch."""
        return corrected_losses(network(batch.images), batch.labels, modules["noise"]()).mean()
