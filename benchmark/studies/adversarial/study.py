"""Planning the study of adversarial examples."""

from __future__ import annotations

from itertools import islice
from typing import Any

import torch

from benchmark.census import Place
from benchmark.jobs.job import Kind
from benchmark.jobs.shards import shards_of
from benchmark.spec.limits import MOST_STEPS
from benchmark.store.fingerprints import definition_of, installed_version
from benchmark.studies.adversarial import job
from benchmark.studies.adversarial.settings import Adversarial
from benchmark.studies.study import Asked, NetworkStudy, Planning
from methods.attack import Attack
from methods.registry import attack_class

PASSES = 16  # as many images are extracted in the time in which one is attacked, at the least


def _ask(study: Adversarial, place: Place, planning: Planning) -> Asked:
    definitions = planning.detectors(study.detectors, "detectors", images=True)
    config: dict[str, Any] = {
        "detectors": study.detectors,
        "images_per_class": study.images_per_class,
        "attacks": planning.census.settings(place)["attacks"],
        "curves": study.curves,
        "epsilons": study.epsilons,
        "steps": study.steps,
        "detector_attack": study.detector_attack.model_dump(),
        "ood_images": study.ood_images,
    }
    used = [attack_class(name) for name in sorted(study.used("attacks"))]
    packages = dict.fromkeys(cls.package for cls in used if cls.package is not None)
    if versions := {name: installed_version(name) for name in packages}:
        config["packages"] = versions
    inputs = {}
    source = study.source_for(place.row)
    if source is not None:
        seeds = planning.track.seeds
        if len(seeds) < 2:
            raise planning.wrong(
                f"examples are made on the network of another seed, and the track has {len(seeds)}; expected "
                "at least two",
                "transfer",
            )
        another = seeds[(seeds.index(place.seed) + 1) % len(seeds)]
        inputs["transfer"] = planning.network(place, source, another, "transfer", "source")
    definitions += tuple(definition_of(cls) for cls in used)
    images = study.images_per_class * planning.classes + study.ood_images * len(planning.ood_sets)
    shards = shards_of(images * PASSES, planning.networks.look.image_size)
    return Asked(config, inputs, images=planning.ood_sets, definitions=definitions, shards=shards)


def _check(study: Adversarial, planning: Planning) -> None:
    """Refuse an attack that cannot be shown over its steps; of how many points is tried on one image."""
    curves = study.curves
    made = planning.method("attacks", study.attacks[curves], "attacks", curves)
    assert isinstance(made, Attack)
    found = made.hyperparameters()
    if lacks := {"epsilon", "steps"} - found.keys():
        raise planning.wrong(
            f"{curves!r} has no {' and no '.join(sorted(lacks))}; expected an attack of several steps, such "
            "as pgd",
            "curves",
        )
    for name, value in found.items():
        if isinstance(value, int) and value > MOST_STEPS:
            raise planning.wrong(
                f"{curves!r} has {value:,} {name}; expected at most {MOST_STEPS:,}", "curves"
            )
    if max(study.steps) > found["steps"]:
        raise planning.wrong(
            f"got {max(study.steps)}; expected at most {found['steps']}, the steps of {curves!r}", "steps"
        )
    classes, size = planning.classes, planning.networks.look.image_size
    image = torch.full((1, 3, size, size), 0.5)
    with planning.trying("curves"):
        path = made.path(lambda x: x.flatten(1)[:, :classes], image, torch.zeros(1, dtype=torch.int64))
        points = sum(1 for _ in islice(path, found["steps"] + 1))
    if points != found["steps"]:
        raise planning.wrong(
            f"{curves!r} shows {points} points of its search; expected one for each of its {found['steps']} "
            "steps, as pgd does",
            "curves",
        )
    for name, use in study.attacks.items():
        planning.method("attacks", use, "attacks", name)


STUDY = NetworkStudy(job, _ask, _check, Kind.ATTACK)
