"""`oodbench diff`: what a change of the records does to boards and claims.

Nothing heavy is imported before it is used: `--help` and completion import this module.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_SIDE = "A folder of records, or a git revision: main, HEAD~3, results-2026.12."


def diff(
    base: Annotated[str, typer.Argument(metavar="BASE", help=_SIDE)],
    head: Annotated[str, typer.Argument(metavar="HEAD", help="The same, after the change.")],
    leaderboard: Annotated[
        Path | None,
        typer.Option(
            "--leaderboard",
            help="That both sides are read by; else a revision's own, and for a folder ./leaderboard.yaml.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with every row.")] = False,
) -> None:
    """Say what a change of results/ does to boards and claims, in Markdown for a comment on GitHub.

    Exits with 0 whether or not anything differs. The working tree is not touched.
    """
    from reports.console.terminal import answer
    from reports.console.terminal import as_json as written
    from reports.diff.compare import compare
    from reports.diff.page import markdown_of_diff
    from reports.diff.sides import read_side

    before = read_side(base, leaderboard)
    found = compare(before, read_side(head, leaderboard), (base, head))
    answer(written(found.model_dump(mode="json")) if as_json else markdown_of_diff(found).rstrip("\n"))
