"""A classifier with a detector before it: logits, score and decision for every image.

This module must not know how detectors are compared, nor where a threshold comes from.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor, nn

from benchmark.errors import DataError, UsageError
from benchmark.evaluation.saved import Saved, load_saved, save_detector
from benchmark.evaluation.state import on_device
from benchmark.evaluation.subject import Subject
from methods.base import (
    AnyDetector,
    Detector,
    Features,
    GradientDetector,
    InputError,
    NotApplicable,
    Signal,
    check_scores,
)

GUARD = "guard"  # its part of what is saved with a detector
_OWN = {"threshold", "fingerprint", "title", "classes", "class_names", "model"}


class Guarded(NamedTuple):
    """What a guard says of N images.

    Attributes
    ----------
    logits
        (N, K) of the classifier, on the CPU.
    score
        (N,) float64, higher = more in-distribution, on the CPU.
    accepted
        (N,) bool: whether the score is at least the threshold.
    """

    logits: Tensor
    score: Tensor
    accepted: Tensor


class Guard(nn.Module):
    """A classifier, a fitted detector and a threshold: ``guard(images)`` gives `Guarded`.

    The classifier stays where it is, frozen, and is no submodule: `to`, `train` and `state_dict` do not
    touch it. A detector whose scores depend on the images that they are made with (`transductive`) takes
    each call for one set.

    Parameters
    ----------
    subject
        The classifier.
    detector
        Fitted on its features, on whatever device.
    threshold
        Finite; accepted is a score of at least that.
    device
        Where the detector computes; None for the CPU.

    Raises
    ------
    UsageError
        If the detector needs several networks, or the threshold is not finite.
    NotApplicable
        If the classifier cannot give what the detector needs; says why.
    """

    def __init__(
        self,
        subject: Subject,
        detector: AnyDetector,
        threshold: float,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(detector, Detector):
            raise UsageError(f"{detector.name}: scores by several networks; a guard has one")
        if not math.isfinite(threshold):
            raise UsageError(f"threshold: expected a finite number, got {threshold}")
        for signal in sorted(detector.needs):
            if why := subject.missing.get(signal):
                raise NotApplicable(f"{detector.name}: needs {signal}: {why}")
        self.steps = isinstance(detector, GradientDetector) and detector.step > 0
        if self.steps and subject.differentiable:
            raise NotApplicable(f"{detector.name}: needs a gradient in the image: {subject.differentiable}")
        self.subject, self.threshold = subject, float(threshold)
        self.device = torch.device("cpu" if device is None else device)
        there = on_device(detector, self.device)
        assert isinstance(there, Detector)
        self.detector = there
        self._signals = tuple(sorted(detector.needs - {Signal.HEAD}))
        blank = None if subject.prepare is None else subject.prepare(Image.new("RGB", (64, 64)))
        self._pixels = blank is not None and blank.dtype == torch.uint8

    def forward(self, images: Tensor) -> Guarded:
        """Classify and judge images.

        Parameters
        ----------
        images : (N, 3, H, W), as `Subject.prepare` makes them: uint8 pixels, or floats as the model takes
            them.

        Raises
        ------
        InputError
            If they are no such images, or a number that the detector looks at is not finite: says which.
        ScoreError
            If a score is not finite.
        """
        if not isinstance(images, Tensor) or images.ndim != 4:
            seen = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
            hint = (
                "; of one image give images[None]" if isinstance(images, Tensor) and images.ndim == 3 else ""
            )
            raise InputError(f"images: expected shape (N, 3, H, W), got {seen}{hint}")
        if not len(images):
            nothing = torch.empty(0, dtype=torch.float64)
            return Guarded(torch.empty(0, self.subject.classes), nothing, nothing >= self.threshold)
        stepped = self._scaled(images) if self.steps else None
        with torch.no_grad():
            features = self.subject.features(images, () if self.steps else self._signals)
            if stepped is None:
                scores = self.detector.score(features.on(self.device))
        if stepped is not None:
            assert isinstance(self.detector, GradientDetector)
            scores = self.detector.score_images(self._network, stepped)
        score = check_scores(scores, len(images))
        here = torch.device("cpu")
        return Guarded(features.on(here).logits.detach(), score, score >= self.threshold)

    def _network(self, images: Tensor) -> Features:
        return self.subject.pixels(images).on(self.device)

    def _scaled(self, images: Tensor) -> Tensor:
        """Pixels in [0, 1], or images as the model takes them, where it alone knows what pixels are."""
        if images.dtype == torch.uint8:
            return images.float() / 255
        if self._pixels:
            raise InputError(
                f"images: expected uint8 pixels, as `prepare` makes them, got {images.dtype}: "
                f"{self.detector.name} takes a step in pixels"
            )
        return images

    def extra_repr(self) -> str:
        """What `print` shows."""
        return f"{self.subject.title}, {self.detector}, threshold={self.threshold:g}"


def save_guard(guard: Guard, folder: str | Path, extra: Mapping[str, Any] | None = None) -> None:
    """Save a guard's detector and threshold, and which classifier they belong to; not the classifier.

    Parameters
    ----------
    folder : as for `save_detector`.
    extra : JSON of the caller's own, such as where the threshold is from; `load_saved` gives it back.

    Raises
    ------
    UsageError
        If the detector cannot be saved, `extra` is no JSON, or has the key ``guard``.
    StorageError
        If the folder cannot be written.
    """
    own = dict(extra or {})
    if GUARD in own:
        raise UsageError(f"extra: the key {GUARD!r} is taken")
    subject = guard.subject
    about = {
        "threshold": guard.threshold,
        "fingerprint": subject.fingerprint,
        "title": subject.title,
        "classes": subject.classes,
        "class_names": None if subject.class_names is None else list(subject.class_names),
        "model": dict(subject.card),
    }
    save_detector(guard.detector, folder, {**own, GUARD: about})


def load_guard(
    folder: str | Path,
    subject: Subject,
    device: torch.device | str | None = None,
    *,
    allow_other_model: bool = False,
    allow_changed: bool = False,
) -> Guard:
    """Load a guard for a classifier.

    Parameters
    ----------
    folder : that `save_guard` wrote.
    subject : the classifier that it was made for.
    device : where the detector computes; None for the CPU.
    allow_other_model : whether to take another classifier, or one that is shown its images otherwise: its
        scores then mean what nobody has measured.
    allow_changed : as for `load_detector`.

    Raises
    ------
    UsageError
        If the folder holds no guard, or one of another classifier; or as `load_detector`.
    DataError
        If a file is damaged.
    NotApplicable
        If the classifier cannot give what the detector needs.
    """
    saved = load_saved(folder, allow_changed=allow_changed)
    about = _about(Path(folder), saved)
    if about["classes"] != subject.classes:
        raise UsageError(
            f"{folder}: made for {about['classes']} classes, {subject.title} has {subject.classes}: give the "
            "classifier that it was made for"
        )
    if not allow_other_model:
        _check_model(Path(folder), about, subject)
    return Guard(subject, saved.detector, about["threshold"], device)


def _about(folder: Path, saved: Saved) -> dict[str, Any]:
    about = saved.card.extra.get(GUARD)
    if about is None:
        raise UsageError(
            f"{folder}: holds a detector without a threshold; use load_detector and Guard, or save it "
            "with save_guard"
        )
    whole = isinstance(about, dict) and about.keys() == _OWN
    kinds: dict[str, Any] = {
        "fingerprint": str,
        "title": str,
        "classes": int,
        "threshold": (int, float),
        "model": dict,
    }
    wrong = (
        [key for key, kind in kinds.items() if not isinstance(about[key], kind)] if whole else sorted(_OWN)
    )
    if wrong or isinstance(about["threshold"], bool) or not math.isfinite(about["threshold"]):
        raise DataError(
            f"{folder}: expected {', '.join(wrong or ['a finite threshold'])} of a guard, got "
            f"{about!r:.200}; save it again with save_guard"
        )
    found: dict[str, Any] = about
    return found


def _check_model(folder: Path, about: Mapping[str, Any], subject: Subject) -> None:
    if about["fingerprint"] != subject.fingerprint:
        raise UsageError(
            f"{folder}: made for another model, {about['title']!r:.100} with the fingerprint "
            f"{about['fingerprint']:.16}…; this is {subject.title!r:.100} with {subject.fingerprint:.16}…. "
            "Give the one that it was made for, evaluate this one, or pass allow_other_model=True"
        )
    saved, today = (model.get("preprocessing") for model in (about["model"], subject.card))
    if json.dumps(saved, sort_keys=True) != json.dumps(today, sort_keys=True):
        raise UsageError(
            f"{folder}: made with the preprocessing {saved!r:.200}; this model has {today!r:.200}. "
            "Open it with the same, evaluate it anew, or pass allow_other_model=True"
        )
