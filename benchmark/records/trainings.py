"""How networks were trained: one file an objective, ``results/<track>/trainings/<objective>.json``.

What a training came to, epoch by epoch, belongs to a network and not to the many cells that share it.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from benchmark.errors import DamagedArtifact
from benchmark.jobs.job import Kind
from benchmark.records.finished import Finished
from benchmark.records.numbers import Amount, Drawn, StrictModel, same_length
from benchmark.records.schema import SCHEMA, TrainedWith
from benchmark.records.text import (
    Table,
    document,
    files_of,
    look_up,
    parse,
    read_each,
    read_whole,
    record_path,
    refer,
    results_lock,
    shared,
    tracks_of,
    write_changed,
)
from benchmark.store.artifacts import Artifact, Store

if TYPE_CHECKING:
    from benchmark.plan.make import Plan, PlannedCell

FOLDER = "trainings"
_WHAT = "trainings"
_PLACE = ("backbone", "init", "seed")
_CURVES = ("loss", "val_accuracy", "val_nll", "notes")
SAMPLES_BESIDE = 4  # of a generator's samples, in a row of the picture that is kept


class Loaded(StrictModel):
    """What of a network's parameters came from pre-training or from another objective's network."""

    loaded: int
    fresh: list[str]
    unused: int


class TrainingRecord(StrictModel):
    """One network. The lists have an entry an epoch; None without validation images."""

    backbone: str
    init: str
    seed: int
    key: str  # content key of the network
    training: TrainedWith
    loss: list[Drawn]  # of no epochs where published weights were taken as they are
    val_accuracy: list[Drawn | None]
    val_nll: list[Drawn | None]
    notes: dict[str, list[Drawn | None]] = Field(default_factory=dict)  # what the objective said of itself
    seconds: Amount
    loaded: Loaded | None = None
    source: dict[str, Any] | None = None  # of the first weights, where they were not drawn
    overlap: list[str] = Field(default_factory=list)  # test sets of a dataset that the weights have seen
    samples: str | None = None  # a generator's: PNG in base64; of the first network of each init

    @model_validator(mode="after")
    def _all_epochs(self) -> Self:
        same_length(self, "loss", "val_accuracy", "val_nll")
        for name, values in self.notes.items():
            if len(values) != len(self.loss):
                raise ValueError(f"notes.{name}: expected {len(self.loss)}, one an epoch, got {len(values)}")
        return self

    def same_as(self, other: TrainingRecord) -> bool:
        """Whether both say the same, leaving out how long it took, and a picture that only one has kept."""
        kept: dict[str, Any] = {"seconds": other.seconds}
        if self.samples is None or other.samples is None:
            kept["samples"] = other.samples
        return self.model_copy(update=kept) == other

    @property
    def network(self) -> tuple[str, str, int]:
        """What tells this record from the others of its file."""
        return self.backbone, self.init, self.seed


class TrainingFile(StrictModel):
    """All networks that one objective trained on one track."""

    schema_version: Literal[2] = SCHEMA
    track: str
    objective: str  # its name in leaderboard.yaml
    records: list[TrainingRecord]


def training_path(results: Path, track: str, objective: str) -> Path:
    """Where the trainings of an objective lie; names are checked."""
    checked = record_path(results, track, objective)
    return checked.parent / FOLDER / checked.name


def read_training(path: Path) -> TrainingFile:
    """Read one file.

    Raises
    ------
    DataError
        If it is not JSON or not of this schema: names the file, the place and what was expected.
    """
    content = parse(path, _WHAT)
    ways = shared(path, "training", content.pop("training", None))
    lines = content.get("records")
    content["records"] = read_each(path, _WHAT, lines, _PLACE, lambda line: _read(line, ways))
    return read_whole(path, _WHAT, TrainingFile, content)


def read_trainings(results: Path) -> list[TrainingFile]:
    """Read every file below `results`, sorted by path.

    Raises
    ------
    DataError
        As `read_training`; or if a folder cannot be read, or holds what is no file.
    """
    return [read_training(path) for track in tracks_of(results) for path in files_of(track / FOLDER)]


def write_training(path: Path, file: TrainingFile) -> bool:
    """Write a file atomically unless it says that already; tells whether it wrote.

    Of the pictures that generators drew, that of the first network of each init is kept.

    Raises
    ------
    StorageError
        If the folder is read-only or full.
    """
    head = {name: getattr(file, name) for name in ("schema_version", "track", "objective")}
    ways, pictured, records = Table(), set[str](), []
    for record in file.records:
        said = record.model_dump(exclude={"samples"}, exclude_none=True)
        said |= record.model_dump(include=set(_CURVES))  # with None where nothing was measured
        curves = [{name: said.pop(name)} for name in _CURVES]
        picture = {"samples": record.samples} if record.samples and record.init not in pictured else {}
        if picture:
            pictured.add(record.init)
        said["training"] = ways.add(said["training"])
        records.append([said, *(curve for curve in curves if any(curve.values())), picture])
    refer((parts[0] for parts in records), "training", ways.values)
    return write_changed(path, document(head, {"training": ways.values}, {"records": records}))


def _read(line: Any, ways: dict[str, Any]) -> TrainingRecord:
    return TrainingRecord.model_validate({**line, "training": look_up(ways, "training", line)})


def write_trainings(plan: Plan, store: Store, results: Path) -> list[Path]:
    """Merge the plan's finished trainings into their files; return those that changed.

    Raises
    ------
    StorageError
        If a file cannot be written.
    """
    files: dict[tuple[str, str], dict[str, PlannedCell]] = {}
    for planned in plan.cells:
        networks = files.setdefault((planned.cell.track, planned.objective), {})
        networks.setdefault(planned.chain[Kind.TRAIN], planned)
    written = []
    finished = Finished(store, plan.jobs)
    for (track, objective), networks in files.items():
        path = training_path(results, track, objective)
        found = [r for cell in networks.values() if (r := _record(cell, finished)) is not None]
        if not found:
            continue
        with results_lock(results):
            records = {r.network: r for r in read_training(path).records} if path.exists() else {}
            for record in found:
                before = records.get(record.network)
                if before is None or not before.same_as(record):
                    records[record.network] = record
            file = TrainingFile(
                track=track,
                objective=objective,
                records=[records[network] for network in sorted(records)],
            )
            if write_training(path, file):
                written.append(path)
    return written


def _record(planned: PlannedCell, finished: Finished) -> TrainingRecord | None:
    """The training of a cell's network; None where it is not finished, or nothing was trained."""
    key = planned.chain[Kind.TRAIN]
    if not finished.store.has(key):
        return None
    try:
        trained, seconds = finished.open(key), finished.made(key).seconds
        source = finished.open(planned.chain[Kind.PRETRAIN]) if Kind.PRETRAIN in planned.chain else None
    except DamagedArtifact:
        return None
    history, loaded = trained.json("history"), trained.json("about")["loaded"]
    notes = dict.fromkeys(name for epoch in history for name in epoch["notes"])
    return TrainingRecord(
        backbone=planned.cell.backbone,
        init=planned.cell.init,
        seed=planned.cell.seed,
        key=key,
        training=planned.training,
        loss=[epoch["loss"] for epoch in history],
        val_accuracy=[epoch["val_accuracy"] for epoch in history],
        val_nll=[epoch["val_nll"] for epoch in history],
        notes={name: [epoch["notes"].get(name) for epoch in history] for name in notes},
        seconds=seconds,
        loaded=None
        if loaded is None
        else Loaded(loaded=len(loaded["loaded"]), fresh=loaded["fresh"], unused=len(loaded["unused"])),
        source=None if source is None else source.json("source"),
        overlap=list(planned.overlap),
        samples=_picture(trained),
    )


def _picture(trained: Artifact) -> str | None:
    """A generator's samples side by side, as PNG in base64."""
    if "kept.safetensors" not in trained.manifest["files"]:
        return None
    samples = trained.tensors("kept").get("samples")
    if (
        samples is None
        or not len(samples)
        or samples.ndim != 4
        or samples.shape[1] != 3
        or str(samples.dtype) != "torch.uint8"
    ):
        return None
    from PIL import Image

    count, channels, height, width = samples.shape
    beside = min(SAMPLES_BESIDE, count)
    rows = count // beside
    grid = samples[: rows * beside].view(rows, beside, channels, height, width)
    whole = grid.permute(0, 3, 1, 4, 2).reshape(rows * height, beside * width, channels)
    file = io.BytesIO()
    Image.fromarray(whole.numpy()).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()
