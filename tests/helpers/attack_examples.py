"""A small network to attack, and the toy of the specification: a linear network of three pixels."""

import torch
from torch import nn
from torch.testing import assert_close
from worked_examples import EXACT, worked

from methods.attack import cross_entropy
from methods.registry import attack, attack_class

INPUTS, VALUES = worked("attacks")


CLASSES = 4


def made(name, **more):
    return attack(name, **attack_class(name).small, **more)


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(4), nn.Flatten(),
            nn.Linear(8 * 4, CLASSES),
        )  # fmt: skip

    def forward(self, images):
        return 5 * self.body(images)


def seeded(seed=7):
    return torch.Generator().manual_seed(seed)


def right(network, images, labels):
    with torch.no_grad():
        return network(images).argmax(dim=1) == labels


def mean_loss(network, images, labels):
    with torch.no_grad():
        return cross_entropy(network(images), labels).mean()


def pixels(values):
    return torch.tensor(values, dtype=torch.float64)[:, :, None, None]


A, B = (torch.tensor(INPUTS["T2"][key], dtype=torch.float64) for key in "Ab")


X, Y = pixels(INPUTS["T2"]["x"]), torch.tensor(INPUTS["T2"]["y"])


STEP = INPUTS["T2"]["step"]


def linear(images):
    return images.flatten(1) @ A.T + B


def losses(images):
    return cross_entropy(linear(images), Y)


def close(found, key):
    expected = torch.tensor(VALUES[key], dtype=torch.float64)
    assert_close(found.flatten(1) if found.ndim == 4 else found, expected, **EXACT)


Z, ZERO = torch.tensor(INPUTS["z"], dtype=torch.float64), torch.tensor(INPUTS["y"])
