"""Whether a record is of its place: what differs between its settings and those that the leaderboard has now.

Only settings are compared: of which code a record is, and of which libraries, its content key says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmark.census.settings import Census
from benchmark.records.place import place_of
from benchmark.records.record import TRAININGS, Record, RecordFile, TrainedWith
from benchmark.studies.same import differ, other_use, without
from benchmark.studies.settings import PLAIN


def refusal(census: Census, file: RecordFile, record: Record) -> str | None:
    """Why a record is not one that the leaderboard asks for; None if it is."""
    if file.study == TRAININGS:
        if _asked_training(census, file, record):
            return None
        return f"no network of {file.row!r} on track {file.track!r} is trained so by leaderboard.yaml now"
    place = place_of(file, record)
    if absent := census.not_asked(place):
        return absent
    study = census.study(place)
    where, asked = study.where(place.track, place.study), census.training(place)
    trained = dict.fromkeys(() if asked is None else _trained(census, asked, record.training))
    if trained:
        networks = f"the networks of {study.networks_called(place.row)} {where}"
        return f"{networks} were trained otherwise than leaderboard.yaml has now: {', '.join(trained)}"
    differs = study.differs(place.row, census.settings(place), record, census.declared)
    measured = dict.fromkeys([*differs, *_made_of(census.made_of(place), record.made_of)])
    if measured:
        what = f"{study.word} {place.row!r} {where}"
        return f"{what} was measured with other {', '.join(measured)} than leaderboard.yaml has now"
    return None


def _asked_training(census: Census, file: RecordFile, record: Record) -> bool:
    """Whether places stand on a network of this backbone, init and seed that was trained so."""
    if file.track not in census.spec.tracks or record.training is None:
        return False
    ways = census.ways(file.track, file.row, record.backbone, record.init, record.seed)
    return any(not [*_trained(census, way, record.training)] for way in ways)


def _trained(census: Census, expected: TrainedWith, found: TrainedWith | None) -> Iterator[str]:
    """In what two trainings differ."""
    if found is None:
        yield "not recorded"
    elif found.objective != expected.objective:
        yield "objective"
    elif found != expected:
        declared = census.declared_objective(expected.objective)
        if differ(expected.hyperparameters, found.hyperparameters, declared):
            yield "hyper-parameters"
        if found.outliers != expected.outliers:
            yield "outliers"
        recipes = expected.recipe or {}, found.recipe or {}
        yield from sorted(
            name for name in {*recipes[0], *recipes[1]} if recipes[0].get(name) != recipes[1].get(name)
        )
        if (expected.recipe is None) != (found.recipe is None):
            yield "recipe"
        if expected.precision != found.precision:
            yield "precision"
        nothing = PLAIN.transformation
        transformed = ({**nothing, **(way.training_set or {})} for way in (expected, found))
        yield from _transformed(census, *transformed)
        if _other_sampler(census, expected.sampler, found.sampler):
            yield "sampler"
        stages = (expected.starts_from, found.starts_from), (expected.first_phase, found.first_phase)
        for asked, made in stages:
            if asked is not None:
                yield from _trained(census, asked, made)
            elif made is not None:
                yield "objective"


def _transformed(census: Census, expected: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    """In what two training sets differ."""
    for name, family in (("noise", "noise_models"), ("profile", "profiles")):
        a, b = expected[name], found[name]
        if (a is None) != (b is None) or (a and b and other_use(a, b, census.declared(family, a["method"]))):
            yield name
        elif a and b and a.get("strength") != b.get("strength"):
            yield f"{name} strength"
    yield from (name for name in ("trusted", "untrusted_only") if expected[name] != found[name])


def _made_of(expected: Mapping[str, Any] | None, found: Mapping[str, Any] | None) -> Iterator[str]:
    """In what images, architecture and first weights differ; older records do not say these."""
    if expected is not None and found is not None:
        yield from (name for name in {**expected, **found} if expected.get(name) != found.get(name))


def _other_sampler(
    census: Census, expected: Mapping[str, Any] | None, found: Mapping[str, Any] | None
) -> bool:
    if expected is None or found is None:
        return expected is not found
    if expected["name"] != found.get("name"):
        return True
    options = without(["name"], expected), without(["name"], found)
    return differ(*options, census.declared("samplers", expected["name"]))
