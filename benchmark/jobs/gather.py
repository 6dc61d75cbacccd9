"""Joining the shards of what was computed of a large image set, as if it had never been cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from benchmark.jobs.job import Task
from benchmark.store.artifacts import Artifact

T = TypeVar("T")
LIBRARIES = ("torch",)


@dataclass(frozen=True)
class Config:
    """What is joined row by row: ``features`` or ``scores``. All else is that of the first shard."""

    file: str


@dataclass(frozen=True)
class Inputs(Generic[T]):
    """The shards, in order."""

    shards: Sequence[T]


def run(task: Task[Config, Inputs[Artifact]]) -> None:
    """Write every tensor once, from its first row to its last; memory does not grow with them."""
    shards, name = task.inputs.shards, f"{task.config.file}.safetensors"
    first = shards[0].manifest["files"]
    for file in first:
        if file != name:
            task.draft.copy(shards[0], file)
    # A shard has none where there were fewer images than was known, or the detector does not apply.
    found = [shard.tensors(task.config.file) for shard in shards if name in shard.manifest["files"]]
    if not found:
        return
    parts = {
        part: [of[part] for of in found if part in of]
        for part in dict.fromkeys(p for of in found for p in of)
    }
    layout = {part: (of[0].dtype, (sum(map(len, of)), *of[0].shape[1:])) for part, of in parts.items()}
    with task.draft.rows(task.config.file, layout) as file:
        for part, of in parts.items():
            for rows in of:
                file.append(part, rows)
