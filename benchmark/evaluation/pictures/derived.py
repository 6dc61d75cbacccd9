"""Images made of the ID test images: blended, shuffled or corrupted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmark.datasets.shifts import SEVERITIES, ShiftKind, ShiftScale, shift
from benchmark.errors import UsageError
from benchmark.evaluation.images import ImageBatch, ImageSource
from benchmark.evaluation.pictures.decoding import Broken
from benchmark.evaluation.pictures.gathering import Prepare, Read, gather
from benchmark.evaluation.pictures.hashes import exact_of_tensor, grids_of_tensors
from benchmark.evaluation.pictures.tally import Tally
from benchmark.seeds import derive_seed

_INNER = 64  # images that are read at a time, whatever batches are asked for
_KEPT = 64  # images that partners of a blend are drawn from
_SIDE = 64  # pixels of a thumbnail
_GRIDS = (4, 3, 2)  # patches a side
_SMALL = 64  # pixels a side, up to which corruptions are those of CIFAR-C
MADE = "made of ID test images"


class _Made(ABC):
    """What sources of made images share: each makes some `_reads`."""

    def __init__(self, source: ImageSource, title: str, limit: int, seed: int) -> None:
        self.title = title
        self.expected: int | None = None
        self._source, self._limit, self._seed = source, limit, seed
        self._tally = Tally(MADE)
        self._pictures: dict[str, Image.Image] = {}

    def batches(self, size: int) -> Iterator[ImageBatch]:
        """See `ImageSource.batches`."""
        self._tally = Tally(MADE)
        self._pictures = {}
        yield from gather(self._reads(), size, self._tally, self.title, "near")

    def picture(self, name: str) -> Image.Image | None:
        """See `ImageSource.picture`; thumbnails, of pixels only."""
        return self._pictures.get(name)

    @property
    def card(self) -> dict[str, Any]:
        """See `ImageSource.card`."""
        return self._tally.card

    @abstractmethod
    def _reads(self) -> Iterator[Read]:
        """The images, made."""

    def _some(self) -> Iterator[ImageBatch]:
        """About `limit` images of the source, evenly spread."""
        known = self._source.expected
        step = max(1, -(-known // self._limit)) if known else 1
        at = given = 0
        for batch in self._source.batches(_INNER):
            places = np.arange(-at % step, len(batch.names), step)[: self._limit - given]
            at += len(batch.names)
            given += len(places)
            if len(places):
                yield _chosen(batch, places)
            if given >= self._limit and not known:
                return

    def _read(self, name: str, image: Tensor) -> Read:
        if image.dtype == torch.uint8 and len(image) == 3:
            picture = Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).numpy()))
            picture.thumbnail((_SIDE, _SIDE))
            self._pictures[name] = picture
        size = (int(image.shape[-1]), int(image.shape[-2]))
        grid = grids_of_tensors(image[None])[0]
        return Read(name, image, exact=exact_of_tensor(image), grid=grid, size=size, kinds=(MADE,))


class Blended(_Made):
    """Each ID test image, half and half with another one, of another class where there are labels."""

    def _reads(self) -> Iterator[Read]:
        rng = np.random.default_rng(derive_seed("blended", self._seed))
        pool: ImageBatch | None = None
        alone = 0
        for batch in self._some():
            partners = pool or batch
            apart = np.ones((len(batch.names), len(partners.names)), dtype=bool)
            if pool is None:
                np.fill_diagonal(apart, False)
            if batch.labels is not None and partners.labels is not None:
                apart &= (batch.labels[:, None] != partners.labels[None]).numpy()
            # The largest of independent draws is a uniform choice among those that are allowed.
            chosen = np.where(apart, rng.random(apart.shape), -1.0).argmax(axis=1)
            fits = np.flatnonzero(apart.any(axis=1))
            alone += len(batch.names) - len(fits)
            mixed = _half(batch.images[fits], partners.images[chosen[fits]])
            for place, image in zip(fits.tolist(), mixed, strict=True):
                yield self._read(f"{batch.names[place]} + {partners.names[chosen[place]]}", image)
            pool = _renewed(partners, batch, rng)
        if alone:
            self._tally.note(f"{alone:,} images found no partner of another class")


class Shuffled(_Made):
    """Each ID test image, cut into square patches that change places."""

    def _reads(self) -> Iterator[Read]:
        rng = np.random.default_rng(derive_seed("shuffled", self._seed))
        for batch in self._some():
            mixed = _shuffled(batch.images, rng)
            for name, image in zip(batch.names, mixed, strict=True):
                yield self._read(f"{name}, shuffled", image)


class Corrupted:
    """An ID test set under one corruption, as an `ImageSource`: names, labels and hashes are its own.

    Parameters
    ----------
    source : ImageSource
        Of uint8 images: see `why_not_corrupted`.
    kind : str
        One of `ShiftKind`.
    severity : int
        1 to 5; the constants of CIFAR-C up to 64 pixels a side, of ImageNet-C beyond.
    seed : int

    Raises
    ------
    UsageError
        If `kind` or `severity` is no choice.
    """

    def __init__(self, source: ImageSource, kind: str, severity: int, seed: int = 0) -> None:
        try:
            self._kind = ShiftKind(kind)
        except ValueError as error:
            raise UsageError(str(error)) from error
        if severity not in SEVERITIES:
            raise UsageError(f"severity is {severity!r}, expected one of {', '.join(map(str, SEVERITIES))}")
        self.title = f"{source.title}, {self._kind} {severity}"
        self.expected = source.expected
        self._source, self._severity, self._seed = source, severity, seed

    def batches(self, size: int) -> Iterator[ImageBatch]:
        """See `ImageSource.batches`; an image comes out the same whatever `size` is.

        Raises
        ------
        UsageError
            If the images are no pixels.
        """
        # One stream of random numbers for all images: `shift` draws for one after the other.
        rng = np.random.default_rng(derive_seed("corrupted", self._kind, self._severity, self._seed))
        for batch in self._source.batches(size):
            if reason := _no_pixels(batch.images.dtype, tuple(batch.images.shape[1:])):
                raise UsageError(f"{self.title}: {reason}")
            side = max(batch.images.shape[2:])
            scale = ShiftScale.CIFAR_C if side <= _SMALL else ShiftScale.IMAGENET_C
            images = torch.from_numpy(shift(batch.images.numpy(), self._kind, self._severity, scale, rng))
            yield ImageBatch(images, batch.labels, batch.names, batch.exact, batch.near)

    def picture(self, name: str) -> Image.Image | None:
        """None: nobody looks at them."""
        return None

    @property
    def card(self) -> dict[str, Any]:
        """See `ImageSource.card`: that of the set."""
        return self._source.card


def why_not_corrupted(prepare: Prepare | None) -> str:
    """Why the images that `prepare` makes cannot be corrupted; empty if they can."""
    if prepare is None:
        return "the model takes no pictures"
    try:
        made = prepare(Image.new("RGB", (64, 64), (128, 128, 128)))
    except (ValueError, TypeError, RuntimeError, Broken) as error:
        return f"a picture cannot be prepared: {error}"
    return _no_pixels(made.dtype, tuple(made.shape))


def _no_pixels(dtype: torch.dtype, shape: tuple[int, ...]) -> str:
    if dtype != torch.uint8:
        return f"the model's preparation gives {dtype}, and corruptions are of uint8 pixels"
    if len(shape) != 3 or shape[0] != 3 or shape[1] != shape[2]:
        return f"the model takes images of shape {shape}, and corruptions are of square RGB images"
    return ""


def _chosen(batch: ImageBatch, places: np.ndarray[Any, Any]) -> ImageBatch:
    return ImageBatch(
        batch.images[places],
        None if batch.labels is None else batch.labels[places],
        tuple(batch.names[place] for place in places.tolist()),
        batch.exact[places],
        batch.near[places],
    )


def _renewed(pool: ImageBatch, batch: ImageBatch, rng: np.random.Generator) -> ImageBatch:
    """Partners for the next images: a random part of all so far, the latest not more than a quarter."""
    new = rng.permutation(len(batch.names))[: max(1, _KEPT // 4)]
    old = rng.permutation(len(pool.names))[: _KEPT - len(new)]
    one, other = _chosen(pool, old), _chosen(batch, new)
    labels = None if one.labels is None or other.labels is None else torch.cat([one.labels, other.labels])
    return ImageBatch(
        torch.cat([one.images, other.images]),
        labels,
        (*one.names, *other.names),
        np.concatenate([one.exact, other.exact]),
        np.concatenate([one.near, other.near]),
    )


def _half(a: Tensor, b: Tensor) -> Tensor:
    if a.dtype != torch.uint8:
        return (a + b) / 2
    return ((a.to(torch.int16) + b.to(torch.int16) + 1) // 2).to(torch.uint8)


def _shuffled(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Patches of each of the images (N, C, H, W) in another order; what the grid does not cover stays."""
    n, channels, height, width = images.shape
    g = next((g for g in _GRIDS if height % g == width % g == 0), _GRIDS[-1])
    h, w = height // g, width // g
    inner = images[:, :, : g * h, : g * w].reshape(n, channels, g, h, g, w)
    patches = inner.permute(0, 2, 4, 1, 3, 5).reshape(n, g * g, channels, h, w)
    order = torch.from_numpy(rng.random((n, g * g)).argsort(axis=1))
    moved = patches[torch.arange(n)[:, None], order]
    result = images.clone()
    back = moved.reshape(n, g, g, channels, h, w).permute(0, 3, 1, 4, 2, 5)
    result[:, :, : g * h, : g * w] = back.reshape(n, channels, g * h, g * w)
    return result
