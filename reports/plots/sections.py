"""Sections of plots: what a kind of plot is called, what is said of it, and its figures for each track.

This module must not know how a figure looks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from benchmark.spec.leaderboard import Spec, Track
from reports.select import Counted
from reports.site.sections import Bullets, Gallery, Paragraph, Plot, Section


def _no_remarks(name: str, track: Track, counted: Counted) -> list[str]:
    return []


@dataclass(frozen=True)
class PlotSection:
    """A section with a gallery for each track; its functions take a name, the track and what counts."""

    id: str
    title: str
    about: str
    plots: Callable[[str, Track, Counted], list[Plot]]
    remarks: Callable[[str, Track, Counted], list[str]] = _no_remarks  # how it was measured, warnings
    short: str = ""  # of the title

    def section(self, spec: Spec, counted: Counted) -> Section | None:
        """The section; None where there is nothing to show."""
        galleries, said = [], []
        for name, track in spec.tracks.items():
            galleries += gallery_of(name, track, self.plots(name, *_drawn(name, track, counted)))
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


def _drawn(name: str, track: Track, counted: Counted) -> tuple[Track, Counted]:
    """A track with the entries that are drawn, and what counts without the others."""
    entries = track.drawn or track.entries
    measured = {
        cell: found for cell, found in counted.measured.items() if cell.track != name or cell.entry in entries
    }
    return track.model_copy(update={"entries": entries}), replace(counted, measured=measured)
