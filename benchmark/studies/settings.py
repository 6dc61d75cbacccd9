"""The contract of a study's settings: what leaderboard.yaml says of it, and which places that asks for.

A study is a folder beside this module, named as the study. Its ``settings.py`` has a `StudySettings` under
the name ``SETTINGS``; `benchmark.studies.registry` finds it, and `benchmark.studies.study` is the other half
of the contract. No module that settings are in may import torch: the census and the pages read them too.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field

from benchmark.spec.base import Distinct, Name, Seed, SpecModel

Share = Annotated[float, Field(ge=0, le=1)]
Networks = Annotated[
    dict[Name, Distinct[Name]], Field(min_length=1, description="inits of the networks of each objective")
]


class MethodUse(SpecModel):
    """A registered method with its hyper-parameters."""

    method: Name
    hyperparameters: dict[str, Any] = Field({})


Configured = Callable[[str, MethodUse], dict[str, Any]]
"""Of a family and a method: the method with all of its hyper-parameters, as far as the defaults are known."""


@dataclass(frozen=True)
class Given:
    """What a network is trained on, where that is not the training split as it is."""

    noise: Mapping[str, Any] | None = None  # method, hyper-parameters, strength
    profile: Mapping[str, Any] | None = None  # method, hyper-parameters
    trusted: float = 0.0  # share of the labels that stay right
    untrusted_only: bool = False
    sampler: Mapping[str, Any] | None = None  # name, and hyper-parameters
    watched: bool = False  # whether its test error is kept after each epoch

    @property
    def transformation(self) -> dict[str, Any]:
        """What is done to the training split, perhaps nothing."""
        return {name: getattr(self, name) for name in ("noise", "profile", "trusted", "untrusted_only")}

    def first_phase(self, *, trusted: bool) -> Given:
        """What the network is trained on that is asked first, by an objective that needs `trusted` labels."""
        return replace(self, untrusted_only=trusted, sampler=None, watched=False)

    @property
    def training_set(self) -> dict[str, Any] | None:
        """What is done to the training split; None: nothing."""
        whole = self.noise is None and self.profile is None and not self.trusted
        return None if whole else self.transformation


PLAIN = Given()


class StudySettings(SpecModel):
    """One study of a track. What only `oodbench run --full` measures may stand in a field ``full``."""

    backbones: Distinct[Name] | None = Field(None, description="only these; all of the track's if absent")
    seeds: Distinct[Seed] | None = Field(
        None, description="of a run that asks for no others, and not for --full; all of the track's if absent"
    )

    groups: ClassVar[tuple[str, ...]] = ("near", "far")  # of the OOD sets that it scores
    told: ClassVar[frozenset[str]] = frozenset()  # the fields that say how it measures: records tell them

    # Which networks

    @property
    @abstractmethod
    def rows(self) -> list[str]:
        """The rows of its boards: objectives, or ways of training."""

    @abstractmethod
    def inits_of(self, row: str) -> list[str]:
        """The inits of the networks of a row."""

    @property
    def all_inits(self) -> list[str]:
        """Every init that it uses."""
        return list(dict.fromkeys(init for row in self.rows for init in self.inits_of(row)))

    @property
    def conditions(self) -> tuple[str, ...]:
        """Under which a network of each row is measured; a single one has no name."""
        return ("",)

    def on_full(self) -> Self:
        """With what only a full run measures: more items of a mapping, other values of anything else."""
        more = getattr(self, "full", None)
        told = {} if more is None else {name: getattr(more, name) for name in type(more).model_fields}
        update = {name: _grown(getattr(self, name), new) for name, new in told.items() if new is not None}
        return self.model_copy(update=update)

    # How they are trained

    def objective_of(self, row: str) -> str:
        """The objective of a row's networks, as leaderboard.yaml calls it."""
        return row

    @abstractmethod
    def row_at(self, row: str) -> tuple[str, ...]:
        """The key below the study at which a row's objective is named, for error messages."""

    def is_plain(self, row: str) -> bool:
        """Whether a row's networks are trained by its objective, and nothing else is done to them."""
        return True

    def given(self, configured: Configured) -> dict[tuple[str, str], Given]:
        """What the networks are trained on, by row and condition; where nothing stands the plain split."""
        return {}

    # How they are measured

    def measured_with(self, row: str, configured: Configured) -> dict[str, Any]:
        """How the networks of a row are measured, as records tell it, besides on which OOD sets."""
        return self.model_dump(include=set(self.told))

    def used(self, family: str) -> Collection[str]:
        """The methods of a family, such as ``detectors``, that it names, besides objectives."""
        return getattr(self, "detectors", ()) if family == "detectors" else ()

    def dangling(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Keys below the study that name what the study has not, with what is wrong."""
        return iter(())


class OfNetworks(StudySettings):
    """A study whose rows are objectives, each with inits of its own; networks as those of any entry."""

    networks: Networks

    @property
    def rows(self) -> list[str]:
        """The objectives."""
        return list(self.networks)

    def inits_of(self, row: str) -> list[str]:
        """The inits of an objective."""
        return self.networks[row]

    def row_at(self, row: str) -> tuple[str, ...]:
        """Where the objective is listed."""
        return "networks", row


class Way(SpecModel):
    """How the networks of a row are trained."""

    objective: Name = "cross_entropy"


class OfWays(StudySettings):
    """A study whose rows are ways of training on other training sets, all from the same inits."""

    inits: Distinct[Name]
    methods: Mapping[Name, Way] = Field(min_length=1)

    @property
    def rows(self) -> list[str]:
        """The ways of training."""
        return list(self.methods)

    def inits_of(self, row: str) -> list[str]:
        """The same of all."""
        return self.inits

    def objective_of(self, row: str) -> str:
        """What the way trains with."""
        return self.methods[row].objective

    def row_at(self, row: str) -> tuple[str, ...]:
        """Where the way is described."""
        return "methods", row, "objective"


def _grown(ours: Any, more: Any) -> Any:
    """`more` in place of ours; of mappings both, and of lists that both have under one name too."""
    if not isinstance(more, Mapping):
        return more
    both = {
        name: list(dict.fromkeys([*ours[name], *value]))
        for name, value in more.items()
        if name in ours and isinstance(value, list)
    }
    return {**ours, **more, **both}
