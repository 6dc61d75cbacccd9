"""What a pull request is, as far as its files tell: the result of the guard, and its form as JSON."""

from __future__ import annotations

from typing import Literal

from benchmark.records.numbers import StrictModel

Kind = Literal["method", "records", "maintainer", "refused"]
SAID = {
    "method": "adds methods or entries, and touches nothing else",
    "records": "adds self-reported records of tracks that CI does not compute",
    "maintainer": "is one for a maintainer to judge: nothing is recomputed, and no record follows from it",
    "refused": "is refused",
}


class Finding(StrictModel):
    """Something that a pull request of a method may not do, or that a maintainer must look at."""

    path: str  # of plain characters
    what: str
    refused: bool  # or else for a maintainer to judge


class Added(StrictModel):
    """A method whose file is new."""

    family: str
    name: str


class Verdict(StrictModel):
    """What the guard says."""

    version: Literal[1] = 1
    kind: Kind
    base: str
    head: str
    methods: tuple[Added, ...] = ()
    tests: tuple[str, ...] = ()  # files of theirs
    entries: tuple[str, ...] = ()  # that were added, or that a track lists now
    tracks: tuple[str, ...] = ()  # that list them and that CI computes
    full: bool = False  # whether some of them are measured in full runs only
    records: tuple[str, ...] = ()  # files of self-reported ones
    findings: tuple[Finding, ...] = ()

    @property
    def select(self) -> str:
        """The options that choose what CI computes; empty where that is nothing."""
        if self.kind != "method" or not (self.tracks and self.entries):
            return ""
        chosen = [f"--track {track}" for track in self.tracks] + [f"--entry {name}" for name in self.entries]
        return " ".join([*chosen, *(["--full"] if self.full else [])])

    @property
    def names(self) -> str:
        """The names that `oodbench check` is asked about."""
        named = self.methods if self.kind == "method" else ()
        return " ".join(dict.fromkeys(method.name for method in named))
