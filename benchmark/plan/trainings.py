"""The trainings of a plan's networks: each has a record of its own, whatever is measured of the network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from benchmark.census import PLAIN, Census
from benchmark.datasets.seen import seen_by
from benchmark.jobs.job import Kind
from benchmark.plan.networks import NetworkPlanner
from benchmark.plan.plan import Planned
from benchmark.records.place import Place
from benchmark.records.record import TRAININGS


def plan_trainings(networks: NetworkPlanner, measured: Iterable[Planned]) -> Iterator[Planned]:
    """The training of each network of a track: of what is `measured`, and of what others go on from.

    A network on another training set than the track's is told from the others of its objective by the study
    that gives it that, in the record's condition.
    """
    named: dict[str, str] = {}  # condition by key of the network
    for planned in measured:
        if Kind.TRAIN in planned.chain:
            condition = _condition(networks.census, planned)
            for key in (planned.chain[Kind.TRAIN], *planned.starts):
                named.setdefault(key, condition)
    for network in networks.planned:
        key, (backbone, init, seed) = network.chain[Kind.TRAIN], network.cell
        condition = "" if network.given == PLAIN else named.get(key, "")
        if network.given != PLAIN and not condition:
            continue  # of a study that is left out
        yield Planned(
            place=Place(networks.name, TRAININGS, network.objective, backbone, init, seed, condition),
            key=key,
            chain={kind: k for kind, k in network.chain.items() if kind in (Kind.PRETRAIN, Kind.TRAIN)},
            starts=network.starts,
            seeds=networks.seeds(backbone, seed),
            objective=network.objective,
            training=network.training,
            overlap=seen_by(networks.spec, networks.name, backbone, init).sets,
        )


def _condition(census: Census, planned: Planned) -> str:
    place = planned.place
    if (given := census.given(place)) == PLAIN:
        return ""
    conditions = census.axes(place.track, place.study)[place.row].conditions
    same = (c for c in conditions if census.given(place._replace(condition=c)) == given)  # as of strength 0
    return f"{place.study} {place.row} {next(same, place.condition)}".rstrip()
