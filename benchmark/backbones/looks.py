"""What a network looks like, before there is one: this module must not import torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Looks:
    """What a network looks like, and how its inputs are prepared."""

    architecture: str  # of timm, perhaps with the tag of weights, which names the input normalisation too
    stem: str
    image_size: int
    options: Mapping[str, Any] | None = field(default=None, kw_only=True)  # of `timm.create_model`
    enlarged: int | None = field(default=None, kw_only=True)  # side to which it scales images itself
    interpolation: str | None = field(default=None, kw_only=True)  # with which; None: bilinear
    mean: Sequence[float] | None = field(default=None, kw_only=True)  # of the channels; None: timm's
    std: Sequence[float] | None = field(default=None, kw_only=True)
