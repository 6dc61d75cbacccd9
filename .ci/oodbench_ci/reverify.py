"""The issue that is opened when a published number no longer stands, and what is said in it day by day.

The verdicts come from a job that ran methods: they are data here, with bounds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmark.errors import DataError
from oodbench_ci.bounded import as_code, read_bounded_json
from oodbench_ci.github import BOT, GitHub

MARKER = "<!-- oodbench: the issue of reverify.yml -->"
TITLE = "A published number no longer stands"
LARGEST = 2_000_000  # bytes of the verdicts
MOST_SHOWN = 50


def report(github: GitHub, verdicts: Path, url: str) -> str:
    """Open an issue for what does not stand, or comment on the one that is open; says what was done.

    Parameters
    ----------
    verdicts : what `oodbench verify --json` printed.
    url : of the run.

    Raises
    ------
    DataError
        If the file is none that it prints.
    GitHubFailed
        If GitHub refuses.
    """
    wrong = fallen(read_bounded_json(verdicts.read_bytes(), verdicts.name, LARGEST))
    if not wrong:
        return "every number that was drawn stands"
    lines = [f"- {as_code(line, 400)}" for line in wrong[:MOST_SHOWN]]
    if len(wrong) > MOST_SHOWN:
        lines.append(f"- … and {len(wrong) - MOST_SHOWN} more")
    body = "\n".join([MARKER, f"Recomputed by [this run]({url}), and not as published:", "", *lines])
    there = [
        one
        for one in github.every("issues", {"state": "open", "creator": BOT})
        if str(one["body"]).startswith(MARKER) and "pull_request" not in one
    ]
    if there:
        number = int(there[0]["number"])
        github.send("POST", f"issues/{number}/comments", {"body": body})
        return f"issue {number}: commented, {len(wrong)} do not stand"
    made = github.send("POST", "issues", {"title": TITLE, "body": body})
    return f"issue {made['number']}: opened, {len(wrong)} do not stand"


def fallen(told: Any) -> list[str]:
    """What does not stand, each on a line.

    Raises
    ------
    DataError
        If it is nothing that `oodbench verify --json` prints.
    """
    cells = told.get("cells") if isinstance(told, dict) else None
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise DataError("the verdicts: expected `cells`, a list of them")
    return [
        ", ".join(f"{key} {value}" for key, value in cell.items() if isinstance(value, str | int | float))
        for cell in cells
        if cell.get("verdict") not in STANDING
    ]


STANDING = ("equal", "within")
