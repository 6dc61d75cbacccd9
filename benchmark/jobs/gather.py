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
    """The shards, in order, and what chose the hyper-parameters that they share."""

    shards: Sequence[T]
    choice: T | None = None


def run(task: Task[Config, Inputs[Artifact]]) -> None:
    """Write every tensor once, from its first row to its last; memory does not grow with them.

    How the shards were made is kept, so that nobody needs them any more.
    """
    shards, name, draft = task.inputs.shards, f"{task.config.file}.safetensors", task.draft
    made_of = [*shards, *([] if task.inputs.choice is None else [task.inputs.choice])]
    draft.json("parts", [part.manifest["made"] for part in made_of])
    for file in shards[0].manifest["files"]:
        if file != name:
            draft.copy(shards[0], file)
    # A shard has none where there were fewer images than was known, or the detector does not apply.
    found = [shard.tensors(task.config.file) for shard in shards if name in shard.manifest["files"]]
    rows = {part: [of[part] for of in found if part in of] for part in (p for of in found for p in of)}
    if rows:
        layout = {part: (of[0].dtype, (sum(map(len, of)), *of[0].shape[1:])) for part, of in rows.items()}
        with draft.rows(task.config.file, layout) as file:
            for part, of in rows.items():
                for some in of:
                    file.append(part, some)
