"""Records that nobody trusts beside the published ones: joined for a look, or taken over as data."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from benchmark.errors import DataError
from benchmark.records.files import iterate, read_records
from benchmark.records.networks import Networks
from benchmark.records.record import DETECTION, NETWORKS, TRAININGS
from benchmark.records.results import update_records
from benchmark.records.text import record_path
from benchmark.store.files import read_regular, storage_errors, write_atomically
from benchmark.verify.ledger import LEDGER, Verification, digest_of, read_ledger
from oodbench_ci.bounded import plain_path, read_bounded_json, shown
from oodbench_ci.guard import LARGEST_RECORDS
from oodbench_ci.kept import SHARED, check_kept

MOST_FILES = 20_000
MOST_BYTES = 500_000_000  # of all together


def join(published: Path, runs: Path, out: Path) -> int:
    """Write a copy of the published records with those of a run among them; how many rows were added.

    For a look at what a change would do: a record on networks of its own stands there too, and the pages say
    so. How networks were trained is taken of what is not published alone.

    Raises
    ------
    DataError
        If records cannot be read.
    StorageError
        If `out` is there already, or cannot be written.
    """
    with storage_errors(out):
        if published.is_dir():
            shutil.copytree(published, out)
        else:
            out.mkdir()
    rows = 0
    more = []
    for file in iterate(runs):
        path = record_path(out, file.track, file.row, file.study)
        if file.study == TRAININGS and path.exists():
            there = {one.cell for one in read_records(path).records}
            file = file.model_copy(update={"records": [one for one in file.records if one.cell not in there]})
        rows += file.study == DETECTION and not path.exists()
        more.append(file)
    update_records(out, [file for file in more if file.records])
    return rows


def take(offered: Path, published: Path, tracks: Collection[str], entries: Collection[str]) -> list[Path]:
    """Take the records of named entries on named tracks over into the published ones; the files written.

    What is offered is a whole folder of records, made by a job that ran methods: every other file must be as
    it is published. Nothing is written unless all of it can be taken.

    Raises
    ------
    DataError
        If a file is huge, no record, of another entry, or differs from what is published; each by name.
    """
    texts: dict[Path, bytes] = {}
    known: dict[Path, Networks] = {}
    for path in _files(offered):
        name = path.relative_to(offered).as_posix()
        target = published / name
        data = read_regular(path)
        before = read_regular(target) if target.is_file() else None
        if data == before:
            continue
        read_bounded_json(data, name, LARGEST_RECORDS)
        if name == LEDGER:
            _check_ledger(offered, published, tracks, entries)
            texts[target] = data
            continue
        track, _, row = name.removesuffix(".json").partition("/")
        folder, _, objective = row.partition("/")
        if track not in tracks or not row:
            raise DataError(f"{name}: of another track; expected {', '.join(sorted(tracks))} alone to change")
        if not (folder == NETWORKS and objective):
            read_records(path, known)
        if folder in SHARED and objective:
            check_kept(f"results/{name}", data if before is None else before, data)
        elif row not in entries:
            raise DataError(
                f"{name}: of another entry; expected {', '.join(sorted(entries))} alone to change"
            )
        texts[target] = data
    gone = [path for path in _files(published) if not (offered / path.relative_to(published)).is_file()]
    if gone:
        raise DataError(f"{gone[0]}: is not among what is offered; expected every published file")
    for target, data in texts.items():
        write_atomically(target, data)
    return [*texts]


def _check_ledger(offered: Path, published: Path, tracks: Collection[str], entries: Collection[str]) -> None:
    """Check that what was verified before still is said, and that only records of these entries are new."""
    before, after = read_ledger(published).last(), read_ledger(offered).last()
    own = set()
    for file in iterate(offered, DETECTION):
        if file.track in tracks and file.row in entries:
            own |= {digest_of(file, record) for record in file.records}
    gone = [name for name in before if name not in own and after.get(name) is None]
    foreign = [name for name, said in after.items() if name not in own and not _same(before.get(name), said)]
    for name in [*gone, *foreign]:
        raise DataError(f"{LEDGER}: {name}: of a record of another entry; expected it as it is published")


def _same(before: Verification | None, after: Verification) -> bool:
    """Whether two verifications are one; of one some records may be verified anew meanwhile."""
    which = {"records", "retrained"}
    return before is not None and before.model_dump(exclude=which) == after.model_dump(exclude=which)


def _files(folder: Path) -> Iterator[Path]:
    """Every file of records below a folder; refuses links, hidden names, what is no JSON, and too much."""
    count = size = 0
    for root, folders, names in os.walk(folder, followlinks=False):
        for name in sorted([*folders, *names]):
            path = Path(root) / name
            below = path.relative_to(folder).as_posix()
            if name == ".lock":  # of `oodbench publish`, which git ignores
                continue
            if path.is_symlink() or not plain_path(below) or below.count("/") > 2:
                raise DataError(
                    f"{shown(below)}: a link, or a name that no record has; expected files of records"
                )
            if name in folders:
                continue
            count, size = count + 1, size + path.lstat().st_size
            if path.suffix != ".json" or count > MOST_FILES or size > MOST_BYTES:
                raise DataError(
                    f"{shown(below)}: no JSON, or more than {MOST_FILES:,} files or {MOST_BYTES:,} bytes"
                )
            yield path
        folders.sort()
