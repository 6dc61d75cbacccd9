"""A folder of images as a set of rows: loose images, or one folder for each class."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.datasets.mirror import file_digest
from benchmark.errors import DataError
from methods.names import did_you_mean

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"})
_SHOWN = 5  # names that an error lists


class ImageFolder:
    """The images below a folder, in the order of their names.

    Images in folders have the classes that these are called; images that lie loose have none. Other files,
    and what begins with a dot, are passed over.

    Parameters
    ----------
    path : pathlib.Path
    class_names : tuple of str, optional
        Which folders are classes, in the order of the labels; all in alphabetical order if empty.

    Raises
    ------
    DataError
        If it cannot be read, has no images, has loose ones beside folders of them, or lacks a class.
    """

    def __init__(self, path: Path, class_names: tuple[str, ...] = ()) -> None:
        self.path = path
        try:
            below = [p for p in sorted(path.iterdir()) if not p.name.startswith(".")]
            loose = [p for p in below if p.suffix.lower() in SUFFIXES and p.is_file()]
            folders = {p.name: _images_below(p) for p in below if p.is_dir()}
        except OSError as error:
            raise DataError(
                f"{path} cannot be read ({error.strerror}); expected a folder of images"
            ) from error
        folders = {name: files for name, files in folders.items() if files}
        if loose and folders:
            raise DataError(
                f"{path} has {len(loose):,} loose images, such as {loose[0].name}, beside folders of images, "
                f"such as {next(iter(folders))}; expected images alone, or one folder for each class"
            )
        if missing := [name for name in class_names if name not in folders]:
            hint = did_you_mean(missing[0], folders) if folders else "it has no folders of images"
            raise DataError(f"{path} has no images of class {missing[0]!r}; {hint}")
        if not loose and not folders:
            seen = ", ".join(p.name for p in below[:_SHOWN]) or "nothing"
            kinds = ", ".join(sorted(SUFFIXES))
            raise DataError(f"{path} has no images ({kinds}), expected some; it has {seen}")
        self.class_names = class_names or tuple(folders)
        self._files = loose or [file for name in self.class_names for file in folders[name]]
        sizes = [len(folders[name]) for name in self.class_names]
        self._labels = np.repeat(np.arange(len(sizes), dtype=np.int64), sizes)

    @property
    def rows(self) -> int:
        """How many images there are; at least one."""
        return len(self._files)

    def labels(self) -> NDArray[np.int64]:
        """Class of each image (rows,).

        Raises
        ------
        DataError
            If the images lie loose.
        """
        if not self.class_names:
            raise DataError(f"{self.path} has loose images; expected one folder for each class")
        return self._labels

    def images(self, rows: NDArray[np.int64] | None = None) -> Iterator[tuple[int, bytes]]:
        """Number and encoded bytes of each of `rows`, ascending; of all for None.

        Raises
        ------
        DataError
            If one cannot be read.
        """
        for row in range(self.rows) if rows is None else rows.tolist():
            try:
                yield row, self._files[row].read_bytes()
            except OSError as error:
                raise DataError(f"{self.called(row)} cannot be read: {error.strerror}") from error

    def called(self, row: int) -> str:
        """The path of an image."""
        return str(self._files[row])

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) over the names of all images below the folder, and what they hold.

        Raises
        ------
        DataError
            If one cannot be read.
        """
        try:
            states = [(file.stat().st_size, file.stat().st_mtime_ns) for file in self._files]
        except OSError as error:
            raise DataError(f"{error.filename} cannot be read: {error.strerror}") from error
        return _digest(self.path, tuple(self._files), tuple(states))


def _images_below(folder: Path) -> list[Path]:
    inside = (p for p in sorted(folder.rglob("*")) if p.suffix.lower() in SUFFIXES)
    return [p for p in inside if p.is_file() and not any(part.startswith(".") for part in p.parts[-1:])]


@lru_cache(maxsize=32)
def _digest(root: Path, files: tuple[Path, ...], _states: tuple[tuple[int, int], ...]) -> str:
    """Computed again only if names, sizes or times of change differ."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(root).as_posix()}\0{file_digest(file)}\n".encode())
    return digest.hexdigest()
