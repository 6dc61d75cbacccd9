"""Every study by its name: the folders of this package, and what leaderboard.yaml may say of each.

Only settings are loaded here, without torch; `benchmark.studies.study` loads what plans and measures.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

import benchmark.studies
from benchmark.records.record import RESERVED
from benchmark.studies.settings import StudySettings


def study_names() -> tuple[str, ...]:
    """The names of all studies, sorted."""
    return _folders(tuple(benchmark.studies.__path__))


def settings_of(name: str) -> type[StudySettings]:
    """The model of a study's part of leaderboard.yaml."""
    model: type[StudySettings] = importlib.import_module(f"{__package__}.{name}.settings").SETTINGS
    return model


@cache
def _folders(paths: tuple[str, ...]) -> tuple[str, ...]:
    names = sorted(found.name for found in pkgutil.iter_modules(paths) if found.ispkg)
    if taken := [name for name in names if name in RESERVED]:
        raise ValueError(f"benchmark.studies.{taken[0]}: the name is taken; expected another one")
    return tuple(names)
