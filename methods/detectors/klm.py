"""KL matching: divergence of the prediction from the typical prediction of a class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self, get_args

import torch
from torch import Tensor

from methods.base import Detector, Features, Head, Paper, Signal, fitted
from methods.detectors._blocks import by_blocks, classes_first
from methods.detectors._rows import Rows
from methods.registry import register

Mode = Literal["min", "pred"]

FLOOR = 1e-12  # no probability counts as less inside a logarithm


@register("klm")
@dataclass(frozen=True)
class KLM(Detector):
    r"""Divergence of the prediction from the nearest class template (Hendrycks et al. 2022).

    .. math::
        d_k &= \frac{1}{|S_k|} \sum_{i \in S_k} p_i, \qquad p = \mathrm{softmax}(z) \\
        s &= -\min_k \mathrm{KL}(p \Vert d_k), \qquad
        \mathrm{KL}(p \Vert d) = \sum_j p_j \bigl(\log \max(p_j, 10^{-12}) - \log \max(d_j, 10^{-12})\bigr)

    :math:`S_k` are the validation images predicted as k, and the minimum is over the classes that have any: a
    class that is never predicted has no template, and a prediction of it is far from all.

    Shapes: logits (N, K) → scores (N,); K templates of K probabilities. Cost: fit O(NK), score O(NK²).

    Parameters
    ----------
    mode
        ``min``: as above. ``pred``: :math:`S_k` are the validation images labelled k, and the divergence is
        from the template of the predicted class, :math:`s = -\mathrm{KL}(p \Vert d_{\hat y})`, one-hot
        where no image has the label.

    Deviations from the paper: none. Where references disagree: the paper makes templates of validation
    images, as here; some code takes training images, on which a network that memorises is more certain. One
    public library measures from the predicted class's template, made in one version of the images predicted,
    not labelled, as that class; ``pred`` is that score where the validation labels are the predictions.

    Differs from: none in the settings, in ``min``. OpenOOD v1.5 and pytorch-ood 0.4.0 have no floor, so that
    a probability of 0 in a template makes the divergence infinite or as good as.
    """

    mode: Mode = "min"

    templates: Tensor = fitted()  # (K, K): row k is d_k, one-hot where S_k is empty
    made: Tensor = fitted()  # (K,) bool: of some image

    paper = Paper(
        title="Scaling Out-of-Distribution Detection for Real-World Settings",
        authors="D. Hendrycks, S. Basart, M. Mazeika, A. Zou, J. Kwon, M. Mostajabi, J. Steinhardt, D. Song",
        venue="ICML",
        year=2022,
        arxiv="1911.11132",
    )
    aliases = ("kl_matching",)
    needs = frozenset({Signal.LOGITS})

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise ValueError(f"mode: expected one of {', '.join(get_args(Mode))}, got {self.mode!r}")

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Learn the mean prediction of each class from the validation images.

        Raises
        ------
        ValueError
            If there is no validation image.
        """
        if len(val) == 0:
            raise ValueError("val: expected at least one validation image to make templates of, got none")
        rows = Rows(val.logits, lambda z: torch.softmax(z, dim=1))
        member_of = val.logits.argmax(dim=1) if self.mode == "min" else val.labels.long()
        one_hot = torch.eye(rows.width, dtype=torch.float64, device=val.logits.device)
        sums = rows.total(lambda p, of: one_hot[of].T @ p, member_of)  # (K, K)
        counts = torch.bincount(member_of, minlength=rows.width)[:, None]
        templates = torch.where(counts > 0, sums / counts.clamp(min=1), one_hot)
        return self.with_state(templates=templates, made=counts[:, 0] > 0)

    def score(self, features: Features) -> Tensor:
        """Score logits (N, K): (N,) float64."""
        return -by_blocks(self._divergence, features.logits)

    def _divergence(self, logits: Tensor) -> Tensor:
        p = torch.softmax(classes_first(logits), dim=0)  # (K, n)
        # Σ p (log p - log d), with the second sum for all templates at once.
        divergence = (p * _log(p)).sum(dim=0) - _log(self.templates) @ p  # (K, n)
        if self.mode == "pred":
            return divergence.gather(0, logits.argmax(dim=1)[None])[0]
        return divergence[self.made].amin(dim=0)


def _log(p: Tensor) -> Tensor:
    return p.clamp(min=FLOOR).log()
