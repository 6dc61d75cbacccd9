"""Parts of a network that one forward pass must leave as they are: weights, running statistics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def weights_frozen(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Let what is computed inside give these modules' own parameters no gradient.

    Its graph may be differentiated after leaving. Parameters that were frozen before stay so.
    """
    parameters = [p for module in modules for p in module.parameters(recurse=False)]
    before = [p.requires_grad for p in parameters]
    try:
        for parameter in parameters:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter, was in zip(parameters, before, strict=True):
            parameter.requires_grad_(was)


@contextmanager
def statistics_frozen(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Let batch normalisation normalise as it is set to, by the batch in training, but learn nothing of it.

    Running means, variances and counts stay, and so does every setting of the modules.
    """
    norms = [m for m in modules if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training]
    before = [norm.track_running_stats for norm in norms]
    try:
        for norm in norms:
            norm.track_running_stats = False
        yield
    finally:
        for norm, was in zip(norms, before, strict=True):
            norm.track_running_stats = was
