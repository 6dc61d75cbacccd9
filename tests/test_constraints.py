"""constraints.txt pins what CI runs with, and the published records are not from the future."""

import json
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
CONSTRAINTS = ROOT / "constraints.txt"


def pins() -> dict[str, Version]:
    """What constraints.txt pins: canonical name → version."""
    found = {}
    for line in CONSTRAINTS.read_text().splitlines():
        text = line.partition("#")[0].strip()
        if text:
            requirement = Requirement(text)
            (exact,) = requirement.specifier
            assert exact.operator == "==", f"{line}: expected NAME==VERSION"
            found[canonicalize_name(requirement.name)] = Version(exact.version)
    return found


def installed_needs(
    name: str, extras: frozenset[str], seen: set[tuple[str, frozenset[str]]]
) -> Iterator[str]:
    """Names of all distributions that `name` with `extras` needs here, directly or not."""
    if (name, extras) in seen:
        return
    seen.add((name, extras))
    for text in requires(name) or ():
        needed = Requirement(text)
        asked = needed.marker is None or any(
            needed.marker.evaluate({"extra": extra}) for extra in extras | {""}
        )
        if asked:
            yield canonicalize_name(needed.name)
            try:
                yield from installed_needs(needed.name, frozenset(needed.extras), seen)
            except PackageNotFoundError:  # an extra that is not installed here
                continue


def is_other(name: str, pinned: dict[str, Version]) -> bool:
    """Whether another version is installed here than is pinned; one that is not installed is no other."""
    try:
        return name in pinned and Version(version(name)) != pinned[name]
    except PackageNotFoundError:
        return False


def test_every_dependency_is_pinned() -> None:
    pinned, ours = pins(), [Requirement(text).name for text in requires("oodbench") or ()]
    others = {name for name in map(canonicalize_name, ours) if is_other(name, pinned)}
    if others:
        pytest.skip(f"this is not the environment that is pinned: {', '.join(sorted(others))} differ")
    needed = {*installed_needs("oodbench", frozenset({"dev"}), set())} - {"oodbench"}
    assert len(needed) > 40  # torch, timm, datasets, … and theirs
    assert not sorted(needed - pinned.keys())


def test_no_published_record_is_of_newer_libraries() -> None:
    pinned = pins()
    seen: dict[str, Version] = {}
    for path in sorted((ROOT / "results").rglob("*.json")):
        stack = [json.loads(path.read_text())]
        while stack:
            value = stack.pop()
            if isinstance(value, dict):
                for name, text in (value.get("libraries") or {}).items():
                    seen[name] = max(seen.get(name, Version(text)), Version(text))
                stack.extend(value.values())
            elif isinstance(value, list):
                stack.extend(item for item in value if isinstance(item, dict | list))
    if not seen:
        pytest.skip("no published records in this copy")
    assert "torch" in seen
    newer = {name: str(v) for name, v in seen.items() if v > pinned[canonicalize_name(name)]}
    assert not newer, f"made with newer versions than constraints.txt pins: {newer}"
