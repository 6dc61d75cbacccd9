"""Whether a record is of its place: what differs between its settings and those that the leaderboard has now.

Only settings are compared: of which code a record is, and of which libraries, its content key says. A
hyper-parameter that a method has only got since, and that has its default, is a matter of the code too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmark.census.settings import Census
from benchmark.records.place import Place, place_of
from benchmark.records.record import DETECTION, PLANE, TRAININGS, Record, RecordFile, TrainedWith
from benchmark.studies.settings import PLAIN
from methods.declared import Declared

SEVERITIES = range(6)  # of a shift; 0 is unshifted
_SAID = {"hyperparameters": "hyper-parameters", "groups": "OOD sets", "training_set": "training set"}


def refusal(census: Census, file: RecordFile, record: Record) -> str | None:
    """Why a record is not one that the leaderboard asks for; None if it is."""
    if file.study == TRAININGS:
        if _asked_training(census, file, record):
            return None
        return f"no network of {file.row!r} on track {file.track!r} is trained so by leaderboard.yaml now"
    if file.study == PLANE:
        asked = (file.row, record.seed, record.settings.get("steps")) in census.arms()
        return None if asked else "leaderboard.yaml has other seeds or steps now"
    of_cells = file.study == DETECTION
    place = place_of(file, record)
    what = f"row {file.row!r} in study {file.study!r} on track {file.track!r}"
    networks = f"the networks of {what}"
    if of_cells:
        what = f"entry {file.row!r} on track {file.track!r}"
        networks = f"the networks of {record.settings.get('objective')!r} on track {file.track!r}"
    if absent := census.not_asked(place):
        return absent
    if of_cells:
        entry = census.spec.entries[file.row]
        said = record.settings.get("objective"), record.settings.get("detector")
        if said != (entry.objective, entry.detector):
            return f"{what} has another objective or detector than in leaderboard.yaml"
    trained = dict.fromkeys(_trained(census, census.training(place), record.training))
    if trained:
        return f"{networks} were trained otherwise than leaderboard.yaml has now: {', '.join(trained)}"
    differ = (_scored if of_cells else _studied)(census, place, record)
    if measured := dict.fromkeys([*differ, *_made_of(census.made_of(place), record.made_of)]):
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
        if (a is None) != (b is None) or (a and b and _other_use(census, family, a, b)):
            yield name
        elif a and b and a.get("strength") != b.get("strength"):
            yield f"{name} strength"
    yield from (name for name in ("trusted", "untrusted_only") if expected[name] != found[name])


def _scored(census: Census, place: Place, record: Record) -> Iterator[str]:
    """In what the measurement of a cell differs."""
    if record.status != "measured":
        return
    track, scoring, said = census.spec.tracks[place.track], census.scoring(place.row), record.settings
    declared = census.declared("detectors", census.spec.entries[place.row].detector)
    hp_mode, given = said.get("hp_mode", "published"), said.get("hyperparameters", {})
    modes = {scoring.mode, hp_mode}
    if len(modes) > 1 and (scoring.mode is not None or modes & {"proxy_ood", "oracle"}):
        yield "protocol" if modes & {"proxy_ood", "oracle"} else "hyper-parameters"
    elif scoring.tuned:
        tried = [candidate["hyperparameters"] for candidate in said.get("tuning") or ()]
        if len(tried) != len(scoring.points) or any(
            _other(*pair, declared) for pair in zip(scoring.points, tried, strict=True)
        ):
            yield "hyper-parameters"
    else:
        (point,) = scoring.points
        free = [scoring.chosen] if declared else [name for name, value in point.items() if value is None]
        chosen = free if hp_mode == "id_val" else []
        unasked = not declared and not point and hp_mode == "declared"
        if unasked or _other(_but(chosen, point), _but(chosen, given), declared):
            yield "hyper-parameters"
    if record.networks != scoring.members:
        yield "networks"
    groups = track.ood_sets(("near", "far"))
    if {group: sorted(names) for group, names in said["groups"].items()} != {
        group: sorted(names) for group, names in groups.items()
    }:
        yield "OOD sets"
    for name, source in ((n, source) for group in groups for n, source in getattr(track, group).items()):
        n_out = record.numbers.get(f"detection.{name}.n_out")
        # of chosen classes there are as many as the draw of n has
        if n_out is not None and source.n is not None and source.classes is None and source.n != n_out:
            yield f"images of {name}"
    shifts: dict[str, set[int]] = {}
    for path in record.numbers:
        if path.startswith("robustness."):
            _, kind, severity, _ = path.split(".")
            shifts.setdefault(kind, set()).add(int(severity))
    if shifts != {kind: set(SEVERITIES) for kind in (track.shifts.kinds if track.shifts else ())}:
        yield "shifts"


def _studied(census: Census, place: Place, record: Record) -> Iterator[str]:
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
    if not isinstance(found, Mapping):
        return True
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
