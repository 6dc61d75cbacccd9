"""What leaderboard.yaml says of the experiment in two dimensions.

It stands alone, on a track of its own name: its rows are the arms, each a small network of its own.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, get_args

from benchmark.records.record import BOUNDARY
from benchmark.spec.base import Count, Distinct, Seed, SpecModel
from benchmark.studies.settings import AnyStudy, Configured

Arm = Literal["cross_entropy", "near", "far"]
ARMS: tuple[Arm, ...] = get_args(Arm)
STEPS = 6000  # part of the design: with 2000, near outliers do not yet lower the confidence far away


class Plane(AnyStudy, SpecModel):
    """Near against far outliers in two dimensions (`benchmark.studies.plane.measure`); with --full."""

    groups: ClassVar = ()
    trains: ClassVar = False

    seeds: Distinct[Seed]
    steps: Count = STEPS

    @property
    def rows(self) -> list[str]:
        """The arms."""
        return list(ARMS)

    def inits_of(self, row: str) -> list[str]:
        """Weights are drawn."""
        return ["scratch"]

    def objective_of(self, row: str) -> str:
        """An arm has none of leaderboard.yaml."""
        return ""

    def backbones_on(self, row: str, listed: list[str]) -> list[str]:
        """There is one network."""
        return ["mlp"]

    def seeds_on(self, row: str, listed: list[int]) -> list[int]:
        """Its own."""
        return self.seeds

    def measured_with(self, row: str, configured: Configured) -> dict[str, Any]:
        """How long a network is trained."""
        return {"steps": self.steps}

    def at(self, track: str, name: str) -> tuple[str, ...]:
        """It has a key of its own."""
        return (BOUNDARY,)

    def row_at(self, row: str) -> tuple[str, ...]:
        """Arms are not listed."""
        return ()
