"""What a dataset is, and the catalog of those that come with the suite.

This room turns a name, an image size and a seed into labelled uint8 images. It must not know about tracks,
networks, detectors or scores. Datasets enter the catalog when ``benchmark.datasets`` is imported; that reads
no file and loads no heavy library, building a set does.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmark.seeds import derive_seed
from benchmark.spec.base import Interpolation
from benchmark.store.fingerprints import definition_of
from methods.names import did_you_mean
from methods.neutral import neutral

UNLABELLED = -1
SMALLEST_IMAGE = 8  # pixels; a digit has no more, and networks' strides leave nothing of less

_NAME = re.compile(r"[a-z0-9_]+")


class UnknownDatasetError(LookupError):
    """No dataset of that name is in the catalog."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Square RGB images and their labels.

    Attributes
    ----------
    images : uint8 array (N, 3, S, S)
        Pixel values 0..255; grey images carry three equal channels.
    labels : int64 array (N,)
        Class indices from 0, or `UNLABELLED` (-1) where an image has no class.

    Raises
    ------
    ValueError
        If a shape or dtype differs from the above.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        shape = self.images.shape
        if self.images.dtype != np.uint8 or len(shape) != 4 or shape[1] != 3 or shape[2] != shape[3]:
            raise ValueError(
                f"images must be a uint8 array (N, 3, S, S), got {self.images.dtype} {shape}; "
                "quantise floats with to_uint8 and repeat a grey channel with from_grey"
            )
        if self.labels.dtype != np.int64 or self.labels.shape != shape[:1]:
            raise ValueError(
                f"labels must be an int64 array ({shape[0]},), one for each image, "
                f"got {self.labels.dtype} {self.labels.shape}"
            )

    def __len__(self) -> int:
        return len(self.images)

    @classmethod
    def unlabelled(cls, images: NDArray[np.uint8]) -> ImageSet:
        """Wrap images (N, 3, S, S) that have no classes."""
        return cls(images, np.full(len(images), UNLABELLED, dtype=np.int64))

    @classmethod
    def from_grey(cls, grey: NDArray[np.uint8], labels: NDArray[np.int64] | None = None) -> ImageSet:
        """Repeat grey images (N, S, S) over three channels; without labels they are unlabelled."""
        images = np.repeat(grey[:, None], 3, axis=1)
        return cls.unlabelled(images) if labels is None else cls(images, labels)

    def subset(self, indices: ArrayLike) -> ImageSet:
        """Return the images and labels at `indices` (integers or a boolean mask), copied, in that order."""
        chosen = np.asarray(indices)
        if chosen.size == 0:
            chosen = chosen.astype(np.int64)  # an empty list has no integer dtype of its own
        return ImageSet(self.images[chosen], self.labels[chosen])

    def fingerprint(self) -> str:
        """Return the SHA-256 (hex) over shape, dtype and little-endian bytes of images and labels."""
        digest = hashlib.sha256()
        for array in (self.images, self.labels):
            portable = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
            digest.update(f"{portable.shape} {portable.dtype.str};".encode())
            digest.update(portable.data)
        return digest.hexdigest()


@dataclass(frozen=True)
class DatasetCard:
    """What a reader must know of a dataset before trusting a number measured on it.

    Attributes
    ----------
    name : str
        Catalog name; lower-case letters, digits and underscores, so that it is safe as a path.
    title, description, source, licence, citation : str
        For people; `source` says where the pixels come from.
    size : int
        Number of images when `build` is asked for ``n=None``.
    labelled : bool
        Whether labels are class indices into `class_names`.
    class_names : tuple of str
        Empty if unlabelled.
    class_sizes : tuple of int
        Images of each class, where that is known and the same whatever is asked for; else empty.
    outlier_source : bool
        Meant for training and validation outliers; a track must never use it as a test set.
    part_of : tuple of str
        Datasets that these images were taken from: what was trained on those has seen them.
    notes : str
        Anything else worth knowing, such as what changes the pixels between library versions.
    """

    name: str
    title: str
    description: str
    source: str
    licence: str
    citation: str
    size: int
    labelled: bool = False
    class_names: tuple[str, ...] = ()
    outlier_source: bool = False
    notes: str = ""
    class_sizes: tuple[int, ...] = ()
    part_of: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name must match [a-z0-9_]+, got {self.name!r}")
        if self.size < 1:
            raise ValueError(f"size must be at least 1, got {self.size}")
        if self.labelled != bool(self.class_names):
            raise ValueError(
                f"class_names must be given exactly if labelled: "
                f"labelled={self.labelled}, class_names={self.class_names}"
            )
        if self.class_sizes and (len(self.class_sizes), sum(self.class_sizes)) != (
            len(self.class_names),
            self.size,
        ):
            raise ValueError(
                f"class_sizes must be one for each class and {self.size} in all, got {self.class_sizes}"
            )


class Dataset(Protocol):
    """A card, and a function from size, count and seed to images."""

    @property
    def card(self) -> DatasetCard:
        """The dataset's description."""

    @property
    def definitions(self) -> tuple[str, ...]:
        """Roots of the code that makes the images, which their content key follows."""

    @property
    def splits(self) -> Mapping[str, int]:
        """Number of images of each split; empty where there are no splits, as for embedded sets."""

    def class_sizes(self, split: str | None) -> tuple[int, ...]:
        """Images of each class of a split, where the catalog knows them; else empty."""

    def build(
        self,
        image_size: int,
        n: int | None,
        seed: int,
        *,
        split: str | None = None,
        crop: float = 1.0,
        interpolation: Interpolation = "bilinear",
    ) -> ImageSet:
        """Return `n` images (the card's `size` if None) of side `image_size`, fixed by the arguments.

        Asking for fewer images need not give a prefix of asking for more. What `split` and the others say is
        for images that are read from files.

        Raises
        ------
        ValueError
            If `image_size` is below `SMALLEST_IMAGE` or `n` is below 1.
        """

    def stream(
        self,
        image_size: int,
        n: int | None,
        seed: int,
        *,
        split: str | None = None,
        crop: float = 1.0,
        interpolation: Interpolation = "bilinear",
    ) -> tuple[int, Iterator[ImageSet]]:
        """Count the images of `build`, and give them in batches; raises as it does, or at a later batch."""


Render = Callable[[int, int, np.random.Generator], ImageSet]


@dataclass(frozen=True)
class EmbeddedDataset:
    """A dataset computed on this machine by ``render(image_size, n, rng)``."""

    card: DatasetCard
    render: Render

    @property
    def definitions(self) -> tuple[str, ...]:
        """See `Dataset.definitions`."""
        return definition_of(type(self)), definition_of(self.render)

    @property
    def splits(self) -> Mapping[str, int]:
        """None: it is made anew for each purpose. See `Dataset.splits`."""
        return {}

    def class_sizes(self, split: str | None) -> tuple[int, ...]:
        """See `Dataset.class_sizes`."""
        return self.card.class_sizes

    def build(
        self,
        image_size: int,
        n: int | None,
        seed: int,
        *,
        split: str | None = None,
        crop: float = 1.0,
        interpolation: Interpolation = "bilinear",
    ) -> ImageSet:
        """See `Dataset.build`."""
        if image_size < SMALLEST_IMAGE:
            raise ValueError(f"image_size must be at least {SMALLEST_IMAGE} pixels, got {image_size}")
        count = self.card.size if n is None else n
        if count < 1:
            raise ValueError(f"n must be at least 1, or None for all {self.card.size}, got {n}")
        rng = np.random.default_rng(derive_seed("dataset", self.card.name, image_size, count, seed))
        return self.render(image_size, count, rng)

    def stream(
        self,
        image_size: int,
        n: int | None,
        seed: int,
        *,
        split: str | None = None,
        crop: float = 1.0,
        interpolation: Interpolation = "bilinear",
    ) -> tuple[int, Iterator[ImageSet]]:
        """See `Dataset.stream`: one batch."""
        images = self.build(image_size, n, seed)
        return len(images), iter([images])


_CATALOG: dict[str, Dataset] = {}


@neutral
def register(entry: Dataset) -> None:
    """Add a dataset to the catalog; a name that is already taken is a ValueError."""
    name = entry.card.name
    if name in _CATALOG:
        raise ValueError(f"dataset {name!r} is already in the catalog; choose another name")
    _CATALOG[name] = entry


@neutral
def embedded(card: DatasetCard) -> Callable[[Render], Render]:
    """Register the decorated ``render(image_size, n, rng)`` as the dataset that `card` describes."""

    def add(render: Render) -> Render:
        register(EmbeddedDataset(card, render))
        return render

    return add


def dataset_names() -> tuple[str, ...]:
    """Return the names in the catalog, sorted."""
    return tuple(sorted(_CATALOG))


@neutral
def dataset(name: str) -> Dataset:
    """Return the dataset of that name.

    Raises
    ------
    UnknownDatasetError
        If there is none; the message suggests the nearest name and lists all.
    """
    if name in _CATALOG:
        return _CATALOG[name]
    hint = did_you_mean(name, dataset_names(), "oodbench list datasets")
    raise UnknownDatasetError(f"no dataset {name!r}; {hint}")


def to_uint8(x: NDArray[Any]) -> NDArray[np.uint8]:
    """Quantise intensities in [0, 1], of any shape, to 0..255: clip, scale by 255, round half to even."""
    levels: NDArray[np.uint8] = np.rint(np.clip(x, 0.0, 1.0) * 255.0).astype(np.uint8)
    return levels
