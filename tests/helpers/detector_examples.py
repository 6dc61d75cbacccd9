"""The specification's worked examples of detectors: its fixture F1 as features and head, inputs, values."""

import numpy as np
import torch
from worked_examples import tensor, worked

from methods.base import Features, Head

INPUTS, VALUES = worked("detectors")
F1 = {key: tensor(value) for key, value in INPUTS["F1"].items()}
LABELS = F1["Y"].long()
HEAD = Head(F1["W"], F1["b"])
ROTATION = torch.linalg.qr(tensor(np.random.default_rng(0).normal(size=(4, 4)).tolist())).Q


def features(h, labels=None, head=HEAD):
    return Features(h @ head.weight.T + head.bias, h, labels)


TRAIN = features(F1["H"], LABELS)
QUERIES = features(F1["Q"])
