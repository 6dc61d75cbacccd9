"""Records: what one measured cell is, and how records are written, read and compared.

One file an entry, ``results/<track>/<entry>.json``: small, sorted, reviewable in git. What a run measures is
`Record.measurement`; it depends on nothing but code, data and seeds. `cost` and `provenance` say what it took
and where, and are left out when records are compared.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Protocol, Self, TypeVar

from pydantic import AfterValidator, AllowInfNan, BaseModel, ConfigDict, model_validator

from benchmark.errors import DataError
from benchmark.files import read_model, write_atomically

SCHEMA: Literal[1] = 1
LINE = 240  # characters up to which a dict of scalars stays on one line of a record file
BOUNDARY = "boundary"  # the folder of an experiment that is no track
NAME = re.compile(r"[a-z0-9][a-z0-9_+.-]*")  # of anything that may become part of a path

R = TypeVar("R")


def _round_to(digits: int) -> AfterValidator:
    return AfterValidator(lambda value: float(f"{value:.{digits}g}"))


HpMode = Literal["published", "declared", "id_val", "proxy_ood", "oracle"]
Number = Annotated[float, AllowInfNan(False), _round_to(10)]  # rounded once, so that files compare exactly
Drawn = Annotated[float, AllowInfNan(False), _round_to(4)]  # only ever drawn


class StrictModel(BaseModel):
    """Frozen, and no key more than are declared."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Calibration(StrictModel):
    """How well the softmax confidence fits on the ID test images (spec §6); shares in [0, 1]."""

    nll: Number
    brier: Number  # 0 to 2
    ece: Number  # 15 equal-width bins
    rms_calibration: Number  # adaptive bins of 100
    mad_calibration: Number


class Reliability(StrictModel):
    """Bins of a reliability diagram; empty bins are left out."""

    lower: list[Drawn]
    upper: list[Drawn]
    count: list[int]
    confidence: list[Drawn]  # mean confidence of the bin
    accuracy: list[Drawn]


class Classification(StrictModel):
    """What holds for the network, whatever detector scores it."""

    accuracy: Number
    n: int  # ID test images
    calibration: Calibration  # at T = 1
    calibration_scaled: Calibration  # at T = `temperature`
    temperature: Number  # fitted on ID validation
    temperature_at_bound: bool
    feature_min: Number | None = (
        None  # smallest penultimate feature of the training images; None without them
    )
    reliability: Reliability  # at T = 1
    reliability_scaled: Reliability


class Detection(StrictModel):
    """One OOD set against the ID test images (spec §7); shares in [0, 1], ID is positive."""

    group: Literal["near", "far"]
    auroc: Number
    aupr_in: Number
    aupr_out: Number
    aupr_out_b: Number  # at OOD:ID = 1:5
    fpr95: Number
    fpr95_ood_pos: Number  # OpenOOD's: OOD positive
    detection_error: Number
    n_in: int
    n_out: int


class Means(StrictModel):
    """Unweighted mean over the OOD sets of a group."""

    auroc: Number
    aupr_in: Number
    aupr_out: Number
    aupr_out_b: Number
    fpr95: Number
    fpr95_ood_pos: Number
    detection_error: Number


class Selective(StrictModel):
    """Rejecting the ID images that the detector trusts least (spec §7.1)."""

    aurc: Number
    eaurc: Number
    aurra: Number


class Shifted(StrictModel):
    """ID test images under one shift at one severity; severity 0 is the same images unshifted."""

    severity: int
    accuracy: Number
    ece: Number
    auroc_near: Number  # mean over the near-OOD sets, which are not shifted


class Curves(StrictModel):
    """What the plots need, thinned out: never the source of a number in a table."""

    fpr: list[Drawn]
    tpr_near: list[Drawn]  # mean over the sets of the group, at `fpr`
    tpr_far: list[Drawn]
    score_edges: list[Drawn]  # of the histograms' bins
    histogram_id: list[Drawn]  # share of the images in each bin
    histogram_near: list[Drawn]  # pooled over the sets of the group
    histogram_far: list[Drawn]


class Measurement(StrictModel):
    """Everything a cell measured."""

    classification: Classification
    detection: dict[str, Detection]  # by OOD set
    near: Means
    far: Means
    selective: Selective
    robustness: dict[str, list[Shifted]]  # by shift, severities ascending from 0
    curves: Curves


class Cost(StrictModel):
    """Wall seconds of the cell's own jobs, and the largest resident memory of their processes."""

    pretrain_seconds: Drawn | None = None  # None where nothing was pre-trained
    train_seconds: Drawn
    extract_seconds: Drawn
    score_seconds: Drawn
    measure_seconds: Drawn
    peak_memory_mb: Drawn


class Environment(StrictModel):
    """Where and with what something was computed."""

    oodbench: str
    commit: str | None = None  # with "+changes" if the working tree differed; None outside a checkout
    python: str
    platform: str
    processor: str
    instructions: str | None = None  # that torch uses, such as AVX2, and what forced others on it
    cores: int
    accelerator: str | None = None
    libraries: dict[str, str]


class Provenance(StrictModel):
    """What made a record."""

    date: str  # when it was measured, ISO 8601, UTC
    measured_in: str  # key into `RecordFile.environments`
    trained_in: str
    checkpoint: str  # SHA-256 of the network's weights
    method_source: str  # hash of the code that computed the scores
    data: dict[str, str]  # content fingerprint of every image set
    seeds: dict[str, int]  # by purpose

    @property
    def environments(self) -> set[str]:
        """Keys into `RecordFile.environments`."""
        return {self.measured_in, self.trained_in}


class Candidate(StrictModel):
    """One point of a tuned entry's grid."""

    hyperparameters: dict[str, Any]
    auroc: Number  # of ID validation images, mean over the validation OOD sets


class TrainedWith(StrictModel):
    """How the network of a record was trained, complete."""

    objective: str  # in the registry
    hyperparameters: dict[str, Any] = {}
    outliers: dict[str, float | None] = {}  # sets; with the share of their images in a mix with ID images
    recipe: dict[str, Any] | None = None  # epochs, learning rate, …; None: published weights as they are
    starts_from: TrainedWith | None = None  # the network that it fine-tunes
    first_phase: TrainedWith | None = None  # the network whose predictions it was given
    training_set: dict[str, Any] | None = None  # what was done to the training split; None: nothing
    sampler: dict[str, Any] | None = None  # name and hyper-parameters; None: each image once an epoch

    @property
    def epochs(self) -> int:
        """Of all stages together."""
        own = 0 if self.recipe is None else int(self.recipe["epochs"])
        return own + sum(stage.epochs for stage in (self.starts_from, self.first_phase) if stage is not None)


class Record(StrictModel):
    """One cell."""

    backbone: str
    init: str
    seed: int
    status: Literal["measured", "failed", "not_applicable"]
    reason: str | None = None  # why, unless measured
    key: str  # content key of the measurement: equal keys, equal measurements
    hyperparameters: dict[str, Any] = {}  # all of the detector's
    # Spec §0.5, and "declared" for values that leaderboard.yaml sets by hand.
    hp_mode: HpMode = "published"
    tuning: list[Candidate] | None = None  # of which the hyper-parameters were chosen
    training: TrainedWith | None = None  # None in records of before there was more than cross_entropy
    networks: int = 1  # of how many, trained with consecutive seeds of the track, the scores come
    measurement: Measurement | None = None
    cost: Cost | None = None
    provenance: Provenance | None = None

    @property
    def cell(self) -> tuple[str, str, int]:
        """What tells this record from the others of its file."""
        return self.backbone, self.init, self.seed

    @property
    def environments(self) -> set[str]:
        """Keys into `RecordFile.environments`."""
        return self.provenance.environments if self.provenance else set()

    def same_result(self, other: Record) -> bool:
        """Whether both say the same about the cell, leaving out cost and provenance."""
        volatile = {"cost", "provenance"}
        return self.model_dump(exclude=volatile) == other.model_dump(exclude=volatile)


class RecordFile(StrictModel):
    """All records of one entry on one track."""

    schema_version: Literal[1] = SCHEMA
    track: str
    entry: str
    objective: str
    detector: str
    environments: dict[str, Environment]
    records: list[Record]

    @model_validator(mode="after")
    def _environments_are_known(self) -> Self:
        for record in self.records:
            if record.provenance and not record.provenance.environments <= self.environments.keys():
                cell = " ".join(map(str, record.cell))
                raise ValueError(f"{cell}: made in an environment that the file does not describe")
        return self

    @property
    def measured(self) -> list[Record]:
        """The records that carry a measurement."""
        return [r for r in self.records if r.measurement is not None]


class Cell(NamedTuple):
    """One measurement: track × backbone × init × seed × entry."""

    track: str
    backbone: str
    init: str
    seed: int
    entry: str

    def __str__(self) -> str:
        return f"{self.track} {self.backbone} {self.init} seed {self.seed} {self.entry}"


def record_path(results: Path, track: str, entry: str) -> Path:
    """Where the records of an entry lie. Names are checked, so that they never leave `results`."""
    for name in (track, entry):
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot be part of a path; expected {NAME.pattern}")
    return results / track / f"{entry}.json"


def read_records(path: Path) -> RecordFile:
    """Read one record file.

    Raises
    ------
    DataError
        If it is not JSON or not of this schema: names the file, the place and what was expected.
    """
    return read_model(path, RecordFile, f"records of schema {SCHEMA}")


def read_all(results: Path) -> list[RecordFile]:
    """Read every record file below `results`, sorted by path; an absent folder has none.

    Raises
    ------
    DataError
        As `read_records`, or if two records are of one cell: names their files.
    """
    paths = [path for path in sorted(results.glob("*/*.json")) if path.parent.name != BOUNDARY]
    return each_cell_once(
        [(path, read_records(path)) for path in paths],
        lambda file: [str(Cell(file.track, r.backbone, r.init, r.seed, file.entry)) for r in file.records],
    )


def each_cell_once(found: Iterable[tuple[Path, R]], cells: Callable[[R], Iterable[str]]) -> list[R]:
    """The files that were found, each cell of which is in one record only.

    Raises
    ------
    DataError
        Names the cell and both files.
    """
    seen: dict[str, Path] = {}
    files = []
    for path, file in found:
        for cell in cells(file):
            if cell in seen:
                raise DataError(
                    f"two records of the cell {cell}, in {seen[cell]} and in {path}; expected one"
                )
            seen[cell] = path
        files.append(file)
    return files


class _Record(Protocol):
    @property
    def cell(self) -> tuple[Any, ...]: ...
    @property
    def key(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def environments(self) -> set[str]: ...
    def same_result(self, other: Any) -> bool: ...


class _File(Protocol):
    @property
    def records(self) -> Sequence[_Record]: ...
    @property
    def environments(self) -> Mapping[str, Environment]: ...
    def model_copy(self, *, update: Mapping[str, Any]) -> Self: ...


F = TypeVar("F", bound=_File)


def merge(old: F | None, new: F) -> F:
    """Put new records into a file: each replaces that of its cell.

    A record that says the same as the old one leaves the old one as it is, with its provenance, so that a
    repeated run changes no file. A failed attempt never replaces what the same content key came to before.
    """
    records = {} if old is None else {r.cell: r for r in old.records}
    for record in new.records:
        before = records.get(record.cell)
        if before is not None and before.key == record.key and before.status != "failed" == record.status:
            continue
        if before is None or not before.same_result(record):
            records[record.cell] = record
    ordered = [records[cell] for cell in sorted(records)]
    environments = {**(old.environments if old else {}), **new.environments}
    used = sorted({name for record in ordered for name in record.environments})
    return new.model_copy(update={"records": ordered, "environments": {k: environments[k] for k in used}})


def write_records(path: Path, file: RecordFile) -> bool:
    """Write a record file atomically unless it says that already; tells whether it wrote.

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


def compact_json(value: Any, indent: int = 0) -> str:
    """JSON with one key a line; a list of numbers, and a short dict of scalars, take one line."""
    pad, end = "\n" + " " * (indent + 1), "\n" + " " * indent
    flat = json.dumps(value, allow_nan=False)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    nested = any(isinstance(v, dict | list) for v in inner)
    if isinstance(value, dict) and (nested or len(flat) > LINE):
        items = (f"{json.dumps(k)}: {compact_json(v, indent + 1)}" for k, v in value.items())
        return "{" + ",".join(pad + item for item in items) + end + "}"
    if nested:
        return "[" + ",".join(pad + compact_json(v, indent + 1) for v in value) + end + "]"
    return flat
