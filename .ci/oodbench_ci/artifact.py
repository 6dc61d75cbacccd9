"""The artifact of a check: a few small JSON files in an archive that a stranger's code may have written.

It is never unpacked to disk. Only members that are expected are read, each up to a bound.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

from benchmark.errors import DataError
from oodbench_ci.bounded import read_bounded_json, shown

NAME = "check"
LARGEST = 2_000_000  # bytes of the archive
MOST_MEMBERS = 20
MEMBERS = {"check.json": 500_000, "diff.json": 2_000_000}  # that are read, and how many bytes each may have


def read_artifact(data: bytes) -> Mapping[str, Any]:
    """The JSON values of an archive by the names of its members: of those in `MEMBERS`, which may be absent.

    Raises
    ------
    DataError
        If it is larger than `LARGEST`, no archive, or has a member that is larger than it may be, is there
        twice, or is not JSON within bounds (`oodbench_ci.bounded`).
    """
    if len(data) > LARGEST:
        raise DataError(f"the archive: {len(data):,} bytes; expected at most {LARGEST:,}")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _read(archive)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise DataError(f"the archive: cannot be read: {shown(str(error))}") from error


def _read(archive: zipfile.ZipFile) -> dict[str, Any]:
    members = archive.infolist()
    if len(members) > MOST_MEMBERS:
        raise DataError(f"the archive: {len(members):,} members; expected at most {MOST_MEMBERS}")
    names = [member.filename for member in members]
    found = {}
    for member in members:
        name = member.filename
        if name not in MEMBERS:
            continue
        if names.count(name) > 1:
            raise DataError(f"{name}: is there twice; expected once")
        if member.file_size > MEMBERS[name]:
            raise DataError(f"{name}: {member.file_size:,} bytes; expected at most {MEMBERS[name]:,}")
        with archive.open(member) as file:
            content = file.read(MEMBERS[name] + 1)  # what the archive says of sizes need not be so
        found[name] = read_bounded_json(content, name, MEMBERS[name])
    return found
