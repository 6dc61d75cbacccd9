"""The files that a method is written in, and what they name that no method needs: read, not run."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from methods.method import Method

SUITE = ("benchmark", "reports")
# What dotted names lead to, by what a method would depend on; the longest prefix counts.
REACHES = {
    "os.environ": "environment", "os.environb": "environment", "os.getenv": "environment",
    "os": "system", "platform": "system", "socket": "system", "subprocess": "system", "ctypes": "system",
    "multiprocessing": "system", "getpass": "system", "uuid": "system", "secrets": "system",
    "time": "time", "datetime": "time",
    "sys._getframe": "reach", "sys._current_frames": "reach", "sys.modules": "reach", "sys.argv": "reach",
    "inspect.stack": "reach",
    "inspect.currentframe": "reach", "inspect.getouterframes": "reach", "gc": "reach",
    **dict.fromkeys(("oodbench.load_spec", "oodbench.read_all", "oodbench.testing"), "reach"),
    **dict.fromkeys((*SUITE, "sklearn.datasets", "torchvision", "datasets", "timm"), "reach"),
    "open": "files", "io": "files", "pathlib": "files", "shutil": "files", "tempfile": "files",
    "pickle": "files", "torch.load": "files", "torch.save": "files", "numpy.load": "files",
    "safetensors": "files", "urllib": "files", "requests": "files", "http": "files",
}  # fmt: skip


class Named(NamedTuple):
    """Where a file names what no method needs."""

    kind: str  # of `REACHES`
    name: str
    place: str  # file:line


def files_of(cls: type[Method]) -> dict[str, Path]:
    """Modules that a method is written in, with their files: its own, and those beside it that it imports."""
    home = cls.__module__
    ours = home.startswith("methods.")
    beside = f"{home.rpartition('.')[0]}." if ours else f"{home.partition('.')[0]}."
    found: dict[str, Path] = {}
    waiting = [home]
    while waiting:
        module = waiting.pop()
        path = _file(module)
        if module in found or path is None:
            continue
        found[module] = path
        waiting += [name for name in imports_of(path) if name.startswith(beside)]
    return found


def named(path: Path) -> Iterator[Named]:
    """What a file names, by import or by attribute, of `REACHES`; each once a line."""
    tree = ast.parse(path.read_bytes())
    aliases = _aliases(tree)
    seen = set()
    for node in ast.walk(tree):
        for name in _names(node, aliases):
            kind = _kind(name)
            if kind is not None and (kind, node.lineno) not in seen:  # type: ignore[attr-defined]
                seen.add((kind, node.lineno))  # type: ignore[attr-defined]
                yield Named(kind, name, f"{path.name}:{node.lineno}")  # type: ignore[attr-defined]


def _names(node: ast.AST, aliases: dict[str, str]) -> Iterator[str]:
    """Dotted names that a node stands for; an import of a module alone names nothing yet."""
    if isinstance(node, ast.ImportFrom) and not node.level:
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name.partition(".")[0] in SUITE)
    elif isinstance(node, ast.Attribute):
        parts, inner = [node.attr], node.value
        while isinstance(inner, ast.Attribute):
            parts.insert(0, inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name) and inner.id in aliases:
            yield ".".join([aliases[inner.id], *parts])
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open":
        yield "open"


def _kind(name: str) -> str | None:
    """What a dotted name leads to."""
    parts = name.split(".")
    prefixes = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((REACHES[prefix] for prefix in prefixes if prefix in REACHES), None)


def _aliases(tree: ast.Module) -> dict[str, str]:
    """What imported names of a file stand for, wherever they are imported."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {
                a.asname or a.name.partition(".")[0]: a.name if a.asname else a.name.partition(".")[0]
                for a in node.names
            }
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    return found


def imports_of(path: Path) -> Iterator[str]:
    """Modules that a file may import by name."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _file(module: str) -> Path | None:
    """The file of a module that is loaded, or can be found; None for what is none, or has no source."""
    loaded = sys.modules.get(module)
    if loaded is not None:
        name = getattr(loaded, "__file__", None)
    else:
        try:
            spec = importlib.util.find_spec(module)
        except (ImportError, ValueError):  # of a name that is no module's
            return None
        name = spec.origin if spec is not None else None
    path = Path(name) if name else None
    return path if path is not None and path.suffix == ".py" and path.is_file() else None
