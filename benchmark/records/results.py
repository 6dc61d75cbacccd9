"""Records: what one measured cell is, and how records are read, compared and written.

One file an entry, ``results/<track>/<entry>.json``, and one an objective for what belongs to its networks:
small, sorted, reviewable in git.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self, TypeVar

from benchmark.records.files import iterate, read_file, write_files
from benchmark.records.numbers import Drawn, Number, StrictModel
from benchmark.records.schema import (
    BOUNDARY,
    NAME,
    SCHEMA,
    Calibration,
    Candidate,
    Cell,
    Classification,
    Cost,
    Curves,
    Detection,
    Environment,
    HpMode,
    Means,
    Measurement,
    Provenance,
    Record,
    RecordFile,
    Reliability,
    Selective,
    Shifted,
    TrainedWith,
)
from benchmark.records.text import record_path, results_lock

__all__ = [
    "BOUNDARY",
    "NAME",
    "SCHEMA",
    "Calibration",
    "Candidate",
    "Cell",
    "Classification",
    "Cost",
    "Curves",
    "Detection",
    "Drawn",
    "Environment",
    "HpMode",
    "Means",
    "Measurement",
    "Number",
    "Provenance",
    "Record",
    "RecordFile",
    "Reliability",
    "Selective",
    "Shifted",
    "StrictModel",
    "TrainedWith",
    "Updated",
    "iter_records",
    "merge",
    "read_all",
    "read_records",
    "record_path",
    "update_records",
    "withdrawn",
    "write_records",
]


def read_records(path: Path) -> RecordFile:
    """Read one record file, and what lies beside it of its networks.

    Raises
    ------
    DataError
        If it is not JSON, not of this schema, or says what cannot be: names the file, the cell, the place,
        what was seen and what was expected.
    """
    return read_file(path)


def iter_records(results: Path) -> Iterator[RecordFile]:
    """Read every record file below `results` one after the other, sorted by path; an absent folder has none.

    Raises
    ------
    DataError
        As `read_records`; or if a folder cannot be read, or holds what is no file.
    """
    return iterate(results)


def read_all(results: Path) -> list[RecordFile]:
    """All that `iter_records` gives, at once."""
    return list(iter_records(results))


class _Record(Protocol):
    @property
    def cell(self) -> tuple[Any, ...]: ...
    @property
    def key(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def environments(self) -> set[str]: ...
    def same_result(self, other: Any) -> bool: ...


class _File(Protocol):
    @property
    def records(self) -> Sequence[_Record]: ...
    @property
    def environments(self) -> Mapping[str, Environment]: ...
    def model_copy(self, *, update: Mapping[str, Any]) -> Self: ...


F = TypeVar("F", bound=_File)


def merge(old: F | None, new: F) -> F:
    """Put new records into a file: each replaces that of its cell.

    A record that says the same as the old one leaves the old one as it is, with its provenance, so that a
    repeated run changes no file. A failure replaces whatever was there, of the same content key as well: what
    cannot be made any more is not kept (`withdrawn` says what that was).
    """
    records = {} if old is None else {r.cell: r for r in old.records}
    for record in new.records:
        before = records.get(record.cell)
        if before is None or not before.same_result(record):
            records[record.cell] = record
    ordered = [records[cell] for cell in sorted(records)]
    environments = {**(old.environments if old else {}), **new.environments}
    used = sorted({name for record in ordered for name in record.environments})
    return new.model_copy(update={"records": ordered, "environments": {k: environments[k] for k in used}})


def withdrawn(old: F | None, new: F) -> list[str]:
    """The cells whose record `merge` replaces by a failure."""
    before = {} if old is None else {r.cell: r.status for r in old.records}
    gone = [r.cell for r in new.records if r.status == "failed" != before.get(r.cell, "failed")]
    return [" ".join(map(str, cell)).rstrip() for cell in gone]


def write_records(path: Path, file: RecordFile) -> bool:
    """Write a record file and what it says of its networks, unless they say that already.

    Returns
    -------
    Whether it wrote.

    Raises
    ------
    StorageError
        If the folder is read-only or full.
    """
    return bool(write_files({path: file}))


class Updated(NamedTuple):
    """What came of putting new records into their files."""

    written: list[Path]  # files that changed
    withdrawn: list[str]  # cells whose record was replaced by a failure


def update_records(results: Path, files: Iterable[RecordFile]) -> Updated:
    """Merge records into their files below `results`, in one step that no other run can come between.

    Raises
    ------
    DataError
        If a file that is to be updated cannot be read.
    StorageError
        If a file cannot be written.
    """
    merged, gone = {}, []
    with results_lock(results):
        for new in files:
            path = record_path(results, new.track, new.entry)
            old = read_records(path) if path.exists() else None
            gone += [f"{new.track} {new.entry} {cell}" for cell in withdrawn(old, new)]
            if (both := merge(old, new)) != old:  # else it says so already
                merged[path] = both
        return Updated(write_files(merged), gone)
