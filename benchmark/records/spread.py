"""The spread between machines: what two folders of records differ by, kept as JSON for later verification.

One file holds several comparisons, each of two folders that were made under other conditions: another
processor, other instruction sets, other libraries. What networks trained apart differ by, and what one
network scored twice does, stand side by side: the second is far smaller. ``results/spread.json`` is such a
file; it lies beside the tracks' folders and is no record.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from benchmark.errors import DataError, UsageError
from benchmark.metrics.gaps import Gap
from benchmark.records.comparison import (
    NETWORK_PREFIX,
    OF_DETECTORS,
    OF_NETWORKS,
    Compared,
    Pairs,
    Seen,
    by_subject,
    gap_of,
    pair,
    seen,
)
from benchmark.records.files import iterate
from benchmark.records.numbers import Drawn, StrictModel
from benchmark.records.record import DETECTION
from benchmark.store.files import read_model, write_atomically

SCHEMA: Literal[1] = 1
LINE = 160  # characters up to which a value stays on one line of the file
ALL = "all"  # in place of an entry: over every entry of the track
Networks = Literal["own", "same"]


class Conditions(StrictModel):
    """What one side was computed with."""

    processor: str
    instructions: str | None = None  # of torch, and what forced others; None in records that do not say
    accelerator: str | None = None
    platform: str
    python: str
    libraries: dict[str, str]


class Deviation(StrictModel):
    """|Δ| of one metric, in its own unit: shares are in [0, 1], not in points."""

    n: int  # places; for what belongs to a network, networks
    equal: int  # of them, without any difference
    median: Drawn
    mean: Drawn
    q95: Drawn  # 95 % quantile
    max: Drawn


class Flipped(StrictModel):
    """A place where validation images chose other hyper-parameters on the two sides."""

    place: str
    a: dict[str, Any]
    b: dict[str, Any]


class TrackSpread(StrictModel):
    """One track: by entry (or ``study/row``, or ``all``) and metric."""

    own: dict[str, dict[str, Deviation]] = Field(default_factory=dict)  # networks trained on each side
    same: dict[str, dict[str, Deviation]] = Field(default_factory=dict)  # one network, scored on both sides


class SpreadPart(StrictModel):
    """One comparison of two folders of records."""

    a: list[Conditions]
    b: list[Conditions]
    compared: int  # places
    equal: int  # of them, to the bit
    same_network: int  # of them, of one network on both sides
    tracks: dict[str, TrackSpread]
    flips: list[Flipped]


class Spread(StrictModel):
    """All comparisons of a file."""

    schema_version: Literal[1] = SCHEMA
    comparisons: list[SpreadPart]

    def tolerance(self, track: str, entry: str, metric: str, networks: Networks = "own") -> float:
        """The largest difference that was seen of one number, over all comparisons, in the metric's own unit.

        Parameters
        ----------
        track : a track of leaderboard.yaml.
        entry : an entry, or ``study/row``. For one that was never compared, and for what belongs to the
            network (``classification.…``), the largest of the track's entries counts.
        metric : the path of a number, such as ``near.auroc``.
        networks : ``own`` where either side trained its network, ``same`` where one network is scored twice.

        Raises
        ------
        DataError
            If the metric was not compared on that track, in such a way.
        """
        found: list[float] = []
        for part in self.comparisons:
            of_track = part.tracks.get(track, TrackSpread())
            by_entry = of_track.same if networks == "same" else of_track.own
            for name in (entry, ALL):
                if metric in by_entry.get(name, {}):
                    found.append(by_entry[name][metric].max)
                    break
        if not found:
            raise DataError(
                f"spread: {metric!r} of {entry!r} on track {track!r}, {networks} networks: never compared; "
                "`oodbench compare A B --json` of two folders with that track adds it"
            )
        return max(found)


def describe(pairs: Pairs) -> SpreadPart:
    """What two sides differ by, for each track, entry and metric.

    Raises
    ------
    DataError
        If nothing was compared.
    """
    if not pairs.compared:
        raise DataError("nothing to compare: the folders share no place that both measured in the same way")
    tracks: dict[str, TrackSpread] = {}
    for (track, study, row), found in by_subject(pairs.compared).items():
        of_track = tracks.setdefault(track, TrackSpread())
        name = row if study == DETECTION else f"{study}/{row}"
        for by_entry, members in _by_network(of_track, found):
            paths = sorted({path for one in members for path in one.a.numbers})
            by_entry[name] = _deviations(members, [p for p in paths if not p.startswith(NETWORK_PREFIX)])
    for track, of_track in tracks.items():
        cells = [one for one in pairs.compared if one.place[:2] == (track, DETECTION)]
        for by_entry, members in _by_network(of_track, cells):
            by_entry[ALL] = _deviations(members, [m.path for m in (*OF_DETECTORS, *OF_NETWORKS)])
    return SpreadPart(
        a=conditions(one.a for one in pairs.compared),
        b=conditions(one.b for one in pairs.compared),
        compared=len(pairs.compared),
        equal=sum(one.equal for one in pairs.compared),
        same_network=sum(one.same_network for one in pairs.compared),
        tracks=tracks,
        flips=[Flipped(place=str(flip.place), a=dict(flip.a), b=dict(flip.b)) for flip in pairs.flips],
    )


def conditions(side: Iterable[Seen]) -> list[Conditions]:
    """What the records of one side were made with, each once."""
    found: list[Conditions] = []
    environments = {e.model_dump_json(): e for one in side for e in one.environments}
    for _, e in sorted(environments.items()):
        kept = Conditions(
            processor=e.processor,
            instructions=e.instructions,
            accelerator=e.accelerator,
            platform=e.platform,
            python=e.python,
            libraries=e.libraries,
        )
        if kept not in found:
            found.append(kept)
    return found


def compare_folders(first: Path, second: Path) -> tuple[Pairs, SpreadPart]:
    """Bring two folders of records together, and describe what they differ by.

    Raises
    ------
    UsageError
        If a folder has no records.
    DataError
        If a file cannot be read, or nothing can be compared.
    """
    sides = []
    for folder in (first, second):
        side = seen(iterate(folder))
        if not side:
            raise UsageError(f"{folder}: has no records; expected a folder that `oodbench run` wrote")
        sides.append(side)
    pairs = pair(*sides)
    return pairs, describe(pairs)


def read_spread(path: Path) -> Spread:
    """Read a file of comparisons.

    Raises
    ------
    DataError
        If it is not JSON or not of this schema: names the file, the place and what was expected.
    """
    return read_model(path, Spread, f"a spread of schema {SCHEMA}")


def add_to(path: Path, part: SpreadPart) -> bool:
    """Put a comparison into a file, in place of one of the same conditions; tells whether the file changed.

    Raises
    ------
    UsageError
        If the file is there and no spread, such as a record.
    StorageError
        If it cannot be written.
    """
    before: list[SpreadPart] = []
    if path.exists():
        try:
            before = read_spread(path).comparisons
        except DataError as error:
            raise UsageError(f"{error}; name another file, or remove this one") from error
    kept = [other for other in before if (other.a, other.b) != (part.a, part.b)]
    text = _json(Spread(comparisons=[*kept, part]).model_dump(exclude_none=True)) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    write_atomically(path, text)
    return True


def _json(value: Any, indent: int = 0) -> str:
    """JSON with a line for whatever is short, such as the deviation of one metric."""
    flat = json.dumps(value, allow_nan=False)
    if len(flat) <= LINE or not isinstance(value, dict | list):
        return flat
    pad, end = "\n" + " " * (indent + 1), "\n" + " " * indent
    if isinstance(value, list):
        return "[" + ",".join(pad + _json(v, indent + 1) for v in value) + end + "]"
    items = (f"{json.dumps(k)}: {_json(v, indent + 1)}" for k, v in value.items())
    return "{" + ",".join(pad + item for item in items) + end + "}"


def _by_network(
    track: TrackSpread, found: Iterable[Compared]
) -> list[tuple[dict[str, dict[str, Deviation]], list[Compared]]]:
    members: dict[bool, list[Compared]] = {}
    for one in found:
        members.setdefault(one.same_network, []).append(one)
    return [(track.same if same else track.own, group) for same, group in members.items()]


def _deviations(pairs: list[Compared], paths: Iterable[str]) -> dict[str, Deviation]:
    gaps: Mapping[str, Gap | None] = {path: gap_of(pairs, path) for path in paths}
    return {path: Deviation.model_validate(vars(found)) for path, found in gaps.items() if found is not None}
