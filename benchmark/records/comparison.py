"""Two sets of records against each other: what can be compared, by how much it differs, and where it matters.

Networks that are trained on another machine differ as if by another seed; their scores hardly do. So every
difference says whether both sides stand on the same networks, and rows are compared over their seeds. Pure
functions of records: this module must not know where they lie, nor how anything is shown.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal, NamedTuple

from benchmark.metrics.gaps import Gap, gap
from benchmark.records.network_places import Stands, stand_apart, stands_of
from benchmark.records.place import Place, place_of
from benchmark.records.record import DETECTION, TRAININGS, Environment, Record, RecordFile
from benchmark.studies.detection.records import numbers_of


class Metric(NamedTuple):
    """A number that is compared: its path, its name for people, and whether it is a share, shown ×100."""

    path: str
    title: str
    percent: bool = True


HEADLINES = (  # of OOD detection
    Metric("near.auroc", "Near AUROC"),
    Metric("far.auroc", "Far AUROC"),
    Metric("near.fpr95", "Near FPR@95"),
    Metric("far.fpr95", "Far FPR@95"),
    Metric("classification.accuracy", "ID accuracy"),
)
OF_DETECTORS = (
    *HEADLINES[:4],
    Metric("near.aupr_in", "Near AUPR-In"),
    Metric("near.aupr_out", "Near AUPR-Out"),
    Metric("far.aupr_in", "Far AUPR-In"),
    Metric("far.aupr_out", "Far AUPR-Out"),
    Metric("selective.aurc", "AURC"),
)
OF_NETWORKS = (  # the same whatever the detector
    HEADLINES[4],
    Metric("classification.calibration.nll", "NLL", percent=False),
    Metric("classification.calibration.brier", "Brier", percent=False),
    Metric("classification.calibration.ece", "ECE"),
    Metric("classification.calibration.rms_calibration", "RMS"),
    Metric("classification.calibration_scaled.ece", "ECE at T*"),
    Metric("classification.calibration_scaled.rms_calibration", "RMS at T*"),
    Metric("classification.temperature", "T*", percent=False),
)
NETWORK_PREFIX = "classification."
CHOSEN = ("id_val", "proxy_ood")  # modes in which validation images choose hyper-parameters


@dataclass(frozen=True)
class Seen:
    """One record, as far as it is compared."""

    record: Record  # without numbers and series, so that many are held at once
    settings: Mapping[str, Any]  # what was asked for; None where a record does not say
    code: str  # hash of the method's source; empty if it is not recorded
    environments: tuple[Environment, ...]
    stands: Stands
    numbers: Mapping[str, float]  # those that are compared, by path
    digest: bytes  # hash of all that was measured

    @property
    def measured(self) -> bool:
        """Whether it carries numbers."""
        return self.record.status == "measured"

    @property
    def chosen(self) -> Mapping[str, Any]:
        """Hyper-parameters that validation images chose; a tie or a small difference may choose others."""
        found: Mapping[str, Any] = self.record.settings.get("hyperparameters", {})
        return found if self.record.settings.get("hp_mode") in CHOSEN else {}

    def says_as(self, other: Seen) -> bool:
        """Whether both say the same to the bit, as far as records are rounded."""
        return self.digest == other.digest and self.chosen == other.chosen


@dataclass(frozen=True)
class Compared:
    """A place that both sides measured, in the same way."""

    place: Place
    a: Seen
    b: Seen

    @property
    def equal(self) -> bool:
        """Whether both sides say the same to the bit."""
        return self.a.says_as(self.b)

    @property
    def same_network(self) -> bool:
        """Whether both sides scored one network; not known to be so where no weights are recorded."""
        shared = self.a.stands.keys() & self.b.stands.keys()
        return bool(shared) and not stand_apart(self.a.stands, self.b.stands)


@dataclass(frozen=True)
class Flip:
    """Hyper-parameters that validation images chose otherwise on the two sides."""

    place: Place
    a: Mapping[str, Any]  # those that differ
    b: Mapping[str, Any]


Reason = Literal[
    "only in the first", "only in the second", "not measured", "other settings", "other images", "other code"
]


@dataclass(frozen=True)
class Pairs:
    """All places of two sides: what is compared, and what is not."""

    compared: tuple[Compared, ...]
    left_out: Mapping[Reason, tuple[Place, ...]]

    @property
    def flips(self) -> list[Flip]:
        """Where other values were chosen."""
        return [
            Flip(pair.place, {k: a.get(k) for k in differ}, {k: b.get(k) for k in differ})
            for pair in self.compared
            for a, b in [(pair.a.chosen, pair.b.chosen)]
            if (differ := [k for k in {**a, **b} if a.get(k) != b.get(k)])
        ]


def seen(files: Iterable[RecordFile]) -> dict[Place, Seen]:
    """Every record by its place, but for trainings; the last of several at one place."""
    found: dict[Place, Seen] = {}
    for file in files:
        for record in file.records if file.study != TRAININGS else ():
            place = place_of(file, record)
            of_cell = file.study == DETECTION and record.status == "measured"
            found[place] = Seen(
                record=record.model_copy(update={"numbers": {}, "series": {}, "pictures": {}}),
                settings=_settings(record),
                code=(record.provenance.method_source if record.provenance else None) or "",
                environments=tuple(file.environments[name] for name in sorted(record.environments)),
                stands=stands_of(place, record),
                numbers=_compared(numbers_of(record)) if of_cell else record.numbers,
                digest=_digest(record.model_dump(include={"numbers", "series"})),
            )
    return found


def pair(a: Mapping[Place, Seen], b: Mapping[Place, Seen]) -> Pairs:
    """Bring together what both sides measured in the same way, and say of the rest why it is not compared.

    Of other code are records whose method's source differs, or whose content keys differ although settings,
    images and libraries are the same. Other libraries alone keep nothing from being compared: how much they
    matter is what a comparison tells.
    """
    compared = []
    left_out: dict[Reason, list[Place]] = {}
    for place in sorted({**a, **b}):
        if place not in a or place not in b:
            reason: Reason | None = "only in the first" if place in a else "only in the second"
        else:
            reason = _reason(a[place], b[place])
        if reason is None:
            compared.append(Compared(place, a[place], b[place]))
        else:
            left_out.setdefault(reason, []).append(place)
    return Pairs(tuple(compared), {reason: tuple(places) for reason, places in left_out.items()})


def gap_of(pairs: Iterable[Compared], path: str) -> Gap | None:
    """How much one number differs over pairs; None where none has it. A network's own numbers count once."""
    found = [(pair.a.numbers[path], pair.b.numbers[path]) for pair in _once(pairs, path) if _has(pair, path)]
    return gap(*zip(*found, strict=True)) if found else None


def largest(pairs: Iterable[Compared], path: str, count: int) -> list[tuple[Place, float, float]]:
    """The places where a number differs most, with both sides' numbers, the largest difference first."""
    found = [
        (pair.place, pair.a.numbers[path], pair.b.numbers[path])
        for pair in _once(pairs, path)
        if _has(pair, path)
    ]
    differ = [item for item in found if item[1] != item[2]]
    return sorted(differ, key=lambda item: (-abs(item[1] - item[2]), item[0]))[:count]


def by_subject(pairs: Iterable[Compared]) -> dict[tuple[str, str, str], list[Compared]]:
    """Pairs by track, study and row, in that order."""

    def subject(pair: Compared) -> tuple[str, str, str]:
        return pair.place[:3]

    return {key: list(group) for key, group in groupby(sorted(pairs, key=subject), subject)}


_PATHS = tuple(metric.path for metric in (*OF_DETECTORS, *OF_NETWORKS))


def _compared(numbers: Mapping[str, float]) -> dict[str, float]:
    """Those of a cell that are compared."""
    sets = [path for path in numbers if path.startswith("detection.") and path.endswith(".auroc")]
    return {path: numbers[path] for path in (*_PATHS, *sets)}


def _digest(said: Mapping[str, Any]) -> bytes:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).digest()


def _settings(record: Record) -> dict[str, Any]:
    """What a record was asked for, without what validation images chose."""
    found = {**record.settings, "training": record.training}
    if found.get("hp_mode") in CHOSEN:
        found["hyperparameters"] = None
    if "groups" in found:
        found["groups"] = {group: sorted(names) for group, names in found["groups"].items()}
    if "tuning" in found:
        found["tuning"] = [point["hyperparameters"] for point in found["tuning"]]
    return found


def _differ(name: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether a setting differs; a training that one does not say, and a grid, do not keep from comparing."""
    if name not in a or name not in b:
        return name != "tuning"
    return None not in (a[name], b[name]) and bool(a[name] != b[name])


def _reason(a: Seen, b: Seen) -> Reason | None:
    """Why two records of one place are not compared; None if they are."""
    if not (a.measured and b.measured):
        return "not measured"
    if any(_differ(name, a.settings, b.settings) for name in {**a.settings, **b.settings}):
        return "other settings"
    images, others = (_images(side.record) for side in (a, b))
    if any(others.get(name, fingerprint) != fingerprint for name, fingerprint in images.items()):
        return "other images"
    if a.record.key == b.record.key:
        return None
    if a.code != b.code and a.code and b.code:
        return "other code"
    return "other code" if _made_with(a) == _made_with(b) else None


def _images(record: Record) -> Mapping[str, str]:
    return record.provenance.data if record.provenance else {}


def _made_with(side: Seen) -> set[tuple[Any, ...]]:
    """What besides code makes content keys differ: libraries."""
    return {tuple(sorted(e.libraries.items())) for e in side.environments}


def _has(pair: Compared, path: str) -> bool:
    return path in pair.a.numbers and path in pair.b.numbers


def _once(pairs: Iterable[Compared], path: str) -> list[Compared]:
    """Pairs as they are; of a number that belongs to a network, one pair a network of each side."""
    if not path.startswith(NETWORK_PREFIX):
        return list(pairs)

    def networks(pair: Compared) -> Hashable:
        return tuple(frozenset(side.stands.items()) or pair.place for side in (pair.a, pair.b))

    return list({networks(pair): pair for pair in pairs}.values())
