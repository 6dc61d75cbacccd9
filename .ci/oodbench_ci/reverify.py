"""The issue that is opened when a published number no longer stands, and what is said in it day by day.

The verdicts come from a job that ran methods: they are data here, with bounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from benchmark.errors import DataError
from benchmark.store.files import first_error
from oodbench_ci.bounded import as_code, read_bounded_json
from oodbench_ci.github import BOT, GitHub

MARKER = "<!-- oodbench: the issue of reverify.yml -->"
TITLE = "A published number no longer stands"
LARGEST = 2_000_000  # bytes of the verdicts
MOST_SHOWN = 50
STANDING = ("equal", "within")


def report(github: GitHub, verdicts: Path, url: str) -> str:
    """Open an issue for what does not stand, or comment on the one that is open; says what was done.

    Parameters
    ----------
    verdicts : what `oodbench verify --json` printed.
    url : of the run.

    Raises
    ------
    DataError
        If the file is none that it prints, which is told in the issue as well.
    GitHubFailed
        If GitHub refuses.
    """
    try:
        wrong = fallen(read_bounded_json(verdicts.read_bytes(), verdicts.name, LARGEST))
    except DataError as error:
        _tell(github, [f"computing again ended without verdicts: {error}"], url)
        raise
    if not wrong:
        return "every number that was drawn stands"
    return f"{_tell(github, wrong, url)}: {len(wrong)} do not stand"


def _tell(github: GitHub, wrong: Sequence[str], url: str) -> str:
    """Open an issue with these lines, or write them below the one that is open; says which."""
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
        return f"commented on issue {number}"
    made = github.send("POST", "issues", {"title": TITLE, "body": body})
    return f"opened issue {made['number']}"


class _Worst(BaseModel):
    path: str
    claimed: float
    recomputed: float


class _Judged(BaseModel):
    cell: str
    verdict: str
    why: str
    worst: _Worst | None


class _Verified(BaseModel):
    """What `oodbench verify --json` prints, as far as it is told on."""

    version: Literal[1]
    verdicts: list[_Judged]
    other_code: dict[str, list[str]]
    missing: list[str]
    stands: bool


def fallen(told: Any) -> list[str]:
    """What does not stand, each on a line.

    Raises
    ------
    DataError
        If it is nothing that `oodbench verify --json` prints.
    """
    try:
        found = _Verified.model_validate(told, strict=True)
    except ValidationError as error:
        raise DataError(f"the verdicts: {first_error(error)}") from error
    lines = []
    for one in found.verdicts:
        if one.verdict not in STANDING:
            worst = one.worst
            by = f" ({worst.path}: {worst.claimed:.6g} claimed, {worst.recomputed:.6g})" if worst else ""
            lines.append(f"{one.cell}: {one.why}{by}")
    lines += [f"{cell}: {why}" for why, cells in found.other_code.items() for cell in cells]
    lines += [f"{cell}: its row is published, it is not" for cell in found.missing]
    if found.stands is bool(lines):
        raise DataError("the verdicts: what stands and what does not contradict each other")
    return lines
