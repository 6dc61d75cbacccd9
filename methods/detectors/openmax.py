"""OpenMax: logits recalibrated by how extreme an image is for each class, and the share of the unknown."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import scipy
import torch
from torch import Tensor
from torch.nn import functional

from methods.base import Detector, Features, Head, Paper, Signal, fitted
from methods.detectors._gaussian import class_means
from methods.detectors._rows import Rows
from methods.registry import register

TRANSLATION = 1e4  # added to the tail of distances before the Weibull fit, as in libMR
STEP = 1e25  # shape of the Weibull distribution of a tail without spread: a step


@register("openmax")
@dataclass(frozen=True)
class OpenMax(Detector):
    r"""Odds against the unknown class of recalibrated logits (Bendale & Boult 2016, algorithms 1, 2).

    .. math::
        d_k(z) &= \rho \lVert z - \mu_k \rVert + 1 - \cos(z, \mu_k) \\
        w_k(z) &= 1 - \exp\left(-\left(\frac{d_k(z) - t_k + 10^4}{\lambda_k}\right)^{\kappa_k}\right) \\
        \hat z_k &= z_k (1 - \omega_k w_k), \qquad \hat z_0 = \sum_k z_k \omega_k w_k \\
        s &= \log \sum_{k \ge 1} \exp \hat z_k - \hat z_0 = \log \frac{1 - P_0}{P_0}

    :math:`\mu_k` is the mean logit vector of the training images of class k that are classified correctly.
    The Weibull parameters :math:`\kappa_k, \lambda_k` are fitted by maximum likelihood to the largest of
    their distances :math:`d_k`, of which :math:`t_k` is the least. The α largest logits have the weights
    :math:`\omega = 1, (\alpha - 1)/\alpha, \dots, 1/\alpha` in descending order and all others 0. The score
    ranks as minus the probability :math:`P_0` of the unknown class in the softmax of all
    :math:`\hat z_0, \hat z_1, \dots`, and does not tie where that rounds to 0 or 1.

    Shapes: logits (N, K), labels (N,) → scores (N,). Cost: fit O(NK), score O(NK²).

    Parameters
    ----------
    alpha
        α, how many of the largest logits are recalibrated, at least 1; at most K are.
    tail
        How many of the largest distances of a class are fitted, at least 2; a class of fewer gives all.
    euclidean
        ρ ≥ 0, the weight of the Euclidean distance next to that of the cosine.

    Deviations from the paper: its logits are those of ten crops of an image, here there is one. A class of
    which no training image is classified correctly is described by all its images, where the release fails; a
    class without a training image is an error. A tail without spread, as that of one image, gives a step:
    :math:`w_k = 1` beyond it and 0 before it. Where references disagree: libMR shifts the tail to 10⁴ before
    the fit, which makes the Weibull distribution nearly a Gumbel one, and so is done here; one benchmark has
    α = 3 and the Euclidean distance alone, one library a tail of 25. Norms below 1e-12 count as 1e-12.

    Differs from: OpenOOD v1.5 takes α = 3 and the Euclidean distance alone, pytorch-ood 0.4.0 a tail of 25,
    the Euclidean distance alone and means of all images of a class. The Weibull fit depends on the scale of
    the distance, so that no `euclidean` is theirs.
    """

    alpha: int = 10
    tail: int = 20
    euclidean: float = 1 / 200

    means: Tensor = fitted()  # (K, K): μ
    starts: Tensor = fitted()  # (K,): t
    shapes: Tensor = fitted()  # (K,): κ
    log_scales: Tensor = fitted()  # (K,): log(λ / 10⁴)

    paper = Paper(
        title="Towards Open Set Deep Networks",
        authors="A. Bendale, T. E. Boult",
        venue="CVPR",
        year=2016,
        arxiv="1511.06233",
    )
    needs = frozenset({Signal.LOGITS})

    def __post_init__(self) -> None:
        if self.alpha < 1:
            raise ValueError(f"alpha: expected at least 1, got {self.alpha}")
        if self.tail < 2:
            raise ValueError(f"tail: expected at least 2, got {self.tail}")
        if not 0 <= self.euclidean < math.inf:
            raise ValueError(f"euclidean: expected a finite number of at least 0, got {self.euclidean}")

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Learn the mean and the tail of each class.

        Raises
        ------
        ValueError
            If a class has no training image.
        """
        rows, labels, classes = Rows(train.logits), train.labels.long(), train.logits.shape[1]
        correct = train.logits.argmax(dim=1) == labels
        recognised = torch.bincount(labels[correct], minlength=classes) > 0
        used = correct | ~recognised[labels]
        means = class_means(rows, labels.where(used, classes), classes)

        def distance(z: Tensor, own: Tensor, kept: Tensor) -> Tensor:
            return self._distances(z[kept], means).gather(1, own[kept][:, None])[:, 0]

        distances, labels = rows.each(distance, labels, used), labels[used]
        starts, shapes, log_scales = [], [], []
        for k in range(classes):
            own = distances[labels == k]
            tail = torch.topk(own, min(self.tail, len(own))).values
            shape, log_scale = weibull(torch.log1p((tail - tail[-1]) / TRANSLATION))
            starts.append(float(tail[-1]))
            shapes.append(shape)
            log_scales.append(log_scale)
        state = {"starts": starts, "shapes": shapes, "log_scales": log_scales}
        return self.with_state(means=means, **{key: means.new_tensor(value) for key, value in state.items()})

    def score(self, features: Features) -> Tensor:
        """Score logits (N, K): (N,) float64."""
        z = features.logits.double()
        beyond = self._distances(z, self.means) - self.starts  # (N, K)
        logs = torch.log1p((beyond / TRANSLATION).clamp_min(1e-12 - 1))
        w = -torch.expm1(-torch.exp(self.shapes * (logs - self.log_scales)))
        alpha = min(self.alpha, z.shape[1])
        largest = torch.sort(z, dim=1, descending=True, stable=True).indices[:, :alpha]
        weights = (1 - torch.arange(alpha).to(z) / alpha).expand(len(z), -1)
        taken = z * torch.zeros_like(z).scatter_(1, largest, weights) * w
        return torch.logsumexp(z - taken, dim=1) - taken.sum(dim=1)

    def _distances(self, z: Tensor, means: Tensor) -> Tensor:
        cosines = functional.normalize(z, dim=1) @ functional.normalize(means, dim=1).T
        apart = torch.cdist(z, means, compute_mode="donot_use_mm_for_euclid_dist")
        return self.euclidean * apart + 1 - cosines


def weibull(logs: Tensor) -> tuple[float, float]:
    """Shape and log-scale of the likeliest Weibull distribution of a sample, given by its logarithms (n,).

    The likelihood equation of the shape has one root, because its left side grows; the scale follows.
    """
    largest, spread = float(logs.max()), float(logs.std(correction=0))
    if spread == 0:
        return STEP, largest
    u = (logs - largest) / spread

    def slope(shape: float) -> float:
        powers = torch.exp(shape * u)
        return float((powers * u).sum() / powers.sum() - u.mean()) - 1 / shape

    shape = float(scipy.optimize.brentq(slope, 1e-3, 1e6, xtol=1e-300, rtol=1e-14))
    log_scale = largest + spread * float(torch.exp(shape * u).mean().log()) / shape
    return shape / spread, log_scale
