"""Planning the study of class imbalance."""

from __future__ import annotations

from benchmark.census import Place
from benchmark.jobs.job import Kind
from benchmark.studies import assess
from benchmark.studies.imbalance.settings import Imbalance
from benchmark.studies.settings import MethodUse
from benchmark.studies.study import Asked, NetworkStudy, Planning
from methods.imbalance import Profile


def _ask(study: Imbalance, place: Place, planning: Planning) -> Asked:
    return Asked(
        {"study": place.study, "detectors": study.detectors},
        {"training_set": planning.training_set(place)},
        features=planning.ood_sets,
        definitions=planning.detectors(study.detectors, "detectors"),
    )


def _check(study: Imbalance, planning: Planning) -> None:
    """Refuse profiles that leave no tail, and samplers that they leave too few images."""
    for condition, profile in study.profiles.items():
        rarest = _rarest(profile, planning, "profiles", condition)
        for row, way in study.methods.items():
            if way.sampler is None:
                continue
            key = ("methods", row, "sampler")
            neighbours = planning.method("samplers", way.sampler, *key).hyperparameters().get("neighbours")
            if neighbours is not None and rarest <= neighbours:
                raise planning.wrong(
                    f"{neighbours} neighbours of an image need {neighbours + 1} images of each class, and "
                    f"the profile {condition!r} leaves one {rarest}; expected fewer neighbours, or none "
                    "given",
                    *key,
                )


def _rarest(use: MethodUse, planning: Planning, *key: str) -> int:
    """Images of the rarest class that a profile leaves."""
    made = planning.method("profiles", use, *key)
    assert isinstance(made, Profile)
    with planning.trying(*key):
        counts = made.counts(planning.classes, planning.trained_per_class)
    if min(counts) == max(counts):
        raise planning.wrong(
            f"every class has {counts[0]} images left; expected a profile that leaves some classes fewer",
            *key,
        )
    return min(counts)


STUDY = NetworkStudy(assess, _ask, _check, Kind.ASSESS)
