"""A random last layer and features for it."""

import pytest
import torch
from detector_examples import features
from torch import nn

from methods.base import Head


class Linear:
    """A random layer of D features and K classes, and features for it: rectified, or signed."""

    def __init__(self, n=300, width=40, classes=5, signed=False, weight=1.0):
        rng = torch.Generator().manual_seed(0)

        def normal(*shape):
            return torch.randn(*shape, generator=rng, dtype=torch.float64)

        self.module = nn.Linear(width, classes).double()
        with torch.no_grad():
            self.module.weight.copy_(weight * normal(classes, width))
            self.module.bias.copy_(normal(classes))
        self.head = Head(self.module.weight.detach(), self.module.bias.detach())
        train, asked = normal(n, width), 1.5 * normal(30, width)
        if not signed:
            train, asked = train.relu(), asked.relu()
        self.train, self.asked = features(train, head=self.head), features(asked, head=self.head)

    def score(self, unfitted):
        return unfitted.fit(self.train, self.train, self.head).score(self.asked)


both_signs = pytest.mark.parametrize("signed", [False, True], ids=["rectified", "signed"])
