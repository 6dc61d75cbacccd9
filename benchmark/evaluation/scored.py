"""What a classifier and a detector say of every image, a row an image."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmark.evaluation.guard import Guard
from benchmark.evaluation.images import ImageSource
from benchmark.evaluation.measure import Seen
from benchmark.evaluation.models.answers import naming
from benchmark.evaluation.outcome import ScoredImage


def scored(
    title: str, seen: Seen, name: str, cut: float, classes: tuple[str, ...] | None
) -> Iterator[ScoredImage]:
    """The images of a set that was scored: of detector `name`, accepted from `cut` on."""
    columns = (seen.names, seen.labels, seen.predicted, seen.confidence, seen.scores[name])
    for image, label, predicted, confidence, score in zip(*columns, strict=True):
        of = None if label < 0 else _called(int(label), classes)
        said = _called(int(predicted), classes)
        yield ScoredImage(title, image, of, said, float(confidence), float(score), bool(score >= cut))


def score_images(guard: Guard, source: ImageSource, batch: int) -> Iterator[ScoredImage]:
    """Score images by a guard, a batch at a time.

    Raises
    ------
    DataError
        If there are no images, they cannot be read, or logits are NaN or infinite: names the images.
    """
    for one in source.batches(batch):
        with naming(source.title, one.names):
            found = guard(one.images)
        top = torch.softmax(found.logits.double(), dim=1).max(dim=1)
        columns = (top.indices, top.values, found.score, found.accepted)
        for image, index, confidence, score, accepted in zip(
            one.names, *(column.tolist() for column in columns), strict=True
        ):
            said = _called(index, guard.subject.class_names)
            yield ScoredImage(source.title, image, None, said, confidence, score, accepted)


def _called(index: int, classes: tuple[str, ...] | None) -> str:
    return str(index) if classes is None else classes[index]
