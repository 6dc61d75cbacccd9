"""Sections of plots: what a kind of plot is called, what is said of it, and its figures for each track.

This module must not know how a figure looks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from benchmark.spec.leaderboard import Spec, Track
from reports.plots.memo import Memo
from reports.select import NO_STUDIES, Counted
from reports.site.sections import Bullets, Gallery, Paragraph, Plot, Section

ANEW = Memo()  # every plot is drawn


def _no_remarks(name: str, track: Track, counted: Counted) -> list[str]:
    return []


@dataclass(frozen=True)
class PlotSection:
    """A section with a gallery for each track; its functions take a name, the track and what counts."""

    id: str  # of what a study measured: the study's name
    title: str
    about: str
    plots: Callable[[str, Track, Counted], list[Plot]]
    remarks: Callable[[str, Track, Counted], list[str]] = _no_remarks  # how it was measured, warnings
    short: str = ""  # of the title

    def section(self, spec: Spec, counted: Counted, memo: Memo = ANEW) -> Section | None:
        """The section; None where there is nothing to show."""
        galleries, said = [], []
        study = self.id if self.id in counted.studies.measured else None
        for name, track in spec.tracks.items():
            given = name, *_drawn(name, track, counted, study)
            galleries += gallery_of(name, track, memo.plots(self.plots, *given, of=_content(*given)))
            said += self.remarks(name, track, counted)
        if not galleries and not said:
            return None
        remarks = (Bullets(tuple(said), small=True),) if said else ()
        return Section(
            self.id, self.title, (Paragraph(self.about), *remarks), tuple(galleries), short=self.short
        )


def gallery_of(name: str, track: Track, plots: list[Plot]) -> list[Section]:
    """The plots of a track below its title; none without plots."""
    return [Section("", track.title, (Gallery(tuple(plots)),), track=name)] if plots else []


def _drawn(name: str, track: Track, counted: Counted, study: str | None) -> tuple[Track, Counted]:
    """A track with the entries that are drawn, and what a plot may show of it: of a study, or of entries."""
    entries = track.drawn or track.entries
    if study is None:
        shown = {cell: found for cell, found in counted.of_track(name).items() if cell.entry in entries}
        drawn = Counted(shown, {}, ())
    else:
        cells = counted.studies.measured.get(study, {})
        studied = {cell: found for cell, found in cells.items() if cell.track == name}
        drawn = Counted({}, {}, (), replace(NO_STUDIES, measured={study: studied}))
    return track.model_copy(update={"entries": entries}), drawn


def _content(name: str, track: Track, drawn: Counted) -> object:
    """All that a plot may show."""
    studied = [item for cells in drawn.studies.measured.values() for item in cells.items()]
    return name, track, [*drawn.measured.items()], studied
