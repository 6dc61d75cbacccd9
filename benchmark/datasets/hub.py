"""Datasets of the Hugging Face Hub, read from the mirror and fetched into it.

PyArrow, Pillow and `datasets` are loaded when a file is read or fetched, not when this module is imported.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.datasets.catalog import SMALLEST_IMAGE, UNLABELLED, DatasetCard, ImageSet
from benchmark.datasets.download import HubSplit, fetch, side_file
from benchmark.datasets.mirror import Columns, MirrorFile, file_digest, split_path
from benchmark.datasets.pixels import choose_rows, decode_images
from benchmark.errors import DataError
from benchmark.store.fingerprints import definition_of
from methods.names import did_you_mean
from methods.neutral import neutral

BATCH = 500  # images of a batch of `HubDataset.stream`
FAULTS = 10  # bad images that `HubDataset.check` names
LOCAL = "local/"  # of a repository that no one hosts: its files are put into the mirror by hand


class DataMissing(DataError):  # noqa: N818
    """A split is not in the mirror; the message ends with the command that gets it."""


@dataclass(frozen=True, eq=False)
class HubDataset:
    """A dataset of the Hub.

    Attributes
    ----------
    card : DatasetCard
        Its `size` is that of the first of `splits`.
    repository : str
        ``owner/name`` on the Hub, or ``local/name`` for files that must be put into the mirror by hand.
    revision : str or None
        The commit that is fetched; None for the newest.
    config : str or None
        Configuration of the repository, where it has several.
    splits : mapping of str to int
        Number of rows of each split; the one that evaluations use comes first.
    image_column, label_column : str
        Columns of the file; a labelled dataset has both.
    local_splits : frozenset of str
        Those of `splits` that the Hub does not have.
    balanced : bool
        Whether every split has as many images of each class.
    """

    card: DatasetCard
    repository: str
    splits: Mapping[str, int]
    image_column: str = "image"
    label_column: str | None = None
    revision: str | None = None
    config: str | None = None
    local_splits: frozenset[str] = frozenset()
    balanced: bool = False

    @neutral
    def __post_init__(self) -> None:
        if not self.splits or self.card.size != next(iter(self.splits.values())):
            raise ValueError(
                f"{self.card.name}: size must be that of the first split, got size {self.card.size} and "
                f"splits {dict(self.splits)}"
            )
        if self.card.labelled != (self.label_column is not None):
            raise ValueError(
                f"{self.card.name}: label_column must be given exactly if labelled, "
                f"got {self.label_column!r} and labelled={self.card.labelled}"
            )

    @property
    def definitions(self) -> tuple[str, ...]:
        """See `Dataset.definitions`."""
        return (definition_of(type(self)),)

    def class_sizes(self, split: str | None) -> tuple[int, ...]:
        """See `Dataset.class_sizes`."""
        classes = len(self.card.class_names)
        return (self.splits[self._one(split)] // classes,) * classes if self.balanced else ()

    def path(self, split: str) -> Path:
        """The mirror's file of a split.

        Raises
        ------
        DataMissing
            If it is not there.
        DataError
            If the dataset has no such split.
        """
        path = self.place(split)
        if not path.is_file():
            raise DataMissing(
                f"dataset {self.card.name}: split {split!r} is not here: {path} does not exist; "
                f"get it with: oodbench data get {self.asked(split)}"
            )
        return path

    def place(self, split: str) -> Path:
        """Where the mirror keeps a split, whether it is there or not; raises as `path` for an unknown one."""
        if split not in self.splits:
            raise DataError(
                f"dataset {self.card.name} has no split {split!r}; {did_you_mean(split, self.splits)}"
            )
        return split_path(self.repository, self.config, split)

    def asked(self, split: str) -> str:
        """What `oodbench data get` calls a split: ``name``, or ``name:split`` where there are several."""
        return self.card.name if len(self.splits) == 1 else f"{self.card.name}:{split}"

    def on_hub(self, split: str) -> bool:
        """Whether `download` can fetch a split."""
        return not self.repository.startswith(LOCAL) and split not in self.local_splits

    def here(self, split: str) -> bool:
        """Whether the mirror has a split; raises as `path` for an unknown one."""
        return self.place(split).is_file()

    def digest(self, split: str) -> str:
        """SHA-256 (hex) of the mirror's file; raises as `path`."""
        return file_digest(self.path(split))

    def stream(
        self, image_size: int, n: int | None, seed: int, *, split: str | None = None, crop: float = 1.0
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
        crop : float
            In (0, 1]; see `decode_images`.

        Returns
        -------
        int, iterator of ImageSet
            Each of `BATCH` images (B, 3, S, S) and labels (B,), the last of the rest.

        Raises
        ------
        ValueError
            If `image_size` is below `SMALLEST_IMAGE`, `n` below 1 or `crop` out of range.
        DataMissing
            If the split is not in the mirror.
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
        path = self.path(split)
        file = self._file(path)
        labels = self._labels(file)
        rows = None
        if n is not None:
            if n > file.rows:
                raise DataError(
                    f"dataset {self.card.name}: n is {n:,}, but split {split!r} has {file.rows:,} images; "
                    "lower n, or leave it out for all"
                )
            rows = choose_rows(labels, n, self.card.name, split, seed)
        return (file.rows if n is None else n), self._batches(file, rows, labels, image_size, crop)

    def build(
        self, image_size: int, n: int | None, seed: int, *, split: str | None = None, crop: float = 1.0
    ) -> ImageSet:
        """Return the images of `stream` as one set; raises as it does."""
        count, batches = self.stream(image_size, n, seed, split=split, crop=crop)
        images = np.empty((count, 3, image_size, image_size), dtype=np.uint8)
        labels = np.empty(count, dtype=np.int64)
        filled = 0
        for batch in batches:
            images[filled : filled + len(batch)] = batch.images
            labels[filled : filled + len(batch)] = batch.labels
            filled += len(batch)
        return ImageSet(images, labels)

    @neutral
    def download(self, split: str, on_rows: Callable[[int], None] | None = None) -> None:
        """Fetch a split from the Hub into the mirror, with a JSON file beside it that says where it is from.

        Parameters
        ----------
        split : str
            One of `splits`.
        on_rows : callable, optional
            Told the number of rows that are there so far.

        Raises
        ------
        DataError
            If the split is not on the Hub, cannot be fetched, or is not as the catalog has it.
        StorageError
            If the mirror cannot be written.
        """
        path = self.place(split)
        if not self.on_hub(split):
            labels = f", and {self.label_column!r}, integers from 0" if self.label_column else ""
            raise DataError(
                f"dataset {self.card.name}: split {split!r} is on no Hub repository that we know. Get it "
                f"from {self.card.source} and put it there as {path}: Parquet with a column "
                f"{self.image_column!r} of struct<bytes, path>, one encoded image a row{labels}; the "
                "`datasets` library writes it with Dataset.to_parquet"
            )

        def verify(fetched: Path) -> int:
            file = self._file(fetched)
            if wrong := self._differences(file, split):
                raise DataError(f"dataset {self.card.name}, split {split!r}, as fetched: {'; '.join(wrong)}")
            return file.rows

        fetch(HubSplit(self.repository, self.config, split, self.revision), path, verify, on_rows)

    @neutral
    def check(self, split: str) -> list[str]:
        """Say everything that is wrong with the mirror's file of a split; empty if nothing is.

        Its checksum is compared where a JSON file beside it has one. Every image is decoded.

        Raises
        ------
        DataError
            If the dataset has no such split.
        """
        try:
            path = self.path(split)
        except DataMissing as error:
            return [str(error)]
        found = _checksum_faults(path)
        try:
            file = self._file(path)
        except DataError as error:
            return [*found, str(error)]
        return [*found, *self._differences(file, split), *_image_faults(file)]

    @neutral
    def _differences(self, file: MirrorFile, split: str) -> list[str]:
        """What of rows, classes and labels is not as the catalog has it."""
        found = []
        if file.rows != self.splits[split]:
            found.append(f"{file.path} has {file.rows:,} rows, expected {self.splits[split]:,}")
        names = self.card.class_names
        if self.label_column and file.class_names and len(file.class_names) != len(names):
            found.append(f"{file.path} has {len(file.class_names)} classes, expected {len(names)}")
        elif self.label_column:
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

    def _one(self, split: str | None) -> str:
        if split is not None:
            return split
        if len(self.splits) > 1:
            raise DataError(
                f"dataset {self.card.name} has several splits: name one with `split`; "
                f"there are: {', '.join(self.splits)}"
            )
        return next(iter(self.splits))

    def _file(self, path: Path) -> MirrorFile:
        return MirrorFile(path, Columns(self.image_column, self.label_column))

    def _labels(self, file: MirrorFile) -> NDArray[np.int64]:
        """Read and check the labels (N,); all `UNLABELLED` where there are no classes."""
        if self.label_column is None:
            return np.full(file.rows, UNLABELLED, dtype=np.int64)
        labels = file.labels()
        classes = len(self.card.class_names)
        wrong = np.flatnonzero((labels < 0) | (labels >= classes))
        if wrong.size:
            raise DataError(
                f"{file.path}: row {wrong[0]} has label {labels[wrong[0]]} in column {self.label_column!r}, "
                f"expected 0 to {classes - 1}; {wrong.size:,} of {len(labels):,} labels are out of range"
            )
        return labels

    def _batches(
        self,
        file: MirrorFile,
        rows: NDArray[np.int64] | None,
        labels: NDArray[np.int64],
        image_size: int,
        crop: float,
    ) -> Iterator[ImageSet]:
        found = file.images(rows)
        while batch := list(islice(found, BATCH)):
            numbers, encoded = zip(*batch, strict=True)
            names = [f"{file.path}: row {row}" for row in numbers]
            images = decode_images(encoded, image_size, crop=crop, names=names)
            yield ImageSet(images, labels[list(numbers)])


def _checksum_faults(path: Path) -> list[str]:
    """Compare the checksum with that in the JSON file beside `path`, if there is one."""
    side = side_file(path)
    if not side.is_file():
        return []
    try:
        expected = json.loads(side.read_text(encoding="utf-8"))["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return [f"{side} cannot be read ({type(error).__name__}: {error}), expected JSON with a key sha256"]
    seen = file_digest(path)
    if seen == expected:
        return []
    return [f"{path} has SHA-256 {seen}, expected {expected} as in {side.name}; delete it and get it again"]


def _image_faults(file: MirrorFile) -> list[str]:
    """Decode every image; names the first of those that fail."""
    found: list[str] = []
    bad = 0
    try:
        for row, data in file.images():
            try:
                decode_images([data], SMALLEST_IMAGE, names=[f"{file.path}: row {row}"])
            except DataError as error:
                bad += 1
                found += [str(error)] if bad <= FAULTS else []
    except DataError as error:  # of the file, which cannot be read on
        found.append(str(error))
    return found + ([f"{file.path}: {bad - FAULTS:,} more images cannot be decoded"] if bad > FAULTS else [])
