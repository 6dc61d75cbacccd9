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


def read_model(path: Path, model: type[M], expected: str) -> M:
    """Read a JSON file into a model.

    Raises
    ------
    DataError
        If it cannot be read, is not JSON or not of the model: names the file, the place and what is wrong.
    """
    try:
        return model.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise DataError(f"{path}: {place}: {first['msg']}; expected {expected}") from error


def special_file(path: Path) -> str | None:
    """What a path is that reading would wait for, or never come to the end of; None for files and folders.

    Raises
    ------
    OSError
        If there is nothing of that name.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if path.is_symlink():
            return "a link to nothing"
        raise
    kinds = {
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode))


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
