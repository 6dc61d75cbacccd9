"""Writing files so that a crash, a kill or a full disk leaves the old one whole."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from benchmark.errors import DataError, StorageError

M = TypeVar("M", bound=BaseModel)

_ADVICE = {
    errno.ENOSPC: "free some space and run again; finished work is kept",
    errno.EROFS: "choose a folder that can be written",
    errno.EACCES: "choose a folder that you may write to",
    errno.ENOTDIR: "a part of the path is a file, expected folders",
    errno.EEXIST: "there is a file of that name, expected a folder",
}


def read_regular(path: Path) -> bytes:
    """The bytes of a regular file; whatever else bears the name is refused without waiting for it.

    Raises
    ------
    DataError
        If it cannot be read, or is a folder, a pipe, a socket or a device.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise DataError(f"{path}: cannot be read: not a regular file; expected one")
        with os.fdopen(handle, "rb") as file:
            return file.read()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def read_model(path: Path, model: type[M], expected: str) -> M:
    """Read a JSON file into a model.

    Raises
    ------
    DataError
        If it cannot be read, is not JSON or not of the model: names the file, the place and what is wrong.
    """
    try:
        return model.model_validate_json(read_regular(path))
    except ValidationError as error:
        raise DataError(f"{path}: {first_error(error)}; expected {expected}") from error


def first_error(error: ValidationError, where: str = "") -> str:
    """The first thing that a model refused: its place, what is wrong, and what was seen there."""
    first = error.errors(include_url=False)[0]
    place, seen = ".".join(str(part) for part in first["loc"]), first["input"]
    told = first["msg"].removeprefix("Value error, ")
    if not isinstance(seen, dict | list | bytes | BaseModel):
        told += f", got {seen!r:.80}"
    return ": ".join(part for part in (where or ("" if place else "the file"), place, told) if part)


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals into a `StorageError` that names the path."""
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "check the path")
        raise StorageError(f"{path}: {error.strerror or error}; {advice}") from error


def write_atomically(path: Path, text: str) -> None:
    """Write a text file through a temporary one beside it, flushed to disk before it takes the name.

    Raises
    ------
    StorageError
        If the folder cannot be made or written.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def require_writable(folder: Path) -> None:
    """Check that files can be made in `folder`, before hours of work depend on it.

    Raises
    ------
    StorageError
        If they cannot.
    """
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"oodbench")
            probe.flush()
