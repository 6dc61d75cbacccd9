"""What is measured of a network that was trained on noisy labels."""

from __future__ import annotations

import numpy as np

from benchmark.metrics.calibration import calibration_metrics
from benchmark.store.artifacts import Artifact
from benchmark.studies.config import Assessment, SubjectInputs
from benchmark.studies.subject import Measured, Subject


def measure(config: Assessment, inputs: SubjectInputs[Artifact]) -> Measured:
    """Error and calibration on the clean test images of a network that was trained on noisy labels."""
    assert inputs.training_set is not None
    subject = Subject(config, inputs)
    test = subject.extracted.features("test")
    found = calibration_metrics(test.logits.numpy(), test.labels.numpy(), 1.0)
    card = inputs.training_set.json("card")
    numbers = {
        "test.error": 1 - found.accuracy,
        "test.ece": found.ece,
        "test.rms_calibration": found.rms_calibration,
        "flipped": card["flipped"],
    }
    if "matrix" in subject.kept and card["matrix"] is not None:
        numbers["estimate.error"] = float(
            np.abs(subject.kept["matrix"].numpy() - np.array(card["matrix"])).mean()
        )
    history = inputs.network.json("history")
    watched = [epoch["watched_accuracy"] for epoch in history if "watched_accuracy" in epoch]
    series = {"test_error": [1 - accuracy for accuracy in watched]} if watched else {}
    return {"numbers": numbers, "series": series, "warnings": []}
