"""Whether a fitted detector can be saved, and scores the same once it is loaded again."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmark.conformance.findings import check
from benchmark.conformance.subject import Subject, furthest, stepping
from benchmark.errors import OodbenchError
from benchmark.evaluation.saved import load_detector, save_detector
from methods.families import families


@check("saved", "keep tensors, numbers, text and what is made of them, each field typed as what it holds")
def saved(subject: Subject) -> Iterator[str]:
    """A fitted detector that is saved and loaded gives the same scores to the last bit."""
    if families[subject.family].found.get(subject.name) is not subject.cls:
        return  # `name` says so: it cannot be loaded by its name
    world, detector = subject.world, stepping(subject.fitted)
    with tempfile.TemporaryDirectory() as folder:
        try:
            save_detector(detector, Path(folder))
            again = load_detector(Path(folder), allow_changed=True)
        except OodbenchError as error:
            yield str(error)
            return
    for data in (world.inliers, world.outliers):
        before, after = world.score(detector, data), world.score(again, data)
        if not torch.equal(before, after):
            yield f"saved and loaded it changes {furthest(after, before, 0.0)}"


CHECKS = (saved,)
