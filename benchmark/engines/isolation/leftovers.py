"""What a sandboxed job left in its folder: whether that can be an artifact, looked at from outside."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import NoReturn

from benchmark.errors import OodbenchError
from benchmark.store.artifacts import MANIFEST
from methods.errors import printable

MOST_FILES = 256
LARGEST_JSON = 1 << 28  # bytes
_NAME_LENGTH = 100
_LETTERS = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-")


def check_leftovers(folder: Path) -> None:
    """Check that a folder holds whole safetensors and JSON files alone, plainly named, which nobody else has.

    Call it once no process can change the folder any more.

    Raises
    ------
    OodbenchError
        If it holds anything else: says what.
    """
    with os.scandir(folder) as entries:
        for count, entry in enumerate(entries, 1):
            if count > MOST_FILES:
                _refuse("it", f"left more than {MOST_FILES} files")
            name, seen = entry.name, entry.stat(follow_symlinks=False)
            if not set(name) <= _LETTERS or name.startswith((".", "-")) or len(name) > _NAME_LENGTH:
                _refuse(name, "is no name of a file of the cache")
            if not stat.S_ISREG(seen.st_mode) or seen.st_nlink != 1:
                _refuse(name, "is not a regular file of its own")
            path = Path(entry.path)
            if path.suffix == ".safetensors":
                _check_tensors(path)
            elif path.suffix == ".json" and name != MANIFEST:
                _check_json(path, seen.st_size)
            else:
                _refuse(name, "is neither safetensors nor JSON")


def _check_tensors(path: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:  # which checks types, shapes and offsets of all
            file.keys()
    except (OSError, SafetensorError, ValueError) as error:
        _refuse(path.name, f"is no whole safetensors file ({error})")


def _check_json(path: Path, size: int) -> None:
    if size > LARGEST_JSON:
        _refuse(path.name, f"has {size} bytes, expected at most {LARGEST_JSON}")
    try:
        json.loads(path.read_bytes(), parse_constant=_no_number)
    except (OSError, ValueError, RecursionError) as error:
        _refuse(path.name, f"is no JSON ({type(error).__name__}: {error})")


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _refuse(name: str, why: str) -> NoReturn:
    raise OodbenchError(f"what the job left cannot be an artifact: {printable(name)} {printable(why)}")
