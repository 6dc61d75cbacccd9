"""Writing files so that a crash, a kill or a full disk leaves the old one whole; and reading them."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from benchmark.errors import DataError, StorageError

M = TypeVar("M", bound=BaseModel)

_TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}\.tmp")  # as `tempfile` draws them
_cleared: set[Path] = set()  # folders that this process has cleared of what killed runs left

_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)  # of a disk that has none
_ADVICE = {
    errno.ENOSPC: "free some space and run again; finished work is kept",
    errno.EROFS: "choose a folder that can be written",
    errno.EACCES: "choose a folder that you may write to",
    errno.ENOTDIR: "a part of the path is a file, expected folders",
    errno.EEXIST: "there is a file of that name, expected a folder",
}


class NotRegular(OSError):  # noqa: N818
    """What bears a file's name is of a `kind` that reading would wait for, or never come to the end of."""

    def __init__(self, path: Path, kind: str) -> None:
        super().__init__(errno.EINVAL, "not a regular file", str(path))
        self.kind = kind


_SPECIAL = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_regular(path: Path) -> BufferedReader:
    """Open a file to read it; whatever else bears the name is refused without waiting for it.

    Raises
    ------
    NotRegular
        If it is a pipe, a socket, a device, or a link to nothing.
    OSError
        If it is a folder, not there, or may not be read.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if path.is_symlink():
            raise NotRegular(path, "a link to nothing") from None
        raise
    if (kind := _SPECIAL.get(stat.S_IFMT(mode))) is not None:
        raise NotRegular(path, kind)
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if (kind := _SPECIAL.get(stat.S_IFMT(os.fstat(handle).st_mode))) is not None:  # it came just now
        os.close(handle)
        raise NotRegular(path, kind)
    return os.fdopen(handle, "rb")


def read_regular(path: Path) -> bytes:
    """The bytes of a regular file; whatever else bears the name is refused without waiting for it.

    Raises
    ------
    DataError
        If it cannot be read, or is a folder, a pipe, a socket or a device.
    """
    try:
        with open_regular(path) as file:
            return file.read()
    except (NotRegular, IsADirectoryError) as error:
        raise DataError(f"{path}: cannot be read: not a regular file; expected one") from error
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


def write_atomically(path: Path, content: str | bytes, *, durable: bool = True) -> None:
    """Write a file through a temporary one beside it, flushed to disk before it is renamed; text as UTF-8.

    The temporary file is locked meanwhile; those that killed runs left in the folder are deleted.

    Parameters
    ----------
    durable : False for what is checked and made again where it is not as it was: it is not waited for the
        disk, so that a machine that loses power may leave the file empty.

    Raises
    ------
    StorageError
        If the folder cannot be made or written.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.parent not in _cleared:
            clear_leftovers(path.parent)
            _cleared.add(path.parent)
        handle, temporary = _locked_temporary(path)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
                temporary.chmod(0o644)
                temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_changed(path: Path, content: str | bytes, *, durable: bool = True) -> bool:
    """Write a file as `write_atomically` does, unless it says that already; tells whether it wrote.

    Raises
    ------
    StorageError
        If the folder cannot be made or written.
    """
    data = content.encode() if isinstance(content, str) else content
    if path.is_file() and path.read_bytes() == data:
        return False
    write_atomically(path, data, durable=durable)
    return True


def clear_leftovers(folder: Path) -> None:
    """Delete the temporary files of `write_atomically` in a folder that no living process holds."""
    for path in folder.glob(".*.tmp"):
        if _TEMPORARY.fullmatch(path.name) and path.is_file():
            # Another run may have finished with it just now; one of another user is that user's.
            with suppress(FileNotFoundError, PermissionError), path.open("rb+") as file:
                if _lock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB):
                    path.unlink()


def _locked_temporary(path: Path) -> tuple[int, Path]:
    while True:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        _lock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle, Path(name)
        os.close(handle)  # another run took it for a leftover before it was locked


def _lock(handle: int, how: int) -> bool:
    """Whether the lock is held now; no disk is too simple to be written to for want of locks."""
    try:
        fcntl.flock(handle, how)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, *_NO_LOCKS):
            return False
        raise
    return True


def require_writable(folder: Path) -> None:
    """Check that files can be made in `folder`, before hours of work depend on it.

    What killed runs left half-written there is deleted.

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
        clear_leftovers(folder)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes that ask for it out of a folder meanwhile; a process that dies lets go of it.

    Raises
    ------
    StorageError
        If another one is in it.
    """
    with storage_errors(folder):
        handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            said = f"{folder}: another process is writing there; run again when it has ended"
            raise StorageError(said) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        yield
    finally:
        os.close(handle)


def read_json(path: Path) -> Any:
    """Read a regular file (a pipe would never end); raises `OSError` or `ValueError` if it is not JSON."""
    try:
        with open_regular(path) as file:
            return json.load(file)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def delete(path: Path) -> None:
    """Delete a folder or a file; what cannot be deleted stays, and is in nobody's way."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def sha256_of(path: Path) -> str:
    """Checksum of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flush(path: Path) -> None:
    """Have the operating system write a file's data, or a folder's entries, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
