"""The contract of a study's settings: what leaderboard.yaml says of it, and which places that asks for.

A study is a folder beside this module, named as the study. If a track may list it, its ``settings.py`` has a
`StudySettings` under the name ``SETTINGS``, which the registry finds; `benchmark.studies.study` is the other
half of the contract. No module that settings are in may import torch: the census and the pages read them too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field

from benchmark.records.record import Record
from benchmark.spec.base import Distinct, Name, Seed, SpecModel
from methods.declared import Declared

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
Declares = Callable[[str, str], Declared | None]
"""Of a family and a name: what the method declares; None where that is not known."""
SAID = {"hyperparameters": "hyper-parameters", "groups": "OOD sets"}  # settings, in words


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


class AnyStudy(ABC):
    """Which places a study has and how they are measured, wherever leaderboard.yaml says it."""

    word: ClassVar[str] = "row"  # what a row is called
    groups: ClassVar[tuple[str, ...]] = ("near", "far")  # of the OOD sets that it scores
    trains: ClassVar[bool] = True  # whether it measures networks that are trained on a track
    shifts: ClassVar[bool] = False  # whether the track's shifted images are measured

    # Where

    @property
    @abstractmethod
    def rows(self) -> list[str]:
        """The rows of its boards: entries, objectives, or ways of training."""

    @abstractmethod
    def inits_of(self, row: str) -> list[str]:
        """The inits of the networks of a row."""

    @property
    def all_inits(self) -> list[str]:
        """Every init that it uses."""
        return list(dict.fromkeys(init for row in self.rows for init in self.inits_of(row)))

    def backbones_on(self, row: str, listed: list[str]) -> list[str]:
        """Those of a track's backbones on which a row is measured."""
        return listed

    def seeds_on(self, row: str, listed: list[int]) -> list[int]:
        """Those of a track's seeds with which a row is measured; of several networks the first."""
        return listed

    @property
    def usual_seeds(self) -> list[int] | None:
        """Those of a run that asks for no others and is not a full one; None for all."""
        return None

    def members_of(self, row: str) -> int:
        """How many networks, of consecutive seeds, a place of a row stands on."""
        return 1

    @property
    def conditions(self) -> tuple[str, ...]:
        """Under which a network of each row is measured; a single one has no name."""
        return ("",)

    def conditions_of(self, row: str) -> tuple[str, ...]:
        """Those of a row that is not measured under all of them."""
        return self.conditions

    # How its networks are trained

    def objective_of(self, row: str) -> str:
        """The objective of a row's networks, as leaderboard.yaml calls it."""
        return row

    def is_plain(self, row: str) -> bool:
        """Whether a row's networks are trained by its objective, and nothing else is done to them."""
        return True

    def given(self, configured: Configured) -> dict[tuple[str, str], Given]:
        """What the networks are trained on, by row and condition; where nothing stands the plain split."""
        return {}

    # How they are measured

    @abstractmethod
    def measured_with(self, row: str, configured: Configured) -> dict[str, Any]:
        """How the networks of a row are measured, as records tell it, besides on which OOD sets."""

    def sets_of(self, row: str) -> tuple[str, ...]:
        """The groups of a track's image sets that a row is measured on."""
        return self.groups

    def differs(
        self, row: str, expected: Mapping[str, Any], record: Record, declared: Declares
    ) -> Iterator[str]:
        """In what a record of a row was measured otherwise than is `expected`, in words."""
        names = (name for name, value in expected.items() if value != record.settings.get(name))
        yield from (SAID.get(name, name) for name in names)

    # What people are told

    def at(self, track: str, name: str) -> tuple[str, ...]:
        """The key of leaderboard.yaml that speaks of it."""
        return "tracks", track, "studies", name

    @abstractmethod
    def row_at(self, row: str) -> tuple[str, ...]:
        """The key below that at which a row's objective is named."""

    def where(self, track: str, name: str) -> str:
        """Where its rows are, in words."""
        return f"in study {name!r} on track {track!r}"

    def networks_called(self, row: str) -> str:
        """What the networks of a row are told by, in words."""
        return f"{self.word} {row!r}"

    def called(self, row: str, name: str) -> str:
        """What a row is called by who leaves it out."""
        return f"{row} of study {name}"


class StudySettings(AnyStudy, SpecModel):
    """A study below a track's `studies`. What only `oodbench run --full` measures may stand in ``full``."""

    backbones: Distinct[Name] | None = Field(None, description="only these; all of the track's if absent")
    seeds: Distinct[Seed] | None = Field(
        None, description="of a run that asks for no others, and not for --full; all of the track's if absent"
    )

    told: ClassVar[frozenset[str]] = frozenset()  # the fields that say how it measures: records tell them

    def backbones_on(self, row: str, listed: list[str]) -> list[str]:
        """Those that it names, or all."""
        return self.backbones or listed

    @property
    def usual_seeds(self) -> list[int] | None:
        """Those that it names."""
        return self.seeds

    def on_full(self) -> Self:
        """With what only a full run measures: more items of a mapping, other values of anything else."""
        more = getattr(self, "full", None)
        told = {} if more is None else {name: getattr(more, name) for name in type(more).model_fields}
        update = {name: _grown(getattr(self, name), new) for name, new in told.items() if new is not None}
        return self.model_copy(update=update)

    def measured_with(self, row: str, configured: Configured) -> dict[str, Any]:
        """What the fields that are `told` say."""
        return self.model_dump(include=set(self.told))

    def used(self, family: str) -> Collection[str]:
        """The methods of a family, such as ``detectors``, that it names, besides objectives."""
        return getattr(self, "detectors", ()) if family == "detectors" else ()

    def place_for(self, family: str, name: str) -> tuple[str, dict[str, Any]] | None:
        """The field that would list a new method of a family under its name, and what would stand there.

        None where the study lists no methods of that family by name. What a full run has counts too.
        """
        return None

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
