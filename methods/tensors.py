"""From what a caller has to tensors: arrays of NumPy, lists, tensors of any device and precision.

Used wherever a library user hands over numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from methods.errors import InputError
from methods.neutral import neutral

# Images that a network is shown at once where it does not learn: few enough for any machine's memory. It is
# no setting: sums are rounded and attacks draw random numbers by the batch, so that results depend on it.
BATCH = 256
_PIXELS = BATCH * 5 * 32 * 32  # of a batch of large images: what a network makes of each is large too


class Shaped(Protocol):
    """A tensor, or what gives parts of one."""

    @property
    def shape(self) -> Sequence[int]:
        """Of all of it."""


def at_once(images: Shaped) -> int:
    """How many of `images` (N, 3, H, W) a network is shown at once: `BATCH`, from 72 × 72 pixels on fewer."""
    return max(1, min(BATCH, _PIXELS // math.prod(images.shape[2:])))


def as_tensor(name: str, values: ArrayLike | Tensor) -> Tensor:
    """Take `values` as they are, without a copy where that can be.

    Raises
    ------
    InputError
        If it is no array of numbers; names the argument.
    """
    try:
        return torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{name}: expected an array of numbers, got {type(values).__name__}: {error}"
        ) from error


def widened(values: Tensor) -> Tensor:
    """The same numbers, those of half precision in float32: NumPy has no bfloat16, and sums need more."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def rounding(values: Tensor) -> float:
    """The relative spacing of numbers of this type; 0 for whole numbers."""
    return torch.finfo(values.dtype).eps if values.is_floating_point() else 0.0


@neutral
def why_not_finite(values: Tensor) -> str:
    """How many of `values` (N, ...) are NaN or infinite, and in which row the first is; empty if none is."""
    if _sums_up(values):
        return ""
    bad = ~torch.isfinite(values.detach())
    count = int(bad.sum())
    if not count:  # the sum is too large for its type
        return ""
    row = int(not_finite(values).nonzero()[0])
    return f"{count} of {values.numel()} values are NaN or infinite, the first in row {row}"


def not_finite(values: Tensor) -> Tensor:
    """Which rows (N,) of `values` (N, ...) hold NaN or infinite numbers."""
    if _sums_up(values):
        return torch.zeros(len(values), dtype=torch.bool)
    return (~torch.isfinite(values.detach())).reshape(len(values), -1).any(dim=1).cpu()


def _sums_up(values: Tensor) -> bool:
    """Whether all are finite for sure: a sum with NaN or an infinity in it is not. One pass, no copy."""
    return not values.is_floating_point() or bool(torch.isfinite(values.detach().sum()))


@neutral
def check_image_batch(images: Tensor, what: str = "images") -> None:
    """Raise `InputError`, a `ValueError`, for what is no batch of finite floats (N, 3, H, W)."""
    _check_form(images, what)
    if why := why_not_finite(images):
        raise InputError(f"{what}: {why}")


@neutral
def check_images(images: Tensor, what: str = "images") -> None:
    """Raise `InputError`, a `ValueError`, for what is no batch of floats with pixels in [0, 1]."""
    _check_form(images, what)
    if images.numel() and not (images.min() >= 0 and images.max() <= 1):
        low, high = images.min().item(), images.max().item()
        raise InputError(f"{what}: expected pixels in [0, 1], got {low:g} to {high:g}")


@neutral
def _check_form(images: Tensor, what: str) -> None:
    if images.ndim != 4 or not images.is_floating_point():
        seen = f"{images.dtype} of shape {tuple(images.shape)}"
        hint = "; bytes are divided by 255" if images.dtype == torch.uint8 else ""
        raise InputError(f"{what}: expected floats of shape (N, 3, H, W), got {seen}{hint}")
