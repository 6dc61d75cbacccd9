"""What leaderboard.yaml says of OOD detection: a track's entries, and its near and far OOD sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar

from benchmark.records.record import HpMode, Record
from benchmark.spec.leaderboard import Entry, Track
from benchmark.studies.detection.measurement import SEVERITIES
from benchmark.studies.same import differ, without
from benchmark.studies.settings import AnyStudy, Configured, Declares
from methods.declared import Declared


@dataclass(frozen=True)
class Scoring:
    """How an entry scores."""

    points: list[dict[str, Any]]  # hyper-parameters; several where they are tuned
    mode: HpMode | None  # None: it depends on defaults that are not known
    members: int  # 1, or how many networks an ensemble has
    chosen: str | None  # the hyper-parameter that ID validation images choose
    transductive: bool = False  # whether its scores depend on other test images

    @property
    def tuned(self) -> bool:
        """Whether hyper-parameters are chosen on the validation sets."""
        return self.mode == "proxy_ood"


def scoring_of(entry: Entry, known: Declared | None) -> Scoring:
    """How an entry scores by a detector that declares `known`; None if that is not known."""
    declared = known or Declared()
    grid = entry.tune or {}
    points = [
        {**declared.hyperparameters, **entry.hyperparameters, **dict(zip(grid, values, strict=True))}
        for values in product(*grid.values())
    ]
    step = declared.step_name
    chosen = step if any(step in point and point[step] is None for point in points) else None
    as_published = points[0] == declared.hyperparameters and entry.fit_limit is None
    mode: HpMode | None = "published" if as_published else "declared"
    if grid or known is None:
        mode = "proxy_ood" if grid else None
    elif chosen:
        mode = "id_val"
    asked = [point.get("members") for point in points if declared.ensemble]  # what is none is refused later
    members = max([1, *(count for count in asked if isinstance(count, int))])
    return Scoring(points, mode, members, chosen, declared.transductive)


@dataclass(frozen=True)
class DetectionSettings(AnyStudy):
    """OOD detection on a track: its rows are entries."""

    word: ClassVar = "entry"
    shifts: ClassVar = True

    track: Track
    entries: Mapping[str, Entry]  # in the order of the track
    scoring: Callable[[str], Scoring]  # of an entry

    @property
    def groups(self) -> tuple[str, ...]:  # type: ignore[override]
        """Near, far, and those apart."""
        return tuple(self.track.groups)

    @property
    def rows(self) -> list[str]:
        """The entries."""
        return list(self.entries)

    def inits_of(self, row: str) -> list[str]:
        """Those of the track."""
        return self.track.entry_inits

    def backbones_on(self, row: str, listed: list[str]) -> list[str]:
        """All, or fewer of an entry that only a full run measures."""
        return self.track.backbones_of(row)

    def seeds_on(self, row: str, listed: list[int]) -> list[int]:
        """The first seeds of disjoint groups of networks, in the order of the track."""
        members = self.members_of(row)
        return listed[: max(0, len(listed) - members + 1) : members]

    def members_of(self, row: str) -> int:
        """Several of an ensemble."""
        return self.scoring(row).members

    def objective_of(self, row: str) -> str:
        """The entry's."""
        return self.entries[row].objective

    def measured_with(self, row: str, configured: Configured) -> dict[str, Any]:
        """The entry, its hyper-parameters, of a tuned one the first of the grid, and who chose them."""
        entry, scoring = self.entries[row], self.scoring(row)
        found = {
            "objective": entry.objective,
            "detector": entry.detector,
            "hyperparameters": scoring.points[0],
            "hp_mode": scoring.mode,
            "networks": scoring.members,
        }
        if scoring.transductive:
            found["transductive"] = True
        return found if entry.fit_limit is None else {**found, "fit_limit": entry.fit_limit}

    def sets_of(self, row: str) -> tuple[str, ...]:
        """The OOD sets, and those on which a tuned entry is tuned."""
        return (*self.groups, "validation") if self.scoring(row).tuned else self.groups

    def differs(
        self, row: str, expected: Mapping[str, Any], record: Record, declared: Declares
    ) -> Iterator[str]:
        """Detector, protocol, hyper-parameters, networks, OOD sets, how many images, shifts."""
        said = record.settings
        names = [name for name in ("objective", "detector") if said.get(name) != expected[name]]
        yield from names
        if names or record.status != "measured":
            return
        yield from self._chosen_otherwise(row, said, declared)
        if record.networks != expected["networks"]:
            yield "networks"
        if said.get("fit_limit") != expected.get("fit_limit"):
            yield "number of images to fit on"
        if said.get("transductive") != expected.get("transductive"):
            yield "whether scores depend on other test images"
        if _sorted(said["groups"]) != _sorted(expected["groups"]):
            yield "OOD sets"
        for name, source in self.track.ood.items():
            n_out = record.numbers.get(f"detection.{name}.n_out")
            # of chosen classes there are as many as the draw of n has
            whole = source.classes is None and source.without is None
            if n_out is not None and source.n is not None and whole and source.n != n_out:
                yield f"images of {name}"
        shifts: dict[str, set[int]] = {}
        for path in record.numbers:
            if path.startswith("robustness."):
                _, kind, severity, _ = path.split(".")
                shifts.setdefault(kind, set()).add(int(severity))
        asked = self.track.shifts.kinds if self.track.shifts else ()
        if shifts != {kind: set(SEVERITIES) for kind in asked}:
            yield "shifts"

    def _chosen_otherwise(self, row: str, said: Mapping[str, Any], declared: Declares) -> Iterator[str]:
        """In what the hyper-parameters of a record differ, and who chose them."""
        scoring, known = self.scoring(row), declared("detectors", self.entries[row].detector)
        hp_mode, given = said.get("hp_mode", "published"), said.get("hyperparameters", {})
        modes = {scoring.mode, hp_mode}
        if len(modes) > 1 and (scoring.mode is not None or modes & {"proxy_ood", "oracle"}):
            yield "protocol" if modes & {"proxy_ood", "oracle"} else "hyper-parameters"
        elif scoring.tuned:
            tried = [candidate["hyperparameters"] for candidate in said.get("tuning") or ()]
            if len(tried) != len(scoring.points) or any(
                differ(*pair, known) for pair in zip(scoring.points, tried, strict=True)
            ):
                yield "hyper-parameters"
        else:
            (point,) = scoring.points
            free = [scoring.chosen] if known else [name for name, value in point.items() if value is None]
            chosen = free if hp_mode == "id_val" else []
            unasked = not known and not point and hp_mode == "declared"
            if unasked or differ(without(chosen, point), without(chosen, given), known):
                yield "hyper-parameters"

    def at(self, track: str, name: str) -> tuple[str, ...]:
        """Entries stand beside the tracks."""
        return ()

    def row_at(self, row: str) -> tuple[str, ...]:
        """In the entry."""
        return "entries", row, "objective"

    def where(self, track: str, name: str) -> str:
        """On the track."""
        return f"on track {track!r}"

    def networks_called(self, row: str) -> str:
        """By their objective: entries share networks."""
        return repr(self.objective_of(row))

    def called(self, row: str, name: str) -> str:
        """An entry."""
        return f"{self.word} {row}"


def _sorted(groups: Mapping[str, Any]) -> dict[str, list[str]]:
    return {group: sorted(names) for group, names in groups.items()}
