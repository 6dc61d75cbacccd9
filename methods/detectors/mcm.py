"""MCM: the softmax of the cosines between an image and the texts of the classes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from methods.base import Detector, Features, Head, Paper, Signal, fitted
from methods.detectors._blocks import by_blocks, head_logits, working_type
from methods.detectors._rows import normalised
from methods.registry import register

SHORTEST = 1e-12  # a norm below this counts as this


@register("mcm")
@dataclass(frozen=True)
class MCM(Detector):
    r"""Maximum concept matching, for models of images and text (Ming et al. 2022, section 3).

    .. math::
        c_k = \frac{\langle h, w_k \rangle}{\lVert h \rVert \, \lVert w_k \rVert}, \qquad
        s = \max_k \mathrm{softmax}(c / \tau)_k = \frac{1}{\sum_k \exp((c_k - \max_j c_j) / \tau)}

    with h the embedding of the image and :math:`w_k` that of the text of class k, which are the penultimate
    features and the head of a zero-shot classifier (docs/zero_shot.md). The logits of such a model are the
    cosines times a learnt scale, some 100 for CLIP, and τ is for the cosines themselves: the softmax of the
    logits, which is `msp`, is this one at τ = 1/100. The cosines are taken of the features and of the head's
    rows, so that the scale divides out, whatever it is; no hyper-parameter has to repeat it. A bias of the
    head is left out; one number for all classes, as SigLIP has it, would make no difference.

    A norm below 1e-12 counts as 1e-12: an embedding of zeros is as near to all classes, and scores 1/K. A
    single class scores 1, always. Nothing is learnt from images: `fit` keeps the head, and takes features of
    any images, of none too. Shapes: features (N, D), weight (K, D) → scores (N,). Cost: O(NKD). Products of
    float32 features are computed in float32, all that follows from them in float64.

    Parameters
    ----------
    temperature
        τ > 0, in units of the cosine, which lies in [-1, 1].

    Deviations from the paper: none in the formula, whose number there was not established. The head of a
    classifier that was trained on labels is no text: the score exists there, as a softmax of cosines, but
    what the paper says of it does not hold, and its largest cosine need not be the predicted class. Where
    references disagree: the release takes the texts ``a photo of a {class}``, without a full stop, and
    normalised embeddings without the learnt scale. Its script was read in copies of others only, where τ is
    1; an early state of its own had 0.1. How the paper words its prompts was not established.

    Differs from: OpenOOD divides the network's logits by τ = 1, which its CLIP network gives as cosines:
    another network would need its scale as τ. pytorch-ood 0.4.0 has this score, in float32.
    """

    temperature: float = 1.0

    texts: Tensor = fitted()  # (K, D): the head's rows, divided by their norms

    paper = Paper(
        title="Delving into Out-of-Distribution Detection with Vision-Language Representations",
        authors="Y. Ming, Z. Cai, J. Gu, Y. Sun, W. Li, Y. Li",
        venue="NeurIPS",
        year=2022,
        arxiv="2211.13445",
    )
    aliases = ("maximum_concept_matching",)
    needs = frozenset({Signal.PENULTIMATE, Signal.HEAD})

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature: expected a finite number above 0, got {self.temperature}")

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Keep the directions of the head's rows."""
        return self.with_state(texts=normalised(head.weight.double()))

    def score(self, features: Features) -> Tensor:
        """Score penultimate features (N, D): (N,) float64."""
        kind = working_type(features.penultimate)
        texts = self.texts.to(kind)
        none = texts.new_zeros(len(texts))

        def score(h: Tensor) -> Tensor:
            h = h.to(kind)
            length = torch.linalg.vector_norm(h, dim=1, dtype=torch.float64).clamp_min(SHORTEST)
            cosines = head_logits(h, texts, none) / length  # (K, n)
            # The largest term is 1 at any temperature, so that no quotient by a tiny one is undefined.
            below: Tensor = (cosines - cosines.amax(dim=0)) / self.temperature
            return below.exp_().sum(dim=0).reciprocal()

        return by_blocks(score, features.penultimate)
