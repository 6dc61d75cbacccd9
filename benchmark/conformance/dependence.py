"""On what a score may depend: its own image, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from benchmark.conformance.findings import Severity, check
from benchmark.conformance.subject import Subject, furthest, joined
from benchmark.conformance.world import Split

BATCHES = (1, 7)
ALONE = "score each image by itself, or declare `transductive = True`: its rows then stand apart"


def _others(subject: Subject) -> Iterator[str]:
    """Where the score of an image depends on what it is scored with."""
    world = subject.world
    data, whole = world.outliers, subject.score(world.outliers)
    for batch in BATCHES:
        starts = range(0, len(data), batch)
        parts = [subject.score(data[start : start + batch]) for start in starts]
        if gap := furthest(torch.cat(parts), whole):
            yield f"in batches of {batch} it changes {gap}"
    half = len(data) // 2
    among = subject.score(joined([data[:half], world.inliers[:half]]))[:half]
    if gap := furthest(among, whole[:half]):
        yield f"among other test images it changes {gap}"


@check("batch", ALONE)
def batch(subject: Subject) -> Iterator[str]:
    """A score depends on its own image, not on the batch or on other test images."""
    if not subject.transductive:
        yield from _others(subject)


@check("transductive", "take the declaration back", severity=Severity.WARNING)
def transductive(subject: Subject) -> Iterator[str]:
    """What is declared to depend on other test images does."""
    if subject.transductive and not any(_others(subject)):
        yield "`transductive` is declared, and no score depends on other images here"


@check("order", "row i of the scores is image i's, whatever the order")
def order(subject: Subject) -> Iterator[str]:
    """A score does not depend on the order of the images."""
    data = subject.world.outliers
    mixed = torch.randperm(len(data), generator=torch.Generator().manual_seed(3))
    if gap := furthest(subject.score(data[mixed]), subject.score(data)[mixed]):
        yield f"another order changes {gap}"


@check("repeats", "draw from the generator that `fit` is given, and from no other")
def repeats(subject: Subject) -> Iterator[str]:
    """The same inputs give the same bits, whatever the global seed."""
    torch.manual_seed(1)
    first = subject.score(subject.world.inliers)
    torch.manual_seed(2)  # only the generator handed to `fit` may be drawn from
    again = subject.world.score(subject.fit(gradients=False).detector, subject.world.inliers)
    if not torch.equal(again, first):
        yield f"fitted again it changes {furthest(again, first, 0.0)}"


@check("history", "keep nothing from one call of `score` to the next; state is set by `fit` alone")
def history(subject: Subject) -> Iterator[str]:
    """What was scored before changes nothing."""
    world = subject.world
    before, state = subject.score(world.inliers), _state(subject.fitted)
    for data in (world.outliers, world.outliers, world.inliers[:3]):
        subject.score(data)
    again = subject.score(world.inliers)
    if not torch.equal(again, before):
        yield f"scored again after others it changes {furthest(again, before, 0.0)}"
    for name, value in _state(subject.fitted).items():
        if not _equal(state.get(name), value):
            yield f"`score` changed the detector's {name!r}"


@check("labels", "`score` is given no labels: take the score from logits and features alone")
def labels(subject: Subject) -> Iterator[str]:
    """Its own formula gives the same for images with labels and without."""
    data = subject.both
    told = data.features.including(labels=torch.arange(len(data)) % data.features.logits.shape[1])
    found = [subject.formula(Split(data.images, one)) for one in (told, data.features)]
    if not torch.equal(*found):
        yield f"labels that come with the images change {furthest(found[0], found[1], 0.0)}"


def _state(detector: Any) -> dict[str, Any]:
    """What a detector holds; tensors copied."""
    return {k: v.clone() if isinstance(v, Tensor) else v for k, v in vars(detector).items()}


def _equal(old: Any, new: Any) -> bool:
    if isinstance(old, Tensor) and isinstance(new, Tensor):
        return old.shape == new.shape and torch.equal(old, new)
    return old is new or bool(isinstance(old, int | float | str) and old == new)


CHECKS = (batch, transductive, order, repeats, history, labels)
