"""Which networks a plan rests on, and why another is not one of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from benchmark.jobs.job import Job, Kind
from benchmark.networks.cards import KINDS, LIBRARIES, Card, Listed, Where
from benchmark.plan.plan import Plan, Planned
from benchmark.records.record import TrainedWith
from benchmark.store.fingerprints import library_versions


@dataclass
class Asked:
    """A network that a plan rests on."""

    job: Job
    needs: tuple[str, ...]  # keys of the networks that it goes on from
    places: dict[Where, TrainedWith | None] = field(
        default_factory=dict
    )  # where it stands, how it is trained


def asked_of(plans: Iterable[Plan]) -> dict[str, Asked]:
    """The networks that plans rest on by content key, those that others go on from before these."""
    found: dict[str, Asked] = {}
    for plan in plans:
        for training in plan.trainings:
            for kind, key in training.chain.items():
                job = plan.jobs[key]
                needs = tuple(needed for needed in job.needs if plan.jobs[needed].kind in KINDS)
                asked = found.setdefault(key, Asked(job, needs))
                asked.places[_where(training, kind)] = training.training if kind == Kind.TRAIN else None
    return found


def _where(training: Planned, kind: Kind) -> Where:
    place = training.place
    said: dict[str, object] = {
        "kind": kind,
        "track": place.track,
        "backbone": place.backbone,
        "init": place.init,
    }
    if kind == Kind.TRAIN:
        said |= {"seed": place.seed, "objective": place.row, "condition": place.condition}
    return Where.model_validate(said)


def contradictions(card: Card, asked: Asked) -> Iterator[str]:
    """What a card says that its key, which the plan asks for, cannot mean."""
    here = library_versions(*LIBRARIES)
    made = {name: card.environment.libraries.get(name) for name in here}
    if made != here:
        yield f"its card says {_told(made)}; its key means {_told(here)}"
    if card.code != asked.job.code:
        yield f"its card says code {card.code:.12}; its key means {asked.job.code:.12}"
    if card.place.kind != asked.job.kind:
        yield f"its card says {card.place.kind}; its key means {asked.job.kind}"
    elif card.training is not None:
        if card.place not in asked.places:
            yield f"its card says {card.place}; its key means {next(iter(asked.places))}"
        elif _json(card.training) != _json(asked.places[card.place]):
            yield "its card says that it was trained otherwise than its key means"


def why_other(listed: Listed, today: Iterable[Asked]) -> str:
    """Why a network has another key than those that are asked for at its place."""
    here = library_versions(*LIBRARIES)
    differ = {name: listed.libraries.get(name) for name in here if listed.libraries.get(name) != here[name]}
    if differ:
        return f"made with {_told(differ)}, here {_told({name: here[name] for name in differ})}"
    codes = {asked.job.code for asked in today}
    if codes and listed.code not in codes:
        return f"made by other code ({listed.code:.12}, today {min(codes):.12})"
    return "made of other data or with other settings than today's"


def by_place(asked: Mapping[str, Asked]) -> dict[Where, list[Asked]]:
    """What is asked for at each place."""
    found: dict[Where, list[Asked]] = {}
    for one in asked.values():
        for place in one.places:
            found.setdefault(place, []).append(one)
    return found


def _told(versions: Mapping[str, str | None]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _json(training: TrainedWith | None) -> object:
    return None if training is None else training.model_dump(mode="json")
