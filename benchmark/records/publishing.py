"""From a user's own records to the published ones: what may go over, what may not and why, and what changes.

Published are finished records of today's keys, and only so that all published rows of one network stay on one
network: rows of networks trained apart cannot be paired (`benchmark.records.network_places`). Each file is
written atomically and a record that says the same is left as it is, so that a call that was killed is made
again and goes on. Records are data here: nothing is computed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.errors import UsageError
from benchmark.jobs.job import Kind
from benchmark.plan.plan import Plan, Planned
from benchmark.records.comparison import Compared, Seen, seen
from benchmark.records.files import iterate
from benchmark.records.network_places import NetworkPlace
from benchmark.records.place import Place, place_of
from benchmark.records.record import TRAININGS, RecordFile
from benchmark.records.results import update_records
from benchmark.store.files import require_writable


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
    files: Sequence[RecordFile] = ()  # with what goes over, and how its networks were trained

    def write(self) -> list[Path]:
        """Write what may be published; return the files that changed.

        Raises
        ------
        StorageError
            If a file cannot be written; what is written before it is whole, and the same call goes on.
        """
        require_writable(self.published)
        return list(update_records(self.published, self.files).written)


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


def prepare(plan: Plan, results: Path, published: Path) -> Publication:
    """Decide what of `results` may be published.

    Parameters
    ----------
    plan : of the selection, with what only a full run measures; says which key each record has today.
    results, published : folders of records.

    Raises
    ------
    UsageError
        If both folders are one, or `results` has no records that are selected.
    DataError
        If a file of either folder cannot be read.
    """
    if results.resolve() == published.resolve():
        raise UsageError(f"{results}: the folder of the published records itself; expected another --results")
    files = list(iterate(results))
    planned = {one.place: one for one in plan.places if one.place.study != TRAININGS}
    offered = {place: it for place, it in seen(files).items() if plan.selection.covers(place)}
    if not offered:
        raise UsageError(f"{results}: has no records that are selected; `oodbench run` writes them there")
    sorted_ = _Sorted()
    for place, record in offered.items():
        reason = _unfit(plan, planned.get(place), place, record)
        if reason:
            sorted_.refuse(place, reason)
        else:
            sorted_.fit[place] = record
    trainings = _trainings(plan, files, sorted_, planned)
    there = seen(iterate(published))
    sorted_.same = {p for p, one in sorted_.fit.items() if p in there and _same_result(one, there[p])}
    while _refuse_apart(sorted_, there):
        pass  # what is refused stays as it is published, which others may not fit to
    fit = sorted_.fit
    goes = set(fit) | _trained(files, fit, trainings)
    changed = {place: one for place, one in fit.items() if place in there and place not in sorted_.same}
    rows = {place[:3] for place in fit}
    missing: dict[str, int] = {}
    for place in planned:
        if place[:3] in rows and place not in fit and place not in sorted_.refused:
            missing[place.subject] = missing.get(place.subject, 0) + 1
    return Publication(
        results=results,
        published=published,
        new=tuple(place for place in fit if place not in there),
        changed=tuple(Compared(place, there[place], one) for place, one in changed.items()),
        unchanged=tuple(sorted(sorted_.same)),
        refused=tuple(_grouped(sorted_.refused)),
        missing=missing,
        files=[part for file in files if (part := _part(file, goes)) is not None],
    )


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
    plan: Plan, files: Iterable[RecordFile], sorted_: _Sorted, planned: Mapping[Place, Planned]
) -> dict[Place, Place]:
    """The training of each place's network; a place whose network has none of today is refused."""
    known = {(training.key, training.objective): training.place for training in plan.trainings}
    there = {
        place_of(file, record): record.key
        for file in files
        for record in file.records
        if file.study == TRAININGS and record.status == "measured"
    }
    found = {}
    for place in list(sorted_.fit):
        one = planned[place]
        if Kind.TRAIN not in one.chain:
            continue
        key = one.chain[Kind.TRAIN]
        found[place] = known[key, one.objective]
        if there.get(found[place]) != key:
            what = "an outdated record" if found[place] in there else "no record"
            sorted_.refuse(place, f"{what} of how its network was trained; run it again")
    return found


def _trained(
    files: Iterable[RecordFile], fit: Mapping[Place, Seen], trainings: Mapping[Place, Place]
) -> set[Place]:
    """The trainings that go over: of networks that were measured, and of those very weights."""
    weights = {place_of(f, r): r.checkpoint for f in files if f.study == TRAININGS for r in f.records}
    return {
        trainings[place]
        for place, one in fit.items()
        if place in trainings
        and one.measured
        and weights.get(trainings[place], "") in ("", one.record.checkpoint)
    }


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


def _same_result(a: Seen, b: Seen) -> bool:
    """Whether two records say the same, leaving out what it took and where: then the published one stays."""
    return a.digest == b.digest and a.record.same_result(b.record)


def _part(file: RecordFile, goes: Collection[Place]) -> RecordFile | None:
    """The records of a file that go over; None if there are none."""
    kept = [record for record in file.records if place_of(file, record) in goes]
    return file.model_copy(update={"records": kept}) if kept else None


def _grouped(refused: Mapping[Place, str]) -> Iterator[Refused]:
    """Refusals of one row for one reason together, the rows of a reason one after another."""
    groups: dict[tuple[str, str], list[Place]] = {}
    for place in sorted(refused):
        groups.setdefault((refused[place], place.subject), []).append(place)
    for reason, subject in sorted(groups):
        yield Refused(reason, subject, tuple(groups[reason, subject]))
