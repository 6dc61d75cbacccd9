"""How networks were trained: one file an objective, ``results/<track>/trainings/<objective>.json``.

What a training came to, epoch by epoch, belongs to a network and not to the many cells that share it.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from benchmark.artifacts import Artifact, Store
from benchmark.errors import DamagedArtifact
from benchmark.files import read_model, write_atomically
from benchmark.job import Kind
from benchmark.results import SCHEMA, Drawn, StrictModel, TrainedWith, compact_json, record_path

if TYPE_CHECKING:
    from benchmark.plan import Plan, PlannedCell

FOLDER = "trainings"
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
    loss: list[Drawn]
    val_accuracy: list[Drawn | None]
    val_nll: list[Drawn | None]
    notes: dict[str, list[Drawn | None]] = Field(default_factory=dict)  # what the objective said of itself
    seconds: Drawn
    loaded: Loaded | None = None
    source: dict[str, Any] | None = None  # of the first weights, where they were not drawn
    overlap: list[str] = Field(default_factory=list)  # test sets of a dataset that the weights have seen
    samples: str | None = None  # a generator's: PNG in base64

    def same_as(self, other: TrainingRecord) -> bool:
        """Whether both say the same, leaving out how long it took."""
        return self.model_copy(update={"seconds": other.seconds}) == other

    @property
    def network(self) -> tuple[str, str, int]:
        """What tells this record from the others of its file."""
        return self.backbone, self.init, self.seed


class TrainingFile(StrictModel):
    """All networks that one objective trained on one track."""

    schema_version: Literal[1] = SCHEMA
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
    return read_model(path, TrainingFile, f"trainings of schema {SCHEMA}")


def read_trainings(results: Path) -> list[TrainingFile]:
    """Read every file below `results`, sorted by path."""
    return [read_training(path) for path in sorted(results.glob(f"*/{FOLDER}/*.json"))]


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
    for (track, objective), networks in files.items():
        path = training_path(results, track, objective)
        found = [record for cell in networks.values() if (record := _record(cell, store)) is not None]
        if not found:
            continue
        with store.lock(f"records-{hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]}"):
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
            text = compact_json(file.model_dump(exclude_none=False)) + "\n"
            if not path.exists() or path.read_text() != text:
                write_atomically(path, text)
                written.append(path)
    return written


def _record(planned: PlannedCell, store: Store) -> TrainingRecord | None:
    """The training of a cell's network; None where it is not finished, or nothing was trained."""
    key = planned.chain[Kind.TRAIN]
    if not store.has(key):
        return None
    try:
        trained = store.open(key)
        source = store.open(planned.chain[Kind.PRETRAIN]) if Kind.PRETRAIN in planned.chain else None
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
        seconds=trained.manifest["made"]["seconds"],
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
