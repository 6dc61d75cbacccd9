"""Where the leaderboard file is: here, or with the installation."""

from __future__ import annotations

import os
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from benchmark.errors import UsageError

RESULTS = "results"  # the folder of the published records, beside leaderboard.yaml


def published_results(leaderboard: Path) -> Path:
    """Where the published records of a leaderboard lie, if there are any."""
    return leaderboard.parent / RESULTS


def find_leaderboard(named: Path | None) -> Path:
    """The named file, else ./leaderboard.yaml, else the one that came with the installation.

    Raises
    ------
    UsageError
        If there is none.
    """
    if named is not None:
        return named
    here = Path("leaderboard.yaml")
    if os.path.lexists(here):  # be it what it may: reading it says what is wrong
        return here
    beside = Path(__file__).parents[2] / "leaderboard.yaml"
    if beside.is_file():
        return beside
    with suppress(PackageNotFoundError):
        for file in distribution("oodbench").files or ():
            if file.name == "leaderboard.yaml":
                return Path(str(file.locate())).resolve()
    raise UsageError("no leaderboard.yaml here nor with the installation; name one with --leaderboard")
