"""OOD images for whoever has none: drawn by formula, and made of the ID test images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image

from benchmark.datasets import dataset
from benchmark.datasets.catalog import SMALLEST_IMAGE, ImageSet
from benchmark.errors import UsageError
from benchmark.evaluation.images import ImageBatch, ImageSource
from benchmark.evaluation.pictures.decoding import Broken, Decoded
from benchmark.evaluation.pictures.derived import Blended, Shuffled
from benchmark.evaluation.pictures.gathering import Prepare, Read, gather, prepared
from benchmark.evaluation.pictures.tally import Tally
from benchmark.seeds import derive_seed
from methods.errors import said

WARNING = (
    "No OOD images were given: these stand in for them. They show whether a detector fails on easy cases, "
    "and which detector does; what it does on images that you will really meet they cannot show. Collect "
    "some, a few hundred suffice, and evaluate again before you rely on a threshold."
)
_CHUNK = 64  # images that are drawn at a time
_FAR = {
    "glyphs": "printed letters: strange to most classifiers, and easy, unless the ID images are writing",
    "photo_patches": "patches of two photographs: real pixels, but of two scenes only",
    "dead_leaves": "overlapping discs: edges and colours as in photographs, and no objects",
    "fractals": "fractals in two colours: structure that is in no photograph",
    "gaussian_noise": "noise: the easiest case, which says nothing of real images",
    "uniform_noise": "noise: the easiest case, which says nothing of real images",
}


class StandIn(NamedTuple):
    """A set that stands in for OOD images, and what it can and cannot show."""

    name: str
    group: Literal["near", "far"]
    source: ImageSource
    warning: str


def standins(
    id_test: ImageSource, prepare: Prepare | None, *, n: int = 500, seed: int = 0
) -> tuple[StandIn, ...]:
    """Sets for whoever has no OOD images; tell people `WARNING` too.

    Parameters
    ----------
    id_test : ImageSource
        Two of the sets are made of its images: it is read once more for each.
    prepare : callable or None
        `Subject.prepare`. Where there is none, only these two are left.
    n : int
        Images of each set; about as many of those of ID images.
    seed : int

    Raises
    ------
    UsageError
        If no picture can be prepared.
    """
    near = (
        StandIn(
            "blended",
            "near",
            Blended(id_test, "ID images blended in pairs", n, seed),
            "two ID test images at once: no single class is right, but every part of it is in-distribution",
        ),
        StandIn(
            "shuffled",
            "near",
            Shuffled(id_test, "ID images with shuffled patches", n, seed),
            "ID test images cut into patches: textures are in-distribution and shapes are not; a classifier "
            "that goes by texture, rightly or not, takes them for ID",
        ),
    )
    if prepare is None:
        return near
    side = _side(prepare)
    far = (
        StandIn(name, "far", Drawn(name, side, prepare, n, seed), warning) for name, warning in _FAR.items()
    )
    return (*near, *far)


class Drawn:
    """An embedded dataset as an `ImageSource`, drawn chunk by chunk.

    Parameters
    ----------
    name : str
        In the catalog.
    side : int
        Pixels, before they are prepared.
    prepare : callable
    n : int
    seed : int
    """

    def __init__(self, name: str, side: int, prepare: Prepare, n: int, seed: int) -> None:
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        self._set, self._side, self._prepare, self._seed = dataset(name), side, prepare, seed
        self.title = self._set.card.title
        self.expected: int | None = n
        self._n = n
        self._tally = Tally("drawn")

    def batches(self, size: int) -> Iterator[ImageBatch]:
        """See `ImageSource.batches`; images are the same whatever `size` is."""
        self._tally = Tally("drawn", (self._set.card.description,))
        yield from gather(self._reads(), size, self._tally, self.title, "far")

    def picture(self, name: str) -> Image.Image | None:
        """See `ImageSource.picture`."""
        number = name.rpartition(" ")[2]
        if not number.isdecimal() or int(number) >= self._n:
            return None
        chunk, place = divmod(int(number), _CHUNK)
        return _picture(self._drawn(chunk).images[place])

    @property
    def card(self) -> dict[str, Any]:
        """See `ImageSource.card`."""
        return self._tally.card

    def _drawn(self, chunk: int) -> ImageSet:
        seed = derive_seed("stand-in", self._set.card.name, chunk, self._seed)
        return self._set.build(self._side, min(_CHUNK, self._n - chunk * _CHUNK), seed)

    def _reads(self) -> Iterator[Read]:
        for chunk in range(-(-self._n // _CHUNK)):
            for place, pixels in enumerate(self._drawn(chunk).images):
                name = f"{self._set.card.name} {chunk * _CHUNK + place}"
                try:
                    yield prepared(name, Decoded(_picture(pixels), ("drawn",)), self._prepare)
                except Broken as reason:
                    yield Read(name, None, broken=str(reason))


def _picture(pixels: np.ndarray[Any, Any]) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def _side(prepare: Prepare) -> int:
    """The longer side of what the model takes, in pixels."""
    try:
        made = prepare(Image.new("RGB", (64, 64), (128, 128, 128)))
    except Exception as error:  # of somebody else's code
        raise UsageError(f"the model's preparation of a grey picture fails: {said(error)}") from error
    return max(SMALLEST_IMAGE, int(made.shape[-2]), int(made.shape[-1]))
