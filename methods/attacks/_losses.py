"""Losses that attacks raise, one value an image (spec §3.3, §3.4)."""

from __future__ import annotations

import torch
from torch import Tensor

from methods.attack import Classifier

_TINY = 1e-12


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Logit of the label above the largest other one, (N,): negative where the network errs."""
    own = logits.gather(1, labels[:, None])[:, 0]
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return own - others.amax(dim=1)


def carlini_wagner(logits: Tensor, labels: Tensor, confidence: float) -> Tensor:
    """-max(0, margin + κ) of Carlini & Wagner (2017): (N,)."""
    return -(margin(logits, labels) + confidence).relu()


def dlr(logits: Tensor, labels: Tensor) -> Tensor:
    """Difference of logits ratio (Croce & Hein 2020, eq. 6), of at least 3 classes: (N,)."""
    ordered = logits.sort(dim=1, descending=True).values
    return -margin(logits, labels) / (ordered[:, 0] - ordered[:, 2] + _TINY)


def targeted_dlr(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """The same towards a target class, of at least 4 classes (Croce & Hein 2020, eq. 7): (N,)."""
    ordered = logits.sort(dim=1, descending=True).values
    own, wanted = (logits.gather(1, index[:, None])[:, 0] for index in (labels, targets))
    return -(own - wanted) / (ordered[:, 0] - (ordered[:, 2] + ordered[:, 3]) / 2 + _TINY)


@torch.no_grad()
def resists(network: Classifier, images: Tensor, labels: Tensor) -> Tensor:
    """Which images the network gets right: (N,) bool."""
    return network(images).argmax(dim=1) == labels
