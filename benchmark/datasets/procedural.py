"""Datasets drawn from formulas: noise for test sets, and outliers for training objectives and validation.

`gaussian_noise` follows Hendrycks et al., "Deep Anomaly Detection with Outlier Exposure", ICLR 2019,
arXiv 1812.04606. `dead_leaves`, `strokes` and `fractals` are outlier sources: no track tests on them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmark.datasets.catalog import DatasetCard, ImageSet, embedded, to_uint8
from benchmark.datasets.fractals import GREY, FractalConfig, fractal_images

_SOURCE = "computed"
_LICENCE = "none needed: no file is used"
_SIZE = 500
_INSTANCES = 4  # images of one fractal
_FRACTAL_SIDE = 32  # pixels; of smaller images this is cut


@embedded(
    DatasetCard(
        name="gaussian_noise",
        title="Gaussian noise",
        description="x = (v + 1) / 2, v = clip(N(0, 0.5²), −1, 1), independent for each pixel and channel.",
        citation="D. Hendrycks, M. Mazeika, T. Dietterich, Deep Anomaly Detection with Outlier Exposure, "
        "ICLR 2019",
        source=_SOURCE,
        licence=_LICENCE,
        size=_SIZE,
    )
)
def gaussian_noise(image_size: int, n: int, rng: np.random.Generator) -> ImageSet:
    """Draw `n` images; see its card in the catalog."""
    v = rng.normal(scale=0.5, size=(n, 3, image_size, image_size))
    return ImageSet.unlabelled(to_uint8((v + 1.0) / 2.0))


@embedded(
    DatasetCard(
        name="uniform_noise",
        title="Uniform noise",
        description="U(0, 1), independent for each pixel and channel.",
        citation="D. Hendrycks, K. Gimpel, A Baseline for Detecting Misclassified and Out-of-Distribution "
        "Examples in Neural Networks, ICLR 2017",
        source=_SOURCE,
        licence=_LICENCE,
        size=_SIZE,
    )
)
def uniform_noise(image_size: int, n: int, rng: np.random.Generator) -> ImageSet:
    """Draw `n` images; see its card in the catalog."""
    return ImageSet.unlabelled(to_uint8(rng.random((n, 3, image_size, image_size))))


@embedded(
    DatasetCard(
        name="strokes",
        title="Pen strokes",
        description="Scribbles: three to six random cubic Bézier curves of random width, light on dark grey.",
        citation="oodbench",
        outlier_source=True,
        source=_SOURCE,
        licence=_LICENCE,
        size=_SIZE,
    )
)
def strokes(image_size: int, n: int, rng: np.random.Generator) -> ImageSet:
    """Draw `n` scribbles; see its card in the catalog."""
    from PIL import Image, ImageDraw

    fine = 4  # drawn four times as large and averaged down: Pillow's lines have no soft edges
    side = image_size * fine
    t = np.linspace(0.0, 1.0, 25)[:, None]
    bernstein = np.hstack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])  # (25, 4)
    most = 6
    counts = rng.integers(3, most + 1, size=n)
    # Control points may lie outside the image: strokes then leave it and come back.
    control = rng.uniform(-0.2, 1.2, size=(n, most, 4, 2)) * side
    curves = bernstein @ control  # (n, most, 25, 2)
    widths = (rng.uniform(0.04, 0.11, size=(n, most)) * side).round().astype(int)
    inks = rng.integers(140, 256, size=(n, most))
    grounds = rng.integers(0, 61, size=n)

    greys = np.empty((n, image_size, image_size), dtype=np.uint8)
    for i in range(n):
        page = Image.new("L", (side, side), int(grounds[i]))
        pen = ImageDraw.Draw(page)
        for j in range(counts[i]):
            width, ink = int(widths[i, j]), int(inks[i, j])
            pen.line(curves[i, j].ravel().tolist(), fill=ink, width=width, joint="curve")
            for x, y in curves[i, j, [0, -1]].tolist():  # round ends, as a pen leaves
                pen.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=ink)
        greys[i] = np.asarray(page.reduce(fine))
    return ImageSet.from_grey(greys)


@embedded(
    DatasetCard(
        name="dead_leaves",
        title="Dead leaves",
        description="Discs of random colours that cover each other; the density of a radius r falls as r⁻³, "
        "so that the images have edges and sizes distributed as in photographs.",
        citation="A. B. Lee, D. Mumford, J. Huang, Occlusion Models for Natural Images, IJCV 41, 2001",
        outlier_source=True,
        source=_SOURCE,
        licence=_LICENCE,
        size=_SIZE,
    )
)
def dead_leaves(image_size: int, n: int, rng: np.random.Generator) -> ImageSet:
    """Draw `n` images; see its card in the catalog."""
    from PIL import Image, ImageDraw

    fine = 4  # drawn larger and averaged down, for soft edges
    side = image_size * fine
    leaves = 100  # by their areas they cover the ground five times
    radii = leaf_radii(rng.random((n, leaves)), 0.06, 0.6) * side
    centres = rng.uniform(size=(n, leaves, 2)) * side
    radii = radii[..., None]
    boxes = np.concatenate([centres - radii, centres + radii], axis=-1)  # (n, leaves, 4)
    colours = rng.integers(0, 256, size=(n, leaves + 1, 3))

    images = np.empty((n, image_size, image_size, 3), dtype=np.uint8)
    for i in range(n):
        page = Image.new("RGB", (side, side), tuple(colours[i, leaves].tolist()))
        pen = ImageDraw.Draw(page)
        for box, colour in zip(boxes[i].tolist(), colours[i, :leaves].tolist(), strict=True):
            pen.ellipse(box, fill=tuple(colour))
        images[i] = np.asarray(page.reduce(fine))
    return ImageSet.unlabelled(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def leaf_radii(u: NDArray[np.float64], smallest: float, largest: float) -> NDArray[np.float64]:
    r"""Turn uniform `u` in [0, 1) into radii of density :math:`p(r) \propto r^{-3}` on [smallest, largest].

    .. math:: F(r) = \frac{a^{-2} - r^{-2}}{a^{-2} - b^{-2}}, \quad
              F^{-1}(u) = \bigl(a^{-2} - u\,(a^{-2} - b^{-2})\bigr)^{-1/2}
    """
    a, b = smallest**-2.0, largest**-2.0
    return np.asarray((a - u * (a - b)) ** -0.5)


@embedded(
    DatasetCard(
        name="fractals",
        title="Coloured fractals",
        description="Iterated function systems as for pre-training on fractals, four images of each, in one "
        "random colour on another.",
        citation="H. Kataoka et al., Pre-training without Natural Images, IJCV 130, 2022",
        outlier_source=True,
        source=_SOURCE,
        licence=_LICENCE,
        size=_SIZE,
        notes="Pictures for pixmix to mix with.",
    )
)
def fractals(image_size: int, n: int, rng: np.random.Generator) -> ImageSet:
    """Draw `n` images; see its card in the catalog."""
    side = max(image_size, _FRACTAL_SIDE)
    config = FractalConfig(
        -(-n // _INSTANCES),
        _INSTANCES,
        side,
        5_000,
        0.2,
        96,
        5_000,
        supersample=3 if side < 96 else 1,
        padding=4,
    )
    drawn = fractal_images(config, int(rng.integers(2**31))).images[:, 0, :image_size, :image_size]
    shares = drawn[rng.permutation(len(drawn))[:n], None] / GREY
    light, dark = rng.random((2, n, 3, 1, 1))
    return ImageSet.unlabelled(to_uint8(dark + (light - dark) * shares))
