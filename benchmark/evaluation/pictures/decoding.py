"""Encoded images to upright RGB pictures, as a person sees them, and what each of them was.

Pillow is used as it is, in threads; this module must not know models, labels or sets.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from benchmark.datasets.pixels import FORMATS
from methods.errors import said

GREY, GREY16, BITS12, COLOUR = "grey", "16-bit grey", "16-bit grey of at most 12 bits", "colour"
TURNED, BLENDED = "turned upright (EXIF)", "transparent, on white"
FRAMES, OBLONG = "several frames, the first", "not square"

_KINDS = {
    "1": "1-bit",
    "L": GREY,
    "LA": GREY,
    "La": GREY,
    "P": "palette",
    "PA": "palette",
    "RGB": COLOUR,
    "RGBA": COLOUR,
    "RGBa": COLOUR,
    "RGBX": COLOUR,
    "CMYK": "CMYK",
    "F": "float grey",
}
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_MOST16 = 65535
_MOST12 = 4095


class Broken(Exception):  # noqa: N818
    """An image that is left out; the message is the reason, for a card."""


@dataclass(frozen=True)
class Decoded:
    """A picture, RGB and upright, and what it was before: words for the card."""

    image: Image.Image
    kinds: tuple[str, ...]


def quiet() -> None:
    """Keep Pillow's warnings (odd metadata, large images) from the terminal: cards say what matters.

    Filters of warnings belong to the process, not to a thread: this one stays.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def decode(file: Path | bytes) -> Decoded:
    """The picture in a file.

    Raises
    ------
    Broken
        If there is none that can be read whole.
    """
    try:
        if file == b"" or (isinstance(file, Path) and not file.stat().st_size):
            raise Broken("is empty")
        if isinstance(file, Path) and not file.is_file():
            raise Broken("is no file")
        with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file, formats=FORMATS) as opened:
            return upright(opened)
    except Broken:
        raise
    except UnidentifiedImageError as error:
        raise Broken(f"is no image of a format that is read ({', '.join(FORMATS)})") from error
    except OSError as error:
        raise Broken((error.strerror or said(error)) if error.errno else said(error)) from error
    # Broken files make Pillow raise almost anything: SyntaxError, struct.error, zlib.error, MemoryError, …
    except Exception as error:
        raise Broken(f"{type(error).__name__}: {said(error)}") from error


def upright(image: Image.Image) -> Decoded:
    """What a person sees of an image: its first frame, turned as EXIF says, on white, in 8 bits a channel.

    16-bit greys are divided by 257, floats in [0, 1] multiplied by 255, both rounded.

    Raises
    ------
    Broken
        If it is larger than Pillow's limit against decompression bombs, or has pixels of unknown range.
    """
    width, height = image.size
    if Image.MAX_IMAGE_PIXELS and width * height > Image.MAX_IMAGE_PIXELS:
        raise Broken(
            f"has {width:,}×{height:,} pixels, more than {Image.MAX_IMAGE_PIXELS:,}: it may be a "
            "decompression bomb"
        )
    if not width or not height:
        raise Broken(f"has {width}×{height} pixels")
    image.load()
    # A phone's JPEG may carry a second picture (MPO), which is no animation.
    moving = getattr(image, "is_animated", False) and image.format != "MPO"
    kinds = [FRAMES] if moving else []
    turn = _UPRIGHT.get(_orientation(image))
    if image.mode.startswith("I"):
        grey, kind = _eight_bits(image)
        image, kinds = grey, [kind, *kinds]
    elif image.mode == "F":
        image, kinds = _of_floats(image), [_KINDS["F"], *kinds]
    else:
        kinds = [_KINDS.get(image.mode, image.mode), *kinds]
    rgb, blended = _on_white(image)
    kinds += [BLENDED] if blended else []
    if turn is not None:
        rgb, kinds = rgb.transpose(turn), [*kinds, TURNED]
    kinds += [OBLONG] if rgb.width != rgb.height else []
    return Decoded(rgb, tuple(kinds))


def _orientation(image: Image.Image) -> int:
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # metadata that cannot be read turn nothing
        return 1
    return found if isinstance(found, int) else 1


def _eight_bits(image: Image.Image) -> tuple[Image.Image, str]:
    values = np.asarray(image).astype(np.int64)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > _MOST16:
        raise Broken(f"has integer pixels of {low:,} to {high:,}; expected 0 to {_MOST16:,}")
    eight = ((values * 255 + _MOST16 // 2) // _MOST16).astype(np.uint8)
    return Image.fromarray(eight), BITS12 if high <= _MOST12 else GREY16


def _of_floats(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.float64)
    if not (values.min() >= 0.0 and values.max() <= 1.0):
        raise Broken(f"has float pixels of {values.min():.4g} to {values.max():.4g}; expected 0 to 1")
    return Image.fromarray(np.rint(values * 255.0).astype(np.uint8))


def _on_white(image: Image.Image) -> tuple[Image.Image, bool]:
    """In RGB, and whether anything shone through."""
    if image.mode not in {"RGBA", "LA", "PA", "RGBa", "La"} and "transparency" not in image.info:
        return image.convert("RGB"), False
    if image.mode in {"La", "RGBa"}:  # premultiplied: Pillow undoes that to one mode each
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    layer = image.convert("RGBA")
    if layer.getchannel("A").getextrema() == (255, 255):
        return layer.convert("RGB"), False
    white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, layer).convert("RGB"), True
