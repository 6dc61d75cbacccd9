"""The one pass: every set goes through the classifier once, and every detector scores what it gave.

ID training and validation features are kept in files for fitting; of the sets that are tested only scores
remain, so that memory does not grow with the images but for some numbers of each.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmark.errors import DataError
from benchmark.evaluation.classify import Classifying
from benchmark.evaluation.kept import Kept
from benchmark.evaluation.shown import ROWS, Chunk, Shown, joined
from benchmark.evaluation.subject import Subject
from benchmark.seeds import derive_seed
from methods.base import Detector, GradientDetector, NotApplicable, check_scores
from methods.errors import MethodError, said
from methods.features import Features, Signal
from methods.names import describe
from methods.tensors import at_once

STEPPED = 512  # ID validation images that choose a step, or calibrate a detector that has one
Progress = Callable[[str, int], None]  # title of a set, images so far


@dataclass
class Seen:
    """What remains of a set: of each image its name and some numbers.

    Attributes
    ----------
    labels
        (N,) int64, -1 where there is none.
    predicted, confidence
        (N,) the class with the largest logit and its softmax probability.
    scores
        By detector (N,) float64.
    """

    title: str
    names: list[str] = field(default_factory=list)
    labels: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    predicted: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    confidence: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    exact: NDArray[Any] | None = None
    near: NDArray[Any] | None = None
    scores: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    card: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    def without(self, rows: NDArray[np.bool_]) -> Seen:
        """The same without some images."""
        keep = ~rows
        return Seen(
            self.title,
            [name for name, kept in zip(self.names, keep, strict=True) if kept],
            self.labels[keep],
            self.predicted[keep],
            self.confidence[keep],
            None if self.exact is None else self.exact[keep],
            None if self.near is None else self.near[keep],
            {name: scores[keep] for name, scores in self.scores.items()},
            self.card,
        )


@dataclass
class Fitted:
    """Detectors that have learnt from ID training and validation images.

    Attributes
    ----------
    detectors
        By name.
    refused
        Of all others, why.
    seconds
        That each took to fit.
    val
        ID validation images, scored.
    classifying
        Told of the temperature; None without labels.
    train
        Card of the training images, and how many there were.
    """

    detectors: dict[str, Detector]
    refused: dict[str, str]
    seconds: dict[str, float]
    val: Seen
    classifying: Classifying | None
    train: tuple[int, dict[str, Any]]


@dataclass
class Clock:
    """Seconds by what was done."""

    forward: float = 0.0
    scoring: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Count the time of a detector."""
        began = time.perf_counter()
        yield
        self.scoring[name] = self.scoring.get(name, 0.0) + time.perf_counter() - began

    def cost(self, name: str) -> float:
        """A forward pass and the score of a detector, in forward passes."""
        return 1.0 + (self.scoring.get(name, 0.0) / self.forward if self.forward else 0.0)


def fit(
    subject: Subject,
    detectors: Iterable[Detector],
    train: Shown,
    val: Shown,
    *,
    seed: int,
    clock: Clock,
    progress: Progress,
) -> Fitted:
    """Fit detectors on ID images, and score the ID validation images.

    Raises
    ------
    DataError
        If a set has no images.
    """
    wanted = list(detectors)
    what = frozenset().union(*(one.needs for one in wanted)) if wanted else frozenset[Signal]()
    stepping = [one for one in wanted if _steps(one)]
    with tempfile.TemporaryDirectory(prefix="oodbench-") as folder:
        parts: dict[str, tuple[Kept, tuple[str, ...]]] = {}
        for shown in (train, val):
            kept = Kept(Path(folder) / str(len(parts)))
            parts[shown.title] = kept, _keep(shown, kept, what, bool(stepping) and shown is val, progress)
        learnt, validating = (parts[shown.title][0].features() for shown in (train, val))
        images = parts[val.title][0]["images"][:STEPPED] if stepping else None
        fitted, refused, seconds = {}, {}, {}
        for one in wanted:
            began = time.perf_counter()
            rng = torch.Generator().manual_seed(derive_seed(seed, one.name))
            try:
                fitted[one.name] = _stepped(one.fit(learnt, validating, subject.head, rng), subject, images)
            except Exception as error:  # of one detector: the others go on
                refused[one.name] = said(error) if isinstance(error, NotApplicable) else _failed(error)
            seconds[one.name] = time.perf_counter() - began
        labelled = "labels" in validating.collected()
        classifying = Classifying(validating.logits, validating.labels) if labelled else None
        kept, names = parts[val.title]
        again = _Again(val.title, validating, names, kept["images"] if stepping else None)
        seen = score(subject, fitted, again, clock=Clock(), progress=lambda *_: None, refused=refused)
        seen.card = val.card
        return Fitted(fitted, refused, seconds, seen, classifying, (len(learnt), train.card))


def score(
    subject: Subject,
    detectors: dict[str, Detector],
    shown: Shown,
    *,
    clock: Clock,
    progress: Progress,
    refused: dict[str, str],
    classifying: Classifying | None = None,
) -> Seen:
    """Score a set by fitted detectors; one that fails is moved to `refused`.

    Raises
    ------
    DataError
        If it has no images.
    """
    seen = Seen(shown.title)
    found: dict[str, list[NDArray[Any]]] = {}
    what = frozenset().union(*(one.needs for one in detectors.values())) if detectors else frozenset()
    stepping = any(_steps(one) for one in detectors.values())
    chunks = shown.chunks(what)
    for chunk in chunks if stepping else joined(chunks):
        clock.forward += chunk.seconds
        seen.names += chunk.names
        _add(found, chunk)
        if classifying is not None and chunk.labels is not None:
            classifying.add(chunk.features.logits, chunk.labels)
        shown_to_all = _widened(chunk)
        for name, one in list(detectors.items()):
            try:
                with clock.of(name):
                    scores = _score(subject, one, shown_to_all)
            except Exception as error:  # of one detector: the others go on
                refused[name] = _failed(error, f" on {shown.title}")
                del detectors[name]
                continue
            found.setdefault(f"scores.{name}", []).append(scores)
        progress(shown.title, len(seen.names))
    if not seen.names:
        raise DataError(f"{shown.title}: expected images, got none that can be read")
    arrays = {name: np.concatenate(parts) for name, parts in found.items()}
    seen.labels, seen.predicted = arrays["labels"], arrays["predicted"]
    seen.confidence = arrays["confidence"]
    seen.exact, seen.near = arrays.get("exact"), arrays.get("near")
    seen.scores = {name: arrays[f"scores.{name}"] for name in detectors}
    seen.card = shown.card
    return seen


def _failed(error: Exception, where: str = "") -> str:
    own = isinstance(error, MethodError | ValueError | RuntimeError)
    return f"failed{where}: {error if own else describe(error)}"


@dataclass
class _Again:
    """ID validation images once more, from what was kept of them."""

    title: str
    features: Features
    names: tuple[str, ...]
    images: torch.Tensor | None

    @property
    def card(self) -> dict[str, Any]:
        return {}

    def chunks(self, what: Collection[Signal]) -> Iterator[Chunk]:
        rows = ROWS if self.images is None else at_once(self.images)
        labelled = "labels" in self.features.collected()
        for start in range(0, len(self.features), rows):
            part = self.features[start : start + rows]
            images = None if self.images is None else self.images[start : start + rows]
            names = self.names[start : start + rows]
            yield Chunk(part.without("labels"), names, part.labels if labelled else None, images=images)


def _keep(
    shown: Shown, kept: Kept, what: Iterable[Signal], images: bool, progress: Progress
) -> tuple[str, ...]:
    names: list[str] = []
    labelled = 0
    for chunk in shown.chunks(frozenset(what)):
        features = chunk.features
        if chunk.labels is not None:
            features = features.including(labels=chunk.labels)
            labelled += len(chunk.labels)
        kept.append_features(features)
        if images and chunk.images is not None:
            kept.append(images=chunk.images)
        names += chunk.names
        progress(shown.title, len(names))
    if not names:
        raise DataError(f"{shown.title}: expected images, got none that can be read")
    if labelled not in (0, len(names)):
        raise DataError(
            f"{shown.title}: {labelled:,} of {len(names):,} images have labels; expected all or none"
        )
    return tuple(names)


def _add(found: dict[str, list[NDArray[Any]]], chunk: Chunk) -> None:
    shares = torch.softmax(chunk.features.logits.double(), dim=1)
    top = shares.max(dim=1)
    labels = np.full(len(chunk.names), -1) if chunk.labels is None else chunk.labels.numpy()
    parts = {"labels": labels, "predicted": chunk.features.logits.argmax(dim=1).numpy()}
    for name, values in {
        **parts, "confidence": top.values.numpy(), "exact": chunk.exact, "near": chunk.near,
    }.items():  # fmt: skip
        if values is not None:
            found.setdefault(name, []).append(values)


def _steps(one: Detector) -> bool:
    return isinstance(one, GradientDetector) and (one.step > 0 or one.chooses_step)


def _stepped(one: Detector, subject: Subject, images: torch.Tensor | None) -> Detector:
    """Calibrated, and with a step: of those of its grid the one that lifts the scores of ID images most."""
    if not isinstance(one, GradientDetector) or not _steps(one):
        return one
    assert images is not None
    pixels = _pixels(images)
    if one.calibrates:
        one = one.calibrated(one.calibration(subject.pixels, pixels))
    if one.chooses_step:
        candidates = [one.with_step(step) for step in one.step_grid]
        means = [float(_of_images(c, subject, images).mean()) for c in candidates]
        one = candidates[int(np.argmax(means))]
    return one


def _score(subject: Subject, one: Detector, chunk: Chunk) -> NDArray[np.float64]:
    if _steps(one) and isinstance(one, GradientDetector):
        assert chunk.images is not None
        scores = _of_images(one, subject, chunk.images)
    else:
        scores = one.score(chunk.features)
    found: NDArray[np.float64] = check_scores(scores, len(chunk.names)).numpy()
    return found


def _widened(chunk: Chunk) -> Chunk:
    """With penultimate features in float64, as the harness scores them."""
    features = chunk.features
    if "penultimate" not in features.collected():
        return chunk
    return replace(chunk, features=features.including(penultimate=features.penultimate.double()))


def _of_images(one: Detector, subject: Subject, images: torch.Tensor) -> torch.Tensor:
    if not isinstance(one, GradientDetector) or one.step == 0:
        return one.score(subject.features(images, one.needs))
    return one.score_images(subject.pixels, _pixels(images))


def _pixels(images: torch.Tensor) -> torch.Tensor:
    """uint8 pixels as numbers in [0, 1]; what a model takes otherwise as it is."""
    return images.float() / 255 if images.dtype == torch.uint8 else images
