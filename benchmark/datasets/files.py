"""Datasets whose images lie in files: Parquet files, and folders of images.

PyArrow and Pillow are loaded when a file is read, not when this module is imported.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmark.datasets.catalog import SMALLEST_IMAGE, UNLABELLED, DatasetCard, ImageSet
from benchmark.datasets.folder import ImageFolder
from benchmark.datasets.mirror import Columns, MirrorFile, file_digest
from benchmark.datasets.pixels import choose_rows, decode_images
from benchmark.errors import DataError
from benchmark.spec.base import Interpolation
from benchmark.store.fingerprints import definition_of
from methods.names import did_you_mean
from methods.neutral import neutral

BATCH = 500  # images of a batch of `StoredDataset.stream`
FAULTS = 10  # bad images that `StoredDataset.check` names
ONLY = "all"  # the split of a dataset that has but one, and no name for it


class DataMissing(DataError):  # noqa: N818
    """A split is not here; the message says how it is got."""


class StoredImages(Protocol):
    """The images of one split, encoded, and their labels."""

    path: Path
    class_names: tuple[str, ...]  # as the files themselves have them; empty if they do not

    @property
    def rows(self) -> int:
        """How many images there are; at least one."""

    def labels(self) -> NDArray[np.int64]:
        """Class of each image (rows,)."""

    def images(self, rows: NDArray[np.int64] | None = None) -> Iterator[tuple[int, bytes]]:
        """Number and encoded bytes of each of `rows`, ascending; of all for None."""

    def called(self, row: int) -> str:
        """What an error calls an image."""


@dataclass(frozen=True, eq=False)
class StoredDataset(ABC):
    """A dataset that is read from files.

    Attributes
    ----------
    card : DatasetCard
        Its `size` is that of the first of `splits`.
    splits : mapping of str to int
        Number of images of each split; the one that evaluations use comes first.
    image_column, label_column : str
        Columns of a Parquet file; a labelled dataset in such files has both.
    balanced : bool
        Whether every split has as many images of each class.
    """

    card: DatasetCard
    splits: Mapping[str, int]
    image_column: str = "image"
    label_column: str | None = None
    balanced: bool = False

    @neutral
    def __post_init__(self) -> None:
        if not self.splits or self.card.size != next(iter(self.splits.values())):
            raise ValueError(
                f"{self.card.name}: size must be that of the first split, got size {self.card.size} and "
                f"splits {dict(self.splits)}"
            )

    @property
    def definitions(self) -> tuple[str, ...]:
        """See `Dataset.definitions`."""
        return (definition_of(type(self)),)

    def class_sizes(self, split: str | None) -> tuple[int, ...]:
        """See `Dataset.class_sizes`."""
        classes = len(self.card.class_names)
        return (self.splits[self._one(split)] // classes,) * classes if self.balanced else ()

    @abstractmethod
    def place(self, split: str) -> Path:
        """Where a split lies, whether it is there or not; raises `DataError` if there is no such split."""

    def opened(self, path: Path) -> StoredImages:
        """What lies there: a folder, or a Parquet file.

        Raises
        ------
        DataError
            If it is damaged or of another form.
        """
        if path.is_dir():
            return ImageFolder(path, self.card.class_names)
        return MirrorFile(path, Columns(self.image_column, self.label_column))

    def digest(self, split: str) -> str:
        """SHA-256 (hex) of a split's files; raises as `path` and `opened`."""
        path = self.path(split)
        return ImageFolder(path, self.card.class_names).digest if path.is_dir() else file_digest(path)

    @neutral
    def declares(self, split: str) -> dict[str, Any]:
        """What a job must be told of a dataset that is none of the catalog: see `reopened`."""
        return {}

    def path(self, split: str) -> Path:
        """Where a split lies.

        Raises
        ------
        DataMissing
            If it is not there.
        DataError
            If the dataset has no such split.
        """
        path = self.place(split)
        if not path.exists():
            raise DataMissing(
                f"dataset {self.card.name}: split {split!r} is not here: {path} does not exist"
                f"{self._got_by(split)}"
            )
        return path

    def asked(self, split: str) -> str:
        """What `oodbench data` calls a split: ``name``, or ``name:split`` where there are several."""
        return self.card.name if len(self.splits) == 1 else f"{self.card.name}:{split}"

    @neutral
    def size_of(self, split: str) -> int:
        """Bytes of a split's files; raises as `path`."""
        path = self.path(split)
        files = path.rglob("*") if path.is_dir() else [path]
        return sum(file.stat().st_size for file in files if file.is_file())

    def here(self, split: str) -> bool:
        """Whether a split is there; raises as `path` for an unknown one."""
        return self.place(split).exists()

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
        """Return the number of images and batches of them, in the order of the file.

        Parameters
        ----------
        image_size : int
            S, the side of the images.
        n : int or None
            How many: as many of each class as can be, or any if there are no classes; None for all.
        seed : int
            Of the choice of `n`; all images are the same whatever it is.
        split : str or None
            None is allowed where there is only one.
        crop, interpolation
            See `decode_images`.

        Returns
        -------
        int, iterator of ImageSet
            Each of `BATCH` images (B, 3, S, S) and labels (B,), the last of the rest.

        Raises
        ------
        ValueError
            If `image_size` is below `SMALLEST_IMAGE`, `n` below 1 or `crop` out of range.
        DataMissing
            If the split is not here.
        DataError
            If there are fewer images than `n`, or the file is damaged or of another form. An image that
            cannot be decoded is found when its batch is reached.
        """
        if image_size < SMALLEST_IMAGE:
            raise ValueError(f"image_size must be at least {SMALLEST_IMAGE} pixels, got {image_size}")
        if n is not None and n < 1:
            raise ValueError(f"n must be at least 1, or None for all, got {n}")
        if not 0.0 < crop <= 1.0:
            raise ValueError(f"crop must be above 0 and at most 1, got {crop}")
        split = self._one(split)
        file = self.opened(self.path(split))
        labels = self._labels(file)
        rows = None
        if n is not None:
            if n > file.rows:
                raise DataError(
                    f"dataset {self.card.name}: n is {n:,}, but split {split!r} has {file.rows:,} images; "
                    "lower n, or leave it out for all"
                )
            rows = choose_rows(labels, n, self.card.name, split, seed)
        return (file.rows if n is None else n), self._batches(
            file, rows, labels, image_size, crop, interpolation
        )

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
        """Return the images of `stream` as one set; raises as it does."""
        count, batches = self.stream(image_size, n, seed, split=split, crop=crop, interpolation=interpolation)
        images = np.empty((count, 3, image_size, image_size), dtype=np.uint8)
        labels = np.empty(count, dtype=np.int64)
        filled = 0
        for batch in batches:
            images[filled : filled + len(batch)] = batch.images
            labels[filled : filled + len(batch)] = batch.labels
            filled += len(batch)
        return ImageSet(images, labels)

    @neutral
    def check(self, split: str) -> list[str]:
        """Say everything that is wrong with the files of a split, every image of which is decoded.

        Raises
        ------
        DataError
            If the dataset has no such split.
        """
        try:
            path = self.path(split)
        except DataMissing as error:
            return [str(error)]
        found = self._file_faults(path)
        try:
            file = self.opened(path)
        except DataError as error:
            return [*found, str(error)]
        return [*found, *self.differences(file, split), *_image_faults(file)]

    @neutral
    def differences(self, file: StoredImages, split: str) -> list[str]:
        """What of rows, classes and labels is not as the card has it."""
        found = []
        if file.rows != self.splits[split]:
            found.append(f"{file.path} has {file.rows:,} rows, expected {self.splits[split]:,}")
        names = self.card.class_names
        if names and file.class_names and len(file.class_names) != len(names):
            found.append(f"{file.path} has {len(file.class_names)} classes, expected {len(names)}")
        elif names:
            # Another spelling of a name is no fault, another order is.
            pairs = zip(file.class_names, names, strict=False)
            moved = [seen for seen, name in pairs if seen != name and seen in names]
            if moved:
                found.append(f"{file.path} has its classes in another order: {', '.join(moved[:FAULTS])}")
        try:
            self._labels(file)
        except DataError as error:
            found.append(str(error))
        return found

    @neutral
    def _file_faults(self, path: Path) -> list[str]:
        return []

    @neutral
    def _got_by(self, split: str) -> str:
        return ""

    def _split(self, split: str) -> str:
        if split not in self.splits:
            raise DataError(
                f"dataset {self.card.name} has no split {split!r}; {did_you_mean(split, self.splits)}"
            )
        return split

    def _one(self, split: str | None) -> str:
        if split is not None:
            return split
        if len(self.splits) > 1:
            raise DataError(
                f"dataset {self.card.name} has several splits: name one with `split`; "
                f"there are: {', '.join(self.splits)}"
            )
        return next(iter(self.splits))

    def _labels(self, file: StoredImages) -> NDArray[np.int64]:
        """Read and check the labels (N,); all `UNLABELLED` where there are no classes."""
        if not self.card.labelled:
            return np.full(file.rows, UNLABELLED, dtype=np.int64)
        labels = file.labels()
        classes = len(self.card.class_names)
        wrong = np.flatnonzero((labels < 0) | (labels >= classes))
        if wrong.size:
            raise DataError(
                f"{file.called(int(wrong[0]))} has label {labels[wrong[0]]} in column {self.label_column!r}, "
                f"expected 0 to {classes - 1}; {wrong.size:,} of {len(labels):,} labels are out of range"
            )
        return labels

    def _batches(
        self,
        file: StoredImages,
        rows: NDArray[np.int64] | None,
        labels: NDArray[np.int64],
        image_size: int,
        crop: float,
        interpolation: Interpolation,
    ) -> Iterator[ImageSet]:
        found = file.images(rows)
        while batch := list(islice(found, BATCH)):
            numbers, encoded = zip(*batch, strict=True)
            names = [file.called(row) for row in numbers]
            images = decode_images(encoded, image_size, crop=crop, interpolation=interpolation, names=names)
            yield ImageSet(images, labels[list(numbers)])


def _image_faults(file: StoredImages) -> list[str]:
    """Decode every image; names the first of those that fail."""
    found: list[str] = []
    bad = 0
    try:
        for row, data in file.images():
            try:
                decode_images([data], SMALLEST_IMAGE, names=[file.called(row)])
            except DataError as error:
                bad += 1
                found += [str(error)] if bad <= FAULTS else []
    except DataError as error:  # of the file, which cannot be read on
        found.append(str(error))
    return found + ([f"{file.path}: {bad - FAULTS:,} more images cannot be decoded"] if bad > FAULTS else [])


@dataclass(frozen=True, eq=False)
class LocalDataset(StoredDataset):
    """A dataset of the user's: a path for each split, of a Parquet file or of a folder of images."""

    paths: Mapping[str, Path] = field(default_factory=dict)

    def place(self, split: str) -> Path:
        """See `StoredDataset.place`."""
        return self.paths[self._split(split)]

    @neutral
    def declares(self, split: str) -> dict[str, Any]:
        """See `StoredDataset.declares`."""
        return {"place": str(self.place(split)), "class_names": self.card.class_names}


def reopened(
    name: str, split: str, place: str, class_names: Sequence[str], columns: Sequence[str | None]
) -> StoredDataset:
    """A dataset that a leaderboard declares, where a job runs: one split, and no more than that needs."""
    names = tuple(class_names)
    card = DatasetCard(name, "", "", "", "", "", size=1, labelled=bool(names), class_names=names)
    image, label = columns
    return LocalDataset(card, {split: 1}, image or "", label, paths={split: Path(place)})
