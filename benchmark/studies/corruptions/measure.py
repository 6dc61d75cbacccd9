"""What is measured of a network on corrupted images."""

from __future__ import annotations

import numpy as np

from benchmark.datasets.shifts import SEVERITIES
from benchmark.metrics.calibration import ece, softmax
from benchmark.store.artifacts import Artifact
from benchmark.studies.config import SubjectInputs
from benchmark.studies.corruptions.config import CorruptionsConfig
from benchmark.studies.subject import Measured, Subject
from methods.features import Features


def measure(config: CorruptionsConfig, inputs: SubjectInputs[Artifact]) -> Measured:
    """Accuracy, calibration and near-OOD detection on corrupted test images, the same for every network."""
    assert inputs.shift_images is not None
    subject = Subject(config, inputs)
    rows = inputs.shift_images.tensors("images")["rows"]
    test = subject.extracted.features("test")[rows]
    chosen = subject.detectors(config.detectors)
    labels = test.labels.numpy()

    def of(features: Features) -> dict[str, float]:
        probabilities = softmax(features.logits.numpy())
        correct = probabilities.argmax(axis=1) == labels
        found = {"accuracy": float(correct.mean()), "ece": ece(probabilities.max(axis=1), correct)}
        aurocs = {f"{name}.near_auroc": subject.auroc(d, features, "near") for name, d in chosen.items()}
        return found | aurocs

    clean = of(test)
    shifted = [part for part in subject.extracted.parts if part.startswith("shift.")]
    kinds = list(dict.fromkeys(part.split(".")[1] for part in shifted))
    series: dict[str, list[float]] = {}
    for kind in kinds:
        parts = [f"shift.{kind}.{severity}" for severity in SEVERITIES]
        levels = [clean, *(of(subject.extracted.features(part)) for part in parts)]
        series |= {f"{kind}.{name}": [level[name] for level in levels] for name in clean}
    corrupted = {
        name: {kind: float(np.mean(series[f"{kind}.{name}"][1:])) for kind in kinds} for name in clean
    }
    numbers = {f"clean.{name}": value for name, value in clean.items()}
    numbers |= {f"mean.{name}": float(np.mean(list(values.values()))) for name, values in corrupted.items()}
    numbers |= {f"{kind}.error": 1 - value for kind, value in corrupted["accuracy"].items()}
    numbers |= {"mean.error": 1 - numbers["mean.accuracy"], "types": len(kinds)}
    return {"numbers": numbers, "series": series, "warnings": []}
