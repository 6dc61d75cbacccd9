"""What the plots of all studies share: which cells a figure is of, and how rows and inits look.

This module must not know what a study measures.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from benchmark.census import backbones_of
from benchmark.spec.leaderboard import Track
from benchmark.spec.studies import (
    Adversarial,
    Corruptions,
    Imbalance,
    LabelNoise,
    Study,
    StudyName,
    inits_of,
    rows_of,
)
from reports.plots.figures import COLOURS, DASHES
from reports.select import Counted
from reports.studies.select import Studied

PERCENT = 100
S = TypeVar("S", Adversarial, Corruptions, LabelNoise, Imbalance)
Lines = Mapping[tuple[str, str], Sequence[Studied]]  # row and init → its seeds


def of_backbones(
    name: str, track: Track, study: StudyName, kind: type[S], counted: Counted
) -> Iterator[tuple[str, S, Lines]]:
    """Each backbone of a track that a study has records of, with the seeds of each row and init."""
    known = dict(track.studies.chosen(full=True)).get(study)
    if not isinstance(known, kind):
        return
    cells = counted.of_study(study)
    for backbone in backbones_of(track, known):
        lines: dict[tuple[str, str], list[Studied]] = {}
        for cell, found in cells.items():
            if (cell.track, cell.backbone) == (name, backbone) and isinstance(found, Studied):
                lines.setdefault((cell.entry, cell.init), []).append(found)
        if lines:
            yield backbone, known, lines


def has_records(name: str, study: StudyName, counted: Counted) -> bool:
    """Whether a track has a record of a study that counts."""
    return any(cell.track == name for cell in counted.of_study(study))


def inits_in(study: Study, lines: Iterable[tuple[str, str]]) -> list[str]:
    """The inits of some lines, in the order of the study."""
    used = {init for _, init in lines}
    return [init for init in inits_of(study) if init in used]


def row_style(study: Study, row: str) -> dict[str, Any]:
    """Colour and dashes of a row where every init has a panel of its own."""
    place = rows_of(study).index(row)
    turn, position = divmod(place, len(COLOURS))
    return {"color": COLOURS[position], "linestyle": DASHES[turn % len(DASHES)]}


def line_style_of(study: Study, row: str, init: str) -> dict[str, Any]:
    """Colour by row and dashes by init, where both share a panel."""
    dashes = DASHES[inits_of(study).index(init) % len(DASHES)]
    return {"color": COLOURS[rows_of(study).index(row) % len(COLOURS)], "linestyle": dashes}


def words(name: str) -> str:
    """A name as words."""
    return name.replace("_", " ")
