"""Where leaderboard.yaml uses a method: in which entries, and in which studies of which tracks.

This module must not know what a method does.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmark.spec.leaderboard import Spec
from benchmark.studies.settings import StudySettings

TRAINING = ("objectives", "corrections")  # families of which a network is trained by one


def entries_of(family: str, name: str, spec: Spec) -> list[str]:
    """The entries whose detector or objective it is."""
    if family == "detectors":
        return [key for key, entry in spec.entries.items() if entry.detector == name]
    if family in TRAINING:
        return [key for key, entry in spec.entries.items() if objective_of(entry.objective, spec) == name]
    return []


def studies_of(family: str, name: str, spec: Spec) -> list[tuple[str, str]]:
    """Track and study where it is used, what only a full run measures included."""
    return [
        (track, study) for track, study, settings in _studies(spec) if name in used_by(settings, family, spec)
    ]


def rows_of(family: str, name: str, study: str, spec: Spec) -> set[str]:
    """The rows of a study, on any track, whose networks it trains."""
    return {
        row
        for _, other, settings in _studies(spec)
        if other == study and family in TRAINING
        for row in settings.rows
        if objective_of(settings.objective_of(row), spec) == name
    }


def used_by(study: StudySettings, family: str, spec: Spec) -> set[str]:
    """Names of the methods of a family that a study uses."""
    if family in TRAINING:
        return {objective_of(study.objective_of(row), spec) for row in study.rows}
    return {*study.used(family)}


def used(family: str, spec: Spec) -> set[str]:
    """Names of the methods of a family that an entry or a study uses, objectives and corrections alike."""
    found = {name for _, _, settings in _studies(spec) for name in used_by(settings, family, spec)}
    if family == "detectors":
        return found | {entry.detector for entry in spec.entries.values()}
    if family in TRAINING:
        return found | {objective_of(entry.objective, spec) for entry in spec.entries.values()}
    return found


def tracks_of(entry: str, spec: Spec) -> list[str]:
    """The tracks that an entry is measured on, if only by a full run."""
    return [name for name, track in spec.tracks.items() if entry in track.all_entries]


def objective_of(use: str, spec: Spec) -> str:
    """The registered objective that a name of the leaderboard stands for."""
    return spec.objectives[use].objective if use in spec.objectives else use


def _studies(spec: Spec) -> Iterator[tuple[str, str, StudySettings]]:
    for track_name, track in spec.tracks.items():
        for study_name, study in track.studies.chosen(full=True).items():
            yield track_name, study_name, study
