"""A classifier as an evaluation sees it: the conformance suite's network, in float32."""

from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from benchmark.conformance.world import CLASSES, SIDE, the_world
from methods.base import Features, Signal


def pixels_of(image: Image.Image) -> Tensor:
    """(3, H, W) uint8."""
    small = image.convert("RGB").resize((SIDE, SIDE))
    return (
        torch.frombuffer(bytearray(small.tobytes()), dtype=torch.uint8)
        .reshape(SIDE, SIDE, 3)
        .permute(2, 0, 1)
    )


def floats_of(image: Image.Image) -> Tensor:
    """(3, H, W) as a model takes them whose normalisation nobody knows."""
    return pixels_of(image).float() / 255


@dataclass
class FakeSubject:
    """`benchmark.evaluation.subject.Subject`; `asked` notes which signals were asked for."""

    title: str = "fake:world"
    classes: int = CLASSES
    class_names: tuple[str, ...] | None = tuple(f"class {k}" for k in range(CLASSES))
    fingerprint: str = "ab" * 32
    missing: dict[Signal, str] = field(default_factory=dict)
    card: dict[str, Any] = field(default_factory=lambda: {"preprocessing": {"size": [SIDE, SIDE]}})
    notes: tuple[str, ...] = ()
    prepare: Any = pixels_of
    differentiable: str = ""
    device: torch.device = torch.device("cpu")
    asked: list[Any] = field(default_factory=list)

    def __post_init__(self):
        self.world = the_world().single()
        self.network, self.head = self.world.network, self.world.head

    def features(self, images, what):
        self.asked.append(tuple(what))
        return self._collected(images.float() / 255 if images.dtype == torch.uint8 else images, what)

    def pixels(self, images):
        self.asked.append("pixels")
        return self._collected(images, ())

    def _collected(self, images, what):
        if set(what) <= {Signal.LOGITS, Signal.PENULTIMATE}:  # as a pass that collects no more
            h = self.network.penultimate(images)
            return Features(self.network.fc(h), h)
        found = self.network.features(images)
        kept = {"logits", "penultimate", *map(str, what)} - set(map(str, self.missing))
        return found.without(*(name for name in found.collected() if name not in kept))

    def images(self, part="inliers"):
        """(N, 3, H, W) uint8."""
        return (getattr(self.world, part).images * 255).round().to(torch.uint8)

    def fit(self, detector):
        """Fit on what `features` gives, as an evaluation would."""
        signals = detector.needs - {Signal.HEAD}
        labels = self.world.train.features.labels, self.world.val.features.labels
        sets = [
            self.features(self.images(part), signals).including(labels=of)
            for part, of in zip(("train", "val"), labels, strict=True)
        ]
        learnt = detector.fit(*sets, self.head, torch.Generator().manual_seed(0))
        if hasattr(learnt, "calibration"):
            learnt = learnt.calibrated(learnt.calibration(self.pixels, self.images("val").float() / 255))
        self.asked.clear()
        return learnt
