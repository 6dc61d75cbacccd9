"""The mirror: a folder with one Parquet file for each split of a Hub dataset, read in batches of rows.

It is laid out ``<repository>/<split>.parquet``, or ``<repository>/<config>/<split>.parquet`` where a dataset
has configurations. PyArrow is loaded when a file is read, not when this module is imported.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import platformdirs
from numpy.typing import NDArray

from benchmark.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)?")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")  # of a configuration or a split
_ROWS = 100  # that PyArrow reads at a time
_BUFFER = 1 << 20  # bytes read ahead of a column


def mirror_folder() -> Path:
    """``$OODBENCH_MIRROR``, else the platform's data folder; read anew, as workers inherit the variable."""
    named = os.environ.get("OODBENCH_MIRROR")
    return Path(named) if named else platformdirs.user_data_path("oodbench") / "mirror"


def split_path(repository: str, config: str | None, split: str) -> Path:
    """Where the mirror keeps a split, whether it is there or not.

    Raises
    ------
    DataError
        If a name is no plain name, and so might lead out of the mirror.
    """
    for what, pattern, name in (
        ("repository", _REPOSITORY, repository),
        ("config", _NAME, config),
        ("split", _NAME, split),
    ):
        if name is not None and not pattern.fullmatch(name):
            raise DataError(
                f"{what} {name!r} cannot be a path in the mirror: expected letters, digits, '_', '-' and '.'"
            )
    return mirror_folder().joinpath(repository, config or "", f"{split}.parquet")


def file_digest(path: Path) -> str:
    """SHA-256 (hex) of a file; computed again only if its size or time of change differs.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    with _readable(path):
        state = path.stat()
        return _digest(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=256)
def _digest(path: Path, _size: int, _mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Columns(NamedTuple):
    """Which columns of a file are read: `label` is None for images without classes."""

    image: str
    label: str | None


class MirrorFile:
    """One Parquet file of images, opened and checked.

    Attributes
    ----------
    rows : int
        How many it has; at least one.
    class_names : tuple of str
        Of the label column, as the file's own schema has them; empty if it has none.

    Raises
    ------
    DataError
        If it cannot be read, is no complete Parquet file, lacks a column, has one of another type, or is
        empty. Nothing that PyArrow raises gets out.
    """

    def __init__(self, path: Path, columns: Columns) -> None:
        self.path, self.columns = path, columns
        with self._open() as file:
            schema = file.schema_arrow
            self.rows: int = file.metadata.num_rows
        self._check(schema)
        if not self.rows:
            raise DataError(f"{path} has no rows, expected images; get it again")
        self.class_names = _class_names(schema, columns.label)

    def called(self, row: int) -> str:
        """What an error calls an image."""
        return f"{self.path}: row {row}"

    def labels(self) -> NDArray[np.int64]:
        """Read the label column.

        Returns
        -------
        int64 array (rows,)

        Raises
        ------
        DataError
            If there is no such column, it cannot be read or a label is missing.
        """
        column = self.columns.label
        if column is None:
            raise DataError(f"{self.path}: no column of labels is known")
        with self._open() as file:
            values = file.read(columns=[column], use_threads=False).column(0)
            if values.null_count:
                row = values.is_null().to_pylist().index(True)
                raise DataError(f"{self.path}: row {row} has no label in column {column!r}")
            labels: NDArray[np.int64] = values.to_numpy().astype(np.int64)
            return labels

    def images(self, rows: NDArray[np.int64] | None = None) -> Iterator[tuple[int, bytes]]:
        """Yield row number and encoded image of each of `rows` (ascending; None for all), reading in batches.

        Groups of rows that hold none of `rows` are skipped.

        Raises
        ------
        DataError
            If the file is damaged or a row has no image.
        """
        with self._open() as file:
            first = 0
            for group in range(file.num_row_groups):
                after = first + file.metadata.row_group(group).num_rows
                if rows is None:
                    wanted = np.arange(first, after)
                else:
                    wanted = rows[np.searchsorted(rows, first) : np.searchsorted(rows, after)]
                if len(wanted):
                    yield from self._group(file, group, first, wanted)
                first = after

    def _group(
        self, file: pq.ParquetFile, group: int, first: int, wanted: NDArray[np.int64]
    ) -> Iterator[tuple[int, bytes]]:
        """Yield what `images` does, from one group of rows that begins with row `first`."""
        batches = file.iter_batches(
            batch_size=_ROWS, row_groups=[group], columns=[self.columns.image], use_threads=False
        )
        for batch in batches:
            after = first + batch.num_rows
            here = wanted[np.searchsorted(wanted, first) : np.searchsorted(wanted, after)]
            encoded = _bytes(batch.column(0))
            for row in here.tolist():
                data = encoded[row - first].as_py()
                if data is None:
                    raise DataError(
                        f"{self.path}: row {row} has no bytes in column {self.columns.image!r}; the images "
                        "must be in the file, a path to one is not followed"
                    )
                yield row, data
            first = after

    @contextmanager
    def _open(self) -> Iterator[pq.ParquetFile]:
        """Open the file; what PyArrow raises while it is open becomes a `DataError`."""
        import pyarrow.parquet as pq

        with (
            _readable(self.path),
            pq.ParquetFile(
                self.path, buffer_size=_BUFFER, pre_buffer=False, page_checksum_verification=True
            ) as file,
        ):
            yield file

    def _check(self, schema: pa.Schema) -> None:
        """Check that the columns are there and of a type that can be read."""
        import pyarrow.types as types

        has = ", ".join(f"{field.name} ({field.type})" for field in schema) or "none"
        for what, name in zip(("images", "labels"), self.columns, strict=True):
            if name is None:
                continue
            if name not in schema.names:
                raise DataError(f"{self.path} has no column {name!r} for the {what}; it has {has}")
            if (count := schema.names.count(name)) > 1:
                raise DataError(f"{self.path} has {count} columns {name!r} for the {what}, expected one")
            kind = schema.field(name).type
            if what == "labels":
                fits, expected = types.is_integer(kind), "integers"
            else:
                stored = kind.field("bytes").type if _has_bytes(kind) else kind
                fits = types.is_binary(stored) or types.is_large_binary(stored)
                expected = "struct<bytes: binary, path: string> or binary"
            if not fits:
                raise DataError(f"{self.path}: column {name!r} is {kind}, expected {expected}")


def _has_bytes(kind: pa.DataType) -> bool:
    import pyarrow.types as types

    return bool(types.is_struct(kind)) and kind.names.count("bytes") == 1


def _bytes(column: pa.Array) -> pa.Array:
    """The encoded images of a column of structs or of bytes."""
    if not _has_bytes(column.type):
        return column
    # `flatten`, unlike `field`, leaves a null struct without bytes.
    return column.flatten()[column.type.get_field_index("bytes")]


def _class_names(schema: pa.Schema, label: str | None) -> tuple[str, ...]:
    """Names of the classes from what `datasets` wrote into the schema."""
    try:
        known: Any = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        names = known["info"]["features"][label]["names"]
    except (ValueError, KeyError, TypeError):  # written by another program: nothing is known
        return ()
    return tuple(map(str, names)) if isinstance(names, list) else ()


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn the refusals of the system and of PyArrow into a `DataError` that names the file."""
    import pyarrow as pa

    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{path} is not there") from error
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{path} cannot be read: {reason}; if it is damaged or was cut short, delete it and get it again"
        ) from error
