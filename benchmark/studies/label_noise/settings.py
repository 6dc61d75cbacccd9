"""What leaderboard.yaml says of label noise."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import pairwise, product
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from benchmark.spec.base import Distinct, Name, SpecModel
from benchmark.studies.settings import Configured, Given, MethodUse, OfWays, Share, Way
from methods.names import did_you_mean


def _whole(strengths: list[float]) -> list[float]:
    if strengths != sorted(strengths) or (strengths[0], strengths[-1]) != (0.0, 1.0):
        raise ValueError(f"got {strengths}; expected ascending strengths from 0.0 to 1.0")
    for one, next_one in pairwise(strengths):
        if f"{one:g}" == f"{next_one:g}":
            raise ValueError(
                f"{one!r} and {next_one!r} have one name; expected strengths of six digits at most"
            )
    return strengths


Strengths = Annotated[Distinct[Share], AfterValidator(_whole)]


class NoiseMethod(Way):
    """How a network is trained on noisy labels."""

    trusted: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="share of the training images of each class whose labels are known to be right"
    )
    conditions: Distinct[str] | None = Field(
        None, description="under which alone it is measured, such as uniform@0.4; all if absent"
    )


class _MoreNoise(SpecModel):
    strengths: Strengths | None = Field(None, description="in place of those of every run")
    noises: dict[Name, MethodUse] = Field({})
    methods: dict[Name, NoiseMethod] = Field({})


class LabelNoise(OfWays):
    """Test error of networks trained on noisy labels, over the strength of the noise."""

    groups: ClassVar = ()

    strengths: Strengths
    noises: dict[Name, MethodUse] = Field(min_length=1, description="`oodbench list noise_models`")
    methods: dict[Name, NoiseMethod] = Field(min_length=1)
    watched: dict[Name, Distinct[Share]] = Field(
        {}, description="strengths at which a method's test error is kept after each epoch, for curves only"
    )
    full: _MoreNoise | None = None

    @property
    def conditions(self) -> tuple[str, ...]:
        """Every noise at every strength."""
        return tuple(noise_condition(noise, p) for noise in self.noises for p in self.strengths)

    def conditions_of(self, row: str) -> tuple[str, ...]:
        """Those of a method, in the order of all."""
        own = self.methods[row].conditions
        return tuple(name for name in self.conditions if own is None or name in own)

    def is_plain(self, row: str) -> bool:
        """Whether no label is known to be right."""
        return not self.methods[row].trusted

    def given(self, configured: Configured) -> dict[tuple[str, str], Given]:
        """Every way of training, on every noise at every strength."""
        found = {}
        every = product(self.methods.items(), self.noises.items(), self.strengths)
        for (row, way), (noise, use), strength in every:
            noisy = {**configured("noise_models", use), "strength": strength}
            found[row, noise_condition(noise, strength)] = Given(
                noise=noisy if strength else None,  # without noise the same whatever the noise is called
                trusted=way.trusted,
                watched=strength in self.watched.get(row, ()),
            )
        return found

    def used(self, family: str) -> Collection[str]:
        """Its models of noise."""
        return {use.method for use in self.noises.values()} if family == "noise_models" else ()

    def place_for(self, family: str, name: str) -> tuple[str, dict[str, Any]] | None:
        """Models of noise are listed, and ways of training, of which a correction is one."""
        if family == "corrections":
            return "methods", {"objective": name}
        return ("noises", {"method": name}) if family == "noise_models" else None

    def dangling(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Conditions of methods, methods that are watched and strengths that there are not."""
        for row, way in self.methods.items():
            for name in way.conditions or ():
                if name not in self.conditions:
                    hint = did_you_mean(name, self.conditions)
                    yield ("methods", row, "conditions"), f"{name!r} is no condition; {hint}"
        for row, strengths in self.watched.items():
            if row not in self.methods:
                yield ("watched", row), f"{row!r} is no method; {did_you_mean(row, list(self.methods))}"
            if lost := [p for p in strengths if p not in self.strengths]:
                yield ("watched", row), f"{lost[0]} is none of the strengths"


def noise_condition(noise: str, strength: float) -> str:
    """What records call a noise of some strength: ``uniform@0.4``."""
    return f"{noise}@{strength:g}"


SETTINGS = LabelNoise
