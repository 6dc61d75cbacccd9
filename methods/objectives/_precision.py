"""The precision that losses are computed in."""

from __future__ import annotations

from torch import Tensor


def widened(logits: Tensor) -> Tensor:
    """Logits in float32 where they are in half precision, as under autocast; others as they are."""
    return logits.float() if logits.dtype.itemsize < 4 else logits
