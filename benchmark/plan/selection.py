"""Which part of the leaderboard a plan is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Selection:
    """Which part of the leaderboard; an empty tuple selects all."""

    tracks: tuple[str, ...] = ()
    entries: tuple[str, ...] = ()
    backbones: tuple[str, ...] = ()
    inits: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    studies: tuple[str, ...] = ()
    full: bool = False  # with what only a full run measures

    @property
    def with_cells(self) -> bool:
        """Whether cells are wanted: not where only studies are named."""
        return bool(self.entries) or not self.studies

    @property
    def with_studies(self) -> bool:
        """Whether studies are wanted: not where only entries are named."""
        return bool(self.studies) or not self.entries

    def of(self, kind: str, available: list[Any], unasked: list[Any] | None = None) -> list[Any]:
        """Those of `available` backbones, inits or seeds that are selected.

        Where none is named that is `unasked`, or all.
        """
        wanted = getattr(self, kind)
        return [item for item in available if item in wanted] if wanted else unasked or available
