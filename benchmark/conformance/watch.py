"""Watching what a method calls while it works: the environment, clocks, files, other people's frames.

Python's profiler sees every call, by whatever name a function goes. Counted is what the method's own files
call, and what the standard library calls for them; what torch does of its own accord is not.
"""

from __future__ import annotations

import gc
import inspect
import os
import random
import sys
import sysconfig
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

_STDLIB = sysconfig.get_paths()["stdlib"]
_PACKAGES = tuple(sysconfig.get_paths()[name] for name in ("purelib", "platlib"))
_ENVIRONMENT: dict[CodeType, str] = {
    vars(type(os.environ))[name].__code__: name for name in ("__getitem__", "__iter__", "__len__")
}
_FRAMES: set[CodeType] = {f.__code__ for f in (inspect.stack, inspect.currentframe, inspect.getouterframes)}
_MODULES = {  # of functions in C, and what they tell
    "time": "time", "gc": "reach", "posix": "system", "nt": "system", "_socket": "system",
    "_posixsubprocess": "system", "_thread": "system",
}  # fmt: skip
_FUNCTIONS: dict[int, str] = {
    **{id(f): "reach" for f in (sys._getframe, sys._current_frames, sys.settrace, sys.setprofile)},
    **{id(f): "reach" for f in (gc.get_objects, gc.get_referrers, gc.get_referents, __import__)},
    id(open): "files",
}  # kept alive by their modules


class Call(NamedTuple):
    """What a method called that no method needs."""

    kind: str  # environment, time, reach, files, system, random
    name: str
    place: str  # file:line of the method's own code


@contextmanager
def watched(files: Collection[Path]) -> Iterator[set[Call]]:
    """Collect the calls of code in these files, in this thread, while the block runs."""
    own = {str(path) for path in files}
    seen: set[Call] = set()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        found = _of_c(argument) if event == "c_call" else _of_python(frame) if event == "call" else None
        if found is not None and (place := _caller(frame if event == "c_call" else frame.f_back, own)):
            seen.add(Call(*found, place))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield seen
    finally:
        sys.setprofile(before)


def _of_c(function: Any) -> tuple[str, str] | None:
    """What a function in C tells, and its name."""
    name = getattr(function, "__qualname__", "")
    kind = _FUNCTIONS.get(id(function)) or _MODULES.get(getattr(function, "__module__", None) or "")
    owner = getattr(function, "__self__", None)
    if kind is None and isinstance(owner, type) and issubclass(owner, date):
        kind = "time" if function.__name__ in ("now", "utcnow", "today") else None
    if kind is None and owner is random._inst:
        kind = "random"
    return None if kind is None else (kind, name)


def _of_python(frame: FrameType) -> tuple[str, str] | None:
    """What a function of the standard library tells, and of which variable."""
    if frame.f_code in _ENVIRONMENT:
        key = frame.f_locals.get("key")
        return "environment", f"os.environ[{key!r}]" if key is not None else "all of os.environ"
    if frame.f_code in _FRAMES:
        return "reach", f"inspect.{frame.f_code.co_name}"
    return None


def _caller(frame: FrameType | None, own: Collection[str]) -> str | None:
    """The place in the method's files that asked for it, itself or through the standard library."""
    while frame is not None:
        file = frame.f_code.co_filename
        if file in own:
            return f"{Path(file).name}:{frame.f_lineno}"
        in_library = file.startswith(_STDLIB) and not file.startswith(_PACKAGES)
        if not in_library and not file.startswith("<"):
            return None
        frame = frame.f_back
    return None
