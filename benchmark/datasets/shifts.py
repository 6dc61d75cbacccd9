"""Covariate shifts: the corruptions of ImageNet-C and CIFAR-C that need no assets.

Source: Hendrycks & Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations", ICLR 2019, arXiv 1903.12261. The published corrupted sets are fixed files; numbers measured on
what this module makes are not comparable with numbers measured on them: call it *synthetic*.

Deviations from the reference code:

- pixels are rounded to the nearest of 256 levels (half to even). The reference truncates, which darkens every
  image by half a level on average, even one that the shift leaves alone;
- the defocus kernel is smoothed on a grid with a margin and normalised to sum 1. The reference smooths it
  on a grid that just holds the disk, with mirrored borders.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from benchmark.datasets.catalog import to_uint8

SEVERITIES = (1, 2, 3, 4, 5)

Floats = NDArray[np.float64]


class _Choice(StrEnum):
    @classmethod
    def _missing_(cls, value: object) -> None:
        raise ValueError(f"unknown {cls.__name__} {value!r}; choose one of {', '.join(cls)}")


class ShiftKind(_Choice):
    """What is done to the images."""

    GAUSSIAN_NOISE = "gaussian_noise"
    DEFOCUS_BLUR = "defocus_blur"
    CONTRAST = "contrast"


class ShiftScale(_Choice):
    """Whose severities: tuned for 224×224 (ImageNet-C) or for 32×32 images (CIFAR-C)."""

    IMAGENET_C = "imagenet_c"
    CIFAR_C = "cifar_c"


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
        Drawn from by `gaussian_noise` only.

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
    corrupt = _SHIFTS[ShiftKind(kind)][ShiftScale(scale)][severity - 1]
    shifted = np.empty_like(images)
    step = max(1, _CHUNK_VALUES // max(1, images[:1].size))
    for start in range(0, len(images), step):
        chunk = slice(start, start + step)
        shifted[chunk] = to_uint8(corrupt(images[chunk] / 255.0, rng))
    return shifted


_CHUNK_VALUES = 4_000_000  # 32 MB of float64 at a time, whatever the number of images


def add_noise(x: Floats, noise: Floats, sigma: float) -> Floats:
    r"""Return :math:`\mathrm{clip}(x + \sigma\,\varepsilon, 0, 1)` for unit noise ε of the shape of `x`."""
    return np.clip(x + sigma * noise, 0.0, 1.0)


def scale_contrast(x: Floats, factor: float) -> Floats:
    r"""Return :math:`\mathrm{clip}((x - \mu) c + \mu, 0, 1)`, μ the mean over the last two axes (H, W)."""
    mean: Floats = x.mean(axis=(-2, -1), keepdims=True)
    return np.clip((x - mean) * factor + mean, 0.0, 1.0)


def defocus_kernel(radius: float, alias: float) -> Floats:
    """Return the point spread of a defocused lens: a disk smoothed by a small Gaussian.

    Parameters
    ----------
    radius : float
        Pixels; a disk of radius below 1 is one pixel, so the Gaussian is all the blur there is.
    alias : float
        Standard deviation of the Gaussian in pixels; 3×3 taps (5×5 above radius 8) as in the reference.

    Returns
    -------
    float array (K, K), K odd, sum 1
    """
    taps = 1 if radius <= 8 else 2
    reach = int(radius) + taps
    grid = np.arange(-reach, reach + 1)
    disk = (grid[:, None] ** 2 + grid**2 <= radius**2).astype(np.float64)
    gauss = np.exp(-(np.arange(-taps, taps + 1) ** 2) / (2.0 * alias**2))
    for axis in (0, 1):
        disk = np.apply_along_axis(np.convolve, axis, disk, gauss, mode="same")
    kernel: Floats = disk / disk.sum()
    return kernel


def blur(x: Floats, kernel: Floats) -> Floats:
    """Convolve each channel of (N, C, H, W) with `kernel` (K, K), mirroring images at their border pixels."""
    from scipy.signal import fftconvolve

    reach = len(kernel) // 2
    # numpy's "reflect" does not repeat the border pixel: OpenCV's default border, which the reference uses.
    padded = np.pad(x, ((0, 0), (0, 0), (reach, reach), (reach, reach)), mode="reflect")
    blurred: Floats = fftconvolve(padded, kernel[None, None], mode="valid", axes=(2, 3))
    return blurred


Corrupt = Callable[[Floats, np.random.Generator], Floats]


def _noise(sigma: float) -> Corrupt:
    return lambda x, rng: add_noise(x, rng.standard_normal(x.shape), sigma)


def _defocus(radius: float, alias: float) -> Corrupt:
    return lambda x, _: blur(x, defocus_kernel(radius, alias))


def _contrast(factor: float) -> Corrupt:
    return lambda x, _: scale_contrast(x, factor)


# Severities 1 to 5, as the reference code has them for the two image sizes.
_SHIFTS: dict[ShiftKind, dict[ShiftScale, tuple[Corrupt, ...]]] = {
    ShiftKind.GAUSSIAN_NOISE: {
        ShiftScale.IMAGENET_C: tuple(map(_noise, (0.08, 0.12, 0.18, 0.26, 0.38))),
        ShiftScale.CIFAR_C: tuple(map(_noise, (0.04, 0.06, 0.08, 0.09, 0.10))),
    },
    ShiftKind.DEFOCUS_BLUR: {
        ShiftScale.IMAGENET_C: tuple(map(_defocus, (3, 4, 6, 8, 10), (0.1, 0.5, 0.5, 0.5, 0.5))),
        ShiftScale.CIFAR_C: tuple(map(_defocus, (0.3, 0.4, 0.5, 1, 1.5), (0.4, 0.5, 0.6, 0.2, 0.1))),
    },
    ShiftKind.CONTRAST: {
        ShiftScale.IMAGENET_C: tuple(map(_contrast, (0.4, 0.3, 0.2, 0.1, 0.05))),
        ShiftScale.CIFAR_C: tuple(map(_contrast, (0.75, 0.5, 0.4, 0.3, 0.15))),
    },
}
