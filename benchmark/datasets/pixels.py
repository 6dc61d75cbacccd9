"""Encoded images to square RGB pixels, and which images of a split a subset has.

Every number of a Hub dataset is made here: its content key follows this module, and no other of ours.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import DataError
from benchmark.seeds import derive_seed
from benchmark.spec.base import Interpolation

if TYPE_CHECKING:
    from PIL import Image

# Raster formats only: Pillow would hand others, such as PostScript, to a program of the machine.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")


def decode_images(
    encoded: Sequence[bytes],
    image_size: int,
    *,
    crop: float = 1.0,
    interpolation: Interpolation = "bilinear",
    names: Sequence[str] | None = None,
) -> NDArray[np.uint8]:
    r"""Decode, resize and crop images as OpenOOD and torchvision do.

    Each is converted to RGB, its shorter side is scaled to :math:`\mathrm{round}(S / \text{crop})` pixels
    (Pillow averages over the pixels that it merges), and its central S×S pixels are kept. An image
    that has the size already keeps its pixels. An EXIF orientation is not applied, as torchvision does not.

    Parameters
    ----------
    encoded : sequence of bytes
        N files: JPEG, PNG, WebP, BMP, GIF, TIFF or PPM; of several frames, the first.
    image_size : int
        S.
    crop : float
        In (0, 1], the share of the shorter side that is kept: timm's `crop_pct`.
    interpolation : str
        ``bilinear`` or ``bicubic``.
    names : sequence of str, optional
        What an error calls each image, such as ``"row 7"``.

    Returns
    -------
    uint8 array (N, 3, S, S)

    Raises
    ------
    DataError
        If an image cannot be decoded, or is so large that it may be a decompression bomb; names it.
    """
    from PIL import Image

    pixels = np.empty((len(encoded), 3, image_size, image_size), dtype=np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata, which changes no pixel
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for index, data in enumerate(encoded):
            try:
                pixels[index] = _decode(data, image_size, crop, interpolation)
            # Broken files make Pillow raise almost anything: OSError, SyntaxError, struct.error, ...
            except Exception as error:
                called = names[index] if names else f"image {index}"
                raise DataError(f"{called} cannot be decoded: {type(error).__name__}: {error}") from error
    return pixels


def _decode(data: bytes, image_size: int, crop: float, interpolation: Interpolation) -> NDArray[np.uint8]:
    """Return the pixels (3, S, S) of one file."""
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
        fitted = _fit(_to_rgb(opened), image_size, crop, interpolation)
    return np.asarray(fitted).transpose(2, 0, 1)


def _to_rgb(image: Image.Image) -> Image.Image:
    """Convert to mode RGB; transparency is dropped, 16-bit greys keep their upper 8 bits."""
    from PIL import Image

    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise ValueError(f"its pixels are of mode {image.mode!r}, expected 8 or 16 bits a channel")
    return image.convert("RGB")


def _fit(image: Image.Image, image_size: int, crop: float, interpolation: Interpolation) -> Image.Image:
    """Scale the shorter side and crop the centre, with torchvision's rounding."""
    from PIL import Image

    width, height = image.size
    shorter, wanted = min(width, height), round(image_size / crop)
    if shorter != wanted:
        longer = int(wanted * max(width, height) / shorter)
        width, height = (wanted, longer) if width <= height else (longer, wanted)
        image = image.resize((width, height), Image.Resampling[interpolation.upper()])
    if (width, height) == (image_size, image_size):
        return image
    left, top = round((width - image_size) / 2), round((height - image_size) / 2)
    return image.crop((left, top, left + image_size, top + image_size))


def choose_rows(labels: NDArray[np.int64], n: int, name: str, split: str, seed: int) -> NDArray[np.int64]:
    """Choose `n` rows of a split, as many of each class as can be.

    The choice is fixed by name, split and seed; fewer rows are a part of more. Images without classes have
    equal labels, and are drawn as if of one class.

    Parameters
    ----------
    labels : int64 array (N,)
        Class of each row.
    n : int
        1 to N.
    name, split : str
        Dataset and split.
    seed : int
        Of the choice.

    Returns
    -------
    int64 array (n,), ascending
    """
    rng = np.random.default_rng(derive_seed("hub subset", name, split, seed))
    shuffled = rng.permutation(len(labels))
    # Deal out the rows as cards are dealt: the first of each class, then the second of each …
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    _, sizes = np.unique(labels, return_counts=True)
    turn = np.concatenate([np.arange(size) for size in sizes])
    place = np.repeat(rng.permutation(len(sizes)), sizes)
    dealt = by_class[np.lexsort((place, turn))]
    chosen: NDArray[np.int64] = np.sort(dealt[:n]).astype(np.int64)
    return chosen
