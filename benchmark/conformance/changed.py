"""Which methods changed files belong to. It reads text alone; this module must not import torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from benchmark.conformance.sources import imports_of

ROOM = "methods"


def methods_in(files: Iterable[str], root: Path) -> list[tuple[str, str]]:
    """Family and name of every method that is written in one of these files, or shares one with others.

    Parameters
    ----------
    files
        Paths below `root`, with slashes; those that are gone count not.
    root
        The folder in which ``methods/`` lies.
    """
    waiting = [path for name in files if (path := _of_room(name, root)) is not None]
    found: set[PurePosixPath] = set()
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        if path.name.startswith("_") and path.name != "__init__.py":
            module = f"{ROOM}.{path.parts[0]}.{path.stem}"
            beside = sorted((root / ROOM / path.parts[0]).glob("*.py"))
            users = [file for file in beside if module in set(imports_of(file))]
            waiting += [PurePosixPath(path.parts[0], file.name) for file in users]
    named = {(path.parts[0], path.stem) for path in found if not path.name.startswith("_")}
    return sorted(named)


def _of_room(name: str, root: Path) -> PurePosixPath | None:
    """The path of a method's file below ``methods/``."""
    path = PurePosixPath(name)
    is_one = len(path.parts) == 3 and path.parts[0] == ROOM and path.suffix == ".py"
    return path.relative_to(ROOM) if is_one and (root / path).is_file() else None
