"""A few images of a dataset beside each other, where they may be shown and are at hand.

This module must not know which page shows them. Pillow, PyArrow and what makes embedded images are loaded
when a grid is made.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmark.datasets.catalog import Dataset, ImageSet
from benchmark.datasets.files import DataMissing, StoredDataset
from benchmark.datasets.mirror import MirrorFile
from benchmark.datasets.pixels import choose_rows, decode_images
from benchmark.errors import DataError
from benchmark.spec.leaderboard import Spec
from reports.pages.dataset_uses import known_of, uses_of
from reports.site.sections import Picture

if TYPE_CHECKING:
    from PIL import Image

FOLDER = "samples"
COLUMNS, ROWS = 8, 4
SIDE = 32  # pixels of an image …
SHOWN = 1.5  # … and how many CSS pixels each is wide
COLOURS = 256  # where a file with all of them would be large
_GAP, _GREY = 2, 128  # between images, which is seen on a light page and on a dark one
_LARGEST = 40_000  # bytes of a file with all colours
_REACH = 2_000  # rows from the start of a Parquet file that samples are drawn from

NOT_ALLOWED = "No samples: the licence does not say that images may be shown."
NOT_HERE = "No samples: the files were not at hand when this page was made."
UNREADABLE = "No samples: the files could not be read when this page was made."

# Licences that let anybody pass images on, scaled too. Words of a text are set apart by single spaces.
_FREE = (
    "cc0",
    "cc by",
    "cc by sa",
    "creative commons (?:zero|attribution(?: share ?alike)?)",
    "mit",
    r"bsd(?: \d clause)?",
    "apache",
    "public domain",
)
_VERSION = r"(?: (?:licen[cs]e|version|dedication|international|unported|generic|universal|v?\d(?:\.\d)?))*"
_ALLOWED = re.compile(rf"(?:the )?(?:{'|'.join(_FREE)}){_VERSION}(?= ?[,;:(]|\.?$)")
_RESTRICTED = re.compile(
    r"\b(?:nc|nd|non ?commercial|commercial|no|not|non|none|only|without|except|research|academic|education"
    r"|educational|personal|private|unknown|unclear|disputed|photographer|no ?deriv\w*)\b"
)


@dataclass(frozen=True)
class Samples:
    """Some images of a dataset."""

    picture: Picture
    split: str | None  # that they are of, where there are splits
    reduced: bool  # whether they are shown in fewer colours than they have


def may_show(licence: str) -> bool:
    """Whether a licence says that images may be passed on: it begins with the name of one that lets anybody.

    What it says beyond that must not restrict it. Any other text allows nothing.
    """
    text = re.sub(r"[\s_/-]+", " ", licence).strip().lower()
    return _ALLOWED.match(text) is not None and _RESTRICTED.search(text) is None


def samples_of(name: str, known: Dataset | None, title: str, licence: str) -> Samples | str:
    """A grid of a dataset's images, or why there is none.

    Parameters
    ----------
    known : None where its files are not at hand.
    """
    stored = known is None or isinstance(known, StoredDataset)
    if stored and not may_show(licence):
        return NOT_ALLOWED
    if known is None:
        return NOT_HERE
    split = _split_here(known) if isinstance(known, StoredDataset) else None
    try:
        images = _of_files(known, split) if isinstance(known, StoredDataset) else _computed(known)
    except DataMissing:
        return NOT_HERE
    except DataError:
        return UNREADABLE
    shown = dict.fromkeys(images.labels.tolist()) if known.card.labelled else ()
    class_names = [known.card.class_names[label] for label in shown]
    sheet = _sheet(images.images)
    data, reduced = _png(sheet)
    height, width = sheet.shape[:2]
    count = "1 image" if len(images) == 1 else f"{len(images)} images"
    classes = f": {', '.join(class_names)}" if class_names else ""
    picture = Picture(
        file=f"{FOLDER}/{name}.png",
        alt=f"{count} of {title}{classes}",
        data=data,
        width=round(width * SHOWN),
        height=round(height * SHOWN),
    )
    return Samples(picture, split, reduced)


def sample_files(spec: Spec) -> dict[str, str]:
    """What the grids of datasets in files are made of, told cheaply: split and number of bytes, by dataset.

    For the fingerprint of a site: a grid is made anew where files have come, gone or changed their size.
    """
    known = ((name, known_of(spec, name)) for name in uses_of(spec))
    return {
        name: f"{split} {one.size_of(split)}"
        for name, one in known
        if isinstance(one, StoredDataset) and may_show(one.card.licence)
        if (split := _split_here(one)) is not None
    }


def _split_here(known: StoredDataset) -> str | None:
    """The first of its splits whose files are at hand."""
    return next((split for split in known.splits if known.here(split)), None)


def _computed(known: Dataset) -> ImageSet:
    """Images of an embedded set: drawn for this purpose, or some of those that there always are."""
    images = known.build(SIDE, COLUMNS * ROWS, seed=0)
    return images.subset(_chosen(images.labels, known.card.name, ""))


def _of_files(known: StoredDataset, split: str | None) -> ImageSet:
    """Images of a split; no others are decoded, and a large file is not read to its end.

    Raises
    ------
    DataMissing
        If there is none at hand.
    DataError
        If the files cannot be read.
    """
    if split is None:
        raise DataMissing(f"dataset {known.card.name}: no split is here")
    file = known.opened(known.path(split))
    reach = min(file.rows, _REACH) if isinstance(file, MirrorFile) else file.rows
    labels = file.labels()[:reach] if known.card.labelled else np.zeros(reach, dtype=np.int64)
    if known.card.labelled and not 0 <= labels.min() <= labels.max() < len(known.card.class_names):
        raise DataError(f"{file.path} has labels that are none of the {len(known.card.class_names)} classes")
    rows = _chosen(labels, known.card.name, split)
    ascending = np.sort(rows)
    numbers, encoded = zip(*islice(file.images(ascending), len(rows)), strict=True)
    pixels = decode_images(encoded, SIDE, names=[file.called(row) for row in numbers])
    return ImageSet(pixels[np.searchsorted(ascending, rows)], labels[rows])


def _chosen(labels: NDArray[np.int64], name: str, split: str) -> NDArray[np.int64]:
    """Which images are shown, in the order of their classes: as many of each as can be."""
    rows = choose_rows(labels, min(COLUMNS * ROWS, len(labels)), name, split, 0)
    return rows[np.argsort(labels[rows], kind="stable")]


def _sheet(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay out images (N, 3, S, S) in rows as one image (H, W, 3)."""
    columns = min(COLUMNS, len(images))
    rows = -(-len(images) // columns)
    step = images.shape[-1] + _GAP
    sheet = np.full((rows * step - _GAP, columns * step - _GAP, 3), _GREY, dtype=np.uint8)
    for i, image in enumerate(images):
        top, left = step * (i // columns), step * (i % columns)
        sheet[top : top + step - _GAP, left : left + step - _GAP] = image.transpose(1, 2, 0)
    return sheet


def _png(sheet: NDArray[np.uint8]) -> tuple[bytes, bool]:
    """Encode an image (H, W, 3): as it is where that is small, else in fewer colours; whether in fewer."""
    from PIL import Image

    grey = bool((sheet == sheet[..., :1]).all())
    picture = Image.fromarray(sheet[..., 0] if grey else sheet)
    data = _encoded(picture)
    reduced = len(data) > _LARGEST
    return (_encoded(picture.quantize(COLOURS)) if reduced else data), reduced


def _encoded(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()
