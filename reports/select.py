"""Which records count: those whose place and settings leaderboard.yaml asks for.

What is left out is said, never dropped silently. This module must not know how anything is shown.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import nan

from benchmark.census import Census, refusal
from benchmark.datasets.seen import seen_by_any
from benchmark.errors import DataError
from benchmark.records.network_places import NetworkPlace, Stands, stands_of
from benchmark.records.place import Place
from benchmark.records.record import DETECTION, TRAININGS, Cell, Record, RecordFile, TrainedWith
from benchmark.spec.leaderboard import Spec
from benchmark.studies.detection.measurement import Measurement
from benchmark.studies.detection.records import absent_of, measurement_of, numbers_of, unseen_means
from benchmark.verify.ledger import Ledger, Verification, digest_of
from methods.names import did_you_mean
from reports.boards.gains import relative_gains
from reports.claims.register import SUMMARY
from reports.costs import COSTS, FORWARDS, MS, cost_of, in_forwards, passed_ms
from reports.studies.select import CountedStudies, Studied, select_studies

NO_STUDIES = CountedStudies({}, {}, {}, {}, ())


class Numbers(Mapping[str, float]):
    """Numbers by metric path. Cells that measured the same paths share these."""

    __slots__ = ("_place", "_values")

    def __init__(self, place: Mapping[str, int], values: array[float]) -> None:
        self._place, self._values = place, values

    def __getitem__(self, path: str) -> float:
        return self._values[self._place[path]]

    def __contains__(self, path: object) -> bool:
        return path in self._place

    def __iter__(self) -> Iterator[str]:
        return iter(self._place)

    def __len__(self) -> int:
        return len(self._values)

    def put(self, path: str, value: float) -> None:
        """Set a number that was not known before."""
        self._values[self._place[path]] = value


@dataclass(frozen=True, slots=True)
class Measured:
    """A measured cell: of its record what pages may need, so that many are held at once."""

    file: RecordFile  # without records
    record: Record  # without numbers and series
    measurement: Measurement | None  # where a plot may show it: of the entries that are drawn
    numbers: Numbers  # by metric path
    seen: tuple[str, ...] = ()  # OOD sets that weights of its track were trained on
    verification: Verification | None = None  # in which it was computed again, as it is, and stood

    @property
    def drawn(self) -> Measurement:
        """What a plot shows.

        Raises
        ------
        LookupError
            If no plot may show this cell.
        """
        if self.measurement is None:
            raise LookupError(f"{self.file.row} is not drawn on track {self.file.track}")
        return self.measurement

    @property
    def ood_sets(self) -> list[str]:
        """The OOD sets that it was measured on, and that no weights of its track were trained on."""
        sets = (
            path.split(".")[1] for path in self.numbers if path.startswith("detection.") and "auroc" in path
        )
        return [name for name in sets if name not in self.seen]

    @property
    def absent(self) -> Mapping[str, str]:
        """Numbers that it lacks and records of today have, and why."""
        lacking = {path: "what it took is not recorded" for path in COSTS if path not in self.numbers}
        return absent_of(self.numbers) | lacking

    def number(self, metric: str, where: str) -> float:
        """One number of the measurement.

        Raises
        ------
        DataError
            If nothing is measured under that path; `where` says who asked for it.
        """
        if metric not in self.numbers:
            cell = f"{self.file.track} {self.file.row} {self.record.cell}"
            reason = self.absent.get(metric) or did_you_mean(metric, self.numbers)
            raise DataError(f"{where}: {metric!r} was not measured (record {cell}); {reason}")
        return self.numbers[metric]

    @property
    def verifications(self) -> tuple[Verification | None, ...]:
        """In which each of its records stood: there is one."""
        return (self.verification,)

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
        return (self.record.checkpoint,)

    @property
    def stands(self) -> Stands:
        """The weights of its network by where it was trained."""
        return stands_of(Place(self.file.track, DETECTION, self.file.row, *self.record.cell), self.record)

    @property
    def train_seconds(self) -> list[float]:
        """What its network took, where that is recorded."""
        cost = self.record.cost
        return [] if cost is None or cost.train_seconds is None else [cost.train_seconds]

    @property
    def trained_in(self) -> list[str]:
        """Where its network was trained, as `Counted.devices` knows it."""
        made = self.record.provenance
        return [] if made is None or made.trained_in is None else [made.trained_in]

    @property
    def pretrain_seconds(self) -> list[float]:
        """What its first weights took, where that is recorded."""
        cost = self.record.cost
        return [] if cost is None or cost.pretrain_seconds is None else [cost.pretrain_seconds]

    @property
    def hp_modes(self) -> list[str]:
        """How the detector's hyper-parameters were chosen."""
        return [self.record.settings["hp_mode"]]

    @property
    def transductive(self) -> bool:
        """Whether each score depends on the images that were scored with it."""
        return bool(self.record.settings.get("transductive"))

    @property
    def objective(self) -> str:
        """Of its network, in leaderboard.yaml."""
        return str(self.record.settings["objective"])


Found = Measured | Studied


@dataclass(frozen=True)
class Counted:
    """The records that count, in the order of leaderboard.yaml, and a note on each kind that does not."""

    measured: Mapping[Cell, Measured]
    unmeasured: Mapping[Cell, Record]
    notes: tuple[str, ...]
    studies: CountedStudies = field(default=NO_STUDIES)
    planned: Mapping[str, int] = field(default_factory=dict)  # by track: cells of a full run
    trainings: tuple[RecordFile, ...] = ()  # of networks
    devices: Mapping[str, str | None] = field(default_factory=dict)  # by environment; None is a CPU

    def of_study(self, study: str | None) -> Mapping[Cell, Found]:
        """The measured cells of a study, with its rows in place of entries; of OOD detection if None."""
        return self.measured if study is None else self.studies.measured.get(study, {})

    def of_track(self, track: str) -> dict[Cell, Measured]:
        """The measured cells of a track."""
        return {cell: found for cell, found in self.measured.items() if cell.track == track}


def select(spec: Spec, results: Iterable[RecordFile], ledger: Ledger | None = None) -> Counted:
    """Choose the records that belong to `spec`.

    `results` is read once, file by file; of OOD detection little is kept of each. `ledger` says which records
    were verified.

    Raises
    ------
    DataError
        If two records claim the same cell, or one content key for different measurements.
    """
    census = Census(spec)
    last = {} if ledger is None else ledger.last()
    cells, others = _Cells(spec, census, last), dict[str, list[RecordFile]]()
    devices: dict[str, str | None] = {}
    for file in results:
        devices |= {name: environment.accelerator for name, environment in file.environments.items()}
        if file.study == DETECTION:
            cells.add(file)
        else:
            others.setdefault(file.study, []).append(file)
    measured, unmeasured = cells.in_order()
    trainings, no_trainings = _asked(census, others.pop(TRAININGS, []))
    of_studies = select_studies(census, [file for files in others.values() for file in files], last)
    if summed := relative_gains(spec, measured, of_studies.measured):
        of_studies = replace(of_studies, measured={**of_studies.measured, SUMMARY: summed})
    notes = tuple(f"{_records(n)} left out: {problem}" for problem, n in sorted(cells.left_out.items()))
    notes += (*_on_other_images(measured), *of_studies.notes)
    notes += tuple(f"{_records(n)} of trainings left out: {problem}" for problem, n in no_trainings.items())
    planned = {name: census.count(name, DETECTION) for name in spec.tracks}
    counted = Counted(measured, unmeasured, notes, of_studies, planned, trainings, devices)
    return replace(counted, notes=(*notes, *_on_other_networks(counted)))


class _Cells:
    """The cells of OOD detection that the leaderboard asks for."""

    def __init__(self, spec: Spec, census: Census, last: Mapping[str, Verification]) -> None:
        self.left_out: Counter[str] = Counter()
        self._spec, self._census, self._last = spec, census, last
        self._chosen: dict[Cell, Measured | Record] = {}
        self._places: dict[tuple[str, ...], dict[str, int]] = {}
        self._seen = {name: seen_by_any(spec, name) for name in spec.tracks}
        self._by_key: dict[str, tuple[Cell, int]] = {}
        self._bare: dict[tuple[str, str, str, int], float] = {}  # ms of a forward pass, by network

    def add(self, file: RecordFile) -> None:
        """Take those of a file."""
        about = file.model_copy(update={"records": []})
        track = self._spec.tracks.get(file.track)
        drawn = track is not None and file.row in (track.drawn or track.entries)
        for record in file.records:
            cell = Cell(file.track, record.backbone, record.init, record.seed, file.row)
            problem = refusal(self._census, file, record)
            if problem:
                self.left_out[problem] += 1
            elif cell in self._chosen:
                raise DataError(f"two records of the cell {cell}; expected one, remove a record file")
            elif record.status == "measured":
                found = numbers_of(record)
                _one_measurement_a_key(self._by_key, cell, record, found)
                cost = cost_of(record, found)
                passed = passed_ms(record, found)
                if cost and passed is not None:
                    network = cell.track, cell.backbone, cell.init, cell.seed
                    self._bare[network] = min(passed, self._bare.get(network, passed))
                if cost:
                    cost[FORWARDS] = nan  # known when all cells of the network are
                found |= unseen_means(record, self._seen[file.track]) | cost
                place = self._places.setdefault(tuple(found), {path: i for i, path in enumerate(found)})
                numbers = Numbers(place, array("d", found.values()))
                slim = record.model_copy(update={"numbers": {}, "series": {}})
                shown = measurement_of(record) if drawn else None
                stood = self._last.get(digest_of(file, record)) if self._last else None
                self._chosen[cell] = Measured(about, slim, shown, numbers, self._seen[file.track], stood)
            else:
                self._chosen[cell] = record

    def in_order(self) -> tuple[dict[Cell, Measured], dict[Cell, Record]]:
        """Those that are measured, and those that are not, as in leaderboard.yaml."""
        measured: dict[Cell, Measured] = {}
        unmeasured: dict[Cell, Record] = {}
        for cell in sorted(self._chosen, key=_Order(self._spec).of):
            one = self._chosen[cell]
            if isinstance(one, Measured):
                self._put_forwards(cell, one)
                measured[cell] = one
            else:
                unmeasured[cell] = one
        return measured, unmeasured

    def _put_forwards(self, cell: Cell, found: Measured) -> None:
        bare = self._bare.get((cell.track, cell.backbone, cell.init, cell.seed))
        if FORWARDS in found.numbers and bare is not None:
            found.numbers.put(FORWARDS, in_forwards(found.numbers[MS], found.networks, bare))


def _asked(census: Census, files: Iterable[RecordFile]) -> tuple[tuple[RecordFile, ...], Counter[str]]:
    """Files with the measured records that the leaderboard asks for, and why others do not count."""
    left_out: Counter[str] = Counter()
    kept = []
    for file in files:
        records = []
        for record in file.records:
            if problem := refusal(census, file, record):
                left_out[problem] += 1
            elif record.status != "measured":
                left_out[f"{record.status.replace('_', ' ')}: {record.reason or 'no reason recorded'}"] += 1
            else:
                records.append(record)
        kept.append(file.model_copy(update={"records": records}))
    return tuple(file for file in kept if file.records), left_out


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
    by_key: dict[str, tuple[Cell, int]], cell: Cell, record: Record, numbers: Mapping[str, float]
) -> None:
    """Check that equal content keys mean equal measurements by the same method: else one was copied."""
    made = record.settings["objective"], record.settings["detector"]
    settings = repr(sorted(record.settings["hyperparameters"].items()))
    said = hash((*made, settings, *numbers.values()))
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
            name: [_places(names) for names in (track.all_entries, track.backbones, track.entry_inits)]
            for name, track in spec.tracks.items()
        }

    def of(self, cell: Cell) -> tuple[int, ...]:
        entries, backbones, inits = self.within[cell.track]
        place = entries[cell.entry], backbones[cell.backbone], inits[cell.init]
        return self.tracks[cell.track], *place, cell.seed


def _places(names: Sequence[str]) -> dict[str, int]:
    return {name: i for i, name in enumerate(names)}


def _records(n: int) -> str:
    return "1 record" if n == 1 else f"{n} records"
