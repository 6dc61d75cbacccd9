"""Fetching a split of a Hub dataset into the mirror.

The Hub's own library streams the split, so that no other split is fetched and nothing is stored twice. The
images' bytes stay as they are. `datasets` and PyArrow are loaded when something is fetched.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmark.datasets.mirror import file_digest
from benchmark.errors import DataError
from benchmark.store.files import storage_errors, write_atomically

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS = 100  # of a group of rows: what a reader of a few images must read


class HubSplit(NamedTuple):
    """What is fetched: `revision` is a commit, or None for the newest; `config` None for the default."""

    repository: str
    config: str | None
    split: str
    revision: str | None

    def __str__(self) -> str:
        config = f", config {self.config!r}" if self.config else ""
        return f"split {self.split!r} of https://huggingface.co/datasets/{self.repository}{config}"


def fetch(
    wanted: HubSplit, path: Path, verify: Callable[[Path], int], on_rows: Callable[[int], None] | None = None
) -> None:
    """Write a split to `path` and, beside it, a JSON file that says where it comes from.

    Parameters
    ----------
    wanted : HubSplit
        What to fetch.
    path : Path
        Where to; a file there is replaced once the new one is whole.
    verify : callable
        Gets the path of the new file before it takes its name; returns its number of rows, or raises.
    on_rows : callable, optional
        Told the number of rows that are there so far.

    Raises
    ------
    DataError
        If the Hub cannot be reached, refuses, or has no such split; says what to do.
    StorageError
        If the mirror cannot be written.
    """
    wanted = wanted._replace(revision=wanted.revision or _newest(wanted))
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
    temporary = Path(name)
    try:
        _write(temporary, _tables(wanted), wanted, on_rows)
        rows = verify(temporary)
        origin = {
            "repository": wanted.repository,
            "revision": wanted.revision,
            "sha256": file_digest(temporary),
            "rows": rows,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        side = side_file(path)
        with storage_errors(path):
            side.unlink(missing_ok=True)  # an old one must not be taken for the new file's
            temporary.chmod(0o644)
            temporary.replace(path)
        write_atomically(side, json.dumps(origin, indent=2) + "\n")
    finally:
        temporary.unlink(missing_ok=True)


def side_file(path: Path) -> Path:
    """The JSON file that says where a split comes from."""
    return path.with_name(f"{path.stem}.json")


def _newest(wanted: HubSplit) -> str | None:
    """The commit of the repository's main branch."""
    import huggingface_hub

    try:
        return huggingface_hub.HfApi().dataset_info(wanted.repository).sha
    except Exception as error:
        raise _refusal(wanted, error) from error


def _tables(wanted: HubSplit) -> Iterator[pa.Table]:
    """Yield the rows of a split, their images as they are stored."""
    import datasets

    try:
        rows = datasets.load_dataset(
            wanted.repository, wanted.config, split=wanted.split, revision=wanted.revision, streaming=True
        )
        features = rows.features  # known without a row where the repository or its files say them
        for column, feature in (features or {}).items():
            if isinstance(feature, datasets.Image):
                rows = rows.cast_column(column, datasets.Image(decode=False))
        for table in rows.with_format("arrow").iter(batch_size=_ROWS):
            # The schema of the features tells a reader which column is an image, and the classes' names.
            yield table.cast(features.arrow_schema) if features else table
    # The library raises much: its own errors, those of the HTTP client and of the file systems, ValueError.
    except Exception as error:
        raise _refusal(wanted, error) from error


def _write(
    path: Path, tables: Iterator[pa.Table], wanted: HubSplit, on_rows: Callable[[int], None] | None
) -> None:
    """Write tables as Parquet, a group of rows each, flushed to disk."""
    import pyarrow.parquet as pq

    first = next(tables, None)
    if first is None:
        raise DataError(f"{wanted} has no rows, expected images; is it the right split?")
    rows = 0
    with storage_errors(path), path.open("wb") as file:
        with pq.ParquetWriter(file, first.schema, write_page_checksum=True) as writer:
            table: pa.Table | None = first
            while table is not None:
                writer.write_table(table)
                rows += table.num_rows
                if on_rows:
                    on_rows(rows)
                table = next(tables, None)
        file.flush()
        os.fsync(file.fileno())


def _refusal(wanted: HubSplit, error: Exception) -> DataError:
    """Say what failed and what to do about it."""
    import datasets
    import huggingface_hub.errors as hub

    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) and isinstance(cause, Exception):
        causes.append(cause)
    text = " ".join(str(error).split())[:300]
    names = " ".join(kind.__name__ for cause in causes for kind in type(cause).__mro__)
    page = f"https://huggingface.co/datasets/{wanted.repository}"
    status = next((code for cause in causes if (code := _status(cause))), None)
    gated = any(isinstance(cause, hub.GatedRepoError) for cause in causes) or "gated" in text
    if gated or status in (401, 403):
        advice = f"accept its terms on {page}, then log in with `hf auth login` or set HF_TOKEN"
        return DataError(f"{wanted} may not be read: {text}; {advice}")
    if any(
        isinstance(cause, (hub.RepositoryNotFoundError, datasets.exceptions.DatasetNotFoundError))
        for cause in causes
    ):
        advice = "it may have moved, or be private: log in with `hf auth login` or set HF_TOKEN"
        return DataError(f"{wanted} is not there: {text}; {advice}")
    if any(isinstance(cause, hub.RevisionNotFoundError) for cause in causes):
        return DataError(f"{wanted}: there is no revision {wanted.revision!r}: {text}; see {page}/commits")
    if isinstance(error, ValueError) and ("split" in text.lower() or "BuilderConfig" in text):
        return DataError(f"{wanted} is not there: {text}; see {page}")
    if any(word in names for word in ("Connect", "Timeout", "Transport", "Offline", "HTTP")):
        advice = (
            "check the network, and HF_HUB_OFFLINE and HF_ENDPOINT if they are set, and run again; or put "
            "the file into the mirror by hand"
        )
        return DataError(f"{wanted} cannot be reached: {text}; {advice}")
    return DataError(f"{wanted} cannot be fetched: {type(error).__name__}: {text}; see {page}")


def _status(error: Exception) -> int | None:
    """The HTTP status that an error carries."""
    code = getattr(getattr(error, "response", None), "status_code", None)
    return code if isinstance(code, int) else None
