"""What the pages of a folder were made of, kept beside them: whether they would come out the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.store.files import write_atomically

MANIFEST = "site.json"
REPORT = "reproduction.json"  # among the files: how the records compare with the published ones


def write_manifest(site: Path, made_of: str, files: Mapping[Path, str | bytes]) -> Path:
    """Say what pages below `site` were made of, and how to tell that they are unchanged; return the file."""
    checksums = {
        path.relative_to(site).as_posix(): checksum(content.encode() if isinstance(content, str) else content)
        for path, content in files.items()
    }
    write_atomically(site / MANIFEST, json.dumps({"made_of": made_of, "files": checksums}, indent=1))
    return site / MANIFEST


def read_manifest(site: Path) -> dict[str, Any]:
    """What was said; raises `OSError` or `ValueError` if nothing can be read."""
    return dict(json.loads((site / MANIFEST).read_bytes()))


def up_to_date(site: Path, made_of: str) -> bool:
    """Whether `site` holds what a build from the same input wrote, unchanged."""
    try:
        manifest = read_manifest(site)
        return bool(manifest["made_of"] == made_of) and all(
            checksum((site / name).read_bytes()) == expected for name, expected in manifest["files"].items()
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False  # none, or damaged: it is written again


def checksum(data: bytes) -> str:
    """SHA-256, in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
