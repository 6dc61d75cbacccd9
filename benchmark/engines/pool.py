"""What a schedule wants of those who do the work, wherever they are: processes here, or other machines."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from benchmark.jobs.job import Job, Lane

Group = tuple[Job, ...]  # jobs that are done together, or one alone


class Outcome(NamedTuple):
    """How a group of jobs ended."""

    status: Literal["done", "failed", "damaged", "storage", "died"]
    message: str = ""  # why, unless done, and printable; the key of the input, if damaged
    spoiled: bool = False  # whether the process that did it must not be used again


class Pool(Protocol):
    """Does groups of jobs and says how each ended; what they make goes into the cache.

    What becomes of a job that failed is not for the pool to say: it tries nothing again.
    """

    def room(self) -> Collection[Lane]:
        """Of which lanes it would begin a group now; it is given no other."""

    def submit(self, root: Path, group: Group, *, fresh: bool) -> None:
        """Begin a group, whose artifacts belong into the cache at `root`; with `fresh` also those it has."""

    def outcomes(self) -> list[tuple[Group, Outcome]]:
        """Wait until a group has ended; every one that has since the last call, in any order.

        A group whose process, or machine, is gone has ended too: as ``died``.
        """

    def stop(self) -> None:
        """End what is running, at once, and forget it; the pool can be used again afterwards.

        An artifact appears in the cache whole or not at all: whoever is ended leaves no part of one.
        """
