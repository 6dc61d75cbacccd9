"""The files of a pull request, laid over a tree of the base branch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from benchmark.errors import StorageError
from benchmark.store.files import storage_errors
from oodbench_ci.bounded import plain_path
from oodbench_ci.objects import Change, Objects


def lay_over(objects: Objects, files: Iterable[Change], folder: Path) -> list[Path]:
    """Write files that the guard let through below a folder; the files written.

    Raises
    ------
    StorageError
        If a part of a path is a link, or a file cannot be written.
    """
    written = []
    root = folder.resolve()
    for change in files:
        path = root / change.path
        if not plain_path(change.path) or path.is_symlink() or not path.parent.resolve().is_relative_to(root):
            raise StorageError(f"{path}: leads out of {folder}; expected a file below it")
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(objects.blob(change.blob))
        written.append(path)
    return written
