"""Weather: snow, fog and bright light."""

from __future__ import annotations

import numpy as np

from benchmark.datasets.corrupt import Floats
from benchmark.datasets.corrupt.blur import blur_along
from benchmark.datasets.corrupt.warp import clipped_zoom


def snow(
    x: Floats,
    rng: np.random.Generator,
    loc: float,
    scale: float,
    zoom: float,
    threshold: float,
    radius: int,
    sigma: float,
    mix: float,
) -> Floats:
    r"""Whiten the image and let flakes fall on it: :math:`m x + (1 - m) \max(x, 1.5\,g + 0.5) + f + f'`.

    g is the grey image, f the layer of flakes, one for all channels, and f′ the layer turned by 180°. Flakes
    are what of normal noise N(loc, scale²), zoomed by `zoom`, reaches `threshold`; they are cut at 1 and
    dragged by `motion_blur`'s line with `radius` and `sigma`, at an angle drawn from (−135°, −45°).

    Deviates from the reference in that the layer is not quantised.
    """
    from scipy.special import ndtr

    n, _, height, width = x.shape
    drawn = rng.standard_normal((n, height * width + 1))
    # The last number becomes uniform by its own distribution function: one draw an image serves both.
    degrees = -135.0 + 90.0 * ndtr(drawn[:, -1])
    layer = clipped_zoom(loc + scale * drawn[:, :-1].reshape(n, 1, height, width), zoom)
    layer[layer < threshold] = 0.0
    flakes = blur_along(np.clip(layer, 0.0, 1.0), degrees, radius, sigma)
    grey = 0.299 * x[:, :1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:]  # ITU-R BT.601, as OpenCV's
    white = np.maximum(x, 1.5 * grey + 0.5)
    snowy: Floats = mix * x + (1.0 - mix) * white + (flakes + flakes[:, :, ::-1, ::-1])
    return snowy


def fog(x: Floats, rng: np.random.Generator, thickness: float, decay: float) -> Floats:
    r"""Lay a cloud p over each image: :math:`(x + c\,p)\, M / (M + c)`, c = `thickness`.

    M is the image's largest value. The cloud is a corner of `plasma` of the next power of two.
    """
    height, width = x.shape[2:]
    levels = (max(height, width) - 1).bit_length()
    cloud = plasma(rng.random((len(x), 4**levels - 1)), decay)[:, None, :height, :width]
    brightest = x.max(axis=(1, 2, 3), keepdims=True)
    foggy: Floats = (x + thickness * cloud) * (brightest / (brightest + thickness))
    return foggy


def plasma(uniform: Floats, decay: float) -> Floats:
    """Grow clouds by the diamond-square algorithm on a torus.

    From level to level the side doubles: the centre of each square is the mean of its four corners, the
    middle of each edge the mean of its two ends and the two centres beside it, each plus uniform noise whose
    range shrinks by `decay`² (the reference multiplies its range with itself).

    Parameters
    ----------
    uniform : (N, 4^L − 1) in [0, 1)
        The noise in the order of its use: L levels of centres, middles of upper edges, middles of left edges.
    decay : float

    Returns
    -------
    (N, 2^L, 2^L), each from 0 to 1; 0 where there is nothing to grow (L = 0).
    """
    n, numbers = uniform.shape
    cloud: Floats = np.zeros((n, 1, 1))
    used, reach = 0, 1.0
    while used < numbers:
        side = cloud.shape[1]
        noise = reach * (2.0 * uniform[:, used : used + 3 * side**2].reshape(n, 3, side, side) - 1.0)
        across = cloud + np.roll(cloud, -1, axis=2)
        upright = cloud + np.roll(cloud, -1, axis=1)
        centres = (across + np.roll(across, -1, axis=1)) / 4 + noise[:, 0]
        finer: Floats = np.empty((n, 2 * side, 2 * side))
        finer[:, ::2, ::2] = cloud
        finer[:, 1::2, 1::2] = centres
        finer[:, ::2, 1::2] = (across + centres + np.roll(centres, 1, axis=1)) / 4 + noise[:, 1]
        finer[:, 1::2, ::2] = (upright + centres + np.roll(centres, 1, axis=2)) / 4 + noise[:, 2]
        cloud = finer
        used += 3 * side**2
        reach /= decay**2
    cloud -= cloud.min(axis=(1, 2), keepdims=True)
    cloud /= np.maximum(cloud.max(axis=(1, 2), keepdims=True), np.finfo(np.float64).tiny)
    return cloud


def brightness(x: Floats, rng: np.random.Generator, amount: float) -> Floats:
    """Add `amount` to the value of HSV, the largest of the three channels, and cut it at 1; draws nothing.

    With hue and saturation kept, the channels keep their ratios; black becomes grey.
    """
    value = x.max(axis=1, keepdims=True)
    brighter = np.minimum(value + amount, 1.0)
    lit = value > 0
    brightened: Floats = np.where(lit, x * (brighter / np.where(lit, value, 1.0)), brighter)
    return brightened
