"""The places of a leaderboard: where something is measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any, NamedTuple

from benchmark.records.place import Place
from benchmark.records.record import BOUNDARY, DETECTION
from benchmark.spec.leaderboard import Track
from benchmark.studies.settings import AnyStudy, StudySettings


@dataclass(frozen=True)
class Selection:
    """Which part of the leaderboard; an empty tuple selects all."""

    tracks: tuple[str, ...] = ()
    entries: tuple[str, ...] = ()
    backbones: tuple[str, ...] = ()
    inits: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    studies: tuple[str, ...] = ()
    full: bool = False  # with what only a full run measures

    @property
    def whole(self) -> bool:
        """Whether nothing is left out."""
        return self == EVERYTHING

    @property
    def with_cells(self) -> bool:
        """Whether cells are wanted: not where only studies are named."""
        return bool(self.entries) or not self.studies

    @property
    def with_studies(self) -> bool:
        """Whether studies are wanted: not where only entries are named."""
        return bool(self.studies) or not self.entries

    def of(self, kind: str, available: list[Any], unasked: list[Any] | None = None) -> list[Any]:
        """Those of `available` backbones, inits or seeds that are selected.

        Where none is named that is `unasked`, or all.
        """
        wanted = getattr(self, kind)
        return [item for item in available if item in wanted] if wanted else unasked or available

    def entries_of(self, track: Track) -> list[str]:
        """The selected entries of a track: those of a full run too where any is named."""
        if not self.with_cells:
            return []
        listed = track.all_entries if self.full or self.entries else track.entries
        return [entry for entry in listed if not self.entries or entry in self.entries]

    def studies_of(self, track: Track) -> dict[str, StudySettings]:
        """The selected studies of a track."""
        there = track.studies.chosen(full=self.full).items() if self.with_studies else ()
        return {name: study for name, study in there if not self.studies or name in self.studies}

    def covers(self, place: Place) -> bool:
        """Whether a place is of what is selected, be it on the leaderboard or not."""
        if place.track == BOUNDARY:
            return self.whole
        if place.study == DETECTION:
            kind = self.with_cells and (not self.entries or place.row in self.entries)
        else:
            kind = self.with_studies and (not self.studies or place.study in self.studies)
        named = (self.tracks, self.backbones, self.inits, self.seeds)
        parts = (place.track, place.backbone, place.init, place.seed)
        return kind and all(not wanted or part in wanted for wanted, part in zip(named, parts, strict=True))


EVERYTHING = Selection(full=True)


@dataclass(frozen=True)
class Axes:
    """Of what the places of one row are made: there is one for each combination."""

    backbones: Sequence[str]
    inits: Sequence[str]
    seeds: Sequence[int]
    conditions: Sequence[str] = ("",)

    @property
    def count(self) -> int:
        """How many places the row has."""
        return prod(map(len, (self.backbones, self.inits, self.seeds, self.conditions)))


class Listed(NamedTuple):
    """What the networks of a track are told apart by, in its order."""

    backbones: list[str]
    inits: list[str]
    seeds: list[int]


def axes_of(study: AnyStudy, row: str, networks: Listed, selection: Selection) -> Axes:
    """Of a row of a study."""
    seeds = study.seeds_on(row, networks.seeds)
    return Axes(
        backbones=selection.of("backbones", study.backbones_on(row, networks.backbones)),
        inits=selection.of("inits", study.inits_of(row)),
        seeds=selection.of("seeds", seeds, None if selection.full else study.usual_seeds),
        conditions=study.conditions_of(row),
    )


def places_of(name: str, study: str, networks: Listed, axes: Mapping[str, Axes]) -> Iterator[Place]:
    """Every place of some rows of a track, network by network: what stands on one comes together."""
    rows = [(row, of, frozenset(product(of.backbones, of.inits, of.seeds))) for row, of in axes.items()]
    for network in product(*networks):
        for row, of, measured in rows:
            if network in measured:
                for condition in of.conditions:
                    yield Place(name, study, row, *network, condition)
