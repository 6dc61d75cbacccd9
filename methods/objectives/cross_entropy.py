"""Cross-entropy: the plain classifier, and the baseline of every other objective."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from methods.method import Paper
from methods.objective import Batch, Objective, TrainableNetwork
from methods.registry import register


@register("cross_entropy")
@dataclass(frozen=True)
class CrossEntropy(Objective):
    r"""Mean negative log-likelihood of the labels under the softmax of the logits.

    .. math:: L = -\frac{1}{B} \sum_i \log \mathrm{softmax}(z_i)_{y_i}

    Deviations from the paper: none.
    """

    aliases = ("ce",)
    paper = Paper(
        title="Probabilistic Interpretation of Feedforward Classification Network Outputs",
        authors="J. S. Bridle",
        venue="Neurocomputing: Algorithms, Architectures and Applications",
        year=1990,
    )

    detectors = ("msp", "energy", "mahalanobis", "knn")

    def loss(self, network: TrainableNetwork, batch: Batch, modules: Mapping[str, nn.Module]) -> Tensor:
        """Scalar cross-entropy of one batch."""
        return functional.cross_entropy(network(batch.images), batch.labels)
