"""Records in their files: read, merged and written, whatever they are records of.

One file a row of a study, ``results/<track>/<study>/<row>.json``, small, sorted, reviewable in git.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from benchmark.records.files import iterate, read_records, write_files
from benchmark.records.networks import Networks
from benchmark.records.record import DETECTION, Record, RecordFile
from benchmark.records.text import record_path, results_lock


def iter_records(results: Path, *studies: str) -> Iterator[RecordFile]:
    """Read files of records below `results`, as `iterate`; those of OOD detection where no study is named."""
    return iterate(results, *(studies or (DETECTION,)))


def read_all(results: Path, *studies: str) -> list[RecordFile]:
    """All that `iter_records` gives, at once."""
    return list(iter_records(results, *studies))


def merge(old: RecordFile | None, new: RecordFile) -> RecordFile:
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
    ordered = _pictured([records[cell] for cell in sorted(records)])
    environments = {**(old.environments if old else {}), **new.environments}
    used = sorted({name for record in ordered for name in record.environments})
    return new.model_copy(update={"records": ordered, "environments": {k: environments[k] for k in used}})


def _pictured(records: list[Record]) -> list[Record]:
    """Records of which only the first of each backbone and init that has pictures keeps them."""
    there: set[tuple[str, str]] = set()
    kept = []
    for record in records:
        place = record.backbone, record.init
        kept.append(
            record.model_copy(update={"pictures": {}}) if record.pictures and place in there else record
        )
        if record.pictures:
            there.add(place)
    return kept


def withdrawn(old: RecordFile | None, new: RecordFile) -> list[str]:
    """The cells whose record `merge` replaces by a failure."""
    before = {} if old is None else {r.cell: r.status for r in old.records}
    gone = [r.cell for r in new.records if r.status == "failed" != before.get(r.cell, "failed")]
    return [" ".join(map(str, cell)).rstrip() for cell in gone]


def write_records(path: Path, file: RecordFile) -> bool:
    """Write a file of records and what it says of its networks, unless they say that already.

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
    known: dict[Path, Networks] = {}
    with results_lock(results):
        for new in files:
            path = record_path(results, new.track, new.row, new.study)
            old = read_records(path, known) if path.exists() else None
            of = (new.track, new.row) if new.study == DETECTION else (new.track, new.study, new.row)
            gone += [" ".join((*of, cell)) for cell in withdrawn(old, new)]
            if (both := merge(old, new)) != old:  # else it says so already
                merged[path] = both
        return Updated(write_files(merged), gone)
