"""What one measured place is: its settings, its numbers, and what made them.

There is one kind of record. Cells of OOD detection, the other studies, trainings and the experiment in two
dimensions differ in which numbers and series they have; `benchmark.records.families` knows these. What a run
measures depends on nothing but code, data and seeds; `cost` and `provenance` say what it took and where, and
are left out when records are compared. This module must not know how records are written, nor import torch.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from typing import Any, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from benchmark.records.numbers import Amount, Curve, Number, StrictModel

SCHEMA: Literal[3] = 3
NAME = re.compile(r"[a-z0-9][a-z0-9_+.-]*")  # of anything that may become part of a path
DETECTION = "detection"  # the study of OOD detection, whose rows are entries
TRAININGS = "trainings"  # of networks, whose rows are objectives
PLANE = "plane"  # the experiment in two dimensions, whose rows are its arms
BOUNDARY = "boundary"  # the track of that experiment
NETWORKS = "networks"  # beside the studies: what the records of one network share

HpMode = Literal["published", "declared", "id_val", "proxy_ood", "oracle"]
Status = Literal["measured", "failed", "not_applicable"]


class Cost(StrictModel):
    """Wall seconds of the jobs that a record draws on, and the largest memory of their processes.

    None where there was no such job, or where it is not recorded.
    """

    pretrain_seconds: Amount | None = None
    train_seconds: Amount | None = None  # of the network and of those that it goes on from
    extract_seconds: Amount | None = None
    score_seconds: Amount | None = None
    measure_seconds: Amount | None = None
    peak_memory_mb: Amount | None = None  # resident
    peak_device_memory_mb: Amount | None = None  # of an accelerator
    least_batch: Amount | None = None  # images computed at once in the end, where memory held no more


class Environment(StrictModel):
    """Where and with what something was computed."""

    oodbench: str
    commit: str | None = None  # with "+changes" if the working tree differed; None outside a checkout
    python: str
    platform: str
    processor: str
    instructions: str | None = None  # that torch uses, such as AVX2, and what forced others on it
    cores: int
    accelerator: str | None = None  # type and name of what its networks computed on; None for the CPU
    libraries: dict[str, str]


class Provenance(StrictModel):
    """What made a record; None where that is not recorded."""

    date: str | None = None  # when it was measured, ISO 8601, UTC
    measured_in: str | None = None  # key into `RecordFile.environments`
    trained_in: str | None = None
    checkpoint: str | None = None  # SHA-256 of the network's weights
    method_source: str | None = None  # hash of the code that computed it
    data: dict[str, str] = Field(default_factory=dict)  # content fingerprint of every image set
    seeds: dict[str, int] = Field(default_factory=dict)  # by purpose
    first_weights: dict[str, Any] | None = None  # of a training that did not draw them: where from, how many

    @property
    def environments(self) -> set[str]:
        """Keys into `RecordFile.environments`."""
        return {name for name in (self.measured_in, self.trained_in) if name is not None}


class TrainedWith(StrictModel):
    """How the network of a record was trained, complete."""

    objective: str  # in the registry
    hyperparameters: dict[str, Any] = Field(default_factory=dict)
    outliers: dict[str, float | None] = Field(
        default_factory=dict
    )  # sets; with the share of their images in a mix with ID images
    recipe: dict[str, Any] | None = None  # epochs, learning rate, …; None: published weights as they are
    starts_from: TrainedWith | None = None  # the network that it fine-tunes
    first_phase: TrainedWith | None = None  # the network whose predictions it was given
    training_set: dict[str, Any] | None = None  # what was done to the training split; None: nothing
    sampler: dict[str, Any] | None = None  # name and hyper-parameters; None: each image once an epoch
    precision: str | None = None  # that the network computes in, trained and measured; None: float32

    @property
    def epochs(self) -> int:
        """Of all stages together."""
        own = 0 if self.recipe is None else int(self.recipe["epochs"])
        return own + sum(stage.epochs for stage in (self.starts_from, self.first_phase) if stage is not None)


class Record(StrictModel):
    """What was measured of one network, in one row of a study, under one condition."""

    backbone: str
    init: str
    seed: int
    condition: str = ""  # such as ``uniform@0.4`` or ``exp``; empty where a study has one condition only
    status: Status = "measured"
    reason: str | None = None  # why, unless measured
    key: str  # content key of the measurement: equal keys, equal measurements; empty where it was not kept
    settings: dict[str, Any] = Field(default_factory=dict)  # of the measurement: detector, attacks, sets, …
    training: TrainedWith | None = None  # None where no network is trained
    made_of: dict[str, Any] | None = None  # images, architecture, first weights; None in older records
    numbers: dict[str, Number] = Field(default_factory=dict)  # by path
    series: dict[str, Curve] = Field(default_factory=dict)  # of the plots; ``a_by_b`` is over series ``b``
    warnings: list[str] = Field(default_factory=list)
    pictures: dict[str, str] = Field(default_factory=dict)  # PNG in base64
    cost: Cost | None = None
    provenance: Provenance | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.status != "measured" and self.numbers:
            raise ValueError(f"status {self.status}: expected numbers if measured, got some")
        return self

    @property
    def cell(self) -> tuple[str, str, int, str]:
        """What tells this record from the others of its file."""
        return self.backbone, self.init, self.seed, self.condition

    @property
    def environments(self) -> set[str]:
        """Keys into `RecordFile.environments`."""
        return self.provenance.environments if self.provenance else set()

    @property
    def checkpoint(self) -> str:
        """SHA-256 of the network's weights; empty where it is not recorded."""
        return (self.provenance.checkpoint if self.provenance else None) or ""

    @property
    def networks(self) -> int:
        """Of how many networks, trained with consecutive seeds of the track, the numbers come."""
        return int(self.settings.get("networks", 1))

    def same_result(self, other: Record) -> bool:
        """Whether both say the same, leaving out what it took and where, and pictures."""
        volatile = {"cost", "provenance", "pictures"}
        first = [one.provenance.first_weights if one.provenance else None for one in (self, other)]
        return first[0] == first[1] and self.model_dump(exclude=volatile) == other.model_dump(
            exclude=volatile
        )


class RecordFile(StrictModel):
    """All records of one row of a study on one track."""

    schema_version: Literal[3] = SCHEMA
    track: str
    study: str
    row: str  # an entry, an objective of leaderboard.yaml, or a method of the study
    environments: dict[str, Environment]
    records: list[Record]

    @model_validator(mode="after")
    def _records_are_whole(self) -> Self:
        refuse_loose(self.records, self.environments)
        return self


def refuse_loose(records: Iterable[Record], environments: Container[str]) -> None:
    """Check that the records of a file are of different cells, made where the file says.

    Raises
    ------
    ValueError
        Names the cell.
    """
    seen = set()
    for record in records:
        cell = " ".join(map(str, record.cell)).rstrip()
        if record.cell in seen:
            raise ValueError(f"{cell}: two records of one cell; expected one")
        if not all(name in environments for name in record.environments):
            raise ValueError(f"{cell}: made in an environment that the file does not describe")
        seen.add(record.cell)


class Cell(NamedTuple):
    """One measurement of OOD detection: track × backbone × init × seed × entry."""

    track: str
    backbone: str
    init: str
    seed: int
    entry: str

    def __str__(self) -> str:
        return f"{self.track} {self.backbone} {self.init} seed {self.seed} {self.entry}"
