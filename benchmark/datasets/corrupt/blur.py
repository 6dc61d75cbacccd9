"""Blurs: a lens out of focus, motion, a zoom during exposure. `glass` has the fourth of the family."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from benchmark.datasets.corrupt import Floats
from benchmark.datasets.corrupt.warp import clipped_zoom


def defocus_blur(x: Floats, rng: np.random.Generator, radius: float, alias: float) -> Floats:
    """Convolve with `defocus_kernel`; draws nothing."""
    return blur(x, defocus_kernel(radius, alias))


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


def motion_blur(x: Floats, rng: np.random.Generator, radius: int, sigma: float) -> Floats:
    """Drag each image along a line of its own, at an angle drawn from (−45°, 45°)."""
    return blur_along(x, 90.0 * rng.random(len(x)) - 45.0, radius, sigma)


def blur_along(x: Floats, degrees: Floats, radius: int, sigma: float) -> Floats:
    r"""Average each image over a line that starts at the pixel.

    .. math:: \sum_{i=0}^{2r} w_i\, x_{y + [i \sin\theta],\; u + [i \cos\theta]}, \quad
              w_i \propto e^{-i^2 / 2\sigma^2}, \quad \sum_i w_i = 1

    at row y (downwards) and column u, where [·] rounds to the nearest whole number, a half down. So does
    ImageMagick, which the reference calls: the line goes to one side only, and borders are repeated.

    Parameters
    ----------
    x : (N, C, H, W)
    degrees : (N,)
        Angle θ of each image: 0 looks right, 90 down.
    radius : r in pixels
    sigma : in pixels
    """
    taps = np.arange(2 * radius + 1)
    weights = np.exp(-(taps**2) / (2.0 * sigma**2))
    weights /= weights.sum()
    angle = np.deg2rad(degrees)[:, None]
    # Rounded first: i · cos(90°) is a little above or below 0, and half a pixel of it would be no half.
    down, right = (
        np.ceil(np.round(taps * turn, 9) - 0.5).astype(np.intp) for turn in (np.sin(angle), np.cos(angle))
    )  # (N, 2r + 1)
    (above, below), (left, beyond) = (
        (max(-int(steps.min(initial=0)), 0), int(steps.max(initial=0))) for steps in (down, right)
    )
    height, width = x.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (above, below), (left, beyond)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))
    images = np.arange(len(x))
    blurred = np.zeros_like(x)
    for weight, dy, dx in zip(weights, (down + above).T, (right + left).T, strict=True):
        blurred += weight * windows[images, :, dy, dx]
    return blurred


def zoom_blur(x: Floats, rng: np.random.Generator, end: float, step: float) -> Floats:
    """Average the image with its zooms by 1, 1 + step, … below `end`; draws nothing.

    The image counts once more than its zooms, of which the first is the image again.
    """
    factors = zoom_factors(end, step)
    total = x.copy()
    for factor in factors:
        total += clipped_zoom(x, factor)
    total /= len(factors) + 1
    return total


@lru_cache
def zoom_factors(end: float, step: float) -> tuple[float, ...]:
    """Return 1, 1 + step, … without `end`, which a range in floating point now and then includes."""
    count = int(np.ceil(round((end - 1.0) / step, 6)))
    return tuple(1.0 + step * i for i in range(count))
