"""Which records count: those whose place and settings leaderboard.yaml asks for.

What is left out is said, never dropped silently. This module must not know how anything is shown.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

from benchmark.census import Census, refusal, trained_as_asked
from benchmark.errors import DataError
from benchmark.records.network_places import NetworkPlace, Stands, stands_of
from benchmark.records.results import Cell, Measurement, Record, RecordFile, TrainedWith
from benchmark.records.studies import StudyFile
from benchmark.records.trainings import TrainingFile
from benchmark.spec.leaderboard import Spec
from benchmark.studies.boundary import BoundaryFile
from methods.names import did_you_mean
from reports.boards.gains import relative_gains
from reports.claims.register import SUMMARY
from reports.studies.select import CountedStudies, Studied, select_studies

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
    planned: Mapping[str, int] = field(default_factory=dict)  # by track: cells of a full run
    trainings: tuple[TrainingFile, ...] = ()
    boundary: BoundaryFile | None = None  # the experiment in two dimensions

    def of_study(self, study: str | None) -> Mapping[Cell, Found]:
        """The measured cells of a study, with its rows in place of entries; of OOD detection if None."""
        return self.measured if study is None else self.studies.measured.get(study, {})

    def of_track(self, track: str) -> dict[Cell, Measured]:
        """The measured cells of a track."""
        return {cell: found for cell, found in self.measured.items() if cell.track == track}


def select(
    spec: Spec,
    results: Iterable[RecordFile],
    studies: Sequence[StudyFile] = (),
    trainings: Sequence[TrainingFile] = (),
    boundary: BoundaryFile | None = None,
) -> Counted:
    """Choose the records that belong to `spec`.

    `results` is read once, file by file; little is kept of each.

    Raises
    ------
    DataError
        If two records claim the same cell, or one content key for different measurements.
    """
    census = Census(spec)
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
            problem = refusal(census, file, record)
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
    of_studies = select_studies(census, studies)
    if summed := relative_gains(spec, measured, of_studies.measured):
        of_studies = replace(of_studies, measured={**of_studies.measured, SUMMARY: summed})
    curves, arms = _trained_as_asked(census, trainings), _of_arms(census, boundary)
    notes += (*_on_other_images(measured), *of_studies.notes, *_lost(trainings, boundary, curves, arms))
    planned = {name: census.count(name, None) for name in spec.tracks}
    counted = Counted(measured, unmeasured, notes, of_studies, planned, curves, arms)
    return replace(counted, notes=(*notes, *_on_other_networks(counted)))


def _trained_as_asked(census: Census, files: Sequence[TrainingFile]) -> tuple[TrainingFile, ...]:
    """The trainings of networks that the leaderboard asks for."""
    return tuple(
        file.model_copy(
            update={
                "records": [
                    record
                    for record in file.records
                    if trained_as_asked(census, file.track, file.objective, record.network, record.training)
                ]
            }
        )
        for file in files
    )


def _of_arms(census: Census, file: BoundaryFile | None) -> BoundaryFile | None:
    """The trainings in two dimensions that the leaderboard asks for, and the maps of their seeds."""
    if file is None:
        return None
    asked = census.arms()
    kept = [result for result in file.results if (result.arm, result.seed, result.steps) in asked]
    there = {(result.arm, result.seed) for result in kept}
    maps = [drawn for drawn in file.maps if (drawn.arm, drawn.seed) in there]
    return file.model_copy(update={"results": kept, "maps": maps})


def _lost(
    trainings: Sequence[TrainingFile],
    boundary: BoundaryFile | None,
    curves: Sequence[TrainingFile],
    arms: BoundaryFile | None,
) -> Iterator[str]:
    """Say which trainings were left out."""
    for before, after in zip(trainings, curves, strict=True):
        if lost := len(before.records) - len(after.records):
            yield (
                f"{_records(lost)} of trainings left out: no network of {before.objective!r} on track "
                f"{before.track!r} is trained so by leaderboard.yaml now"
            )
    if boundary is not None and arms is not None and (lost := len(boundary.results) - len(arms.results)):
        yield f"{_records(lost)} of two dimensions left out: leaderboard.yaml has other seeds or steps now"


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
    studies = (study for study in counted.studies.measured if study != SUMMARY)
    cells: list[tuple[Cell, Found]] = [
        item for study in (None, *studies) for item in counted.of_study(study).items()
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
