"""Which set is scored: the harness's own scoring is given the same images as ID set and as OOD sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor

from benchmark.backbones.images import Images
from benchmark.conformance.findings import check
from benchmark.conformance.networks import full_tap, images_of, looks_at_images
from benchmark.conformance.subject import Subject, furthest
from benchmark.jobs.config import NetworkConfig, ScoringConfig, ScoringInputs
from benchmark.jobs.scoring import Scoring, score_together
from benchmark.store.artifacts import Artifact
from methods.base import EnsembleDetector, GradientDetector, Signal

SETS = ("far.ood", "near.ood", "shift.fog.3")  # before the ID test set in the order of scoring, and after
TEST = "test"
_STAGED = ("stages", "gram")


class InMemory:
    """What an artifact of extracted features has."""

    def __init__(self, head: Mapping[str, Tensor], features: Mapping[str, Tensor]) -> None:
        self._held = {"head": dict(head), "features": dict(features)}

    def json(self, name: str) -> Any:
        """The head is linear, and what was asked for was found."""
        return {"linear_head": True, "rank_one": None}

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Head or features, by name."""
        return self._held[name]


@check("sets", "score an image alike, whatever set it belongs to and whenever it comes")
def sets(subject: Subject) -> Iterator[str]:
    """The same images score the same as ID test images and as OOD images."""
    if subject.transductive or Signal.LOG_VARIANCES in subject.cls.needs:  # which the harness keeps nowhere
        return
    found = _scores(subject)
    for name in SETS:
        if gap := furthest(found[name], found[TEST], 0.0):
            yield f"images of the ID set presented as {name} change {gap}"


def _scores(subject: Subject) -> dict[str, Tensor]:
    """Scores by set of the same images, by the harness."""
    fitted = subject.cls()
    members = fitted.members if isinstance(fitted, EnsembleDetector) else 1
    of_images = looks_at_images(subject.cls)
    stored = [_extracted(subject, seed, of_images=of_images) for seed in range(members)]
    config = ScoringConfig(
        detector=subject.name,
        points=[{}],
        validation=[],
        seed=1,
        network=NetworkConfig("test_resnet", "", 32) if of_images else None,
    )
    given = [{"base": {"id": cast(Artifact, one)}} for one in stored]
    scoring = Scoring(config, ScoringInputs(given))
    if of_images:
        shown, _ = images_of(("train", "val", TEST))
        pixels = {name: Images((255 * images).byte()) for name, images in shown.items()}
        scoring.__dict__["tap"] = full_tap()
        scoring.__dict__["images"] = {**pixels, **dict.fromkeys(SETS, pixels[TEST])}
    made = scoring._calibrated(scoring._fit(fitted))
    if isinstance(made, GradientDetector) and made.chooses_step:
        made = scoring._with_step(made)
    (found,) = score_together([(scoring, made)])
    return found


def _extracted(subject: Subject, seed: int, *, of_images: bool) -> InMemory:
    """Features as the harness keeps them: the ID test set, with labels, and the same as OOD sets."""
    if of_images:
        tap = full_tap()
        shown, labels = images_of(("train", "val", TEST))
        with torch.no_grad():
            seen = {name: tap((255 * x).byte() / 255) for name, x in shown.items()}
        by_part = {name: features.including(labels=labels) for name, features in seen.items()}
        head = tap.head
    else:
        world = subject.world
        head = world.head
        both = subject.both
        features = both.features
        if issubclass(subject.cls, EnsembleDetector):
            features = world.another(both, seed)
        labelled = features.including(labels=features.logits.argmax(dim=1))
        by_part = {"train": world.train.features, "val": world.val.features, TEST: labelled}
    by_part |= dict.fromkeys(SETS, by_part[TEST].without("labels"))
    tensors: dict[str, Tensor] = {}
    for part, features in by_part.items():
        for name, parts in features.collected().items():
            several = name in _STAGED
            tensors |= {f"{part}.{name}" + (f".{i}" if several else ""): t for i, t in enumerate(parts)}
    weights = {"head.weight": head.weight, "head.bias": head.bias} if head.is_linear else {}
    return InMemory(weights, tensors)


CHECKS = (sets,)
