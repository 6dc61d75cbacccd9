"""Seen through frosted glass: blur, let neighbouring pixels trade places, blur again.

The trades are one after the other: from the lower right, row by row, each pixel with a random neighbour.
Trades that can not touch the same pixels are made at once, which leaves the result as it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.datasets.corrupt import Floats, Places


def glass_blur(
    x: Floats, rng: np.random.Generator, sigma: float, reach: int, rounds: int, *, legacy: bool = False
) -> Floats:
    """Blur, shuffle, blur.

    Parameters
    ----------
    x : (N, C, H, W)
    rng : draws the neighbours
    sigma : standard deviation of both Gaussian blurs in pixels; borders are repeated
    reach, rounds, legacy : see `shuffled`

    Deviates from the reference in that the first blur is not quantised.
    """
    n, channels, height, width = x.shape
    shape = (n, rounds, max(height - 2 * reach, 0), max(width - 2 * reach, 0), 2)
    places = shuffled(height, width, rng.integers(-reach, reach, size=shape), reach, legacy=legacy)
    pixels = np.ascontiguousarray(_gaussian(x, sigma).transpose(0, 2, 3, 1)).reshape(-1, channels)
    pixels = pixels[places + np.arange(n)[:, None] * (height * width)]  # (N, H·W, C)
    return _gaussian(pixels.reshape(n, height, width, channels).transpose(0, 3, 1, 2), sigma)


def shuffled(height: int, width: int, offsets: NDArray[Any], reach: int, *, legacy: bool = False) -> Places:
    """Return where the pixels of each image come from after the trades.

    Parameters
    ----------
    height, width : of the images
    offsets : int array (N, rounds, height − 2·reach, width − 2·reach, 2)
        Steps (right, down) to the neighbour, each of −reach..reach − 1, in the order of the trades: rows from
        height − reach up to reach + 1, columns likewise.
    reach : how far a neighbour may be
    legacy : what the reference does: it swaps views, so that the neighbour keeps its value and is copied

    Returns
    -------
    int array (N, height·width)
    """
    n, rounds, rows, columns, _ = offsets.shape
    source: Places = np.repeat(np.arange(height * width), n)  # place by place, the images side by side
    steps = (offsets[..., 0] + width * offsets[..., 1]).reshape(n, rounds * rows * columns).T * n
    steps = np.ascontiguousarray(steps, dtype=np.intp)
    # Trade (r, c) stays in a box of 2·reach × 2·reach pixels. At tick 2·reach · r + c every earlier trade
    # whose box meets this one is done, and the others of the tick are 2·reach columns or more away. A further
    # round is further rows.
    slope = 2 * reach
    row, column = np.divmod(np.arange(rounds * rows * columns), max(columns, 1))
    places = (height - reach - row % max(rows, 1)) * width + (width - reach - column)
    ticks = row * slope + column
    order = np.argsort(ticks, kind="stable")
    images = np.arange(n)
    for now in np.split(order, np.flatnonzero(np.diff(ticks[order])) + 1):
        here = places[now][:, None] * n + images
        trade(source, here, here + steps[now], legacy=legacy)
    return source.reshape(height * width, n).T


def trade(values: NDArray[Any], here: Places, there: Places, *, legacy: bool = False) -> None:
    """Swap the values of disjoint pairs in place; `legacy` copies those from `there` to `here`."""
    moved = values[here]
    values[here] = values[there]
    if not legacy:
        values[there] = moved


def _gaussian(x: Floats, sigma: float) -> Floats:
    from scipy.ndimage import gaussian_filter

    blurred: Floats = gaussian_filter(x, (0, 0, sigma, sigma), mode="nearest")
    return blurred
