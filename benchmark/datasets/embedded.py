"""Datasets made from files that scikit-learn and matplotlib carry with them: digits, letters, photographs.

They need no network, and no file of the machine's own: the fonts are matplotlib's, never the system's.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.datasets.catalog import DatasetCard, ImageSet, embedded

if TYPE_CHECKING:
    from PIL import Image, ImageFont

_CELLS = 8  # a digit is a grid of 8×8 cells …
_LEVELS = 16  # … each counting the inked pixels, of 16


def _from_cells(cells: NDArray[Any], labels: NDArray[np.int64], image_size: int) -> ImageSet:
    """Scale cell counts (N, 8, 8) of 0..16 to greys 0..255 and enlarge them bicubically to `image_size`.

    Pillow clips the cubic's overshoot at 0 and 255. Bilinear enlargement leaves star-shaped blots around the
    cells; bicubic strokes look drawn.
    """
    from PIL import Image

    greys = np.rint(cells * (255 / _LEVELS)).astype(np.uint8)
    side = (image_size, image_size)
    enlarged = [np.asarray(Image.fromarray(grey).resize(side, Image.Resampling.BICUBIC)) for grey in greys]
    return ImageSet.from_grey(np.stack(enlarged), labels)


@embedded(
    DatasetCard(
        name="digits",
        title="Handwritten digits",
        description="8×8 scans of digits by 13 writers, enlarged bicubically; light strokes on black. "
        "Always the complete set in its own order, whatever n and seed: take subsets by class.",
        source="scikit-learn's load_digits: the test part of UCI's Optical Recognition of Handwritten Digits",
        licence="CC BY 4.0",
        citation="E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning "
        "Repository, 1998, doi:10.24432/C50P49",
        size=1797,
        labelled=True,
        class_names=tuple("0123456789"),
        class_sizes=(178, 182, 177, 183, 181, 182, 181, 179, 174, 180),
    )
)
def digits(image_size: int, _n: int, _rng: np.random.Generator) -> ImageSet:
    """Return all 1797 digits; see its card in the catalog."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return _from_cells(bunch.images, bunch.target.astype(np.int64), image_size)


# Left out because some font or hand makes a digit of them: O o Q D (0), I i J j l (1), Z z (2), y (4),
# S s (5), b G (6), B (8), g q (9).
LETTERS = "ACEFHKLMNPRTUVWXY" + "acdefhkmnprtuvwx"
_FINE_FONTS = (
    *("DejaVuSans", "DejaVuSans-Oblique", "DejaVuSerif", "DejaVuSerif-Italic"),
    *("DejaVuSansMono", "DejaVuSansMono-Oblique", "STIXGeneral", "STIXGeneralItalic"),
    *("cmr10", "cmss10", "cmtt10", "cmti10", "cmmi10"),
)
_BOLD_FONTS = (
    *("DejaVuSans-Bold", "DejaVuSans-BoldOblique", "DejaVuSerif-Bold", "DejaVuSerif-BoldItalic"),
    *("DejaVuSansMono-Bold", "DejaVuSansMono-BoldOblique", "STIXGeneralBol", "STIXGeneralBolIta", "cmb10"),
)
_CANVAS = 64  # pixels of a glyph's canvas before its cells are counted
_TILT = 15.0  # degrees


@embedded(
    DatasetCard(
        name="glyphs",
        title="Printed letters",
        description="Letters that no digit resembles, in 22 fonts, randomly thickened, rotated (±15°), "
        "sheared, stretched and placed, then reduced to 8×8 cells of 17 levels and enlarged as digits are: "
        "they differ from digits in what is drawn, not in how it was scanned.",
        source="the DejaVu, STIX and Computer Modern fonts inside matplotlib",
        licence="DejaVu Fonts License, STIX Fonts User License, BaKoMa Fonts Licence (all free to render)",
        citation="J. D. Hunter, Matplotlib: A 2D Graphics Environment, Computing in Science & Engineering "
        "9(3), 2007",
        size=500,
        labelled=True,
        class_names=tuple(LETTERS),
        notes="The rasteriser is Pillow's FreeType: another version may change some cells by a level.",
    )
)
def glyphs(image_size: int, n: int, rng: np.random.Generator) -> ImageSet:
    """Render `n` random letters; see its card in the catalog."""
    from matplotlib import get_data_path
    from PIL import ImageFont

    folder = Path(get_data_path(), "fonts", "ttf")
    names = _FINE_FONTS + _BOLD_FONTS
    # The basic layout engine: the other one depends on a library of the machine.
    basic = ImageFont.Layout.BASIC
    fonts = [ImageFont.truetype(folder / f"{name}.ttf", _CANVAS, layout_engine=basic) for name in names]
    labels = rng.integers(len(LETTERS), size=n)
    choices = rng.integers(len(fonts), size=n)
    # Fine print is fainter than handwriting: without thickening, dim strokes would give the letters away.
    thickening = np.where(choices < len(_FINE_FONTS), rng.integers(1, 4, size=n), 0)  # pixels on each side
    drawn = zip(labels.tolist(), choices.tolist(), thickening.tolist(), strict=True)
    cells = np.stack([_glyph_cells(LETTERS[i], fonts[j], thick, rng) for i, j, thick in drawn])
    return _from_cells(cells, labels, image_size)


def _glyph_cells(
    letter: str, font: ImageFont.FreeTypeFont, thickening: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw one letter under a random affine map and count the ink of its 8×8 cells, 0..16."""
    from PIL import Image, ImageDraw

    page = Image.new("L", (2 * _CANVAS, 2 * _CANVAS))
    middle = (_CANVAS, _CANVAS)
    ImageDraw.Draw(page).text(middle, letter, fill=255, font=font, anchor="mm", stroke_width=thickening)
    ink = _tilted(page, np.deg2rad(rng.uniform(-_TILT, _TILT)), rng.uniform(-0.2, 0.2))
    ink = ink.crop(ink.getbbox())
    # Fitting the ink's own box to the canvas, as the digits were, keeps every letter whole.
    height = _CANVAS * rng.uniform(0.85, 1.0)
    width = min(_CANVAS, height * ink.width / ink.height * rng.uniform(0.8, 1.2))
    ink = ink.resize((max(1, round(width)), round(height)), Image.Resampling.BILINEAR)
    left, top = (round(rng.uniform() * (_CANVAS - length)) for length in ink.size)
    canvas = Image.new("L", (_CANVAS, _CANVAS))
    canvas.paste(ink, (left, top))
    return np.rint(np.asarray(canvas.reduce(_CANVAS // _CELLS)) * (_LEVELS / 255))


def _tilted(page: Image.Image, angle: float, shear: float) -> Image.Image:
    """Rotate by `angle` (radians) and shear sideways, about the middle of the page."""
    from PIL import Image

    cos, sin = np.cos(angle), np.sin(angle)
    to_source = np.array([[cos, sin], [-sin, cos]]) @ np.array([[1.0, shear], [0.0, 1.0]])
    middle = np.array(page.size) / 2
    offset = middle - to_source @ middle  # the middle stays where it is
    matrix = tuple(np.column_stack([to_source, offset]).ravel().tolist())
    return page.transform(page.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)


_CROP_SIDES = (32, 200)  # pixels of a photograph, 427×640


@embedded(
    DatasetCard(
        name="photo_patches",
        title="Patches of photographs",
        description="Square crops at random places of two colour photographs (a temple, a flower); the side, "
        "log-uniform from 32 to 200 pixels, is resized to the image size.",
        source="scikit-learn's sample images: china.jpg by danielbuechele, flower.jpg by vultilion (flickr)",
        licence="CC BY 2.0",
        citation="F. Pedregosa et al., Scikit-learn: Machine Learning in Python, JMLR 12, 2011",
        size=500,
        notes="Only two photographs: patches overlap, and a quarter show little but sky or blur. The JPEG "
        "decoder is Pillow's: another version may change some pixels by a level.",
    )
)
def photo_patches(image_size: int, n: int, rng: np.random.Generator) -> ImageSet:
    """Crop `n` patches; see its card in the catalog."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    photos = [Image.fromarray(photo) for photo in load_sample_images().images]
    choices = rng.integers(len(photos), size=n).tolist()
    smallest, largest = _CROP_SIDES
    sides = (smallest * (largest / smallest) ** rng.random(n)).tolist()
    corners = rng.uniform(size=(n, 2))
    patches = np.empty((n, image_size, image_size, 3), dtype=np.uint8)
    for patch, choice, side, corner in zip(patches, choices, sides, corners, strict=True):
        photo = photos[choice]
        left, top = (corner * (np.array(photo.size) - side)).tolist()
        box = (left, top, left + side, top + side)
        patch[:] = photo.resize((image_size, image_size), Image.Resampling.BICUBIC, box=box)
    return ImageSet.unlabelled(np.ascontiguousarray(patches.transpose(0, 3, 1, 2)))
