"""One unit of work: its kind, what goes into it, and the content key of what it makes.

A kind is a module of this package of the same name; what measures a study is a module of the study's, which
the job names. It has the frozen dataclasses ``Config``, what decides the result besides data, and ``Inputs``,
the artifacts of other jobs by name; ``LIBRARIES``, whose versions may change the result; and ``run``, which
imports what it needs: planning loads no heavy library.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, Generic, NamedTuple, TypeVar

from benchmark.store.artifacts import Artifact, Draft
from benchmark.store.fingerprints import code_fingerprint, library_versions

C = TypeVar("C")
I = TypeVar("I")  # noqa: E741


class Kind(StrEnum):
    """What a job does. Of what is ready the first kind runs first: chains start early, cells end early."""

    DATA = "data"
    SHIFT = "shift"
    TRAINING_SET = "training_set"
    PRETRAIN = "pretrain"
    MEASURE = "measure"
    STUDY = "study"  # measures a place of a study; those that came first have kinds of their own
    ASSESS = "assess"
    CORRUPT = "corrupt"
    ATTACK = "attack"
    GATHER = "gather"  # joins shards, of features or of scores
    CHOOSE = "choose"  # the hyper-parameters of a cell that is scored in shards
    TUNE = "tune"
    SCORE = "score"
    CLASSIFY = "classify"
    EXTRACT = "extract"
    TRAIN = "train"
    BOUNDARY = "boundary"


class Lane(StrEnum):
    """Which workers do a job."""

    CPU = "cpu"
    DEVICE = "device"  # those of accelerators, where there are any


# Whose jobs run a network; scoring does where a group shares the passes of one.
NETWORKS = frozenset({Kind.PRETRAIN, Kind.TRAIN, Kind.EXTRACT, Kind.CHOOSE, Kind.STUDY, Kind.ATTACK})
GROUPED = frozenset({Kind.EXTRACT, Kind.SCORE, Kind.TUNE})  # whose ``run`` takes the tasks of a group at once


class Task(NamedTuple, Generic[C, I]):
    """A job as its ``run`` is given it: the inputs are artifacts, and what it makes goes into the draft."""

    config: C
    inputs: I
    draft: Draft


@dataclass(frozen=True)
class Nothing:
    """The configuration, or the inputs, of a job that has none."""


@dataclass(frozen=True)
class Job:
    """One unit of work and the artifact that it makes."""

    kind: Kind
    config: Any  # of the kind's `Config`
    inputs: Any = field(default_factory=dict)  # of its `Inputs`, with the keys of the jobs that make them
    definitions: tuple[str, ...] = ()  # whose code counts besides the job's own, such as of methods
    label: str = ""  # for people; not part of the key
    group: str = ""  # jobs of one group that are ready together are done together; not part of the key
    heavy: bool = False  # whether an accelerator would help, though it runs no network; not part of the key
    module: str = ""  # whose `run` does it; that of the kind if empty; the key has its code, not its name

    @cached_property
    def needs(self) -> tuple[str, ...]:
        """Keys of the jobs whose artifacts this one is given."""
        return tuple(_leaves(self.inputs))

    def opened(self, open_one: Callable[[str], Artifact]) -> Any:
        """The inputs with artifacts in place of keys."""
        return _opened(self.inputs, open_one)

    @property
    def lane(self) -> Lane:
        """Which workers do it: those of accelerators what runs a network, or computes for long."""
        return Lane.DEVICE if self.kind in NETWORKS or self.group or self.heavy else Lane.CPU

    @property
    def done_by(self) -> str:
        """The module that does it."""
        return self.module or f"{__package__}.{self.kind}"

    @property
    def run(self) -> Callable[..., None]:
        """What does it: takes a `Task`, or the tasks of a group."""
        run: Callable[..., None] = importlib.import_module(self.done_by).run
        return run

    @cached_property
    def code(self) -> str:
        """Hash of the source that computes this job."""
        return code_fingerprint(f"{self.done_by}:run", *self.definitions)

    @cached_property
    def key(self) -> str:
        """Content key: equal keys, equal results."""
        made_of = {
            "kind": self.kind,
            "config": as_json(self.config),
            "inputs": as_json(self.inputs),
            "code": self.code,
            "libraries": library_versions(*importlib.import_module(self.done_by).LIBRARIES),
        }
        text = json.dumps(made_of, sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def as_json(value: Any) -> Any:
    """As JSON: dataclasses as objects, without what is None or no part of the key."""
    if dataclasses.is_dataclass(value):
        fields = (f.name for f in dataclasses.fields(value) if f.metadata.get("in_key", True))
        return {name: as_json(found) for name in fields if (found := getattr(value, name)) is not None}
    if isinstance(value, Mapping):
        return {name: as_json(found) for name, found in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [as_json(found) for found in value]
    return value


def _leaves(inputs: Any) -> Iterator[str]:
    """The keys in inputs, however they are nested, in order."""
    if isinstance(inputs, str):
        yield inputs
    else:
        for part in _parts(inputs):
            yield from _leaves(part)


def _parts(inputs: Any) -> list[Any]:
    if inputs is None:
        return []
    if isinstance(inputs, Mapping):
        return list(inputs.values())
    if isinstance(inputs, Sequence):
        return list(inputs)
    return [getattr(inputs, one.name) for one in dataclasses.fields(inputs)]


def _opened(inputs: Any, open_one: Callable[[str], Artifact]) -> Any:
    if inputs is None:
        return None
    if isinstance(inputs, str):
        return open_one(inputs)
    if isinstance(inputs, Mapping):
        return {name: _opened(part, open_one) for name, part in inputs.items()}
    if isinstance(inputs, Sequence):
        return tuple(_opened(part, open_one) for part in inputs)
    names = [one.name for one in dataclasses.fields(inputs)]
    return dataclasses.replace(inputs, **{name: _opened(getattr(inputs, name), open_one) for name in names})
