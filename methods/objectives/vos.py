"""VOS: the energy learns to tell features from virtual outliers, far out of the Gaussians of the classes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from methods.method import Paper
from methods.objective import Batch, Objective, ObjectiveHead, Setup, TrainableNetwork
from methods.objectives._precision import widened
from methods.objectives._virtual import EnergyHead, Recent, longest
from methods.registry import register


@register("vos")
@dataclass(frozen=True)
class VOS(Objective):
    r"""Cross-entropy, and that energies tell images from virtual outliers (Du et al. 2022).

    .. math::
        \hat\mu_c &= \frac{1}{Q_c} \sum_{i \in c} h_i, \qquad
            \hat\Sigma = \frac{1}{\sum_c Q_c} \sum_c \sum_{i \in c} (h_i - \hat\mu_c)(h_i - \hat\mu_c)^\top
            + \epsilon I \\
        V &= \text{of } S \text{ samples of each } \mathcal{N}(\hat\mu_c, \hat\Sigma)
            \text{ the } t \text{ least likely} \\
        -E(h) &= \log \sum_k \max(w_k, 0) \, e^{z_k(h)}, \qquad
            d = \phi(-E) = \phi_1(-E) - \phi_0(-E) \\
        L &= -\frac{1}{B} \sum_i \log \mathrm{softmax}(z_i)_{y_i} + \frac{\beta}{B + |V|} \Big(
            \sum_i \log(1 + e^{-d(h_i)}) + \sum_{v \in V} \log(1 + e^{d(v)}) \Big)

    with the last Q features h of each class, w and the two linear functions φ learnt along, and the second
    term from the share `start` of the training on. The head gives d as its output (N, 1); the paper's score
    is its sigmoid, which the detector `domain` is.

    Shapes: features h (B, D), kept ones (K, Q, D), virtual outliers (K t, D). Cost: that of cross-entropy; in
    addition, from `start` on, O(K Q D² + D³) a step for the Gaussians. Memory: 4 K Q D bytes, in a checkpoint
    too; with many classes take a smaller `queue`.

    Parameters
    ----------
    weight
        β ≥ 0.
    queue
        Q, at least 1.
    candidates
        S, at least `select`.
    select
        t, at least 1.
    start
        Share of the training, in [0, 1]: 40 of 100 epochs in the release.
    shrinkage
        ε > 0.

    Deviations from the paper: a class with fewer than Q training images keeps as many as it has, without
    which small sets would never begin. The t least likely of S samples are drawn as such, from the
    distribution that they have, instead of all S. φ starts rising, with the steeper of two random slopes for
    in-distribution; in the release either may be, and a short training does not turn it, so that scores would
    have the wrong sign. A weight of 0 or less counts as 1e-30. Where references disagree: the classification
    code of the release throws w and φ away and scores with `energy` or `msp`; there φ is one linear layer, as
    here, and whether the paper's is another was not established. OpenOOD's weights w are drawn anew in each
    step and not learnt.
    """

    weight: float = 0.1
    queue: int = 1000
    candidates: int = 10_000
    select: int = 1
    start: float = 0.4
    shrinkage: float = 1e-4

    paper = Paper(
        title="VOS: Learning What You Don't Know by Virtual Outlier Synthesis",
        authors="X. Du, Z. Wang, M. Cai, Y. Li",
        venue="ICLR",
        year=2022,
        arxiv="2202.01197",
    )
    detectors = ("domain", "energy")

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise ValueError(f"weight: expected a finite number of at least 0, got {self.weight}")
        for name in ("queue", "select"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if self.candidates < self.select:
            raise ValueError(
                f"candidates: expected at least as many as `select`, {self.select}, got {self.candidates}"
            )
        if not 0 <= self.start <= 1:
            raise ValueError(f"start: expected a share in [0, 1], got {self.start}")
        if not 0 < self.shrinkage < math.inf:
            raise ValueError(f"shrinkage: expected a finite number above 0, got {self.shrinkage}")

    def head(self, dimension: int, classes: int) -> ObjectiveHead:
        """Make the linear layer, and what tells energies apart."""
        return EnergyHead(dimension, classes)

    def modules(self, setup: Setup) -> Mapping[str, nn.Module]:
        """Make the place of the last features."""
        sizes = torch.full((setup.classes,), self.queue)
        if len(setup.labels):
            sizes = sizes.minimum(torch.bincount(setup.labels, minlength=setup.classes))
        return {"recent": Recent(sizes, setup.dimension)}

    def loss(self, network: TrainableNetwork, batch: Batch, modules: Mapping[str, nn.Module]) -> Tensor:
        """Scalar loss of one batch, with virtual outliers once there is what they are made of.

        Raises
        ------
        TypeError
            If the network does not end in this objective's head.
        """
        head, recent = network.head, modules["recent"]
        if not isinstance(head, EnergyHead):
            raise TypeError(f"the network ends in {type(head).__name__}, not in this objective's EnergyHead")
        assert isinstance(recent, Recent)
        features = network.penultimate(batch.images)
        logits = widened(head(features))
        plain = functional.cross_entropy(logits, batch.labels)
        batch.note("class_loss", plain.detach())
        recent.add(features.detach(), batch.labels)
        if batch.progress < self.start * batch.epochs or not recent.full():
            return plain
        virtual = self._virtual(recent, batch.rng).to(batch.images)
        sides = head.sides(torch.cat([logits, widened(head(virtual))]))
        within = torch.arange(len(sides), device=sides.device) < len(logits)
        apart = functional.cross_entropy(sides, within.long())
        batch.note("uncertainty_loss", apart.detach())
        return plain + self.weight * apart

    def _virtual(self, recent: Recent, rng: torch.Generator) -> Tensor:
        """Draw virtual outliers (K t, D), in float64."""
        means, root = recent.gaussians(self.shrinkage)
        drawn = longest(len(means), self.select, len(root), self.candidates, rng).to(means.device)
        return (means[:, None] + drawn @ root.T).flatten(0, 1)
