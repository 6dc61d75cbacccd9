"""Jobs in the calling process, one group after the other: for tests, which can change what a job does.

A run of people has worker processes: here a method that ends its process, or changes what it shares with
others, takes the whole run with it.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from benchmark.engines.pool import Group, Outcome
from benchmark.engines.worker import Perform, perform
from benchmark.jobs.job import Lane


class InProcess:
    """A pool that waits for each group; `perform` does one."""

    def __init__(self, perform: Perform = perform) -> None:
        self._perform = perform
        self._ended: list[tuple[Group, Outcome]] = []

    def room(self) -> Collection[Lane]:
        """All, unless a group has ended that was not asked for."""
        return () if self._ended else tuple(Lane)

    def submit(self, root: Path, group: Group, *, fresh: bool) -> None:
        """Do a group."""
        self._ended.append((group, self._perform(root, group, fresh=fresh)))

    def outcomes(self) -> list[tuple[Group, Outcome]]:
        """How what was submitted has ended."""
        ended, self._ended = self._ended, []
        return ended

    def stop(self) -> None:
        """Forget what was not asked for."""
        self._ended.clear()
