"""What a job says of itself while it runs, in a file that others read: numbers by name, and nothing else."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from benchmark.store.files import read_json

PROGRESS = "progress.json"
_LARGEST = 1 << 16  # bytes of the file; whatever is larger is not what a job says


def progress_in(folder: Path) -> dict[str, Any]:
    """What a job said of itself there, numbers and None; empty if nothing can be read."""
    try:
        if (folder / PROGRESS).stat().st_size > _LARGEST:
            return {}
        found = read_json(folder / PROGRESS)
    except (OSError, ValueError):
        return {}
    return {k: v for k, v in found.items() if v is None or _is_number(v)} if isinstance(found, dict) else {}


def elapsed_in(folder: Path) -> float:
    """Seconds that a job which was killed says it had run, with those before it."""
    found = progress_in(folder).get("elapsed")
    return float(found) if found is not None and found >= 0 else 0.0


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
