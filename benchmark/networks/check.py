"""Whether exported networks are what they say, what the plan asks for, and what the records stand on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.datasets import DataMissing
from benchmark.errors import DataError
from benchmark.jobs.job import Kind
from benchmark.networks.asked import Asked, asked_of, by_place, contradictions, why_other
from benchmark.networks.cards import INDEX, MODEL, Card, Index, Where
from benchmark.networks.shelf import Shelf
from benchmark.plan.plan import Plan
from benchmark.records.files import iterate
from benchmark.records.networks import read_networks
from benchmark.records.record import NETWORKS, TRAININGS
from benchmark.records.text import files_of
from benchmark.spec.leaderboard import Spec

Said = tuple[str, str]  # SHA-256 of weights, and what says that a record stands on them


@dataclass
class Checked:
    """What a check came to."""

    networks: int = 0
    findings: list[str] = field(default_factory=list)
    unpublished: int = 0  # networks that no published record stands on


def check(
    shelf: Shelf, spec: Spec, plan_of: Callable[[str], Plan], tracks: Collection[str], published: Path
) -> Checked:
    """Check the networks of a folder: files, cards, weights, whether today's plan asks for them, and records.

    Parameters
    ----------
    plan_of : makes the whole plan of a track.
    tracks : only their networks; of all that have some there, if empty.
    published : folder of the records that the networks must agree with.

    Raises
    ------
    DataError
        If the folder has no index, or published records cannot be read.
    """
    index, done = shelf.index(), Checked()
    done.findings += _faults_of_the_index(shelf, index)
    asked, unplanned = _asked(index, spec, plan_of, tracks)
    stands, today = _stands(published, {one.place.track for one in index.networks.values()}), by_place(asked)
    for key, listed in index.networks.items():
        place = listed.place
        if tracks and place.track not in tracks and key not in asked:
            continue
        done.networks += 1
        try:
            card = shelf.listed_card(key, listed)
            faults = [*shelf.faults(card)]
        except DataError as error:
            done.findings.append(str(error))
            continue
        if key in asked:
            faults += contradictions(card, asked[key])
            faults += [
                f"goes on from {needed}, which is not among these networks: `run` would make it again"
                for needed in asked[key].needs
                if needed not in index.networks
            ]
        else:
            faults.append(
                unplanned.get(place.track)
                or f"today's key is another: {why_other(listed, today.get(place, []))}"
            )
        others = [*_others(card, stands.get(place, []))]
        done.unpublished += card.training is not None and place not in stands
        done.findings += [f"{place} ({key}): {fault}" for fault in [*faults, *others]]
    return done


def _faults_of_the_index(shelf: Shelf, index: Index) -> Iterator[str]:
    there = set(shelf.folders())
    yield from (
        f"{shelf.folder(key)}: {INDEX} lists it, and it is not there"
        for key in sorted(index.networks.keys() - there)
    )
    yield from (
        f"{shelf.folder(key)}: {INDEX} does not list it" for key in sorted(there - index.networks.keys())
    )
    yield from (f"{path}: belongs to no network" for path in shelf.strays())


def _asked(
    index: Index, spec: Spec, plan_of: Callable[[str], Plan], tracks: Collection[str]
) -> tuple[dict[str, Asked], dict[str, str]]:
    """The networks that are asked for of the tracks that have some there, and why a track has no plan."""
    plans, unplanned = [], {}
    for track in tracks or sorted({one.place.track for one in index.networks.values()}):
        if track not in spec.tracks and not tracks:
            unplanned[track] = "there is no such track in leaderboard.yaml"
            continue
        try:
            plans.append(plan_of(track))
        except DataMissing as error:
            unplanned[track] = f"cannot be compared with today's plan: {error}"
    return asked_of(plans), unplanned


def _stands(published: Path, tracks: Collection[str]) -> dict[Where, list[Said]]:
    """The weights that the published records of trainings and of OOD detection stand on."""
    found: dict[Where, list[Said]] = {}

    def add(where: Mapping[str, object], checkpoint: str | None, what: str) -> None:
        if checkpoint:
            place = Where.model_validate({"kind": Kind.TRAIN, **where})
            found.setdefault(place, []).append((checkpoint, what))

    for file in iterate(published, TRAININGS):
        for record in file.records if file.track in tracks else ():
            where = {"track": file.track, "objective": file.row, "condition": record.condition}
            where |= {name: getattr(record, name) for name in ("backbone", "init", "seed")}
            add(where, record.checkpoint, "its published training")
    for track in sorted(tracks):
        folder = published / track / NETWORKS
        for path in files_of(folder) if folder.is_dir() else ():
            for network in read_networks(path).values():
                said = network.said
                where = {name: said[name] for name in ("backbone", "init", "seed")}
                add({"track": track, "objective": path.stem, **where}, said["checkpoint"], "published rows")
    return found


def _others(card: Card, stands: Collection[Said]) -> Iterator[str]:
    """Which published records stand on other weights than these."""
    weights, found = card.files[MODEL].sha256, dict[tuple[str, ...], list[str]]()
    for what in dict.fromkeys(what for _, what in stands):
        of_it = tuple(sorted({checkpoint for checkpoint, said in stands if said == what}))
        if weights not in of_it:
            found.setdefault(of_it, []).append(what)
    for checkpoints, whats in found.items():
        named = ", ".join(f"{one[:12]}…" for one in checkpoints)
        yield f"weights {weights[:12]}…; {' and '.join(whats)} stand on {named}"
