"""What is checked of all that a detector is given, before its own `fit` or `score` is called, and of scores.

`methods.base` wraps both, so that no detector checks any of this itself. Each check is one pass at most; that
of the head looks at a few rows only.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from methods.errors import InputError, ScoreError
from methods.features import Features, Signal, evenly
from methods.head import Head
from methods.neutral import neutral

LOOKED_AT = 256  # rows on which the logits are held to the head, spread over all that there are
HEAD_TOLERANCE = 1e-3  # spec §0.3: max |z - (h W' + b)|, relative to max(1, max |z|)
Widths = dict[str, tuple[tuple[int, ...], ...]]


class NotGiven(Features):
    """Stands for features that were left out: whoever looks at them learns what is missing."""

    def __init__(self, message: str) -> None:
        self._message = message

    def __getattr__(self, key: str) -> object:  # the first thing that any use asks for is not there
        raise InputError(self._message)


@neutral
def check_features(
    argument: str, features: object, needs: Collection[Signal], widths: Widths | None = None
) -> Features:
    """Return features without gradients, if they are any, and what a detector needs of them is finite.

    Parameters
    ----------
    argument
        What errors call them.
    widths
        Of the features that they must be like; None for any.

    Raises
    ------
    InputError
        Names the argument.
    """
    if not isinstance(features, Features):
        raise InputError(f"{argument}: expected Features, got {type(features).__name__}")
    for name, seen in features.widths().items():
        expected = (widths or {}).get(name, seen)
        if seen != expected:
            raise InputError(
                f"{argument}.{name}: expected {_shapes(expected)}, as the training features have, "
                f"got {_shapes(seen)}"
            )
    if why := features.why_not_finite(needs):
        raise InputError(f"{argument}.{why}")
    return features.detached()


@neutral
def check_head(head: object, features: Features, argument: str) -> None:
    """Check that logits are what a linear head makes of the penultimate features, on a few of their rows.

    They may differ by 1e-3 of the largest logit (at least 1), and by the rounding of the features' own type.

    Raises
    ------
    InputError
        If a shape does not fit, or with the largest difference.
    """
    if not isinstance(head, Head):
        hint = ": Head(layer.weight, layer.bias)" if isinstance(head, torch.nn.Module) else ""
        raise InputError(f"head: expected a Head{hint}, got {type(head).__name__}")
    if not head.is_linear or "penultimate" not in features.collected():
        return
    expected = (features.logits.shape[1], features.penultimate.shape[1])
    if head.weight.shape != expected:
        raise InputError(
            f"head: expected a weight of shape {expected}, as {argument} has {expected[0]} logits and "
            f"{expected[1]} penultimate features, got {tuple(head.weight.shape)}"
        )
    step = max(1, len(features) // LOOKED_AT)
    z, h = (part[::step][:LOOKED_AT].double() for part in (features.logits, features.penultimate))
    if not len(z):
        return
    weight, bias = head.weight.double().to(h.device), head.bias.double().to(h.device)
    gap = (z - (h @ weight.T + bias)).abs().max().item()
    rounding = features.rounding * (h.abs() @ weight.abs().T + bias.abs()).max().item()
    # Not finite where logits that are not needed are not: then nothing is said of the head.
    if gap > HEAD_TOLERANCE * max(1.0, z.abs().max().item()) + rounding:
        raise InputError(
            f"head: the logits of {argument} are not its penultimate features times this head; they differ "
            f"by up to {gap:.3g}. Are its rows in the order of the classes, and are the logits those of "
            f"this very layer, without temperature or softmax?"
        )


def limited(train: Features, limit: int | None, rng: torch.Generator | None) -> Features:
    """At most `limit` of the training images, as many of each class as can be.

    They are drawn by `rng`; without one, always the same.

    Raises
    ------
    InputError
        If the limit is below 1.
    """
    if limit is None or len(train) <= limit:
        return train
    if limit < 1:
        raise InputError(f"fit_limit: expected None or at least 1, got {limit}")
    return train[evenly(train.labels, limit, rng or torch.Generator().manual_seed(0))]


def _shapes(widths: tuple[tuple[int, ...], ...]) -> str:
    shapes = [f"(N, {', '.join(map(str, width))})" for width in widths]
    return f"shape {shapes[0]}" if len(shapes) == 1 else f"{len(shapes)} stages of shapes {', '.join(shapes)}"


def detached(scores: Tensor) -> Tensor:
    """Scores without a gradient; what is no tensor is left to `check_scores`."""
    return scores.detach() if isinstance(scores, Tensor) else scores


@neutral
def check_scores(scores: Tensor, n: int) -> Tensor:
    """Return `scores` as (n,) float64 on the CPU.

    Raises
    ------
    ScoreError
        If they are no tensor of real numbers of shape (n,), or any is NaN or infinite.
    """
    if not isinstance(scores, Tensor) or scores.shape != (n,):
        seen = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise ScoreError(f"expected scores of shape ({n},), got {seen}")
    if scores.is_complex():
        raise ScoreError(f"expected real scores, got {scores.dtype}: which part would rank the images?")
    scores = scores.detach().to("cpu", torch.float64)
    bad = int((~torch.isfinite(scores)).sum())
    if bad:
        raise ScoreError(f"{bad} of {n} scores are NaN or infinite; every score must be finite")
    return scores
