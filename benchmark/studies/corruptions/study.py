"""Planning the study of corruptions."""

from __future__ import annotations

from benchmark.census import Place
from benchmark.jobs.job import Kind
from benchmark.studies.corruptions import job
from benchmark.studies.corruptions.settings import Corruptions
from benchmark.studies.study import Asked, NetworkStudy, Planning


def _ask(study: Corruptions, place: Place, planning: Planning) -> Asked:
    shifts = {"kinds": study.kinds, "scale": study.scale, "images_per_class": study.images_per_class}
    return Asked(
        {"detectors": study.detectors},
        {"shift_images": planning.networks.shifted(shifts)},
        features=list(planning.track.near),
        definitions=planning.detectors(study.detectors, "detectors"),
    )


STUDY = NetworkStudy(job, _ask, kind=Kind.CORRUPT)
