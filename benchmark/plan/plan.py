"""What is planned: what is measured at every place, and the jobs that it needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmark.census import Selection
from benchmark.jobs.job import Job, Kind
from benchmark.records.place import Place
from benchmark.records.record import DETECTION, Cell, TrainedWith


@dataclass(frozen=True, eq=False)
class Planned:
    """What is measured at one place, and the jobs that it rests on."""

    place: Place
    key: str  # content key of the measurement
    # Keys of its network's jobs and of its own: PRETRAIN where anything is pre-trained, TRAIN, EXTRACT of the
    # ID images, SCORE, which may tune, and so on.
    chain: Mapping[Kind, str] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()  # keys of what else is measured, such as features
    starts: tuple[str, ...] = ()  # keys of the networks that its own goes on from
    data: Mapping[str, str] = field(default_factory=dict)  # image set → key
    seeds: Mapping[str, int] = field(default_factory=dict)  # by purpose
    objective: str = ""  # of its network, in the leaderboard
    training: TrainedWith | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)  # of the measurement
    made_of: Mapping[str, Any] | None = None
    drawn: bool = True  # whether its record keeps what plots show
    overlap: tuple[str, ...] = ()  # test sets of a dataset that the first weights were trained on

    def __str__(self) -> str:
        return str(self.place)

    @property
    def cell(self) -> Cell:
        """Its place, of OOD detection."""
        return Cell(self.place.track, self.place.backbone, self.place.init, self.place.seed, self.place.row)

    @property
    def keys(self) -> tuple[str, ...]:
        """Of everything that the record draws on, in the order in which it is made."""
        found = (*self.data.values(), *self.starts, *self.inputs, *self.chain.values(), self.key)
        return tuple(dict.fromkeys(found))


@dataclass(frozen=True)
class Plan:
    """What is measured, in the order of the leaderboard, and every job that it needs, inputs first."""

    measured: tuple[Planned, ...]  # places of studies, OOD detection among them
    jobs: Mapping[str, Job]
    left_out: Mapping[str, str] = field(default_factory=dict)  # track → why: its data are not at hand
    trainings: tuple[Planned, ...] = ()  # of the networks of all these
    broken: Mapping[str, str] = field(default_factory=dict)  # entry, init, study or row → why it is left out
    selection: Selection = Selection()  # that it was made of

    @property
    def cells(self) -> tuple[Planned, ...]:
        """Places of OOD detection."""
        return tuple(one for one in self.measured if one.place.study == DETECTION)

    @property
    def studies(self) -> tuple[Planned, ...]:
        """Places of all other studies."""
        return tuple(one for one in self.measured if one.place.study != DETECTION)

    @property
    def places(self) -> tuple[Planned, ...]:
        """Everything of which there is a record."""
        return (*self.measured, *self.trainings)
