"""What the records of trainings have: what a network's training came to, epoch by epoch.

It belongs to a network and not to the many records that share it. Rows are objectives of leaderboard.yaml;
the condition says what the network was trained on, where that is not the track's training split as it is.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchmark.records.families import Family, Fields
from benchmark.records.numbers import StrictModel
from benchmark.records.record import Record

if TYPE_CHECKING:
    from torch import Tensor

    from benchmark.store.artifacts import Artifact

LOSS, ACCURACY, NLL = "loss", "val_accuracy", "val_nll"
NOTES = "notes."  # what an objective said of itself: a series a note
SAMPLES = "samples"  # the picture of what a generator drew
SAMPLES_BESIDE = 4  # of them in a row of it


class FirstWeights(StrictModel):
    """Where first weights that were not drawn came from, and how many of a network's parameters."""

    source: dict[str, Any] | None = None
    loaded: int | None = None
    unused: int | None = None  # of the source
    fresh: list[str] | None = None  # parameters that were drawn all the same
    overlap: list[str] | None = None  # test sets of a dataset that the weights have seen


def of_history(history: Sequence[Mapping[str, Any]]) -> dict[str, list[float | None]]:
    """The series of a training; none of published weights that were taken as they are."""
    notes = dict.fromkeys(name for epoch in history for name in epoch["notes"])
    found = {name: [epoch[name] for epoch in history] for name in (LOSS, ACCURACY, NLL)}
    found |= {f"{NOTES}{name}": [epoch["notes"].get(name) for epoch in history] for name in notes}
    return {name: values for name, values in found.items() if any(value is not None for value in values)}


def check(record: Record) -> None:
    """Refuse series that are not of all epochs; where there are no validation images, some are absent.

    Raises
    ------
    ValueError
        Names the series.
    """
    if record.provenance is not None and record.provenance.first_weights is not None:
        first = FirstWeights.model_validate(record.provenance.first_weights)
        if first.loaded is not None and (first.unused is None or first.fresh is None):
            raise ValueError("first_weights: expected unused and fresh beside loaded, got none")
    if record.status != "measured" or not record.series:
        return
    if LOSS not in record.series or None in record.series[LOSS]:
        raise ValueError(f"series.{LOSS}: expected a value for each epoch, got none")
    for name, values in record.series.items():
        epochs = len(record.series[LOSS])
        if len(values) != epochs:
            raise ValueError(f"series.{name}: expected {epochs}, one an epoch, got {len(values)}")


def picture_of(samples: Tensor | None) -> str | None:
    """A generator's samples (N, 3, H, W) uint8 side by side, as PNG in base64; None of anything else."""
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


def _read(artifact: Artifact) -> Fields:
    found: Fields = {"series": of_history(artifact.json("history"))}
    kept = artifact.tensors("kept") if "kept.safetensors" in artifact.manifest["files"] else {}
    picture = picture_of(kept.get("samples"))
    return found if picture is None else found | {"pictures": {SAMPLES: picture}}


FAMILY = Family(check, read=_read)
