"""One unit of work: its kind, what goes into it, and the content key of what it makes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

from benchmark.store.fingerprints import code_fingerprint, library_versions


class Kind(StrEnum):
    """What a job does; `benchmark.jobs.kinds` has one function of each name."""

    DATA = "data"
    SHIFT = "shift"
    TRAINING_SET = "training_set"
    PRETRAIN = "pretrain"
    TRAIN = "train"
    EXTRACT = "extract"
    CLASSIFY = "classify"
    SCORE = "score"
    TUNE = "tune"
    MEASURE = "measure"
    BOUNDARY = "boundary"
    ATTACK = "attack"
    CORRUPT = "corrupt"
    ASSESS = "assess"


GROUPED = frozenset({Kind.EXTRACT, Kind.SCORE, Kind.TUNE})  # their functions take the tasks of a group

_LIBRARIES = {  # whose versions may change the result of a job
    Kind.DATA: ("numpy", "scikit-learn", "scipy", "pillow", "matplotlib"),
    Kind.SHIFT: ("numpy", "scipy"),
    Kind.TRAINING_SET: ("numpy", "torch"),
    Kind.PRETRAIN: ("numpy", "torch", "timm"),
    Kind.TRAIN: ("numpy", "torch", "timm"),
    Kind.EXTRACT: ("numpy", "torch", "timm"),
    Kind.CLASSIFY: ("numpy", "scipy"),
    Kind.SCORE: ("numpy", "scipy", "torch", "timm"),
    Kind.TUNE: ("numpy", "scipy", "torch", "timm"),
    Kind.MEASURE: ("numpy", "scipy"),
    Kind.BOUNDARY: ("numpy", "scipy", "torch"),
    Kind.ATTACK: ("numpy", "scipy", "torch", "timm"),
    Kind.CORRUPT: ("numpy", "scipy", "torch", "timm", "pillow"),
    Kind.ASSESS: ("numpy", "scipy", "torch", "timm"),
}


@dataclass(frozen=True)
class Job:
    """One unit of work and the artifact that it makes."""

    kind: Kind
    config: Mapping[str, Any]  # JSON
    inputs: Mapping[str, str] = field(default_factory=dict)  # role → key of the job that makes it
    definitions: tuple[str, ...] = ()  # whose code counts besides the job's own, such as of methods
    label: str = ""  # for people; not part of the key
    group: str = ""  # jobs of one group that are ready together are done together; not part of the key
    local: Mapping[str, Any] = field(
        default_factory=dict
    )  # more config, of this machine; not part of the key

    @cached_property
    def code(self) -> str:
        """Hash of the source that computes this job."""
        return code_fingerprint(f"benchmark.jobs.kinds:{self.kind}", *self.definitions)

    @cached_property
    def key(self) -> str:
        """Content key: equal keys, equal results."""
        made_of = {
            "kind": self.kind,
            "config": self.config,
            "inputs": self.inputs,
            "code": self.code,
            "libraries": library_versions(*_LIBRARIES[self.kind]),
        }
        text = json.dumps(made_of, sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:32]
