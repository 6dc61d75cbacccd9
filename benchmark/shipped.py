"""Where the leaderboard file is: here, or with the installation."""

from __future__ import annotations

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
    beside = Path(__file__).parents[1] / "leaderboard.yaml"
    for path in (Path("leaderboard.yaml"), beside):
        if path.is_file():
            return path
    with suppress(PackageNotFoundError):
        for file in distribution("oodbench").files or ():
            if file.name == "leaderboard.yaml":
                return Path(str(file.locate())).resolve()
    raise UsageError("no leaderboard.yaml here nor with the installation; name one with --leaderboard")
