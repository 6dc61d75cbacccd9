"""What code made an artifact: hashes of source, and the versions of the libraries it runs on.

The hash of a module covers every module of ours that it imports, directly or not. Comments, docstrings and
layout do not count. Nothing is imported: source is found and parsed.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# Plumbing that cannot change a number: names, messages, where and how files are kept.
_NEUTRAL = {
    "methods.registry",
    "methods.names",
    "methods.errors",
    "benchmark.errors",
    "benchmark.files",
    "benchmark.record_files",
    "benchmark.record_text",
    "benchmark.artifacts",
    "benchmark.tensors",
    "benchmark.untouched",
    "benchmark.fingerprints",
}
_OURS = {"benchmark", "methods"}


@cache
def code_fingerprint(*roots: str) -> str:
    """Hash the source of `roots` and of all that they import.

    A root is a module (``"methods.detectors.energy"``), or a function of one (``"benchmark.jobs:train"``), of
    which only the function's own body and the imports inside it count.
    """
    digest = hashlib.sha256()
    seen: set[str] = set()
    waiting = list(roots)
    parts = []
    while waiting:
        root = waiting.pop()
        if root in seen or root in _NEUTRAL:
            continue
        seen.add(root)
        tree, imports = _parse(root)
        parts.append(f"{root}\0{tree}")
        waiting.extend(imports)
    for part in sorted(parts):
        digest.update(part.encode())
    return digest.hexdigest()[:32]


@cache
def library_versions(*names: str) -> dict[str, str]:
    """Installed version of each distribution."""
    return {name: version(name) for name in names}


def installed_version(name: str) -> str | None:
    """Version of a distribution that need not be there; None if it is not."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@cache
def _parse(root: str) -> tuple[str, tuple[str, ...]]:
    """Canonical text of a root, and the modules of ours that it imports."""
    module, _, function = root.partition(":")
    path = _source(module)
    if path is None:
        raise ModuleNotFoundError(f"no source for module {module!r}")
    tree: ast.AST = ast.parse(path.read_bytes())
    if function:
        found = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == function]
        tree = found[0]
    imports = tuple(_imports(tree, module))
    return ast.dump(_without_docstrings(tree)), imports


def _imports(tree: ast.AST, module: str) -> Iterator[str]:
    ours = {*_OURS, module.partition(".")[0]}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module if _is_package(module) else module.rpartition(".")[0]
                base = importlib.util.resolve_name("." * node.level + base, package)
            if base.partition(".")[0] not in ours:
                continue
            # A name may be a module of the package, or something that the package itself defines.
            names = [
                submodule if _source(submodule := f"{base}.{alias.name}") else base for alias in node.names
            ]
        else:
            continue
        yield from (name for name in names if name.partition(".")[0] in ours)


@cache
def _source(module: str) -> Path | None:
    """The file of a module, found without importing its parents (as `find_spec` would)."""
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None:
        return None
    places = [Path(spec.origin)] if spec.origin else []
    if rest:  # below a package, which may lie in several folders
        below = [Path(folder, *rest) for folder in spec.submodule_search_locations or ()]
        places = [p / "__init__.py" if p.is_dir() else p.with_suffix(".py") for p in below]
    return next((path for path in places if path.is_file()), None)


def _is_package(module: str) -> bool:
    source = _source(module)
    return source is not None and source.name == "__init__.py"


def _without_docstrings(tree: ast.AST) -> ast.AST:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:]
    return tree
