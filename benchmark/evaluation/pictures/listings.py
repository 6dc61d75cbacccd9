"""Where the images of a set lie and which labels they have; nothing is decoded here.

Folders and lists of paths (CSV); `benchmark.evaluation.pictures.tables` has Parquet files. Names are what
pages, JSON and terminals can hold: control characters and bytes that are no UTF-8 are written out.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from benchmark.datasets.folder import SUFFIXES
from benchmark.errors import DataError
from benchmark.evaluation.pictures.decoding import Broken
from methods.errors import printable, said

PATH_COLUMNS, LABEL_COLUMNS = ("path", "image", "file"), ("label", "class")
_SHOWN = 5
_DELIMITERS = ",;\t"
_LONGEST_FIELD = 100_000  # characters of a line of a CSV file


class Store(Protocol):
    """The encoded images of a set, by row."""

    def encoded(self, rows: NDArray[np.int64]) -> Iterator[Path | bytes | Broken]:
        """The file or the bytes of each of `rows`, ascending; or why there is none."""


@dataclass(frozen=True, eq=False)
class Listing:
    """The images of a set.

    Attributes
    ----------
    kind
        What they lie in, for people.
    store, rows
        Where the images are read, and which of them, ascending (N,).
    names
        Of each image; unique.
    labels
        (N,) indices into `class_names`; where that is None, numbers of the model's classes. None if there
        are none.
    class_names
        As folders or files have them.
    notes
        For the card.
    """

    kind: str
    store: Store
    rows: NDArray[np.int64]
    names: tuple[str, ...]
    labels: NDArray[np.int64] | None
    class_names: tuple[str, ...] | None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def chosen(self, places: NDArray[np.int64], note: str = "") -> Listing:
        """Some of the images, by ascending place in this listing."""
        return replace(
            self,
            rows=self.rows[places],
            names=tuple(self.names[place] for place in places.tolist()),
            labels=None if self.labels is None else self.labels[places],
            notes=(*self.notes, note) if note else self.notes,
        )

    def encoded(self) -> Iterator[Path | bytes | Broken]:
        """What is decoded, for each image in order."""
        return self.store.encoded(self.rows)

    def one(self, name: str) -> Path | bytes | Broken | None:
        """The same of one image; None if there is none of that name."""
        if name not in self.names:
            return None
        row = self.rows[[self.names.index(name)]]
        return next(iter(self.store.encoded(row)), None)


@dataclass(frozen=True)
class Files:
    """Images in files of their own."""

    paths: tuple[str, ...]

    def encoded(self, rows: NDArray[np.int64]) -> Iterator[Path | bytes | Broken]:
        """See `Store`."""
        for row in rows.tolist():
            yield Path(self.paths[row])


def list_folder(root: Path, *, labelled: bool) -> Listing:
    """The images below a folder, in the order of their names.

    Folders in it are classes. What begins with a dot is passed over, and so are files whose names do not end
    as those of images do; links to folders are followed at the top alone, so that no loop of them is.

    Parameters
    ----------
    root : pathlib.Path
    labelled : bool
        Whether classes matter: loose images beside folders of them are then refused.

    Raises
    ------
    DataError
        If it cannot be read or has no images; says what is there.
    """
    loose, below, passed = _scan(root, deep=False)
    groups: dict[str, list[str]] = {}
    for name, path in below:
        files, skipped = _below(path)
        passed += skipped
        if files:
            groups[name] = files
    if loose and groups and labelled:
        raise DataError(
            f"{printable(str(root))} has {len(loose):,} loose images, such as {_called(loose[0], root)}, "
            f"beside folders of images, such as {printable(next(iter(groups)))!r}; expected images alone, or "
            "one folder for each class"
        )
    paths = [*loose, *(file for files in groups.values() for file in files)]
    if not paths:
        raise DataError(
            f"{printable(str(root))} has no images ({', '.join(sorted(SUFFIXES))}), expected some; it has "
            f"{_inventory(root)}"
        )
    classes = tuple(map(printable, groups)) if groups and not loose else None
    sizes = [len(files) for files in groups.values()]
    labels = np.repeat(np.arange(len(sizes), dtype=np.int64), sizes) if classes else None
    notes = (f"{passed:,} files that are no images by their names were passed over",) if passed else ()
    names = unique(_called(path, root) for path in paths)
    rows = np.arange(len(paths))
    return Listing("folder", Files(tuple(paths)), rows, names, labels, classes, notes)


def unique(names: Iterator[str]) -> tuple[str, ...]:
    """Names that all differ: what is written alike is numbered."""
    seen: Counter[str] = Counter()
    result = []
    for name in names:
        seen[name] += 1
        result.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return tuple(result)


def _scan(folder: Path | str, *, deep: bool) -> tuple[list[str], list[tuple[str, str]], int]:
    """Images and folders right in a folder, by name, and how many other files there are."""
    try:
        with os.scandir(folder) as entries:
            inside = sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: e.name)
    except OSError as error:
        raise DataError(
            f"{printable(str(folder))} cannot be read ({error.strerror}); expected a folder of images"
        ) from error
    images: list[str] = []
    folders: list[tuple[str, str]] = []
    passed = 0
    for entry in inside:
        if _is_folder(entry, follow=not deep):
            folders.append((entry.name, entry.path))
        elif os.path.splitext(entry.name)[1].lower() in SUFFIXES and _is_file(entry):  # noqa: PTH122
            images.append(entry.path)
        else:
            passed += 1
    return images, folders, passed


def _below(folder: str) -> tuple[list[str], int]:
    images, folders, passed = _scan(folder, deep=True)
    for _, path in folders:
        more, skipped = _below(path)
        images += more
        passed += skipped
    return images, passed


def _is_folder(entry: os.DirEntry[str], *, follow: bool) -> bool:
    try:
        return entry.is_dir(follow_symlinks=follow)
    except OSError:  # a loop of links
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file() or entry.is_symlink()  # a link to nothing is an image that is missing
    except OSError:  # a link to itself
        return entry.is_symlink()


def _called(path: str, root: Path) -> str:
    return printable(os.path.relpath(path, root).replace(os.sep, "/"))


def _inventory(root: Path) -> str:
    """What is below a folder, for a message: files by how their names end."""
    kinds: Counter[str] = Counter()
    for _, _, files in os.walk(root):
        kinds.update(Path(file).suffix.lower() or "no ending" for file in files)
        if kinds.total() > 100_000:
            break
    if not kinds:
        return "no files at all"
    return ", ".join(f"{n:,} × {printable(kind)}" for kind, n in kinds.most_common(_SHOWN))


def list_csv(path: Path, *, labelled: bool) -> Listing:
    """The images of a list of paths: columns ``path``, ``image`` or ``file``, and ``label`` or ``class``.

    Relative paths are so to the list's folder. Separated by commas, semicolons or tabs, in UTF-8.

    Raises
    ------
    DataError
        If it cannot be read or is of another form; names the line.
    """
    where = printable(path.name)
    lines = _csv_lines(path, where)
    header, place, label_place = _columns(next(lines, (1, []))[1], where)
    paths: list[str] = []
    labels: list[str] = []
    first: dict[str, tuple[int, str]] = {}
    repeated = 0
    for number, cells in lines:
        if not any(cells):
            continue
        if len(cells) != len(header):
            raise DataError(f"{where}, line {number}: {len(cells)} cells, expected {len(header)}")
        named, label = cells[place], cells[label_place] if label_place is not None else ""
        if not named:
            raise DataError(f"{where}, line {number}: no path in column {header[place]!r}")
        if "\0" in named or named.lower().startswith(("http://", "https://")):
            raise DataError(
                f"{where}, line {number}: {printable(named)!r} is no path of a file; fetch the images first"
            )
        if not _is_utf8(label):
            raise DataError(f"{where}, line {number}: label {printable(label)!r} is no UTF-8")
        if named in first:
            before, as_label = first[named]
            if labelled and as_label != label:
                raise DataError(
                    f"{where}, line {number}: {printable(named)!r} is {printable(label)!r}, and on line "
                    f"{before} it is {printable(as_label)!r}; expected one label"
                )
            repeated += 1
            continue
        first[named] = (number, label)
        paths.append(named)
        labels.append(label)
    if not paths:
        raise DataError(f"{where} lists no images; expected a line for each below the names of the columns")
    numbers, classes = (
        _labels_of(labels, list(first.values()), where) if labelled or all(labels) else (None, None)
    )
    files = tuple(str(path.parent / named) for named in paths)
    notes = (f"{repeated:,} lines repeat another one and were passed over",) if repeated else ()
    names = unique(printable(named) for named in paths)
    return Listing("CSV", Files(files), np.arange(len(files)), names, numbers, classes, notes)


def _is_utf8(text: str) -> bool:
    return not any("\udc80" <= character <= "\udcff" for character in text)


def _csv_lines(path: Path, where: str) -> Iterator[tuple[int, list[str]]]:
    """Number and cells of each line; of a record that has several lines, the number of its last.

    Bytes that are no UTF-8 stay as Python has them in paths: files may be called so.
    """
    csv.field_size_limit(_LONGEST_FIELD)
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            delimiter = max(_DELIMITERS, key=file.readline(_LONGEST_FIELD).count)
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            try:
                for cells in reader:
                    yield reader.line_num, [cell.strip() for cell in cells]
            except csv.Error as error:
                raise DataError(f"{where}, line {reader.line_num}: {said(error)}") from error
    except OSError as error:
        raise DataError(f"{printable(str(path))} cannot be read: {error.strerror}") from error


def _columns(cells: list[str], where: str) -> tuple[list[str], int, int | None]:
    header = [cell.casefold() for cell in cells]
    places = [header.index(name) for name in PATH_COLUMNS if name in header]
    if not places:
        raise DataError(
            f"{where}, line 1: no column {', '.join(map(repr, PATH_COLUMNS))}; it has "
            f"{', '.join(repr(printable(cell)) for cell in cells[:_SHOWN]) or 'nothing'}"
        )
    labels = [header.index(name) for name in LABEL_COLUMNS if name in header]
    return header, places[0], labels[0] if labels else None


def _labels_of(
    labels: Sequence[str], lines: Sequence[tuple[int, str]], where: str
) -> tuple[NDArray[np.int64] | None, tuple[str, ...] | None]:
    if not any(labels):
        return None, None
    if "" in labels:
        line = lines[labels.index("")][0]
        raise DataError(f"{where}, line {line}: no label, which others have")
    if all(label.isascii() and label.isdigit() and len(label) < 10 for label in labels):
        return np.array([int(label) for label in labels], dtype=np.int64), None
    return by_name(labels)


def by_name(labels: Sequence[str]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Numbers of labels (N,), and the classes in the order of their names."""
    names = tuple(sorted(set(labels)))
    number = {name: index for index, name in enumerate(names)}
    return np.array([number[label] for label in labels], dtype=np.int64), tuple(map(printable, names))
