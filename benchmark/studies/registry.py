"""Every study by its name: the folders of this package, and what leaderboard.yaml may say of each.

Only settings are loaded here, without torch; `benchmark.studies.study` loads what plans and measures.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

import benchmark.studies
from benchmark.records.record import DETECTION, NETWORKS, PLANE, TRAININGS
from benchmark.studies.settings import StudySettings

ELSEWHERE = (DETECTION, PLANE)  # studies of which leaderboard.yaml speaks elsewhere than below `studies`


def study_folders() -> tuple[str, ...]:
    """The names of all studies, sorted."""
    return _folders(tuple(benchmark.studies.__path__))


def study_names() -> tuple[str, ...]:
    """The names of the studies that a track may list below `studies`, sorted."""
    return tuple(name for name in study_folders() if name not in ELSEWHERE)


def settings_of(name: str) -> type[StudySettings]:
    """The model of a study's part of leaderboard.yaml."""
    model: type[StudySettings] = importlib.import_module(f"{__package__}.{name}.settings").SETTINGS
    return model


@cache
def _folders(paths: tuple[str, ...]) -> tuple[str, ...]:
    names = sorted(found.name for found in pkgutil.iter_modules(paths) if found.ispkg)
    if taken := [name for name in names if name in (TRAININGS, NETWORKS)]:
        raise ValueError(f"benchmark.studies.{taken[0]}: the name is taken; expected another one")
    return tuple(names)
