"""The trainings of a plan's networks: each has a record of its own, whatever is measured of the network."""

from __future__ import annotations

from collections.abc import Iterable

from benchmark.census import PLAIN, Census
from benchmark.jobs.job import Kind
from benchmark.plan.plan import Planned
from benchmark.records.record import DETECTION, TRAININGS


def plan_trainings(census: Census, measured: Iterable[Planned]) -> tuple[Planned, ...]:
    """The training of each network that is measured, once."""
    found: dict[str, Planned] = {}
    for planned in measured:
        if Kind.TRAIN not in planned.chain or planned.chain[Kind.TRAIN] in found:
            continue
        key, place = planned.chain[Kind.TRAIN], planned.place
        found[key] = Planned(
            place=place._replace(
                study=TRAININGS, row=planned.objective, condition=_condition(census, planned)
            ),
            key=key,
            chain={
                kind: planned.chain[kind] for kind in (Kind.PRETRAIN, Kind.TRAIN) if kind in planned.chain
            },
            starts=planned.starts,
            seeds=planned.seeds,
            objective=planned.objective,
            training=planned.training,
            overlap=planned.overlap,
        )
    return tuple(found.values())


def _condition(census: Census, planned: Planned) -> str:
    """What tells a network from others of its objective: the study that gives it another training set."""
    place = planned.place
    if place.study == DETECTION or (given := census.given(place)) == PLAIN:
        return ""
    conditions = census.axes(place.track, place.study)[place.row].conditions
    same = (c for c in conditions if census.given(place._replace(condition=c)) == given)  # as of strength 0
    return f"{place.study} {place.row} {next(same, place.condition)}".rstrip()
