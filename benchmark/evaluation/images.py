"""What a classifier is shown: images of anyone's, as the rest of the evaluation sees them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray
from PIL import Image
from torch import Tensor


@dataclass(frozen=True)
class ImageBatch:
    """Some images of a set.

    Attributes
    ----------
    images
        (N, 3, H, W), as `Subject.prepare` makes them.
    labels
        (N,) int64 indices of the model's classes; None where there are none.
    names
        Of each image, such as its path below the folder: unique in a set.
    exact
        (N,) uint64, of the pixels as they were decoded: two images that are equal have the same.
    near
        (N,) uint64, a perceptual hash: near-duplicates differ in a few bits.
    """

    images: Tensor
    labels: Tensor | None
    names: tuple[str, ...]
    exact: NDArray[Any]
    near: NDArray[Any]


class ImageSource(Protocol):
    """A set of images, read once, a batch at a time; broken files are named and counted, and left out.

    Attributes
    ----------
    title
        What pages call it.
    expected
        How many images there are, broken ones included; None where nobody knows before the end.
    """

    title: str
    expected: int | None

    def batches(self, size: int) -> Iterator[ImageBatch]:
        """Batches of at most `size`, in a fixed order; at the end `card` is whole."""

    def picture(self, name: str) -> Image.Image | None:
        """One image as people see it, RGB; None where it is no picture any more."""

    @property
    def card(self) -> dict[str, Any]:
        """What was seen, as JSON: images, labels by class, sizes, kinds (grey, palette, …), broken, notes."""
