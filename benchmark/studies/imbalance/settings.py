"""What leaderboard.yaml says of class imbalance."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar

from pydantic import Field

from benchmark.spec.base import Distinct, Name, SpecModel
from benchmark.studies.settings import Configured, Given, MethodUse, OfWays, Way


class ImbalanceMethod(Way):
    """How a network is trained on a long tail."""

    sampler: MethodUse | None = Field(None, description="`oodbench list samplers`")


class _MoreImbalance(SpecModel):
    profiles: dict[Name, MethodUse] = Field({})
    methods: dict[Name, ImbalanceMethod] = Field({})


class Imbalance(OfWays):
    """Total and minority error, and OOD detection, of networks trained on long tails."""

    told: ClassVar = frozenset({"detectors"})

    profiles: dict[Name, MethodUse] = Field(min_length=1, description="`oodbench list profiles`")
    methods: dict[Name, ImbalanceMethod] = Field(min_length=1)
    detectors: Distinct[Name]
    full: _MoreImbalance | None = None

    @property
    def conditions(self) -> tuple[str, ...]:
        """Every long tail."""
        return tuple(self.profiles)

    def is_plain(self, row: str) -> bool:
        """Whether nothing is sampled."""
        return self.methods[row].sampler is None

    def given(self, configured: Configured) -> dict[tuple[str, str], Given]:
        """Every way of training, on every long tail."""
        found = {}
        for row, way in self.methods.items():
            sampler = None
            if way.sampler is not None:
                of_sampler = configured("samplers", way.sampler)
                sampler = {"name": of_sampler["method"], **of_sampler["hyperparameters"]}
            for condition, use in self.profiles.items():
                found[row, condition] = Given(profile=configured("profiles", use), sampler=sampler)
        return found

    def used(self, family: str) -> Collection[str]:
        """Its long tails, its samplers and its detectors."""
        if family == "profiles":
            return {use.method for use in self.profiles.values()}
        if family == "samplers":
            return {way.sampler.method for way in self.methods.values() if way.sampler is not None}
        return super().used(family)

    def place_for(self, family: str, name: str) -> tuple[str, dict[str, Any]] | None:
        """Long tails are listed, and ways of training: a sampler with the objective that others go with."""
        if family == "samplers":
            objective = next(
                (way.objective for way in self.methods.values() if way.sampler is not None), None
            )
            return "methods", {**({"objective": objective} if objective else {}), "sampler": {"method": name}}
        return ("profiles", {"method": name}) if family == "profiles" else None


SETTINGS = Imbalance
