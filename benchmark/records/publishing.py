"""From a user's own records to the published ones: what may go over, what may not and why, and what changes.

Published are finished records of today's keys, and only so that all published rows of one network stay on one
network: rows of networks trained apart cannot be paired (`benchmark.records.network_places`). Each file is
written atomically and a record that says the same is left as it is, so that a call that was killed is made
again and goes on. Records are data here: nothing is computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.errors import UsageError
from benchmark.jobs.job import Kind
from benchmark.plan.make import Plan, PlannedCell, PlannedStudy, Selection
from benchmark.records.comparison import Compared, Place, Seen, seen
from benchmark.records.network_places import NetworkPlace
from benchmark.records.results import BOUNDARY, Record, RecordFile, merge, read_all, update_records
from benchmark.records.studies import (
    StudyFile,
    StudyRecord,
    read_studies,
    read_study,
    study_path,
    write_study,
)
from benchmark.records.text import results_lock
from benchmark.records.trainings import (
    TrainingFile,
    TrainingRecord,
    read_trainings,
    training_path,
    write_training,
)
from benchmark.store.artifacts import Store
from benchmark.store.files import require_writable
from benchmark.studies.boundary import FILE as BOUNDARY_FILE
from benchmark.studies.boundary import BoundaryFile, boundary_file, read_boundary, write_boundary

Planned = PlannedCell | PlannedStudy
NetworkId = tuple[str, str, str, str, int]  # track, objective, backbone, init, seed
PLANE = Place(BOUNDARY, "", BOUNDARY, "", "", 0)  # of the experiment in two dimensions, which is one file


@dataclass(frozen=True)
class Refused:
    """Records that are not published, all of one row and for one reason."""

    reason: str
    subject: str  # track and row
    places: tuple[Place, ...]


@dataclass(frozen=True)
class Publication:
    """What a call publishes; nothing is written before `write`."""

    results: Path
    published: Path
    new: tuple[Place, ...]
    changed: tuple[Compared, ...]  # the published record, and its successor
    unchanged: tuple[Place, ...]
    refused: tuple[Refused, ...]
    missing: Mapping[str, int]  # by track and row, of rows that are offered: cells that were not run
    files: Sequence[RecordFile] = ()
    studies: Sequence[StudyFile] = ()
    trainings: Sequence[TrainingFile] = ()
    plane: BoundaryFile | None = None

    def write(self) -> list[Path]:
        """Write what may be published; return the files that changed.

        Raises
        ------
        StorageError
            If a file cannot be written; what is written before it is whole, and the same call goes on.
        """
        require_writable(self.published)
        written = list(update_records(self.published, self.files).written)
        with results_lock(self.published):
            for study in self.studies:
                path = study_path(self.published, study.track, study.study, study.row)
                if write_study(path, merge(read_study(path) if path.exists() else None, study)):
                    written.append(path)
            for training in self.trainings:
                path = training_path(self.published, training.track, training.objective)
                if write_training(path, training):
                    written.append(path)
        if self.plane is not None and write_boundary(self.published / BOUNDARY_FILE, self.plane):
            written.append(self.published / BOUNDARY_FILE)
        return written


@dataclass
class _Sorted:
    """The offered records: what may go over so far, and what may not."""

    fit: dict[Place, Seen] = field(default_factory=dict)
    refused: dict[Place, str] = field(default_factory=dict)
    same: set[Place] = field(default_factory=set)  # those that fit and say what is published already

    def refuse(self, place: Place, reason: str) -> None:
        self.fit.pop(place, None)
        self.same.discard(place)
        self.refused[place] = reason


def prepare(plan: Plan, results: Path, published: Path, cache: Path) -> Publication:
    """Decide what of `results` may be published.

    Parameters
    ----------
    plan : of the selection, with what only a full run measures; says which key each record has today.
    results, published : folders of records.
    cache : tells whether the experiment in two dimensions, whose file has no key, is of today.

    Raises
    ------
    UsageError
        If both folders are one, or `results` has no records that are selected.
    DataError
        If a file of either folder cannot be read.
    """
    if results.resolve() == published.resolve():
        raise UsageError(f"{results}: the folder of the published records itself; expected another --results")
    files, studies = read_all(results), read_studies(results)
    planned = _planned(plan)
    offered = {place: it for place, it in seen(files, studies).items() if _selected(place, plan.selection)}
    sorted_ = _Sorted()
    for place, record in offered.items():
        reason = _unfit(plan, planned.get(place), place, record)
        if reason:
            sorted_.refuse(place, reason)
        else:
            sorted_.fit[place] = record
    trainings = _trainings(results, sorted_, planned)
    there = seen(read_all(published), read_studies(published))
    sorted_.same = {p for p, one in sorted_.fit.items() if p in there and _same_result(one, there[p])}
    while _refuse_apart(sorted_, there):
        pass  # what is refused stays as it is published, which others may not fit to
    plane = _plane(plan, results, cache, sorted_)
    if not offered and plane is None and not sorted_.refused:
        raise UsageError(f"{results}: has no records that are selected; `oodbench run` writes them there")
    return _publication(sorted_, planned, there, (results, published), (files, studies, trainings), plane)


def _publication(
    sorted_: _Sorted,
    planned: Mapping[Place, Planned],
    there: Mapping[Place, Seen],
    folders: tuple[Path, Path],
    read: tuple[list[RecordFile], list[StudyFile], dict[NetworkId, TrainingRecord]],
    plane: BoundaryFile | None,
) -> Publication:
    fit = sorted_.fit
    changed = {place: one for place, one in fit.items() if place in there and place not in sorted_.same}
    rows = {place[:3] for place in fit}
    missing: dict[str, int] = {}
    for place in planned:
        if place[:3] in rows and place not in fit and place not in sorted_.refused:
            missing[place.subject] = missing.get(place.subject, 0) + 1
    return Publication(
        results=folders[0],
        published=folders[1],
        new=tuple(place for place in fit if place not in there),
        changed=tuple(Compared(place, there[place], one) for place, one in changed.items()),
        unchanged=tuple(sorted(sorted_.same)),
        refused=tuple(_grouped(sorted_.refused)),
        missing=missing,
        files=[part for file in read[0] if (part := _of_file(file, fit)) is not None],
        studies=[some for study in read[1] if (some := _of_study(study, fit)) is not None],
        trainings=_merged(read[2], fit, planned, folders[1]),
        plane=plane,
    )


def _planned(plan: Plan) -> dict[Place, Planned]:
    found: dict[Place, Planned] = {}
    for c in plan.cells:
        found[Place(c.cell.track, "", c.cell.entry, c.cell.backbone, c.cell.init, c.cell.seed)] = c
    for s in plan.studies:
        found[Place(s.track, s.study, s.row, s.backbone, s.init, s.seed, s.condition)] = s
    return found


def _selected(place: Place, selection: Selection) -> bool:
    """Whether a record is of what was chosen; the rules are those of a plan."""
    if place.study:
        kind = selection.with_studies and (not selection.studies or place.study in selection.studies)
    else:
        kind = selection.with_cells and (not selection.entries or place.row in selection.entries)
    chosen = (
        (selection.tracks, place.track),
        (selection.backbones, place.backbone),
        (selection.inits, place.init),
        (selection.seeds, place.seed),
    )
    return kind and all(not wanted or name in wanted for wanted, name in chosen)


def _unfit(plan: Plan, planned: Planned | None, place: Place, one: Seen) -> str:
    """Why a record may not be published, whatever stands there; empty if it may."""
    if place.track in plan.left_out:
        return f"its track was left out, so that today's key is not known: {plan.left_out[place.track]}"
    if planned is None:
        return "not on the leaderboard"
    if one.record.status == "failed":
        return f"failed: {one.record.reason or 'no reason recorded'}"
    if one.record.key != planned.key:
        return "outdated: of other code, settings or libraries than today's; run it again"
    return ""


def _trainings(
    results: Path, sorted_: _Sorted, planned: Mapping[Place, Planned]
) -> dict[NetworkId, TrainingRecord]:
    """The training of each cell's network; a cell whose network has none of today is refused."""
    there = {
        (file.track, file.objective, *record.network): record
        for file in read_trainings(results)
        for record in file.records
    }
    found = {}
    for place in list(sorted_.fit):
        cell = planned[place]
        if isinstance(cell, PlannedCell):
            training = there.get(_network(cell))
            if training is None or training.key != cell.chain[Kind.TRAIN]:
                what = "no record" if training is None else "an outdated record"
                sorted_.refuse(place, f"{what} of how its network was trained; run it again")
            else:
                found[_network(cell)] = training
    return found


def _network(cell: PlannedCell) -> NetworkId:
    return cell.cell.track, cell.objective, cell.cell.backbone, cell.cell.init, cell.cell.seed


def _refuse_apart(sorted_: _Sorted, there: Mapping[Place, Seen]) -> bool:
    """Refuse what would leave published rows of one place on different networks; tells if any were."""
    stay: dict[NetworkPlace, dict[str, set[str]]] = {}  # weights → subjects that stay on them
    come: dict[NetworkPlace, dict[str, set[Place]]] = {}
    refused = False
    for place, one in there.items():
        if one.measured and (place not in sorted_.fit or place in sorted_.same):
            for network, weights in one.stands.items():
                stay.setdefault(network, {}).setdefault(weights, set()).add(place.subject)
    for place, one in sorted_.fit.items():
        if one.measured and place not in sorted_.same:
            for network, weights in one.stands.items():
                come.setdefault(network, {}).setdefault(weights, set()).add(place)
    for network, offered in come.items():
        kept = stay.get(network, {})
        for weights, places in offered.items():
            others = sorted(set().union(*(rows for other, rows in kept.items() if other != weights)))
            reason = ""
            if others:
                reason = (
                    "its network is not that of the published rows of the same place, which this call does "
                    f"not replace: {', '.join(others)}; publish all of them from one set of networks"
                )
            elif len(offered) > 1:
                reason = "what is offered of its place stands on several networks; run all of it again"
            for place in places if reason else ():
                sorted_.refuse(place, reason)
                refused = True
    return refused


def _plane(plan: Plan, results: Path, cache: Path, sorted_: _Sorted) -> BoundaryFile | None:
    """The experiment in two dimensions, if it was selected and the cache says that it is of today."""
    path = results / BOUNDARY_FILE
    if not plan.boundary or not path.exists():
        return None
    store = Store(cache)
    if not all(map(store.has, plan.boundary)):
        sorted_.refused[PLANE] = "may be outdated: the cache does not hold its trainings; run with --full"
        return None
    found = read_boundary(path)
    if boundary_file([store.open(key).json("arm") for key in plan.boundary]) != found:
        sorted_.refused[PLANE] = "outdated: not what today's trainings in the cache come to; run with --full"
        return None
    return found


def _same_result(a: Seen, b: Seen) -> bool:
    """Whether two records say the same, leaving out what it took and where: then the published one stays."""
    mine, its = a.record, b.record
    if isinstance(mine, Record):
        return isinstance(its, Record) and a.digest == b.digest and mine.same_result(its)
    return isinstance(its, StudyRecord) and mine.same_result(its)


def _of_file(file: RecordFile, fit: Mapping[Place, Seen]) -> RecordFile | None:
    kept = [r for r in file.records if Place(file.track, "", file.entry, *r.cell) in fit]
    return file.model_copy(update={"records": kept}) if kept else None


def _of_study(file: StudyFile, fit: Mapping[Place, Seen]) -> StudyFile | None:
    kept = [r for r in file.records if Place(file.track, file.study, file.row, *r.cell) in fit]
    return file.model_copy(update={"records": kept}) if kept else None


def _merged(
    found: Mapping[NetworkId, TrainingRecord],
    fit: Iterable[Place],
    planned: Mapping[Place, Planned],
    published: Path,
) -> list[TrainingFile]:
    """The published trainings with those of the networks that are published now."""
    wanted = {_network(cell) for place in fit if isinstance(cell := planned[place], PlannedCell)}
    files = {(f.track, f.objective): f for f in read_trainings(published)}
    records: dict[tuple[str, str], dict[tuple[str, str, int], TrainingRecord]] = {}
    for (track, objective, *network), training in found.items():
        if (track, objective, *network) not in wanted:
            continue
        old = files.get((track, objective))
        of_file = records.setdefault((track, objective), {r.network: r for r in old.records} if old else {})
        before = of_file.get(training.network)
        if before is None or not before.same_as(training):
            of_file[training.network] = training
    return [
        TrainingFile(track=track, objective=objective, records=[there[n] for n in sorted(there)])
        for (track, objective), there in records.items()
    ]


def _grouped(refused: Mapping[Place, str]) -> Iterator[Refused]:
    """Refusals of one row for one reason together, the rows of a reason one after another."""
    groups: dict[tuple[str, str], list[Place]] = {}
    for place in sorted(refused):
        groups.setdefault((refused[place], place.subject), []).append(place)
    for reason, subject in sorted(groups):
        yield Refused(reason, subject, tuple(groups[reason, subject]))
