"""Which records of the studies count, and the numbers of each row's networks over all conditions.

A study measures a row (an objective, or a way of training) of one backbone, init and seed under one condition
or several. What is left out is said. This module must not know how anything is shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from benchmark.census import Census, Selection, refusal
from benchmark.errors import DataError
from benchmark.records.network_places import NetworkPlace, Stands, stands_of
from benchmark.records.place import Place
from benchmark.records.record import DETECTION, PLANE, Cell, Record, RecordFile, TrainedWith
from benchmark.spec.leaderboard import Spec
from benchmark.spec.networks import Scratch
from benchmark.studies.settings import AnyStudy
from benchmark.verify.ledger import Verification, digest_of
from methods.names import did_you_mean
from reports.studies.numbers import Row, numbers_of

PLAIN = "cross_entropy"  # the objective of networks that nothing was done to


@dataclass(frozen=True)
class Studied:
    """What a study measured of one row's networks of one seed, over the conditions that there are."""

    study: str
    cell: Cell  # with the row in place of the entry
    records: Mapping[str, Record]  # by condition
    numbers: Mapping[str, float]  # by metric path
    absent: Mapping[str, str] = field(default_factory=dict)  # numbers that need more records: which
    verifications: tuple[Verification | None, ...] = ()  # in which each of its own records stood

    networks = 1  # of which each number comes

    def number(self, metric: str, where: str) -> float:
        """One number of the study.

        Raises
        ------
        DataError
            If there is nothing under that path; `where` says who asked for it.
        """
        if metric not in self.numbers:
            reason = self.absent.get(metric) or did_you_mean(metric, [*self.numbers, *self.absent])
            raise DataError(
                f"{where}: {metric!r} was not measured (study {self.study} of {self.cell}); {reason}"
            )
        return self.numbers[metric]

    @property
    def init(self) -> str:
        """Where the networks' first weights come from."""
        return self.cell.init

    @property
    def trained(self) -> Mapping[str, TrainedWith | None]:
        """How the network of each condition was trained."""
        return {condition: record.training for condition, record in self.records.items()}

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """The weights of the network of each condition."""
        return tuple(record.checkpoint or record.key for _, record in sorted(self.records.items()))

    @cached_property
    def stands(self) -> Stands:
        """The weights of its networks by where they were trained."""
        found: dict[NetworkPlace, str] = {}
        for record in self.records.values():
            found |= stands_of(Place(self.cell.track, self.study, self.cell.entry, *record.cell), record)
        return found

    @property
    def train_seconds(self) -> list[float]:
        """What each network took, where that is recorded."""
        costs = [record.cost for record in self.records.values() if record.cost is not None]
        return [cost.train_seconds for cost in costs if cost.train_seconds is not None]

    @property
    def trained_in(self) -> list[str]:
        """Where the network of each condition was trained, as `reports.select.Counted.devices` knows it."""
        made = [record.provenance for record in self.records.values() if record.provenance is not None]
        return [one.trained_in for one in made if one.trained_in is not None]

    @property
    def pretrain_seconds(self) -> list[float]:
        """Not told apart from the training in records of studies."""
        return []

    @property
    def hp_modes(self) -> list[str]:
        """How hyper-parameters were chosen: by leaderboard.yaml or the publication, never by results."""
        return ["declared"]

    @property
    def transductive(self) -> bool:
        """No study measures a detector of images that are scored together."""
        return False


@dataclass(frozen=True)
class CountedStudies:
    """The study records that count, in the order of leaderboard.yaml, and notes on those that do not."""

    measured: Mapping[str, Mapping[Cell, Studied]]  # by study
    failed: Mapping[str, Mapping[tuple[Cell, str], Record]]  # by study; cell and condition
    planned: Mapping[tuple[str, str], int]  # by track and study: records of a full run
    over: Mapping[tuple[str, str], AnyStudy]  # by track and study: whose conditions means are over
    notes: tuple[str, ...]


def select_studies(
    census: Census, files: Sequence[RecordFile], last: Mapping[str, Verification] | None = None
) -> CountedStudies:
    """Choose the study records that the leaderboard asks for, and compute what they come to.

    Parameters
    ----------
    last : by record the verification in which it stood last.

    Raises
    ------
    DataError
        If two records claim the same cell and condition.
    """
    spec = census.spec
    chosen: dict[str, dict[Cell, dict[str, Record]]] = {}
    failed: dict[str, dict[tuple[Cell, str], Record]] = {}
    left_out: Counter[str] = Counter()
    stood: dict[tuple[str, Cell], list[Verification | None]] = {}
    for file in files:
        for record in file.records:
            cell = Cell(file.track, record.backbone, record.init, record.seed, file.row)
            problem = refusal(census, file, record)
            if problem:
                left_out[problem] += 1
                continue
            where = chosen.setdefault(file.study, {}).setdefault(cell, {})
            bad = failed.setdefault(file.study, {})
            if record.condition in where or (cell, record.condition) in bad:
                what = f"{cell} {record.condition}".rstrip()
                raise DataError(f"two records of the study {file.study} of {what}; expected one")
            if record.status == "measured":
                where[record.condition] = record
                one = last.get(digest_of(file, record)) if last else None
                stood.setdefault((file.study, cell), []).append(one)
            else:
                bad[cell, record.condition] = record
    asked = [(name, study) for name in census.tracks for study in census.studies(name) if study != DETECTION]
    measured: dict[str, Mapping[Cell, Studied]] = {}
    over: dict[tuple[str, str], AnyStudy] = {}
    for name, study in sorted(asked, key=lambda place: [*spec.studies, PLANE].index(place[1])):
        there = {cell: found for cell, found in chosen.get(study, {}).items() if cell.track == name and found}
        if there:
            over[name, study] = _over(census, name, study, [set(records) for records in there.values()])
            found = _numbers_of(census, name, study, there, over[name, study])
            told = {
                cell: replace(one, verifications=tuple(stood[study, cell])) for cell, one in found.items()
            }
            measured[study] = {**measured.get(study, {}), **told}
    notes = tuple(
        f"{n} study record{'s' * (n > 1)} left out: {problem}" for problem, n in sorted(left_out.items())
    )
    planned = {(name, study): census.count(name, study) for name, study in asked}
    return CountedStudies(measured, failed, planned, over, notes)


def plain_row(spec: Spec, study: AnyStudy) -> str | None:
    """The row whose networks nothing was done to, where there is one."""
    for row in study.rows:
        name = study.objective_of(row)
        use = spec.objectives.get(name)
        objective = name if use is None else use.objective
        more = use is not None and (use.hyperparameters or use.outliers)
        if objective == PLAIN and study.is_plain(row) and not more:
            return row
    return None


def _numbers_of(
    census: Census, name: str, study: str, there: Mapping[Cell, Mapping[str, Record]], over: AnyStudy
) -> dict[Cell, Studied]:
    """The cells of one track in the order of leaderboard.yaml, with their numbers."""
    known, listed = census.studies(name)[study], census.networks(name).backbones
    inits, order = known.all_inits, known.rows
    derived = numbers_of(study).derived

    def place(cell: Cell) -> tuple[int, ...]:
        backbones = known.backbones_on(cell.entry, listed)
        return order.index(cell.entry), backbones.index(cell.backbone), inits.index(cell.init), cell.seed

    found = {}
    for cell in sorted(there, key=place):
        plain = _scratch(census.spec, known, there, cell.backbone) if known.trains else []
        numbers, absent = derived(Row(cell.entry, there[cell], known, over, plain))
        found[cell] = Studied(study, cell, there[cell], numbers, absent)
    return found


def _scratch(
    spec: Spec, study: AnyStudy, there: Mapping[Cell, Mapping[str, Record]], backbone: str
) -> list[Mapping[str, Record]]:
    """The records of the plain networks from scratch of a backbone."""
    plain = plain_row(spec, study)
    return [
        records
        for cell, records in there.items()
        if (cell.backbone, cell.entry) == (backbone, plain) and isinstance(spec.inits.get(cell.init), Scratch)
    ]


def _over(census: Census, name: str, study: str, there: Sequence[set[str]]) -> AnyStudy:
    """Whose conditions means are over, the same for all cells, so that they can be compared.

    A full run's, once most cells that have every run's conditions have those too; else every run's, so that a
    full run that has just begun takes nothing from the page.
    """
    full = census.studies(name)[study]
    every = census.studies(name, Selection(studies=(study,))).get(study, full)
    ordinary, whole = (sum(found.issuperset(known.conditions) for found in there) for known in (every, full))
    return full if 2 * whole > ordinary else every
