"""What a model is given: pixels normalised, in its type and in its channels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.backbones.device import moved
from benchmark.backbones.network import CHANNELS, to_pixels
from benchmark.errors import UsageError

Normalise = tuple[Sequence[float], Sequence[float]]  # mean and standard deviation of each channel
LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow turns RGB to grey


@dataclass(frozen=True)
class Intake:
    """Takes images to a model.

    Attributes
    ----------
    normalise
        Mean and standard deviation of pixels in [0, 1], one or one a channel; None if not known.
    grey
        Whether the model takes one channel: of three it is shown the luminance.

    Raises
    ------
    UsageError
        If the normalisation does not fit the channels, or is not finite, or a deviation not above 0.
    """

    title: str
    normalise: Normalise | None
    grey: bool
    dtype: torch.dtype
    device: torch.device

    def __post_init__(self) -> None:
        if self.normalise is None:
            return
        mean, std = (tuple(map(float, values)) for values in self.normalise)
        lengths = {1} if self.grey else {1, CHANNELS}
        if len(mean) not in lengths or len(std) not in lengths:
            channels = " or ".join(map(str, sorted(lengths)))
            raise UsageError(
                f"{self.title}: normalise has {len(mean)} means and {len(std)} deviations; "
                f"expected {channels}"
            )
        if not all(map(math.isfinite, (*mean, *std))) or min(std) <= 0:
            raise UsageError(
                f"{self.title}: normalise is {mean} and {std}; expected finite means and deviations above 0"
            )

    def taken(self, images: Tensor) -> Tensor:
        """Images as they are given: uint8 pixels are normalised, floats are as the model takes them."""
        images = moved(images, self.device)
        if images.dtype != torch.uint8:
            return self._coloured(images).to(self.dtype)
        if self.normalise is None:
            raise UsageError(
                f"{self.title}: got uint8 pixels, and how the model's inputs are normalised is not known: "
                "give normalise=(mean, std) (--mean and --std), or floats as the model takes them"
            )
        return self._normalised(to_pixels(images))

    def pixels(self, images: Tensor) -> Tensor:
        """Images of pixels in [0, 1]; as the model takes them where the normalisation is not known."""
        images = moved(images, self.device)
        return self.taken(images) if self.normalise is None else self._normalised(images)

    def _normalised(self, pixels: Tensor) -> Tensor:
        assert self.normalise is not None
        pixels = self._coloured(pixels)
        mean, std = (pixels.new_tensor([*map(float, v)])[:, None, None] for v in self.normalise)
        return ((pixels - mean) / std).to(self.dtype)

    def _coloured(self, images: Tensor) -> Tensor:
        if not self.grey or images.ndim != 4 or images.shape[1] != CHANNELS:
            return images
        return (images * images.new_tensor(LUMINANCE)[:, None, None]).sum(dim=1, keepdim=True)
