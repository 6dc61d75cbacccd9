r"""Formula-driven images for `fractaldb` pre-training: every category is one iterated function system (IFS).

Source: Kataoka et al., "Pre-training without Natural Images", ACCV 2020; IJCV 2022, arXiv 2101.08515.

An IFS is n affine maps :math:`w_i(x, y) = (a_i x + b_i y + e_i,\; c_i x + d_i y + f_i)`, chosen with
probability :math:`p_i = |a_i d_i - b_i c_i| / \sum_j |a_j d_j - b_j c_j|`. The chaos game applies randomly
chosen maps to a point, from the origin on; the points visited draw the fractal. A random IFS becomes a
category if its points fill enough of a canvas. The instances of a category are its IFS with one parameter
weighted (25 weight rows), flipped (4 ways), and drawn with random 3×3 patches instead of points.

All chaos games advance together as one array, so that rendering costs one NumPy step for each point of a
trajectory, whatever the number of images.

Deviations from the released code, all but the last as the suite's specification has them:

- each axis is always shifted to its minimum; the release shifts negative minima only;
- the last cumulative probability is exactly 1; the release repeats a point when rounding leaves it below;
- the release pastes masks drawn from 1..511; here the empty mask is allowed too, see `speckle`;
- random numbers come from seeds hashed from names, so the categories differ from the published ones;
- small images have a padding of 4 pixels instead of 6 (the least that holds a patch), and small presets
  search categories on the canvas they are drawn on. Images of the digits' size are drawn three times as large
  and averaged: a 3×3 patch on 32×32 pixels would hide what it draws.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.datasets.catalog import ImageSet
from benchmark.seeds import derive_seed

Floats = NDArray[np.float64]

_MAPS = (2, 7)  # an IFS has 2 to 7 maps; the paper's text says up to 8
_FLIPS = 4  # none, vertical, horizontal, both
GREY = 127
_PATCH = 3  # pixels
_LOST = 100  # points dropped before a trajectory leaves the finite numbers
_CHUNK_POINTS = 2_000_000  # trajectory points held at a time: 32 MB of float64 pairs


@dataclass(frozen=True)
class FractalConfig:
    """How many fractals are drawn, and how.

    Attributes
    ----------
    categories, instances : int
        Number of classes, and of images of each.
    side, points : int
        Side of an image in pixels, and points of its trajectory.
    fill : float
        Least share of a canvas's pixels that an IFS must visit to become a category.
    search_side, search_points : int
        Canvas and trajectory of the category search.
    supersample : int
        Images are drawn on ``side · supersample`` pixels and averaged down; 1 for the spec's binary images.
    padding : int
        Pixels of the canvas left free at the borders; at least 4, so that patches stay inside.
    weight : float
        The step s of the weight rows: a parameter is multiplied by 1 − 2s, 1 − s, 1 + s, 1 + 2s.

    Raises
    ------
    ValueError
        If a number is out of its range.
    """

    categories: int
    instances: int
    side: int
    points: int
    fill: float
    search_side: int
    search_points: int
    supersample: int = 1
    padding: int = 6
    weight: float = 0.4

    def __post_init__(self) -> None:
        for name in ("categories", "instances", "points", "search_points", "supersample"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.weight < np.inf:
            raise ValueError(f"weight must be a positive number, got {self.weight}")
        if self.padding <= _PATCH:
            raise ValueError(
                f"padding must be at least {_PATCH + 1} pixels to hold a patch, got {self.padding}"
            )
        for name, pixels in (("side · supersample", self.canvas), ("search_side", self.search_side)):
            if pixels <= 2 * self.padding:
                raise ValueError(
                    f"{name} must exceed twice the padding of {self.padding} pixels, got {pixels}"
                )
        # A trajectory visits one pixel a point, and none in the padding.
        inside = (self.search_side - 2 * self.padding + 1) ** 2
        most = min(self.search_points, inside) / self.search_side**2
        if not 0 < self.fill < most:
            raise ValueError(
                f"fill must lie between 0 and {most:.3f}, the share that {self.search_points} search points "
                f"can reach on {self.search_side}×{self.search_side} pixels, got {self.fill}"
            )

    @property
    def canvas(self) -> int:
        """Side of the image before it is averaged down, in pixels."""
        return self.side * self.supersample


FRACTAL_PRESETS: Mapping[str, FractalConfig] = {
    "fractaldb_1k": FractalConfig(1000, 1000, 362, 200_000, 0.2, 512, 100_000),
    "fractaldb_60": FractalConfig(60, 1000, 362, 200_000, 0.2, 512, 100_000),
    "fractaldb_tiny": FractalConfig(20, 40, 64, 5_000, 0.1, 64, 5_000, padding=4),
    "fractaldb_digits": FractalConfig(64, 128, 32, 5_000, 0.2, 96, 5_000, supersample=3, padding=4),
}


def fractal_images(config: FractalConfig, seed: int) -> ImageSet:
    """Draw every category's instances: grey 127 on black in three equal channels, labels by category.

    The whole set is held in memory, ``3 · categories · instances · side²`` bytes: 25 MB for the digits'
    preset, 24 GB for `fractaldb_60`. Stream large presets with `fractal_categories`.
    """
    chunks = list(fractal_categories(config, seed))
    return ImageSet(np.concatenate([c.images for c in chunks]), np.concatenate([c.labels for c in chunks]))


def fractal_categories(config: FractalConfig, seed: int) -> Iterator[ImageSet]:
    """Yield the images of `fractal_images` in order, one category at a time.

    Instance j has weight row ``j % 25`` and flip ``j // 25 % 4``; after 100 they repeat with new patches.
    """
    systems = search_categories(config, seed)
    rows = weight_rows(config.weight)
    instances = np.arange(config.instances)
    row, flip = instances % len(rows), instances // len(rows) % _FLIPS
    # One sequence for all: images of one weight row differ in patches and flips only, as in the release.
    uniform = np.random.default_rng(derive_seed("fractaldb", "sequence", seed)).random(config.points)
    step = max(1, _CHUNK_POINTS // (len(rows) * config.points))
    for start in range(0, config.categories, step):
        chunk = systems[start : start + step]
        choices = choose_maps(map_probabilities(chunk), uniform)  # the weights do not change them
        weighted = chunk[:, None] * rows[:, None, :]  # (C, 25, 7, 6)
        path = chaos_game(weighted, np.broadcast_to(choices[..., None], (*choices.shape, len(rows))))
        visited = visited_pixels(path, config.canvas, config.padding)  # (C, 25, canvas, canvas)
        covered = covered_pixels(visited)
        for category, shapes in enumerate(covered, start):
            rng = np.random.default_rng(derive_seed("fractaldb", "patches", seed, category))
            grey = flipped(reduced(speckle(shapes[row], rng), config.supersample), flip)
            yield ImageSet.from_grey(grey, np.full(config.instances, category, dtype=np.int64))


def search_categories(config: FractalConfig, seed: int) -> Floats:
    """Draw random IFS and keep the first `config.categories` whose points fill enough of the canvas.

    Divergent systems need no test of their own: rescaled to their last points, they fill next to nothing.

    Returns
    -------
    float array (categories, 7, 6)
        Parameters (a, b, c, d, e, f) of up to 7 maps; absent maps are zero and so have probability 0.

    Raises
    ------
    RuntimeError
        If fewer than one system in a thousand fills enough.
    """
    rng = np.random.default_rng(derive_seed("fractaldb", "search", seed))
    uniform = rng.random(config.search_points)
    fewest, most = _MAPS
    batch = max(1, _CHUNK_POINTS // config.search_points)
    found = np.empty((0, most, 6))
    tried = 0
    while len(found) < config.categories:
        if tried > 1000 * config.categories:
            raise RuntimeError(
                f"only {len(found)} of {tried} random IFS fill {config.fill} of the canvas, "
                f"{config.categories} are needed; lower fill"
            )
        # One row of numbers a system, so that the systems do not depend on the size of the batch.
        numbers = rng.random((batch, 1 + most * 6))
        counts = fewest + (numbers[:, 0] * (most - fewest + 1)).astype(np.int64)
        systems = 2.0 * numbers[:, 1:].reshape(batch, most, 6) - 1.0
        systems[np.arange(most) >= counts[:, None]] = 0.0
        path = chaos_game(systems, choose_maps(map_probabilities(systems), uniform))
        visited = visited_pixels(path, config.search_side, config.padding)
        found = np.concatenate([found, systems[visited.mean(axis=(1, 2)) >= config.fill]])
        tried += batch
    return found[: config.categories]


def map_probabilities(systems: Floats) -> Floats:
    r"""Return :math:`p_i = q_i / \sum_j q_j`, :math:`q_i = |a_i d_i - b_i c_i|`: (..., M, 6) → (..., M)."""
    a, b, c, d = np.moveaxis(systems[..., :4], -1, 0)
    q = np.abs(a * d - b * c)
    probabilities: Floats = q / q.sum(axis=-1, keepdims=True)
    return probabilities


def choose_maps(probabilities: Floats, uniform: Floats) -> NDArray[np.int64]:
    """Turn uniform numbers (T,) in [0, 1) into map indices (T, ...) of probabilities (..., M)."""
    cumulative = np.cumsum(probabilities, axis=-1)
    cumulative /= cumulative[..., -1:]  # exactly 1 from the last map on, whatever the rounding
    chosen = np.zeros((len(uniform), *probabilities.shape[:-1]), dtype=np.int64)
    u = uniform.reshape(-1, *(1,) * (probabilities.ndim - 1))
    for edge in np.moveaxis(cumulative, -1, 0):
        chosen += u >= edge
    return chosen


def chaos_game(systems: Floats, choices: NDArray[np.int64]) -> Floats:
    """Apply the chosen maps one after the other to a point that starts at the origin.

    All games advance together; divergent ones end in inf and nan.

    Parameters
    ----------
    systems : float array (..., M, 6)
        Maps (a, b, c, d, e, f): (x, y) becomes (a x + b y + e, c x + d y + f).
    choices : int array (T, ...)
        Index of the map of each step.

    Returns
    -------
    float array (T, ..., 2)
        The points visited, without the origin.
    """
    games = systems.reshape(-1, *systems.shape[-2:])
    steps = choices.reshape(len(choices), -1)
    every = np.arange(len(games))
    path = np.empty((*steps.shape, 2))
    x = y = np.zeros(len(games))
    with np.errstate(over="ignore", invalid="ignore"):
        for point, choice in zip(path, steps, strict=True):
            a, b, c, d, e, f = games[every, choice].T
            x, y = a * x + b * y + e, c * x + d * y + f
            point[:, 0], point[:, 1] = x, y
    return path.reshape(*choices.shape, 2)


def visited_pixels(path: Floats, side: int, padding: int) -> NDArray[np.bool_]:
    """Draw trajectories (T, ..., 2) as images (..., side, side) of the pixels they visit.

    Each axis is scaled so that its extremes lie at `padding` and ``side − padding``, and floored; y is up.
    A trajectory that leaves the finite numbers is cut 100 points earlier, before it dwarfs the rest.
    """
    steps, games = len(path), path.shape[1:-1]
    points = path.reshape(steps, -1, 2)
    finite = np.isfinite(points).all(axis=-1).sum(axis=0)  # once lost, a point never comes back
    kept = np.where(finite < steps, np.maximum(finite - _LOST, 0), steps)
    valid = np.arange(steps)[:, None] < kept
    spare = np.where(kept[:, None] > 0, points[0], 0.0)  # where an invalid point hides behind a valid one
    points = np.where(valid[..., None], points, spare) / 2  # halved, lest the span of huge ones overflow
    low, high = points.min(axis=0), points.max(axis=0)
    unit = (points - low) / np.where(high > low, high - low, 1.0)
    column, row = np.moveaxis((padding + unit * (side - 2 * padding)).astype(np.int64), -1, 0)
    image = np.arange(points.shape[1])
    visited = np.zeros((len(image), side, side), dtype=np.bool_)
    visited.reshape(-1)[(image * side + side - 1 - row) * side + column] = True
    visited[kept == 0] = False
    return visited.reshape(*games, side, side)


def covered_pixels(visited: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels that the points' 3×3 patches cover: one to three right of and above a point."""
    side = visited.shape[-1]
    covered = np.zeros_like(visited)
    for up, right in np.ndindex(_PATCH, _PATCH):
        covered[..., : side - up - 1, right + 1 :] |= visited[..., up + 1 :, : side - right - 1]
    return covered


def speckle(covered: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw greys from `covered_pixels` (N, side, side) as random patches leave them.

    A pixel shows one cell of the last patch pasted over it, and no cell shows at two pixels. So the cells of
    fair random masks are independent fair coins, one for each covered pixel, and no patch needs to be pasted.
    """
    coins = np.unpackbits(np.frombuffer(rng.bytes(-(-covered.size // 8)), dtype=np.uint8), count=covered.size)
    return np.where(covered, coins.reshape(covered.shape) * np.uint8(GREY), np.uint8(0))


def reduced(images: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Average images (N, side, side) over tiles of ``factor × factor`` pixels, rounding half to even."""
    if factor == 1:  # spares full-size presets several copies of gigabytes
        return images
    total = sum(images[:, i::factor, j::factor].astype(np.int32) for i, j in np.ndindex(factor, factor))
    means: NDArray[np.uint8] = np.rint(total / factor**2).astype(np.uint8)
    return means


def flipped(images: NDArray[np.uint8], flip: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Flip images (N, side, side): 0 not at all, 1 vertically, 2 horizontally, 3 both."""
    images = np.where((flip & 1 == 1)[:, None, None], images[:, ::-1], images)
    return np.where((flip & 2 == 2)[:, None, None], images[:, :, ::-1], images)


def weight_rows(step: float) -> Floats:
    """Return the 25 × 6 factors: none, then each parameter in turn by 1 − 2s, 1 − s, 1 + s, 1 + 2s."""
    rows = np.ones((25, 6))
    for parameter in range(6):
        rows[1 + 4 * parameter : 5 + 4 * parameter, parameter] = 1.0 + step * np.array([-2, -1, 1, 2])
    return rows
