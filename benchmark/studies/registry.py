"""Every study by its name: the folders of this package, and what leaderboard.yaml may say of each.

Only settings are loaded here, without torch; `benchmark.studies.study` loads what plans and measures.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

import benchmark.studies
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
    return tuple(sorted(found.name for found in pkgutil.iter_modules(paths) if found.ispkg))
