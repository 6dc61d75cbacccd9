"""From a picture to the uint8 pixels of a model's size, by timm's own transforms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from benchmark.errors import DataError, OodbenchError
from benchmark.evaluation.models.intake import Normalise
from methods.names import describe

LONGEST = 400  # characters of what a transform says of itself


@dataclass(frozen=True)
class Geometry:
    """Scales and crops a picture as timm does for evaluation: uint8 (3, H, W), not normalised.

    Attributes
    ----------
    size
        (H, W).
    crop
        The share of the scaled picture's sides that is kept.
    mode
        ``center`` (the shorter side is scaled, the middle kept), ``squash`` (both sides are scaled, whatever
        the shape) or ``border`` (the longer side is scaled, the rest padded).
    """

    size: tuple[int, int]
    crop: float = 1.0
    mode: str = "center"
    interpolation: str = "bilinear"

    def __call__(self, image: Image.Image) -> Tensor:
        """uint8 pixels (3, H, W) of a picture."""
        pixels: Tensor = self._transform()(image.convert("RGB"))
        return pixels

    def _transform(self) -> Callable[[Image.Image], Tensor]:
        found = self.__dict__.get("_made")
        if found is None:
            from timm.data.transforms_factory import create_transform

            found = create_transform(
                (3, *self.size),
                interpolation=self.interpolation,
                crop_pct=self.crop,
                crop_mode=self.mode,
                normalize=False,
            )
            object.__setattr__(self, "_made", found)
        made: Callable[[Image.Image], Tensor] = found
        return made

    def described(self) -> str:
        """What it does, for people."""
        height, width = self.size
        kept = "" if self.crop == 1 else f", of which {self.crop:g} of each side is kept"
        return f"{height}×{width} pixels, {self.mode}, {self.interpolation}{kept}"


@dataclass(frozen=True)
class TimmPreparation:
    """How timm has a model's images prepared."""

    geometry: Geometry
    normalise: Normalise


def timm_preparation(model: nn.Module, overlay: Mapping[str, Any] | None = None) -> TimmPreparation:
    """Read a timm model's data configuration, in which `overlay` has the last word."""
    from timm.data.config import resolve_data_config

    pretrained = {**getattr(model, "pretrained_cfg", {}), **(overlay or {})}
    config: dict[str, Any] = resolve_data_config(pretrained_cfg=pretrained)  # type: ignore[no-untyped-call]
    height, width = config["input_size"][1:]
    # Of a transformer that was made for another size than its weights were published for.
    own = getattr(getattr(model, "patch_embed", None), "img_size", None)
    if own is not None and not (overlay or {}).get("input_size"):
        height, width = own
    geometry = Geometry((height, width), config["crop_pct"], config["crop_mode"], config["interpolation"])
    return TimmPreparation(geometry, (config["mean"], config["std"]))


@dataclass(frozen=True)
class Checked:
    """Calls a transform and refuses what is no image (C, H, W) of uint8 or floats."""

    transform: Callable[[Image.Image], object]
    source: str

    def __call__(self, image: Image.Image) -> Tensor:
        """The transform's image."""
        made = self.transform(image)
        if (
            not isinstance(made, Tensor)
            or made.ndim != 3
            or not (made.dtype == torch.uint8 or made.is_floating_point())
        ):
            seen = f"{made.dtype} {tuple(made.shape)}" if isinstance(made, Tensor) else type(made).__name__
            raise DataError(
                f"{self.source}: the transform gave {seen}; expected a tensor (C, H, W) of floats or uint8"
            )
        return made

    def described(self) -> str:
        """The transform, as it prints itself."""
        return " ".join(str(self.transform).split())[:LONGEST]


def tried(prepare: Callable[[Image.Image], Tensor], title: str) -> Tensor:
    """What a transform makes of pictures of noise: (N, C, H, W).

    Raises
    ------
    DataError
        If it fails, or makes no images of one size.
    """
    try:
        return torch.stack([prepare(picture) for picture in noise_pictures()])
    except OodbenchError:
        raise
    except Exception as error:  # of somebody else's code
        raise DataError(f"{title}: the transform fails on a picture of noise: {describe(error)}") from error


def noise_pictures(count: int = 4, side: int = 256) -> list[Image.Image]:
    """Pictures of uniform noise, the same each time, on which a transform and a model are tried."""
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8)) for _ in range(count)]
