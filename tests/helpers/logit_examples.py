"""The fixture F1 for detectors that need logits alone: there are no features."""

from detector_examples import F1, HEAD, INPUTS, LABELS
from worked_examples import tensor

from methods.base import Features

TRAIN = Features(F1["H"] @ F1["W"].T + F1["b"], labels=LABELS)
QUERIES = Features(F1["Q"] @ F1["W"].T + F1["b"])
CALIBRATION = Features(tensor(INPUTS["ts"]["Z"]), labels=INPUTS["ts"]["y"])


def fit(method, train=None, val=None):
    given = next((part for part in (train, val) if part is not None), TRAIN)
    return method.fit(given if train is None else train, given if val is None else val, HEAD)
