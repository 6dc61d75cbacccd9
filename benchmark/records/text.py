"""How record files are written, found and locked, whatever they are records of.

A record takes a few lines, one a subject, so that a changed cell changes a few lines. What many records share
stands once, in a table of the file, under a name that is the hash of its contents. This module must not know
what a record says.
"""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from benchmark.errors import DataError
from benchmark.records.record import DETECTION, NAME, SCHEMA
from benchmark.store.files import first_error, read_regular, storage_errors

LOCK = ".lock"  # held by whoever reads a record file to write it again
M = TypeVar("M", bound=BaseModel)
R = TypeVar("R")

LARGEST = 1 << 28  # bytes of a file of records
_NAMED = 12  # hex digits of the name of what is shared


def to_json(value: Any) -> str:
    """JSON on one line.

    Raises
    ------
    ValueError
        If a number is not finite.
    """
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def name_of(value: Any) -> str:
    """The name of what is shared: a hash of it."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:_NAMED]


class Table:
    """What the records of a file share, each value once."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def add(self, value: Any) -> str:
        """Put a value in; its name, by which a record refers to it."""
        name = name_of(value)
        self.values[name] = value
        return name


def shared(path: Path, what: str, table: object) -> dict[str, Any]:
    """The values of a table that was read.

    Raises
    ------
    DataError
        If it is no table, or a value is not the one that its name stands for.
    """
    if not isinstance(table, dict):
        raise DataError(f"{path}: {what}: expected values by name, got {to_json(table):.80}")
    for name, value in table.items():
        if name_of(value) != name:
            raise DataError(
                f"{path}: {what}.{name}: was changed by hand: its name is a hash of it, expected "
                f"{name_of(value)}"
            )
    return table


def refer(records: Iterable[dict[str, Any]], what: str, table: Mapping[str, Any]) -> None:
    """Leave out of records what they refer to where a table holds one value only."""
    for record in records if len(table) == 1 else ():
        record.pop(what, None)


def look_up(table: Mapping[str, Any], what: str, record: Mapping[str, Any]) -> Any:
    """What a record refers to: by name, or the only value that there is.

    Raises
    ------
    LookupError
        If the table lacks it.
    """
    name = record.get(what, next(iter(table)) if len(table) == 1 else None)
    if not isinstance(name, str) or name not in table:
        raise LookupError(f"{what}: expected a name in the table, got {name!r:.80}")
    return table[name]


def document(
    head: Mapping[str, Any],
    tables: Mapping[str, Mapping[str, Any]],
    lists: Mapping[str, Iterable[Sequence[Any]]],
) -> str:
    """The text of a record file.

    Parameters
    ----------
    head : what the file is about, a line each.
    tables : what records share, a line a value.
    lists : records by what they are, each as parts: dicts that are one dict in the file. A part that is not
        empty takes a line, or one a row if it holds a matrix.
    """
    lines = [f" {to_json(key)}:{to_json(value)}" for key, value in head.items()]
    for name, table in tables.items():
        values = ",".join(f"\n  {to_json(key)}:{to_json(value)}" for key, value in table.items())
        lines.append(f" {to_json(name)}:{{{values}\n }}" if values else f" {to_json(name)}:{{}}")
    for name, records in lists.items():
        blocks = ["\n  {" + ",\n   ".join(_part(part) for part in parts if part) + "}" for parts in records]
        lines.append(f" {to_json(name)}:[" + ",".join(blocks) + ("\n ]" if blocks else "]"))
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _part(part: Mapping[str, Any]) -> str:
    return to_json(part)[1:-1].replace("[[", "[\n    [").replace("],[", "],\n    [")


def parse(path: Path, what: str) -> dict[str, Any]:
    """Read a JSON file of records, of today's schema.

    Raises
    ------
    DataError
        If it cannot be read, is too large, is no JSON object, or is of another schema.
    """
    expected = f"expected {what} of schema {SCHEMA}"
    if path.is_file() and (size := path.stat().st_size) > LARGEST:
        raise DataError(f"{path}: the file: {size:,} bytes; expected at most {LARGEST:,}")
    try:
        content = from_json(read_regular(path), allow_inf_nan=False)
    except ValueError as error:
        raise DataError(f"{path}: the file: {error}; {expected}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: the file: expected an object, got {type(content).__name__}; {expected}")
    schema = content.get("schema_version")
    if schema in range(1, SCHEMA):
        raise DataError(
            f"{path}: schema_version: got {schema}, of an older oodbench, which nothing reads any more; "
            f"{expected}; remove the file and make it anew with `oodbench run`"
        )
    if schema != SCHEMA:
        raise DataError(f"{path}: schema_version: got {schema!r:.80}; {expected}")
    return content


@contextmanager
def results_lock(results: Path) -> Iterator[None]:
    """Hold a folder of results: runs that update it, wherever their caches are, wait for each other.

    Raises
    ------
    StorageError
        If the folder cannot be written.
    """
    with storage_errors(results):
        results.mkdir(parents=True, exist_ok=True)
        lock = FileLock(results / LOCK)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def record_path(results: Path, track: str, row: str, study: str = DETECTION) -> Path:
    """Where the records of a row lie. Names are checked, so that they never leave `results`."""
    for part in (track, study, row):
        if not NAME.fullmatch(part):
            raise ValueError(f"{part!r} cannot be part of a path; expected {NAME.pattern}")
    folder = results / track
    return (folder if study == DETECTION else folder / study) / f"{row}.json"


def in_its_place(path: Path, *names: str) -> None:
    """Check that a file below the results is named for what it says it holds: so no record is there twice.

    Raises
    ------
    DataError
        If it bears another name: names both files.
    """
    expected = "/".join(names) + ".json"
    if path.parts[-len(names) :] != tuple(expected.split("/")):
        raise DataError(f"{path}: holds the records of {expected}; expected one file of them, of that name")


def folders_of(results: Path) -> list[Path]:
    """The folders of a folder, sorted, such as those of the tracks below the results; none if it is absent.

    Raises
    ------
    DataError
        If a folder cannot be read, or what lies there is neither file nor folder.
    """
    return [path for path in _visible(results) if path.is_dir()]


def files_of(folder: Path) -> list[Path]:
    """The JSON files of a folder, sorted; none if it is absent. Hidden files are passed over.

    Raises
    ------
    DataError
        If the folder cannot be read, or what lies there is neither file nor folder.
    """
    return [path for path in _visible(folder) if path.suffix == ".json" and not path.is_dir()]


def _visible(folder: Path) -> list[Path]:
    """What lies in a folder and is not hidden, sorted: files and folders, links to them among them.

    Nothing if there is no such folder.
    """
    found = []
    try:
        for path in sorted(folder.iterdir()):
            if path.name.startswith("."):
                continue
            if path.is_symlink() and not path.exists():
                raise DataError(f"{path}: a link to what is not there; expected a file of records")
            mode = path.stat().st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                raise DataError(f"{path}: neither a file nor a folder; expected a file of records")
            found.append(path)
    except FileNotFoundError:
        return found
    except OSError as error:
        raise DataError(f"{error.filename or folder}: cannot be read: {error.strerror}") from error
    return found


def cell_of(line: object, place: Iterable[str]) -> str:
    """What tells a record that was read from the others of its file."""
    if not isinstance(line, dict):
        return "a record"
    return " ".join(str(line[name]) for name in place if name in line) or "a record"


def read_each(
    path: Path, what: str, lines: object, place: Sequence[str], read: Callable[[Any], R]
) -> list[R]:
    """The records of a file.

    Raises
    ------
    DataError
        If one cannot be: names the file, the cell, the place, what was seen and what was expected.
    """
    expected = f"expected {what} of schema {SCHEMA}"
    if not isinstance(lines, list):
        raise DataError(f"{path}: records: expected a list, got {to_json(lines):.80}; {expected}")
    found = []
    for line in lines:
        try:
            found.append(read(line))
        except ValidationError as error:
            raise DataError(f"{path}: {first_error(error, cell_of(line, place))}; {expected}") from error
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            said = f"{error.args[0]}: missing" if type(error) is KeyError else str(error)
            raise DataError(f"{path}: {cell_of(line, place)}: {said}; {expected}") from error
    return found


def read_whole(path: Path, what: str, model: type[M], content: Mapping[str, Any]) -> M:
    """A file whose records have been read.

    Raises
    ------
    DataError
        If it cannot be: names the file, the place, what was seen and what was expected.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise DataError(f"{path}: {first_error(error)}; expected {what} of schema {SCHEMA}") from error
