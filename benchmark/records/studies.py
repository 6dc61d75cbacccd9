"""Records of the studies: one file a row, ``results/<track>/<study>/<row>.json``.

A record is of one network under one condition, such as one strength of label noise. What was measured is
numbers by path and series by name; the modules beside this one say which there are. A series ``a_by_b`` has a
value for each one of series ``b``. How networks were trained and measured stands once a file, in tables. This
module must not import torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from benchmark.records.numbers import Amount, Curve, Number, StrictModel
from benchmark.records.schema import SCHEMA, Environment, TrainedWith, refuse_loose
from benchmark.records.text import (
    MADE_OF,
    Table,
    document,
    files_of,
    in_its_place,
    look_up,
    parse,
    read_each,
    read_whole,
    record_path,
    refer,
    shared,
    tracks_of,
    write_changed,
)
from benchmark.spec.studies import StudyName
from benchmark.studies.registry import study_names

_WHAT = "a study"
_PLACE = ("backbone", "init", "seed", "condition")
_SHARED = ("training", "settings")  # what many records of a file have in common
_DEFAULTS = {"condition": "", "status": "measured"}


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
    made_of: dict[str, Any] | None = None  # images, architecture, first weights; None in older records
    numbers: dict[str, Number] = Field(default_factory=dict)  # by path
    series: dict[str, Curve] = Field(default_factory=dict)  # of the plots
    warnings: list[str] = Field(default_factory=list)
    train_seconds: Amount | None = None  # of this network and of those that it goes on from
    seconds: Amount | None = None  # of the measurement
    checkpoint: str | None = None  # SHA-256 of the network's weights
    made_in: str | None = None  # key into `StudyFile.environments`

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        for name, values in self.series.items():
            _, by, axis = name.partition("_by_")
            along = len(self.series.get(axis, ())) if by else len(values)
            if len(values) != along:
                raise ValueError(
                    f"series.{name}: expected one value for each {axis}, {along}, got {len(values)}"
                )
        return self

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

    schema_version: Literal[2] = SCHEMA
    track: str
    study: StudyName
    row: str  # an objective of leaderboard.yaml, or a method of the study
    environments: dict[str, Environment]
    records: list[StudyRecord]

    @model_validator(mode="after")
    def _records_are_whole(self) -> Self:
        refuse_loose(self.records, self.environments)
        return self


def study_path(results: Path, track: str, study: str, row: str) -> Path:
    """Where the records of a row lie; names are checked."""
    checked = record_path(results, track, row)
    return checked.parent / study / checked.name


def read_study(path: Path) -> StudyFile:
    """Read one file.

    Raises
    ------
    DataError
        If it is not JSON, not of this schema, or says what cannot be: names the file, the cell, the place,
        what was seen and what was expected.
    """
    content = parse(path, _WHAT)
    tables = {name: shared(path, name, content.pop(name, None)) for name in _SHARED}
    tables[MADE_OF] = shared(path, MADE_OF, content.pop(MADE_OF, {}))
    lines, places = content.get("records"), content.get("environments")
    content["records"] = read_each(path, _WHAT, lines, _PLACE, lambda line: _record(line, tables, places))
    return read_whole(path, _WHAT, StudyFile, content)


def read_studies(results: Path) -> list[StudyFile]:
    """Read every file below `results`, sorted by study and path.

    Raises
    ------
    DataError
        As `read_study`; or if a folder cannot be read, or holds what is no file; or if a file holds the
        records of another.
    """
    found = []
    tracks = tracks_of(results)
    for path in (path for study in study_names() for track in tracks for path in files_of(track / study)):
        file = read_study(path)
        in_its_place(path, file.track, file.study, file.row)
        found.append(file)
    return found


def write_study(path: Path, file: StudyFile) -> bool:
    """Write a file atomically unless it says that already; tells whether it wrote.

    Raises
    ------
    StorageError
        If the folder is read-only or full.
    """
    head = {name: getattr(file, name) for name in ("schema_version", "track", "study", "row")}
    places = {name: place.model_dump(exclude_none=True) for name, place in file.environments.items()}
    tables = {name: Table() for name in (*_SHARED, MADE_OF)}
    records = [_parts(record, tables) for record in file.records]
    for name in _SHARED:
        refer((parts[0] for parts in records), name, tables[name].values)
    refer((parts[0] for parts in records), "made_in", places)
    written = {"environments": places, **{name: tables[name].values for name in _SHARED}}
    if tables[MADE_OF].values:
        written[MADE_OF] = tables[MADE_OF].values
    return write_changed(path, document(head, written, {"records": records}))


def _parts(record: StudyRecord, tables: dict[str, Table]) -> list[dict[str, Any]]:
    """A record as parts, a line each; what it shares goes into the tables."""
    said = record.model_dump(exclude_none=True)
    for name, table in tables.items():
        if name in said:
            said[name] = table.add(said[name])
    measured = [{name: value} for name in ("numbers", "series", "warnings") if (value := said.pop(name))]
    return [{name: value for name, value in said.items() if value != _DEFAULTS.get(name)}, *measured]


def _record(line: Any, tables: dict[str, dict[str, Any]], places: Any) -> StudyRecord:
    named = [name for name in tables if name != MADE_OF or name in line]
    looked_up = {name: look_up(tables[name], name, line) for name in named}
    if "checkpoint" in line and len(places) == 1:
        looked_up["made_in"] = line.get("made_in", next(iter(places)))
    record = StudyRecord.model_validate({**line, **looked_up})
    if record.status == "measured" and (record.checkpoint is None or record.made_in is None):
        raise ValueError("expected the checkpoint that was measured and where that was, got none")
    return record
