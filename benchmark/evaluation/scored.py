"""What a classifier and a detector say of every image, a row an image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from benchmark.evaluation.guard import Guard
from benchmark.evaluation.measure import Seen
from benchmark.evaluation.outcome import ScoredImage
from benchmark.evaluation.pictures.sources import open_source


def scored(seen: Seen, name: str, cut: float, classes: tuple[str, ...] | None) -> Iterator[ScoredImage]:
    """The images of a set that was scored: of detector `name`, accepted from `cut` on."""
    columns = (seen.names, seen.labels, seen.predicted, seen.confidence, seen.scores[name])
    for image, label, predicted, confidence, score in zip(*columns, strict=True):
        of = None if label < 0 else _called(int(label), classes)
        said = _called(int(predicted), classes)
        yield ScoredImage(seen.title, image, of, said, float(confidence), float(score), bool(score >= cut))


def score_images(
    guard: Guard, where: Any, batch: int, title: str
) -> tuple[Iterator[ScoredImage], dict[str, Any]]:
    """Score images by a guard, a batch at a time; and a card that is whole after the last one.

    Raises
    ------
    UsageError, DataError
        If there are no images, or they cannot be read.
    """
    source = open_source(where, title=title, prepare=guard.subject.prepare, classes=None, role="far")
    card: dict[str, Any] = {}

    def rows() -> Iterator[ScoredImage]:
        for one in source.batches(batch):
            found = guard(one.images)
            top = torch.softmax(found.logits.double(), dim=1).max(dim=1)
            columns = (one.names, top.indices.tolist(), top.values.tolist(), found.score.tolist())
            for image, index, confidence, score, accepted in zip(
                *columns, found.accepted.tolist(), strict=True
            ):
                said = _called(index, guard.subject.class_names)
                yield ScoredImage(title, image, None, said, confidence, score, accepted)
        card.update(source.card)

    return rows(), card


def _called(index: int, classes: tuple[str, ...] | None) -> str:
    return str(index) if classes is None else classes[index]
