"""Which records of the studies count, and the numbers of each row's networks over all conditions.

A study measures a row (an objective, or a way of training) of one backbone, init and seed under one condition
or several. What is left out is said. This module must not know how anything is shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from benchmark.errors import DataError
from benchmark.results import Cell, TrainedWith
from benchmark.spec import Spec, Track
from benchmark.spec_studies import Adversarial, Corruptions, Imbalance, LabelNoise, Study, inits_of, rows_of
from benchmark.studies.records import STUDIES, StudyFile, StudyRecord
from methods.names import did_you_mean
from reports.study_numbers import (
    Numbers,
    adversarial_numbers,
    corruption_numbers,
    imbalance_numbers,
    noise_numbers,
    parse_noise,
    relative_corruption,
)
from reports.trained import sampled_so, trained_so, transformed_so

PLAIN = "cross_entropy"  # the objective of networks that nothing was done to
Grid = tuple[tuple[str, ...], tuple[float, ...]]  # noises and strengths, or profiles and nothing


@dataclass(frozen=True)
class Studied:
    """What a study measured of one row's networks of one seed, over the conditions that there are."""

    study: str
    cell: Cell  # with the row in place of the entry
    records: Mapping[str, StudyRecord]  # by condition
    numbers: Mapping[str, float]  # by metric path
    absent: Mapping[str, str] = field(default_factory=dict)  # numbers that need more records: which

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

    @property
    def train_seconds(self) -> list[float]:
        """What each network took, where that is recorded."""
        return [r.train_seconds for r in self.records.values() if r.train_seconds is not None]

    @property
    def pretrain_seconds(self) -> list[float]:
        """Not told apart from the training in records of studies."""
        return []

    @property
    def hp_modes(self) -> list[str]:
        """How hyper-parameters were chosen: by leaderboard.yaml or the publication, never by results."""
        return ["declared"]


@dataclass(frozen=True)
class StudySelection:
    """The study records that count, in the order of leaderboard.yaml, and notes on those that do not."""

    measured: Mapping[str, Mapping[Cell, Studied]]  # by study
    failed: Mapping[str, Mapping[tuple[Cell, str], StudyRecord]]  # by study; cell and condition
    planned: Mapping[tuple[str, str], int]  # by track and study: records of a full run
    notes: tuple[str, ...]


def select_studies(spec: Spec, files: Sequence[StudyFile]) -> StudySelection:
    """Choose the study records that belong to `spec`, and compute what they come to.

    Raises
    ------
    DataError
        If two records claim the same cell and condition.
    """
    chosen: dict[str, dict[Cell, dict[str, StudyRecord]]] = {}
    failed: dict[str, dict[tuple[Cell, str], StudyRecord]] = {}
    left_out: Counter[str] = Counter()
    for file in files:
        for record in file.records:
            cell = Cell(file.track, record.backbone, record.init, record.seed, file.row)
            problem = _problem(spec, file, cell, record)
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
            else:
                bad[cell, record.condition] = record
    measured: dict[str, Mapping[Cell, Studied]] = {
        study: {
            cell: found
            for name, track in spec.tracks.items()
            for cell, found in _numbers_of(name, track, study, chosen[study])
        }
        for study in STUDIES
        if study in chosen
    }
    notes = tuple(
        f"{n} study record{'s' * (n > 1)} left out: {problem}" for problem, n in sorted(left_out.items())
    )
    planned: dict[tuple[str, str], int] = {
        (name, study): _planned(track, found)
        for name, track in spec.tracks.items()
        for study, found in track.studies.chosen(full=True).items()
    }
    return StudySelection(measured, failed, planned, notes)


def backbones_of(track: Track, study: Study) -> list[str]:
    """The backbones that a study is made on."""
    return study.backbones or track.backbones


def inits_of_row(study: Study, row: str) -> list[str]:
    """The inits that a row of a study has."""
    return study.networks[row] if isinstance(study, Adversarial | Corruptions) else inits_of(study)


def plain_row(spec: Spec, study: Study) -> str | None:
    """The row whose networks nothing was done to, where there is one."""
    methods = {} if isinstance(study, Adversarial | Corruptions) else study.methods
    for row in rows_of(study):
        method = methods.get(row)
        name = row if method is None else method.objective
        more = getattr(method, "trusted", 0) or getattr(method, "sampler", None)
        use = spec.objectives.get(name)
        objective = name if use is None else use.objective
        if objective == PLAIN and not (more or (use and (use.hyperparameters or use.outliers))):
            return row
    return None


def _problem(spec: Spec, file: StudyFile, cell: Cell, record: StudyRecord) -> str | None:
    """Why a record does not count; None if it does."""
    track = spec.tracks.get(cell.track)
    if track is None:
        return f"track {cell.track!r} is not in leaderboard.yaml"
    study = track.studies.chosen(full=True).get(file.study)
    if study is None:
        return f"study {file.study!r} is not on track {cell.track!r}"
    where = f"in study {file.study!r} on track {cell.track!r}"
    if cell.entry not in rows_of(study):
        return f"row {cell.entry!r} is not {where}"
    listed: dict[str, tuple[str | int, Sequence[str | int]]] = {
        "backbone": (cell.backbone, backbones_of(track, study)),
        "init": (cell.init, inits_of_row(study, cell.entry)),
        "seed": (cell.seed, track.seeds),
    }
    for kind, (name, names) in listed.items():
        if name not in names:
            return f"{kind} {name!r} of row {cell.entry!r} is not {where}"
    if not _known_condition(study, record.condition):
        return f"condition {record.condition!r} is not {where}"
    if not _made_so(spec, track, study, cell, record):
        return f"row {cell.entry!r} {where} was trained otherwise than leaderboard.yaml has now"
    if record.status == "measured" and (lacking := _lacking(study, record)):
        return f"row {cell.entry!r} {where} was measured without {lacking}, or with more"
    return None


def _known_condition(study: Study, condition: str) -> bool:
    if isinstance(study, LabelNoise):
        parsed = parse_noise(condition)
        return parsed is not None and parsed[0] in study.noises and parsed[1] in study.strengths
    return condition in study.profiles if isinstance(study, Imbalance) else condition == ""


def _made_so(spec: Spec, track: Track, study: Study, cell: Cell, record: StudyRecord) -> bool:
    """Whether leaderboard.yaml would train the network in this way."""
    training, objective = record.training, cell.entry
    done, sampler = training.training_set or {}, None
    if isinstance(study, LabelNoise):
        method = study.methods[cell.entry]
        objective = method.objective
        noise = study.noises[record.condition.partition("@")[0]]
        if done.get("trusted", 0.0) != method.trusted or not transformed_so(done, "noise", noise):
            return False
    elif isinstance(study, Imbalance):
        objective, sampler = study.methods[cell.entry].objective, study.methods[cell.entry].sampler
        if not transformed_so(done, "profile", study.profiles[record.condition]):
            return False
    if not sampled_so(training.sampler, sampler):
        return False
    return trained_so(spec, track, cell.init, objective, training)


def _lacking(study: Study, record: StudyRecord) -> str:
    """Attacks or corruption types that only one of record and leaderboard.yaml has."""
    if isinstance(study, Adversarial):
        return ", ".join(a for a in study.attacks if f"{a}.accuracy" not in record.numbers)
    if isinstance(study, Corruptions):
        kinds = {k.removesuffix(".error") for k in record.numbers if k.endswith(".error")} - {"mean"}
        return ", ".join(sorted(kinds ^ set(study.kinds)))
    return ""


def _numbers_of(
    name: str, track: Track, study: str, chosen: Mapping[Cell, Mapping[str, StudyRecord]]
) -> Iterator[tuple[Cell, Studied]]:
    """The cells of one track in the order of leaderboard.yaml, with their numbers."""
    there = {cell: records for cell, records in chosen.items() if cell.track == name and records}
    if not there:
        return
    every = dict(track.studies.chosen(full=False))
    known = dict(track.studies.chosen(full=True))[study]  # type: ignore[index]
    conditions = {condition for records in there.values() for condition in records}
    grid = _grid(every[study], known, conditions)  # type: ignore[index]
    inits = inits_of(known)
    order = rows_of(known)

    def place(cell: Cell) -> tuple[int, ...]:
        backbones = backbones_of(track, known)
        return order.index(cell.entry), backbones.index(cell.backbone), inits.index(cell.init), cell.seed

    for cell in sorted(there, key=place):
        numbers, absent = _measured(known, there[cell], grid)
        if isinstance(known, Corruptions):
            base = _scratch(there, cell)
            relative, lack = relative_corruption(there[cell][""].numbers, base, known.kinds)
            numbers, absent = {**numbers, **relative}, {**absent, **lack}
        yield cell, Studied(study, cell, there[cell], numbers, absent)


def _measured(known: Study, records: Mapping[str, StudyRecord], grid: Grid) -> Numbers:
    if isinstance(known, Adversarial):
        return adversarial_numbers(records[""], known)
    if isinstance(known, Corruptions):
        return corruption_numbers(records[""])
    if isinstance(known, LabelNoise):
        listed = [f"{noise}@{p:g}" for noise in known.noises for p in known.strengths]
        return noise_numbers(records, *grid, listed)
    return imbalance_numbers(records, grid[0])


def _scratch(there: Mapping[Cell, Mapping[str, StudyRecord]], cell: Cell) -> Mapping[str, float] | None:
    """The numbers of the plain network from scratch of the same backbone and seed."""
    base = there.get(cell._replace(init="scratch", entry=PLAIN), {})
    return base[""].numbers if base else None


def _grid(every: Study, full: Study, conditions: set[str]) -> Grid:
    """The conditions that means are over: a full run's if any record is of one of those, else every run's."""
    if isinstance(full, Imbalance) and isinstance(every, Imbalance):
        return tuple((every if conditions <= every.profiles.keys() else full).profiles), ()
    if isinstance(full, LabelNoise) and isinstance(every, LabelNoise):
        found = [parsed for condition in conditions if (parsed := parse_noise(condition))]
        known = all(noise in every.noises and p in every.strengths for noise, p in found)
        study = every if known else full
        return tuple(study.noises), tuple(study.strengths)
    return (), ()


def _planned(track: Track, study: Study) -> int:
    """How many records a full run makes."""
    conditions = 1
    if isinstance(study, LabelNoise):
        conditions = len(study.noises) * len(study.strengths)
    elif isinstance(study, Imbalance):
        conditions = len(study.profiles)
    networks = sum(len(inits_of_row(study, row)) for row in rows_of(study))
    return conditions * networks * len(backbones_of(track, study)) * len(track.seeds)
