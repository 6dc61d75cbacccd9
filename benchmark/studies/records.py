"""Records of the studies: one file a row, ``results/<track>/<study>/<row>.json``.

A record is of one network under one condition, such as one strength of label noise. What was measured is
numbers by path and series by name; the modules beside this one say which there are. This module must not
import torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self, get_args

from pydantic import Field, model_validator

from benchmark.files import read_model, write_atomically
from benchmark.results import (
    SCHEMA,
    Drawn,
    Environment,
    Number,
    StrictModel,
    TrainedWith,
    compact_json,
    each_cell_once,
    record_path,
)
from benchmark.spec_studies import StudyName

STUDIES: tuple[StudyName, ...] = get_args(StudyName)


class StudyRecord(StrictModel):
    """One network under one condition."""

    backbone: str
    init: str
    seed: int
    condition: str = ""  # such as ``uniform@0.4`` or ``exp``; empty where a study has one condition only
    status: Literal["measured", "failed"] = "measured"
    reason: str | None = None  # why, unless measured
    key: str  # content key of the measurement: equal keys, equal measurements
    training: TrainedWith
    settings: dict[str, Any] = Field(default_factory=dict)  # of the measurement: attacks, detectors, images
    numbers: dict[str, Number] = Field(default_factory=dict)  # by path
    series: dict[str, list[Drawn]] = Field(default_factory=dict)  # of the plots
    warnings: list[str] = Field(default_factory=list)
    train_seconds: Drawn | None = None  # of this network and of those that it goes on from
    seconds: Drawn | None = None  # of the measurement
    checkpoint: str | None = None  # SHA-256 of the network's weights
    made_in: str | None = None  # key into `StudyFile.environments`

    @property
    def cell(self) -> tuple[str, str, int, str]:
        """What tells this record from the others of its file."""
        return self.backbone, self.init, self.seed, self.condition

    @property
    def environments(self) -> set[str]:
        """Keys into `StudyFile.environments`."""
        return set() if self.made_in is None else {self.made_in}

    def same_result(self, other: StudyRecord) -> bool:
        """Whether both say the same, leaving out what it took and where."""
        volatile = {"train_seconds", "seconds", "made_in", "checkpoint"}
        return self.model_dump(exclude=volatile) == other.model_dump(exclude=volatile)


class StudyFile(StrictModel):
    """All records of one row of a study on one track."""

    schema_version: Literal[1] = SCHEMA
    track: str
    study: StudyName
    row: str  # an objective of leaderboard.yaml, or a method of the study
    environments: dict[str, Environment]
    records: list[StudyRecord]

    @model_validator(mode="after")
    def _environments_are_known(self) -> Self:
        for record in self.records:
            if record.made_in is not None and record.made_in not in self.environments:
                cell = " ".join(map(str, record.cell))
                raise ValueError(f"{cell}: made in an environment that the file does not describe")
        return self


def study_path(results: Path, track: str, study: StudyName, row: str) -> Path:
    """Where the records of a row lie; names are checked."""
    checked = record_path(results, track, row)
    return checked.parent / study / checked.name


def read_study(path: Path) -> StudyFile:
    """Read one file.

    Raises
    ------
    DataError
        If it is not JSON or not of this schema: names the file, the place and what was expected.
    """
    return read_model(path, StudyFile, f"a study of schema {SCHEMA}")


def read_studies(results: Path) -> list[StudyFile]:
    """Read every file below `results`, sorted by path; errors as for `benchmark.results.read_all`."""
    paths = [path for study in STUDIES for path in sorted(results.glob(f"*/{study}/*.json"))]
    return each_cell_once(
        [(path, read_study(path)) for path in paths],
        lambda file: [
            f"{file.track} {' '.join(map(str, r.cell))} of {file.study} {file.row}" for r in file.records
        ],
    )


def write_study(path: Path, file: StudyFile) -> bool:
    """Write a file atomically unless it says that already; tells whether it wrote.

    Raises
    ------
    StorageError
        If the folder is read-only or full.
    """
    text = compact_json(file.model_dump(exclude_none=True)) + "\n"
    if path.exists() and path.read_text() == text:
        return False
    write_atomically(path, text)
    return True
