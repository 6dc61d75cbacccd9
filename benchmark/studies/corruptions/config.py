"""What decides a measurement on corrupted images, besides data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.studies.config import SubjectConfig


@dataclass(frozen=True)
class CorruptionsConfig(SubjectConfig):
    """Detectors on corrupted images."""

    detectors: Sequence[str]
