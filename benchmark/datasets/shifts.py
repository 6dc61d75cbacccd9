"""Covariate shifts: the corruptions of ImageNet-C and CIFAR-C that need no assets.

Source: Hendrycks & Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations", ICLR 2019, arXiv 1903.12261. The published corrupted sets are fixed files; numbers measured on
what this module makes are not comparable with numbers measured on them: call it *synthetic*.

14 of the 15 types are here; `LEFT_OUT` says which is not, and why. Every constant is in this module, every
operation in `benchmark.datasets.corrupt`. Constants in pixels do not change with the size of the images.

Deviations from the reference code, beside those that the operations name:

- pixels are rounded to the nearest of 256 levels (half to even). The reference truncates, which darkens every
  image by half a level on average, even one that the shift leaves alone;
- the defocus kernel is smoothed on a grid with a margin and normalised to sum 1. The reference smooths it
  on a grid that just holds the disk, with mirrored borders;
- zoom blur stops short of the end of its range of factors. The reference, in floating point, takes the end
  along at severity 1 of both scales and at severity 2 of CIFAR-C.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from itertools import repeat
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from benchmark.datasets.catalog import to_uint8
from benchmark.datasets.corrupt import Floats, blur, digital, glass, noise, weather

SEVERITIES = (1, 2, 3, 4, 5)


class _Choice(StrEnum):
    @classmethod
    def _missing_(cls, value: object) -> None:
        raise ValueError(f"unknown {cls.__name__} {value!r}; choose one of {', '.join(cls)}")


class ShiftKind(_Choice):
    """What is done to the images, in the order of the paper."""

    GAUSSIAN_NOISE = "gaussian_noise"
    SHOT_NOISE = "shot_noise"
    IMPULSE_NOISE = "impulse_noise"
    DEFOCUS_BLUR = "defocus_blur"
    GLASS_BLUR = "glass_blur"
    MOTION_BLUR = "motion_blur"
    ZOOM_BLUR = "zoom_blur"
    SNOW = "snow"
    FOG = "fog"
    BRIGHTNESS = "brightness"
    CONTRAST = "contrast"
    ELASTIC_TRANSFORM = "elastic_transform"
    PIXELATE = "pixelate"
    JPEG_COMPRESSION = "jpeg_compression"


class ShiftScale(_Choice):
    """Whose severities: tuned for 224×224 (ImageNet-C) or for 32×32 images (CIFAR-C)."""

    IMAGENET_C = "imagenet_c"
    CIFAR_C = "cifar_c"


KINDS = tuple(ShiftKind)
"""The types that can be had, in the order of the paper."""

LEFT_OUT: Mapping[str, str] = MappingProxyType(
    {"frost": "it blends in photographs of frost that come with the reference code only"}
)
"""The types of the paper that can not be had, and why."""


def shift(
    images: NDArray[np.uint8],
    kind: ShiftKind | str,
    severity: int,
    scale: ShiftScale | str,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Corrupt images.

    Parameters
    ----------
    images : uint8 array (N, 3, H, W)
    kind, scale : see `ShiftKind` and `ShiftScale`; their names will do
    severity : int
        1 (mild) to 5.
    rng : np.random.Generator
        All that is random comes from it, image after image: an image comes out the same whatever follows it.
        Not drawn from by `defocus_blur`, `zoom_blur`, `brightness`, `contrast`, `pixelate` and
        `jpeg_compression`.

    Returns
    -------
    uint8 array (N, 3, H, W)

    Raises
    ------
    ValueError
        If the images are of another shape or dtype, or `kind`, `severity` or `scale` is not a choice.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images must be a uint8 array (N, 3, H, W), got {images.dtype} {images.shape}")
    if severity not in SEVERITIES:
        raise ValueError(f"unknown severity {severity!r}; choose one of {', '.join(map(str, SEVERITIES))}")
    corrupt, constants = _SHIFTS[ShiftKind(kind)]
    settings = constants[ShiftScale(scale)][severity - 1]
    shifted = np.empty_like(images)
    step = max(1, _CHUNK_VALUES // max(1, images[:1].size))
    for start in range(0, len(images), step):
        chunk = slice(start, start + step)
        shifted[chunk] = to_uint8(corrupt(images[chunk] / 255.0, rng, *settings))
    return shifted


_CHUNK_VALUES = 4_000_000  # 32 MB of float64 at a time, whatever the number of images

Constants = tuple[tuple[float, ...], ...]
"""Settings of an operation at severities 1 to 5."""


def _each(*by_severity: tuple[float, ...]) -> Constants:
    """Turn one tuple a setting, by severity, into one tuple a severity."""
    return tuple(zip(*by_severity, strict=True))


_Shift = tuple[Callable[..., Floats], dict[ShiftScale, Constants]]


def _both(operation: Callable[..., Floats], imagenet: Constants, cifar: Constants) -> _Shift:
    return operation, {ShiftScale.IMAGENET_C: imagenet, ShiftScale.CIFAR_C: cifar}


# As the reference code has them for the two image sizes.
_SHIFTS: dict[ShiftKind, _Shift] = {
    ShiftKind.GAUSSIAN_NOISE: _both(
        noise.gaussian_noise, _each((0.08, 0.12, 0.18, 0.26, 0.38)), _each((0.04, 0.06, 0.08, 0.09, 0.10))
    ),
    ShiftKind.SHOT_NOISE: _both(noise.shot_noise, _each((60, 25, 12, 5, 3)), _each((500, 250, 100, 75, 50))),
    ShiftKind.IMPULSE_NOISE: _both(
        noise.impulse_noise, _each((0.03, 0.06, 0.09, 0.17, 0.27)), _each((0.01, 0.02, 0.03, 0.05, 0.07))
    ),
    ShiftKind.DEFOCUS_BLUR: _both(  # radius, alias
        blur.defocus_blur,
        ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
        ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
    ),
    ShiftKind.GLASS_BLUR: _both(  # σ, reach, rounds
        glass.glass_blur,
        ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
        ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
    ),
    ShiftKind.MOTION_BLUR: _both(  # radius, σ
        blur.motion_blur,
        ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
        ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
    ),
    ShiftKind.ZOOM_BLUR: _both(  # end, step
        blur.zoom_blur,
        ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
        tuple(zip((1.06, 1.11, 1.16, 1.21, 1.26), repeat(0.01))),
    ),
    ShiftKind.SNOW: _both(  # loc, scale, zoom, threshold, radius, σ, mix
        weather.snow,
        (
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
        (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
    ),
    ShiftKind.FOG: _both(  # thickness, decay
        weather.fog,
        ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
        ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
    ),
    ShiftKind.BRIGHTNESS: _both(
        weather.brightness, _each((0.1, 0.2, 0.3, 0.4, 0.5)), _each((0.05, 0.1, 0.15, 0.2, 0.3))
    ),
    ShiftKind.CONTRAST: _both(
        digital.contrast, _each((0.4, 0.3, 0.2, 0.1, 0.05)), _each((0.75, 0.5, 0.4, 0.3, 0.15))
    ),
    ShiftKind.ELASTIC_TRANSFORM: _both(  # amplitude, σ, amount
        digital.elastic_transform,
        tuple(
            (244 * amplitude, 244 * sigma, 244 * amount)  # 244, not 224: as published
            for amplitude, sigma, amount in (
                (2, 0.7, 0.1),
                (2, 0.08, 0.2),
                (0.05, 0.01, 0.02),
                (0.07, 0.01, 0.02),
                (0.12, 0.01, 0.02),
            )
        ),
        tuple(
            (32 * amplitude, 32 * sigma, 32 * amount)
            for amplitude, sigma, amount in (
                (0, 0, 0.08),
                (0.05, 0.2, 0.07),
                (0.08, 0.06, 0.06),
                (0.1, 0.04, 0.05),
                (0.1, 0.03, 0.03),
            )
        ),
    ),
    ShiftKind.PIXELATE: _both(
        digital.pixelate, _each((0.6, 0.5, 0.4, 0.3, 0.25)), _each((0.95, 0.9, 0.85, 0.75, 0.65))
    ),
    ShiftKind.JPEG_COMPRESSION: _both(
        digital.jpeg_compression, _each((25, 18, 15, 10, 7)), _each((80, 65, 58, 50, 40))
    ),
}
