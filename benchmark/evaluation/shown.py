"""A set of images as features, a chunk at a time: of a model that sees them, or computed elsewhere."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmark.evaluation.images import ImageSource
from benchmark.evaluation.models.answers import naming
from benchmark.evaluation.subject import Subject
from methods.features import Features, Signal

ROWS = 4096  # images of a chunk, at most
BYTES = 2**26  # of their features, at most, but for those of the last batch


@dataclass(frozen=True)
class Chunk:
    """Some images of a set.

    Attributes
    ----------
    features
        Without labels.
    labels
        (N,), if there are any.
    images
        As the model was given them; None where they are not at hand.
    seconds
        That the forward pass took.
    """

    features: Features
    names: tuple[str, ...]
    labels: Tensor | None = None
    exact: NDArray[Any] | None = None
    near: NDArray[Any] | None = None
    images: Tensor | None = None
    seconds: float = 0.0


class Shown(Protocol):
    """A set whose features come in chunks, in a fixed order."""

    @property
    def title(self) -> str:
        """What pages call it."""

    def chunks(self, what: Collection[Signal]) -> Iterator[Chunk]:
        """All of it, with these signals."""

    @property
    def card(self) -> dict[str, Any]:
        """What there is to say of the set, whole after the last chunk."""


@dataclass(frozen=True)
class ShownImages:
    """Images that a model sees, each once."""

    subject: Subject
    source: ImageSource
    batch: int

    @property
    def title(self) -> str:
        """See `Shown.title`."""
        return self.source.title

    def chunks(self, what: Collection[Signal]) -> Iterator[Chunk]:
        """See `Shown.chunks`: a chunk a batch.

        Raises
        ------
        DataError
            If logits are NaN or infinite: names the images.
        """
        for batch in self.source.batches(self.batch):
            began = time.perf_counter()
            with naming(self.title, batch.names), torch.no_grad():
                features = self.subject.features(batch.images, what)
            took = time.perf_counter() - began
            yield Chunk(features, batch.names, batch.labels, batch.exact, batch.near, batch.images, took)

    @property
    def card(self) -> dict[str, Any]:
        """See `Shown.card`."""
        return self.source.card


@dataclass(frozen=True)
class ShownFeatures:
    """Features that were computed elsewhere."""

    title: str
    features: Features
    names: Sequence[str] = ()

    def chunks(self, what: Collection[Signal]) -> Iterator[Chunk]:
        """See `Shown.chunks`."""
        labelled = "labels" in self.features.collected()
        for start in range(0, len(self.features), ROWS):
            part = self.features[start : start + ROWS]
            names = tuple(self.names[start : start + ROWS]) or tuple(
                f"row {i}" for i in range(start, start + len(part))
            )
            yield Chunk(part.without("labels"), names, part.labels if labelled else None)

    @property
    def card(self) -> dict[str, Any]:
        """See `Shown.card`."""
        return {"images": len(self.features), "kind": "features computed elsewhere"}


def joined(chunks: Iterator[Chunk], rows: int = ROWS, size: int = BYTES) -> Iterator[Chunk]:
    """Chunks of `rows` images or `size` bytes, whichever comes first: detectors score many at a time.

    Images are dropped where several chunks are joined.
    """
    waiting: list[Chunk] = []
    for chunk in chunks:
        waiting.append(chunk)
        if sum(len(one.names) for one in waiting) >= rows or sum(map(_bytes, waiting)) >= size:
            yield _together(waiting)
            waiting = []
    if waiting:
        yield _together(waiting)


def _bytes(chunk: Chunk) -> int:
    return sum(part.nbytes for parts in chunk.features.collected().values() for part in parts)


def _together(chunks: Sequence[Chunk]) -> Chunk:
    if len(chunks) == 1:
        return chunks[0]
    collected = [chunk.features.collected() for chunk in chunks]
    by_stage = ("stages", "gram", "maps")
    parts: dict[str, Any] = {
        name: [torch.cat(stage) for stage in zip(*(found[name] for found in collected), strict=True)]
        for name in collected[0]
    }
    labels = [chunk.labels for chunk in chunks if chunk.labels is not None]
    hashes = [(chunk.exact, chunk.near) for chunk in chunks]
    exact = [one for one, _ in hashes if one is not None]
    near = [one for _, one in hashes if one is not None]
    return Chunk(
        Features(**{n: p if n in by_stage else p[0] for n, p in parts.items()}),
        tuple(name for chunk in chunks for name in chunk.names),
        torch.cat(labels) if labels else None,
        np.concatenate(exact) if exact else None,
        np.concatenate(near) if near else None,
        None,
        sum(chunk.seconds for chunk in chunks),
    )
