"""Digital: contrast, elastic deformation, large pixels, JPEG."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO

import numpy as np

from benchmark.datasets.catalog import to_uint8
from benchmark.datasets.corrupt import Floats, Places
from benchmark.datasets.corrupt.warp import bilinear


def contrast(x: Floats, rng: np.random.Generator, factor: float) -> Floats:
    """Scale the contrast of each channel of each image; draws nothing."""
    return scale_contrast(x, factor)


def scale_contrast(x: Floats, factor: float) -> Floats:
    r"""Return :math:`\mathrm{clip}((x - \mu) c + \mu, 0, 1)`, μ the mean over the last two axes (H, W)."""
    mean: Floats = x.mean(axis=(-2, -1), keepdims=True)
    return np.clip((x - mean) * factor + mean, 0.0, 1.0)


def elastic_transform(
    x: Floats, rng: np.random.Generator, amplitude: float, sigma: float, amount: float
) -> Floats:
    """Move the image by a random affine map, then each pixel by a smooth random field.

    Parameters
    ----------
    x : (N, C, H, W)
    rng : draws 6 + 2·H·W numbers an image
    amplitude : of the field in pixels: uniform numbers of (−1, 1) are smoothed, then multiplied by it
    sigma : standard deviation of the smoothing in pixels, cut at three of them
    amount : how far each of the three points that fix the affine map moves along either axis, in pixels

    Deviates from the reference in that places are not rounded to 1/32 of a pixel in the affine map.
    """
    n, _, height, width = x.shape
    drawn = 2.0 * rng.random((n, 6 + 2 * height * width)) - 1.0
    moved = bilinear(x, *affine_places(height, width, amount * drawn[:, :6].reshape(n, 3, 2)), "mirror")
    if not amplitude:
        return moved
    field = amplitude * smooth(drawn[:, 6:].reshape(n, 2, height, width), sigma)
    rows, columns = np.arange(height)[:, None] + field[:, 0], np.arange(width) + field[:, 1]
    return bilinear(moved, rows, columns, "reflect")


def affine_places(height: int, width: int, moves: Floats) -> tuple[Floats, Floats]:
    """Say where the affine map that moves three points of the image takes each pixel from.

    The points are corners of a square around the centre, a third of the shorter side away: lower right, upper
    right, upper left.

    Parameters
    ----------
    height, width : of the images
    moves : (N, 3, 2)
        How far each point moves, as (right, down) in pixels.

    Returns
    -------
    rows, columns : (N, H, W)
    """
    third = min(height, width) // 3
    corners = np.array([(third, third), (third, -third), (-third, -third)], dtype=np.float64)
    corners += np.array([width // 2, height // 2])
    homogeneous = np.concatenate([corners + moves, np.ones((len(moves), 3, 1))], axis=2)
    back = np.linalg.solve(homogeneous, np.broadcast_to(corners, moves.shape))  # (N, 3, 2)
    u, y = np.arange(width), np.arange(height)[:, None]
    a, b, c = back.transpose(1, 2, 0)[..., None, None]  # each (2, N, 1, 1)
    columns, rows = a * u + b * y + c
    return rows, columns


def smooth(field: Floats, sigma: float) -> Floats:
    r"""Filter the last two axes by a Gaussian of `sigma` pixels, cut at 3 σ, with borders reflected.

    Fields that go on by reflection are sums of the cosines of the DCT-II, and a symmetric filter w multiplies
    the k-th of n by :math:`\sum_j w_j \cos(\pi k j / n)`: wide filters cost no more than narrow ones.
    """
    from scipy.fft import dctn, idctn

    waves: Floats = dctn(field, axes=(-2, -1))
    waves *= _response(field.shape[-2], sigma)[:, None] * _response(field.shape[-1], sigma)
    smoothed: Floats = idctn(waves, axes=(-2, -1))
    return smoothed


@lru_cache
def _response(n: int, sigma: float) -> Floats:
    taps = np.arange(-int(3 * sigma + 0.5), int(3 * sigma + 0.5) + 1)
    weights = np.exp(-(taps**2) / (2.0 * sigma**2))
    response: Floats = np.cos(np.pi / n * np.outer(np.arange(n), taps)) @ (weights / weights.sum())
    response.flags.writeable = False
    return response


def pixelate(x: Floats, rng: np.random.Generator, share: float) -> Floats:
    """Shrink each axis of n pixels to int(n · `share`) boxes, and show the boxes at the old size.

    A pixel belongs to the box in which its centre lies, as in Pillow; draws nothing. Deviates from the
    reference in that nothing is rounded in between.
    """
    for axis in (2, 3):
        starts, sizes, shown = _boxes(x.shape[axis], max(1, int(x.shape[axis] * share)))
        means = np.add.reduceat(x, starts, axis=axis) / (sizes[:, None] if axis == 2 else sizes)
        x = np.take(means, shown, axis=axis)
    return x


def _boxes(n: int, boxes: int) -> tuple[Places, Places, Places]:
    """First pixel and size of each of `boxes` boxes on an axis of `n` pixels; the box each pixel shows."""
    starts = (2 * n * np.arange(boxes) + boxes) // (2 * boxes)  # ⌊i · n / boxes + 1/2⌋
    shown = (2 * np.arange(n) + 1) * boxes // (2 * n)
    return starts, np.diff(starts, append=n), shown


def jpeg_compression(x: Floats, rng: np.random.Generator, quality: int) -> Floats:
    """Write and read each image as JPEG; draws nothing. The bytes depend on the libjpeg that Pillow has."""
    from PIL import Image

    compressed = np.empty_like(x)
    for pixels, image in zip(to_uint8(x).transpose(0, 2, 3, 1), compressed, strict=True):
        file = BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=quality)
        with Image.open(file) as read:
            image[...] = np.asarray(read, dtype=np.float64).transpose(2, 0, 1)
    compressed /= 255.0
    return compressed
