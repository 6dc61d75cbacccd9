"""Which records count: those of the cells that leaderboard.yaml lists, measured on the sets that it names.

What is left out is said, never dropped silently. This module must not know how anything is shown.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from statistics import fmean
from typing import Any

from benchmark.errors import DataError
from benchmark.records.network_places import NetworkPlace, Stands, stands_of
from benchmark.records.results import Cell, Measurement, Record, RecordFile, TrainedWith
from benchmark.records.studies import STUDIES, StudyFile
from benchmark.spec.leaderboard import Entry, Spec, Track
from methods.names import did_you_mean
from reports.boards.gains import relative_gains
from reports.claims.register import SUMMARY
from reports.studies.select import CountedStudies, Studied, select_studies
from reports.trained import trained_so

SEVERITIES = range(6)  # 0 is unshifted
SHIFTED = ("accuracy", "ece", "auroc_near")
NO_STUDIES = CountedStudies({}, {}, {}, {}, ())


class Numbers(Mapping[str, float]):
    """Numbers by metric path. Cells that measured the same paths share these."""

    __slots__ = ("_place", "_values")

    def __init__(self, place: Mapping[str, int], values: array[float]) -> None:
        self._place, self._values = place, values

    def __getitem__(self, path: str) -> float:
        return self._values[self._place[path]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._place)

    def __len__(self) -> int:
        return len(self._values)


@dataclass(frozen=True, slots=True)
class Measured:
    """A measured cell: of its record what pages may need, so that many are held at once."""

    file: RecordFile  # without records
    record: Record  # without measurement
    measurement: Measurement | None  # where a plot may show it: of the entries that are drawn
    numbers: Mapping[str, float]  # by metric path

    @property
    def drawn(self) -> Measurement:
        """What a plot shows.

        Raises
        ------
        LookupError
            If no plot may show this cell.
        """
        if self.measurement is None:
            raise LookupError(f"{self.file.entry} is not drawn on track {self.file.track}")
        return self.measurement

    @property
    def ood_sets(self) -> list[str]:
        """The OOD sets that it was measured on."""
        return [
            path.split(".")[1] for path in self.numbers if path.startswith("detection.") and "auroc" in path
        ]

    def number(self, metric: str, where: str) -> float:
        """One number of the measurement.

        Raises
        ------
        DataError
            If nothing is measured under that path; `where` says who asked for it.
        """
        if metric not in self.numbers:
            cell = f"{self.file.track} {self.file.entry} {self.record.cell}"
            raise DataError(
                f"{where}: {metric!r} was not measured (record {cell}); {did_you_mean(metric, self.numbers)}"
            )
        return self.numbers[metric]

    @property
    def init(self) -> str:
        """Where its network's first weights come from."""
        return self.record.init

    @property
    def networks(self) -> int:
        """Of which the scores come: more than one for ensembles."""
        return self.record.networks

    @property
    def trained(self) -> Mapping[str, TrainedWith | None]:
        """How its network was trained, where that is recorded; under the one condition that there is."""
        return {"": self.record.training}

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """The weights of its network, where they are recorded."""
        return (self.record.provenance.checkpoint if self.record.provenance else "",)

    @property
    def stands(self) -> Stands:
        """The weights of its network by where it was trained."""
        return stands_of(self.file, self.record)

    @property
    def train_seconds(self) -> list[float]:
        """What its network took, where that is recorded."""
        return [self.record.cost.train_seconds] if self.record.cost else []

    @property
    def pretrain_seconds(self) -> list[float]:
        """What its first weights took, where that is recorded."""
        cost = self.record.cost
        return [] if cost is None or cost.pretrain_seconds is None else [cost.pretrain_seconds]

    @property
    def hp_modes(self) -> list[str]:
        """How the detector's hyper-parameters were chosen."""
        return [self.record.hp_mode]


Found = Measured | Studied


@dataclass(frozen=True)
class Counted:
    """The records that count, in the order of leaderboard.yaml, and a note on each kind that does not."""

    measured: Mapping[Cell, Measured]
    unmeasured: Mapping[Cell, Record]
    notes: tuple[str, ...]
    studies: CountedStudies = field(default=NO_STUDIES)

    def of_study(self, study: str | None) -> Mapping[Cell, Found]:
        """The measured cells of a study, with its rows in place of entries; of OOD detection if None."""
        return self.measured if study is None else self.studies.measured.get(study, {})

    def of_track(self, track: str) -> dict[Cell, Measured]:
        """The measured cells of a track."""
        return {cell: found for cell, found in self.measured.items() if cell.track == track}


def select(spec: Spec, results: Iterable[RecordFile], studies: Sequence[StudyFile] = ()) -> Counted:
    """Choose the records that belong to `spec`.

    `results` is read once, file by file; little is kept of each.

    Raises
    ------
    DataError
        If two records claim the same cell, or one content key for different measurements.
    """
    chosen: dict[Cell, Measured | Record] = {}
    left_out: Counter[str] = Counter()
    places: dict[tuple[str, ...], dict[str, int]] = {}
    by_key: dict[str, tuple[Cell, int]] = {}
    for file in results:
        about = file.model_copy(update={"records": []})
        track = spec.tracks.get(file.track)
        drawn = track is not None and file.entry in (track.drawn or track.entries)
        for record in file.records:
            cell = Cell(file.track, record.backbone, record.init, record.seed, file.entry)
            problem = _problem(spec, cell, file, record)
            if problem:
                left_out[problem] += 1
            elif cell in chosen:
                raise DataError(f"two records of the cell {cell}; expected one, remove a record file")
            elif record.measurement is not None:
                found = _numbers(record.measurement)
                _one_measurement_a_key(by_key, cell, (file, record), found)
                place = places.setdefault(tuple(found), {path: i for i, path in enumerate(found)})
                numbers = Numbers(place, array("d", found.values()))
                slim = record.model_copy(update={"measurement": None})
                chosen[cell] = Measured(about, slim, record.measurement if drawn else None, numbers)
            else:
                chosen[cell] = record
    measured: dict[Cell, Measured] = {}
    unmeasured: dict[Cell, Record] = {}
    order = _Order(spec)
    for cell in sorted(chosen, key=order.of):
        one = chosen[cell]
        if isinstance(one, Measured):
            measured[cell] = one
        else:
            unmeasured[cell] = one
    notes = tuple(f"{_records(n)} left out: {problem}" for problem, n in sorted(left_out.items()))
    of_studies = select_studies(spec, studies)
    if summed := relative_gains(spec, measured, of_studies.measured):
        of_studies = replace(of_studies, measured={**of_studies.measured, SUMMARY: summed})
    notes += (*_on_other_images(measured), *of_studies.notes)
    counted = Counted(measured, unmeasured, notes, of_studies)
    return replace(counted, notes=(*notes, *_on_other_networks(counted)))


def _problem(spec: Spec, cell: Cell, file: RecordFile, record: Record) -> str | None:
    """Why a record does not count; None if it does."""
    track = spec.tracks.get(cell.track)
    if track is None:
        return f"track {cell.track!r} is not in leaderboard.yaml"
    listed: dict[str, tuple[str | int, Sequence[str | int]]] = {
        "entry": (cell.entry, track.all_entries),
        "backbone": (cell.backbone, track.backbones_of(cell.entry)),
        "init": (cell.init, track.inits),
        "seed": (cell.seed, track.seeds),
    }
    for kind, (name, names) in listed.items():
        if name not in names:
            return f"{kind} {name!r} is not on track {cell.track!r}"
    entry = spec.entries[cell.entry]
    if (file.objective, file.detector) != (entry.objective, entry.detector):
        return f"entry {cell.entry!r} has another objective or detector than in leaderboard.yaml"
    if record.training is not None and not trained_so(
        spec, track, cell.init, spec.entries[cell.entry].objective, record.training
    ):
        return f"entry {cell.entry!r}: its networks were trained otherwise than leaderboard.yaml has now"
    if record.status == "measured" and (entry.tune is None) != (record.hp_mode != "proxy_ood"):
        return (
            f"entry {cell.entry!r} was measured by another protocol (tuned or not) than leaderboard.yaml has"
        )
    if record.status == "measured" and not _configured_so(entry, record):
        return f"entry {cell.entry!r} was measured with other hyper-parameters than leaderboard.yaml has"
    if record.measurement is not None and not _same_sets(track, record.measurement):
        return f"measured on other OOD sets or shifts than track {cell.track!r} has now"
    return None


def _configured_so(entry: Entry, record: Record) -> bool:
    """Whether the detector had the hyper-parameters that the entry gives, or was tuned over its grid."""
    grid = entry.tune or {}
    if grid:
        points = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
        tried = [{name: point.hyperparameters.get(name) for name in grid} for point in record.tuning or ()]
        if tried != points:
            return False
    elif not entry.hyperparameters:
        return record.hp_mode != "declared"
    chosen = record.hp_mode == "id_val"  # then a step that is not given is recorded as it was chosen
    used = record.hyperparameters
    given = {name: value for name, value in entry.hyperparameters.items() if name not in grid}
    return all(used.get(name) == value or (chosen and value is None) for name, value in given.items())


def _on_other_images(measured: Mapping[Cell, Measured]) -> Iterator[str]:
    """Say which image sets the measured records of a track saw in more than one version."""
    seen: dict[tuple[str, str], Counter[str]] = {}
    for cell, found in measured.items():
        for name, fingerprint in found.record.provenance.data.items() if found.record.provenance else ():
            seen.setdefault((cell.track, name), Counter())[fingerprint] += 1
    for (track, name), versions in seen.items():
        if len(versions) > 1:
            counts = ", ".join(str(count) for _, count in versions.most_common())
            yield (
                f"Records of track {track!r} that are shown side by side saw {len(versions)} versions of the "
                f"images of {name!r} (records: {counts}): the set was changed, or made on another machine"
            )


def _on_other_networks(counted: Counted) -> Iterator[str]:
    """Say whose records stand on other networks than most of the same place, track by track."""
    cells: list[tuple[Cell, Found]] = [
        item for study in (None, *STUDIES) for item in counted.of_study(study).items()
    ]
    seen: dict[NetworkPlace, Counter[str]] = {}
    for _, found in cells:
        for place, weights in found.stands.items():
            seen.setdefault(place, Counter())[weights] += 1
    most = {place: weights.most_common(1)[0][0] for place, weights in seen.items() if len(weights) > 1}
    apart: dict[str, Counter[str]] = {}
    for cell, found in cells if most else ():
        if any(most.get(place, weights) != weights for place, weights in found.stands.items()):
            apart.setdefault(cell.track, Counter())[cell.entry] += 1
    for track, rows in apart.items():
        yield (
            f"{_records(rows.total())} of track {track!r} that {'are' if rows.total() > 1 else 'is'} shown "
            f"side by side with others stand{'' if rows.total() > 1 else 's'} on other networks than most of "
            f"the same backbone, init, seed and objective: {', '.join(rows)}; they are not paired with those"
        )


def _same_sets(track: Track, measurement: Measurement) -> bool:
    """Whether means over OOD sets and over shifts are means over the sets that the track names."""
    expected = {**dict.fromkeys(track.near, "near"), **dict.fromkeys(track.far, "far")}
    shifts = {name: [s.severity for s in shifted] for name, shifted in measurement.robustness.items()}
    kinds = track.shifts.kinds if track.shifts else ()
    return {name: found.group for name, found in measurement.detection.items()} == expected and shifts == {
        kind: list(SEVERITIES) for kind in kinds
    }


def _one_measurement_a_key(
    by_key: dict[str, tuple[Cell, int]],
    cell: Cell,
    made: tuple[RecordFile, Record],
    numbers: Mapping[str, float],
) -> None:
    """Check that equal content keys mean equal measurements by the same method: else one was copied."""
    file, record = made
    settings = repr(sorted(record.hyperparameters.items()))
    said = hash((file.objective, file.detector, settings, *numbers.values()))
    before, what = by_key.setdefault(record.key, (cell, said))
    if what != said or before[:4] != cell[:4]:
        raise DataError(
            f"{cell}: key {record.key}: is also that of {before}, which is another measurement; expected a "
            "key of its own: remove the record that is not what its key says, and run it again"
        )


class _Order:
    """The places of cells in leaderboard.yaml."""

    def __init__(self, spec: Spec) -> None:
        self.tracks = _places([*spec.tracks])
        self.within = {
            name: [_places(names) for names in (track.all_entries, track.backbones, track.inits)]
            for name, track in spec.tracks.items()
        }

    def of(self, cell: Cell) -> tuple[int, ...]:
        entries, backbones, inits = self.within[cell.track]
        place = entries[cell.entry], backbones[cell.backbone], inits[cell.init]
        return self.tracks[cell.track], *place, cell.seed


def _places(names: Sequence[str]) -> dict[str, int]:
    return {name: i for i, name in enumerate(names)}


def _numbers(measurement: Measurement) -> dict[str, float]:
    """Every single number of a measurement by its path.

    `robustness.<shift>.<severity>.<metric>` is one shift at one severity; `robustness.<metric>` the mean over
    all shifts and the severities from 1.
    """
    tree = measurement.model_dump(exclude={"curves", "robustness"})
    found = dict(_leaves("", tree))
    for metric in SHIFTED:
        by_level = {
            (shift, level.severity): float(getattr(level, metric))
            for shift, levels in measurement.robustness.items()
            for level in levels
        }
        found |= {f"robustness.{shift}.{level}.{metric}": value for (shift, level), value in by_level.items()}
        if shifted := [value for (_, level), value in by_level.items() if level > 0]:
            found[f"robustness.{metric}"] = fmean(shifted)
    return found


def _leaves(path: str, node: Any) -> Iterator[tuple[str, float]]:
    if isinstance(node, dict):
        for key, child in node.items():
            yield from _leaves(f"{path}.{key}" if path else str(key), child)
    elif isinstance(node, int | float) and not isinstance(node, bool):
        yield path, float(node)


def _records(n: int) -> str:
    return "1 record" if n == 1 else f"{n} records"
