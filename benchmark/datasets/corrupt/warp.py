"""Bilinear interpolation: zooms into the centre and free warps, over a batch at once."""

from __future__ import annotations

from typing import Literal

import numpy as np

from benchmark.datasets.corrupt import Floats, Places

Border = Literal["mirror", "reflect"]
"""How an image goes on beyond its border: without (d c b | a b c) or with the border pixel repeated."""


def clipped_zoom(x: Floats, factor: float) -> Floats:
    """Zoom into the centre of (..., H, W) and keep the size.

    The crop has ⌈n / factor⌉ pixels along an axis of n; it is stretched end to end to the nearest whole
    number of pixels, and what exceeds n is trimmed.
    """
    for axis in (-2, -1):
        low, weight = _zoom_along(x.shape[axis], factor)
        if axis == -2:
            weight = weight[:, None]
        near, far = np.take(x, low, axis=axis), np.take(x, np.minimum(low + 1, x.shape[axis] - 1), axis=axis)
        far -= near
        far *= weight
        near += far
        x = near
    return x


def _zoom_along(n: int, factor: float) -> tuple[Places, Floats]:
    """Lower neighbour of every pixel on an axis of `n`, and the weight of the upper one."""
    crop = int(np.ceil(n / factor))
    top = (n - crop) // 2
    size = round(crop * factor)
    trimmed = (size - n) // 2
    places = np.arange(trimmed, trimmed + n, dtype=np.float64) * ((crop - 1) / max(size - 1, 1))
    # The last pixel of the crop is the upper neighbour of the one before, with weight 1.
    low: Places = np.minimum(places.astype(np.intp), max(crop - 2, 0))
    weight: Floats = places - low
    return top + low, weight


def bilinear(x: Floats, rows: Floats, columns: Floats, border: Border) -> Floats:
    """Sample images between their pixels.

    Parameters
    ----------
    x : (N, C, H, W)
    rows, columns : (N, H', W')
        Where to look for each pixel of the result, in pixels of `x`; anywhere in the plane.
    border : "mirror" or "reflect"

    Returns
    -------
    (N, C, H', W')
    """
    n, channels, height, width = x.shape
    # Channels last: one look-up fetches a whole pixel.
    pixels = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).reshape(-1, channels)  # (N·H·W, C)
    top, left = np.floor(rows), np.floor(columns)
    down, right = (rows - top)[..., None], (columns - left)[..., None]  # (N, H', W', 1)
    image = np.arange(n)[:, None, None] * (height * width)
    upper, lower = (image + _fold(top + step, height, border) * width for step in (0, 1))
    before, after = (_fold(left + step, width, border) for step in (0, 1))
    over = _between(pixels.take(upper + before, axis=0), pixels.take(upper + after, axis=0), right)
    under = _between(pixels.take(lower + before, axis=0), pixels.take(lower + after, axis=0), right)
    return _between(over, under, down).transpose(0, 3, 1, 2)


def _between(a: Floats, b: Floats, weight: Floats) -> Floats:
    """Return a + weight · (b − a); overwrites both."""
    b -= a
    b *= weight
    a += b
    return a


def _fold(places: Floats, n: int, border: Border) -> Places:
    """Fold whole numbers onto 0..n − 1."""
    repeated = border == "reflect"
    period = max(2 * n if repeated else 2 * n - 2, 1)
    folded = places.astype(np.intp) % period
    return np.minimum(folded, period - repeated - folded)
