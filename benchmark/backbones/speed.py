"""How far a training is, told now and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from methods.neutral import neutral

REPORT_EVERY = 1.0  # seconds between two reports

Report = Callable[[dict[str, Any]], None]


@neutral
class Speed:
    """Calls `report` about once a second with what `benchmark.backbones.train.train` says it is told."""

    def __init__(self, epochs: int, images: int, report: Report | None) -> None:
        self.epochs, self.images, self.report = epochs, images, report
        self.started = self.last = time.monotonic()
        self.first: int | None = None

    def __call__(self, epoch: int, history: list[dict[str, Any]], seen: int, loss: float) -> None:
        """Take note of `seen` images of an epoch, counted from 0, and their mean loss."""
        now = time.monotonic()
        self.first = epoch if self.first is None else self.first
        if self.report is None or now - self.last < REPORT_EVERY:
            return
        self.last = now
        speed = ((epoch - self.first) * self.images + seen) / (now - self.started)
        self.report(
            {
                "epoch": epoch + 1,
                "epochs": self.epochs,
                "loss": loss,
                "val_accuracy": history[-1]["val_accuracy"] if history else None,
                "images_per_second": speed,
                "seconds_left": ((self.epochs - epoch) * self.images - seen) / speed,
            }
        )
