"""What is measured of a network that was trained on a long tail."""

from __future__ import annotations

import numpy as np

from benchmark.metrics.imbalance import macro_f1, minority_error, total_error
from benchmark.store.artifacts import Artifact
from benchmark.studies.config import Assessment, SubjectInputs
from benchmark.studies.subject import GROUPS, Measured, Subject
from methods.errors import HyperparameterError, NotApplicable, said


def measure(config: Assessment, inputs: SubjectInputs[Artifact]) -> Measured:
    """Errors on the balanced test images, and OOD detection, of a network that was trained on a long tail.

    A detector that cannot be fitted on so few images is left out, with a warning.
    """
    assert inputs.training_set is not None
    subject = Subject(config, inputs)
    inside = subject.extracted.features("test")
    predicted, labels = inside.logits.argmax(dim=1).numpy(), inside.labels.numpy()
    counts = np.array(inputs.training_set.json("card")["counts"])
    numbers = {
        "total.error": total_error(predicted, labels),
        "minority.error": minority_error(predicted, labels, counts),
        "macro_f1": macro_f1(predicted, labels),
    }
    warnings = []
    for name in config.detectors:
        try:
            (chosen,) = subject.detectors([name]).values()
        except (NotApplicable, HyperparameterError) as error:
            warnings.append(f"detector {name}: left out: {said(error)}")
            continue
        for group in GROUPS:
            numbers[f"{name}.{group}.auroc"] = subject.auroc(chosen, inside, group)
    return {"numbers": numbers, "series": {}, "warnings": warnings}
