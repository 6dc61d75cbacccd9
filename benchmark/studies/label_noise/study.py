"""Planning the study of label noise."""

from __future__ import annotations

import torch

from benchmark.census import Place
from benchmark.jobs.job import Kind
from benchmark.studies import assess
from benchmark.studies.label_noise.settings import LabelNoise
from benchmark.studies.study import Asked, NetworkStudy, Planning
from methods.label_noise import NoiseModel


def _ask(study: LabelNoise, place: Place, planning: Planning) -> Asked:
    return Asked({"study": place.study}, {"training_set": planning.training_set(place)})


def _check(study: LabelNoise, planning: Planning) -> None:
    """Refuse shares of trusted labels, and models of noise, that the track's classes do not allow."""
    per_class = planning.trained_per_class
    for row, method in study.methods.items():
        count = round(method.trusted * per_class)
        if method.trusted and not 0 < count < per_class:
            raise planning.wrong(
                f"a share of {method.trusted:g} of the {per_class} training images of a class is "
                f"{'all of them' if count else 'none'}; expected from {1 / per_class:g} to "
                f"{1 - 1 / per_class:g}",
                *("methods", row, "trusted"),
            )
    for name, use in study.noises.items():
        made = planning.method("noise_models", use, "noises", name)
        assert isinstance(made, NoiseModel)
        with planning.trying("noises", name):
            made.matrix(planning.classes, 1.0, torch.Generator())


STUDY = NetworkStudy(assess, _ask, _check, Kind.ASSESS)
