"""Whether a record is of its place: what differs between its settings and those that the leaderboard has now.

Only settings are compared: of which code a record is, and of which libraries, its content key says. A
hyper-parameter that a method has only got since, and that has its default, is a matter of the code too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmark.census.places import Place
from benchmark.census.settings import Census
from benchmark.records.schema import Record, RecordFile, TrainedWith
from benchmark.records.studies import StudyFile, StudyRecord
from benchmark.studies.settings import PLAIN
from methods.declared import Declared

SEVERITIES = range(6)  # of a shift; 0 is unshifted
_SAID = {"hyperparameters": "hyper-parameters", "groups": "OOD sets", "training_set": "training set"}


def refusal(census: Census, file: RecordFile | StudyFile, record: Record | StudyRecord) -> str | None:
    """Why a record is not one that the leaderboard asks for; None if it is."""
    if isinstance(file, RecordFile):
        place = Place(file.track, None, file.entry, *record.cell)
        what = f"entry {file.entry!r} on track {file.track!r}"
        networks = f"the networks of {file.objective!r} on track {file.track!r}"
    else:
        place = Place(file.track, file.study, file.row, *record.cell)
        what = f"row {file.row!r} in study {file.study!r} on track {file.track!r}"
        networks = f"the networks of {what}"
    if absent := census.not_asked(place):
        return absent
    if isinstance(file, RecordFile):
        entry = census.spec.entries[file.entry]
        if (file.objective, file.detector) != (entry.objective, entry.detector):
            return f"{what} has another objective or detector than in leaderboard.yaml"
    trained = dict.fromkeys(_trained(census, census.training(place), record.training))
    if trained:
        return f"{networks} were trained otherwise than leaderboard.yaml has now: {', '.join(trained)}"
    differ = _scored(census, place, record) if isinstance(record, Record) else _studied(census, place, record)
    if measured := dict.fromkeys([*differ, *_made_of(census.made_of(place), record.made_of)]):
        return f"{what} was measured with other {', '.join(measured)} than leaderboard.yaml has now"
    return None


def trained_as_asked(
    census: Census, track: str, objective: str, network: tuple[str, str, int], training: TrainedWith
) -> bool:
    """Whether places stand on a network of this backbone, init and seed that was trained so."""
    if track not in census.spec.tracks:
        return False
    return any(not [*_trained(census, way, training)] for way in census.ways(track, objective, *network))


def _trained(census: Census, expected: TrainedWith, found: TrainedWith | None) -> Iterator[str]:
    """In what two trainings differ."""
    if found is None:
        yield "not recorded"
    elif found.objective != expected.objective:
        yield "objective"
    elif found != expected:
        declared = census.declared_objective(expected.objective)
        if _other(expected.hyperparameters, found.hyperparameters, declared):
            yield "hyper-parameters"
        if found.outliers != expected.outliers:
            yield "outliers"
        recipes = expected.recipe or {}, found.recipe or {}
        yield from sorted(
            name for name in {*recipes[0], *recipes[1]} if recipes[0].get(name) != recipes[1].get(name)
        )
        if (expected.recipe is None) != (found.recipe is None):
            yield "recipe"
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
        if (a is None) != (b is None) or (a and b and _other_use(census, family, a, b)):
            yield name
        elif a and b and a.get("strength") != b.get("strength"):
            yield f"{name} strength"
    yield from (name for name in ("trusted", "untrusted_only") if expected[name] != found[name])


def _scored(census: Census, place: Place, record: Record) -> Iterator[str]:
    """In what the measurement of a cell differs."""
    if record.measurement is None:
        return
    track, scoring = census.spec.tracks[place.track], census.scoring(place.row)
    declared = census.declared("detectors", census.spec.entries[place.row].detector)
    modes = {scoring.mode, record.hp_mode}
    if len(modes) > 1 and (scoring.mode is not None or modes & {"proxy_ood", "oracle"}):
        yield "protocol" if modes & {"proxy_ood", "oracle"} else "hyper-parameters"
    elif scoring.tuned:
        tried = [candidate.hyperparameters for candidate in record.tuning or ()]
        if len(tried) != len(scoring.points) or any(
            _other(*pair, declared) for pair in zip(scoring.points, tried, strict=True)
        ):
            yield "hyper-parameters"
    else:
        (point,) = scoring.points
        free = [scoring.chosen] if declared else [name for name, value in point.items() if value is None]
        chosen = free if record.hp_mode == "id_val" else []
        unasked = not declared and not point and record.hp_mode == "declared"
        if unasked or _other(_but(chosen, point), _but(chosen, record.hyperparameters), declared):
            yield "hyper-parameters"
    if record.networks != scoring.members:
        yield "networks"
    measured = record.measurement
    groups = {name: group for group, names in track.ood_sets(("near", "far")).items() for name in names}
    if {name: found.group for name, found in measured.detection.items()} != groups:
        yield "OOD sets"
    sizes = {
        name: (getattr(track, group)[name], measured.detection.get(name)) for name, group in groups.items()
    }
    for name, (source, found) in sizes.items():
        # of chosen classes there are as many as the draw of n has
        if found is not None and source.n is not None and source.classes is None and source.n != found.n_out:
            yield f"images of {name}"
    kinds = track.shifts.kinds if track.shifts else ()
    shifts = {name: [level.severity for level in levels] for name, levels in measured.robustness.items()}
    if shifts != {kind: list(SEVERITIES) for kind in kinds}:
        yield "shifts"


def _studied(census: Census, place: Place, record: StudyRecord) -> Iterator[str]:
    """In what the measurement of a study differs."""
    expected = census.settings(place)
    for name in dict.fromkeys([*expected, "transfer"]):
        a, b = expected.get(name), record.settings.get(name)
        if name == "attacks" and isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
            if any(_other_use(census, name, use, b[attack]) for attack, use in a.items()):
                yield name
        elif a != b:
            yield _SAID.get(name, name)


def _made_of(expected: Mapping[str, Any], found: Mapping[str, Any] | None) -> Iterator[str]:
    """In what images, architecture and first weights differ; older records do not say these."""
    if found is not None:
        yield from (name for name in {**expected, **found} if expected.get(name) != found.get(name))


def _other_use(census: Census, family: str, expected: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    """Whether two configured methods differ."""
    options = expected["hyperparameters"], found.get("hyperparameters", {})
    declared = census.declared(family, expected["method"])
    return expected["method"] != found.get("method") or _other(*options, declared)


def _other_sampler(
    census: Census, expected: Mapping[str, Any] | None, found: Mapping[str, Any] | None
) -> bool:
    if expected is None or found is None:
        return expected is not found
    if expected["name"] != found.get("name"):
        return True
    options = (_but(["name"], expected), _but(["name"], found))
    return _other(*options, census.declared("samplers", expected["name"]))


def _other(expected: Mapping[str, Any], found: Mapping[str, Any], declared: Declared | None) -> bool:
    """Whether hyper-parameters differ; of a method whose defaults are not known, those that are given."""
    for name in {**expected, **found}:
        if name not in found:
            if declared is None or expected[name] != declared.hyperparameters.get(name):
                return True
        elif name not in expected:
            if declared is not None:
                return True
        elif _listed(expected[name]) != _listed(found[name]):
            return True
    return False


def _but(names: Sequence[str | None], of: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in of.items() if name not in names}


def _listed(value: Any) -> Any:
    """A value as JSON gives it back."""
    return [_listed(item) for item in value] if isinstance(value, list | tuple) else value
