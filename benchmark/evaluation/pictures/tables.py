"""Images in Parquet files: a file of the user's, or a split of a Hub dataset in the mirror."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import numpy as np
from numpy.typing import NDArray

from benchmark.datasets.download import HubSplit, fetch, side_file
from benchmark.datasets.mirror import Columns, MirrorFile, split_path
from benchmark.errors import DataError, UsageError
from benchmark.evaluation.pictures.decoding import Broken
from benchmark.evaluation.pictures.listings import Listing, by_name
from methods.errors import printable, said
from methods.names import did_you_mean

HUB = "hub:"
IMAGE_COLUMNS = ("image", "img", "images", "picture")
LABEL_COLUMNS = ("label", "labels", "class", "fine_label", "target")
_KEYS = ("image", "label", "config")
_ROWS = 100  # read at a time


class HubName(NamedTuple):
    """``hub:REPOSITORY@REVISION:SPLIT?image=COLUMN&label=COLUMN&config=NAME``; the first suffices."""

    repository: str
    revision: str | None
    split: str | None
    columns: dict[str, str]

    @classmethod
    def parse(cls, text: str) -> HubName:
        """Take a name apart.

        Raises
        ------
        UsageError
            If it is of another form.
        """
        place, _, asked = text.removeprefix(HUB).partition("?")
        columns = dict(parse_qsl(asked, keep_blank_values=True))
        if unknown := [key for key in columns if key not in _KEYS]:
            raise UsageError(f"{printable(text)!r}: no {unknown[0]!r}; {did_you_mean(unknown[0], _KEYS)}")
        place, _, split = place.partition(":")
        repository, _, revision = place.partition("@")
        if not repository:
            raise UsageError(
                f"{printable(text)!r} names no repository; expected hub:OWNER/NAME@REVISION:SPLIT"
            )
        return cls(repository, revision or None, split or None, columns)


@dataclass(frozen=True)
class Rows:
    """Images in a column of a Parquet file."""

    path: Path
    column: str

    def encoded(self, rows: NDArray[np.int64]) -> Iterator[Path | bytes | Broken]:
        """See `listings.Store`: rows of a damaged part are broken, those of other parts are not."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            opened = pq.ParquetFile(self.path, pre_buffer=False, page_checksum_verification=True)
        except (OSError, pa.ArrowException) as error:  # it was there when it was listed
            raise DataError(f"{printable(str(self.path))} cannot be read any more: {said(error)}") from error
        with opened as file:
            first = 0
            for group in range(file.num_row_groups):
                after = first + file.metadata.row_group(group).num_rows
                wanted = rows[np.searchsorted(rows, first) : np.searchsorted(rows, after)]
                given = 0
                try:
                    for image in self._group(file, group, first, wanted):
                        yield image
                        given += 1
                except (OSError, pa.ArrowException) as error:
                    for _ in range(len(wanted) - given):
                        yield Broken(f"the file is damaged here: {said(error)}")
                first = after

    def _group(
        self, file: Any, group: int, first: int, wanted: NDArray[np.int64]
    ) -> Iterator[bytes | Broken]:
        if not len(wanted):
            return
        batches = file.iter_batches(
            batch_size=_ROWS, row_groups=[group], columns=[self.column], use_threads=False
        )
        for batch in batches:
            after = first + batch.num_rows
            here = wanted[np.searchsorted(wanted, first) : np.searchsorted(wanted, after)] - first
            for cell in batch.column(0).take(here).to_pylist() if len(here) else ():
                data = cell.get("bytes") if isinstance(cell, dict) else cell
                yield Broken("has no bytes; a path to them is not followed") if data is None else data
            first = after


def list_parquet(
    path: Path,
    *,
    image: str | None = None,
    label: str | None = None,
    labelled: bool = True,
    notes: tuple[str, ...] = (),
) -> Listing:
    """The images of a Parquet file; columns that are not named are looked for by their usual names.

    Labels are read where they matter (`labelled`), and of a column that is named.

    Raises
    ------
    DataError
        If it cannot be read, has no such column, or has labels beside missing ones.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq
    import pyarrow.types as types

    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{printable(str(path))} cannot be read as Parquet: {said(error)}") from error
    image = image or _image_column(path, schema)
    if label is None and labelled:
        label = next((name for name in LABEL_COLUMNS if name in schema.names), None)
    written = label in schema.names and (
        types.is_string(schema.field(label).type) or types.is_large_string(schema.field(label).type)
    )
    file = MirrorFile(path, Columns(image, None if written else label))
    labels: NDArray[np.int64] | None = None
    names: tuple[str, ...] | None = None
    if written:
        labels, names = _written(path, str(label))
    elif label is not None:
        labels, names = file.labels(), tuple(map(printable, file.class_names)) or None
        if (labels == -1).all():  # how the Hub's sets say that a test split's labels are kept secret
            labels, names, notes = None, None, (*notes, f"column {label!r} has no label but -1")
    if labels is not None and names and not (labels.min() >= 0 and labels.max() < len(names)):
        raise DataError(
            f"{printable(str(path))}: labels of {labels.min()} to {labels.max()} in column {label!r}, "
            f"expected 0 to {len(names) - 1}"
        )
    called = tuple(f"row {row}" for row in range(file.rows))
    return Listing("Parquet", Rows(path, image), np.arange(file.rows), called, labels, names, notes)


def list_hub(name: HubName, split: str, *, labelled: bool) -> Listing:
    """A split of a Hub dataset, from the mirror, into which it is fetched if it is not there.

    Raises
    ------
    DataError
        If it can neither be found nor fetched, or the mirror has another revision of it.
    """
    path = split_path(name.repository, name.columns.get("config"), split)
    image, label = name.columns.get("image"), name.columns.get("label")
    if not path.exists():

        def verify(fetched: Path) -> int:
            return len(list_parquet(fetched, image=image, label=label, labelled=labelled))

        fetch(HubSplit(name.repository, name.columns.get("config"), split, name.revision), path, verify)
    notes: tuple[str, ...] = (f"split {split!r}",)
    if name.revision is not None:
        has = _revision(path)
        if has is None:
            notes += (f"the mirror does not say which revision it has; {name.revision} was asked for",)
        elif not has.startswith(name.revision):
            raise DataError(
                f"{path} is of revision {has}, not {name.revision}; delete it, and that one is fetched, or "
                "ask for the one that is there"
            )
    return list_parquet(path, image=image, label=label, labelled=labelled, notes=notes)


def hub_splits(name: HubName) -> list[str]:
    """The splits that the mirror has of a repository."""
    folder = split_path(name.repository, name.columns.get("config"), "any").parent
    return sorted(path.stem for path in folder.glob("*.parquet"))


def the_split(name: HubName) -> str:
    """The split that is named, or the only one that is there.

    Raises
    ------
    UsageError
        If none is named and there are none, or several.
    """
    if name.split:
        return name.split
    there = hub_splits(name)
    if len(there) == 1:
        return there[0]
    has = f"the mirror has {', '.join(there)}" if there else "the mirror has none of it"
    raise UsageError(f"hub:{printable(name.repository)}: name a split, as in hub:OWNER/NAME:test; {has}")


def _revision(path: Path) -> str | None:
    try:
        found = json.loads(side_file(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    revision = found.get("revision") if isinstance(found, dict) else None
    return revision if isinstance(revision, str) else None


def _image_column(path: Path, schema: Any) -> str:
    import pyarrow.types as types

    def fits(kind: Any) -> bool:
        return bool(
            types.is_binary(kind)
            or types.is_large_binary(kind)
            or (types.is_struct(kind) and "bytes" in kind.names)
        )

    able = [field.name for field in schema if fits(field.type)]
    usual = [name for name in IMAGE_COLUMNS if name in able]
    if usual or len(able) == 1:
        return (usual or able)[0]
    has = ", ".join(f"{field.name} ({field.type})" for field in schema) or "none"
    raise DataError(
        f"{printable(str(path))}: which column has the images? name it with ?image=COLUMN; it has "
        f"{printable(has)}"
    )


def _written(path: Path, column: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        labels = pq.read_table(path, columns=[column], use_threads=False).column(0).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{printable(str(path))}: labels cannot be read: {said(error)}") from error
    if None in labels:
        raise DataError(f"{printable(str(path))}: row {labels.index(None)} has no label in column {column!r}")
    return by_name(labels)
