"""Small networks and batches for adversarial training, and plain transcriptions of its losses."""

import torch
from torch import nn
from torch.testing import assert_close
from worked_examples import tensor, worked

from methods.base import Batch, Setup
from methods.objectives._adversarial import AdversarialObjective
from methods.registry import objective

INPUTS, VALUES = worked("adversarial_objectives")


ROUNDING = {"rtol": 1e-9, "atol": 1e-11}  # sums in another order, through a network in float64


C, K, B, SIZE, HIDDEN = 6, 3, 5, 8, 4


BASES = ("pgd_at", "trades", "mart")


FSRS = [{"base": base} for base in BASES] + [{"recalibrate": False}]


class Network(nn.Module):
    """Smooth, so that no gradient is exactly 0."""

    def __init__(self, neck=None, classes=K):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, C, 3, 2, 1, bias=False), nn.BatchNorm2d(C), nn.Tanh(), nn.Dropout(0.2)
        )
        self.neck = neck
        self.head = nn.Linear(C, classes)

    def maps(self, images):
        return self.body(images - 0.5)

    def classify(self, maps):
        return self.head(maps.mean(dim=(2, 3)))

    def penultimate(self, images):
        maps = self.maps(images)
        return (maps if self.neck is None else self.neck(maps)).mean(dim=(2, 3))

    def forward(self, images):
        return self.head(self.penultimate(images))


def make(name, dtype=torch.float64, seed=0, classes=K, tokens=False, **hyperparameters):
    """An objective, its network on first weights in train mode, and its modules."""
    torch.manual_seed(seed)
    if name == "fsr":
        hyperparameters = {"hidden": HIDDEN, **hyperparameters}
    wanted = objective(name, **hyperparameters)
    network = Network(wanted.neck(C, tokens=tokens), classes).to(dtype)
    setup = Setup(network, C, classes, SIZE, 1, torch.zeros(2, 3, SIZE, SIZE, dtype=torch.uint8))
    modules = {key: module.to(dtype) for key, module in wanted.modules(setup).items()}
    with torch.no_grad():  # so that eval mode is another function than train mode
        network.body[1].running_mean.normal_(std=0.3)
        network.body[1].running_var.uniform_(0.5, 2)
    return wanted, network, modules


def images(n=B, seed=1, dtype=torch.float64):
    return torch.rand(n, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def batch(seed=0, dtype=torch.float64):
    return Batch(images(dtype=dtype), torch.arange(B) % K, rng=torch.Generator().manual_seed(seed))


def parameters(*modules):
    return {f"{i}.{n}": p for i, module in enumerate(modules) for n, p in module.named_parameters()}


def check_gradients(loss, plain, *modules):
    assert_close(loss, plain, **ROUNDING)
    found = parameters(*modules)
    ours, theirs = (torch.autograd.grad(one, list(found.values())) for one in (loss, plain))
    for key, our, their in zip(found, ours, theirs, strict=True):
        assert our.abs().max() > 1e-9, key
        assert_close(our, their, **ROUNDING, msg=lambda m, key=key: f"{key}: {m}")


def softmax(z):
    return [torch.exp(a) / sum(torch.exp(b) for b in z) for a in z]


def nll(z, y):
    return -torch.log(softmax(z)[y])


def divergence(z, moved):
    return sum(p * torch.log(p / q) for p, q in zip(softmax(z), softmax(moved), strict=True))


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def given(section, *keys):
    return [
        torch.tensor(INPUTS[section][key]) if key == "labels" else tensor(INPUTS[section][key])
        for key in keys
    ]


def plain_criterion(name, wanted, clean, moved, labels):
    """The formulas of spec §3.5 to §3.7, image by image."""
    losses = []
    for z, a, y in zip(clean, moved, labels.tolist(), strict=True):
        if name == "pgd_at":
            losses.append(nll(a, y))
        elif name == "trades":
            losses.append(nll(z, y) + wanted.beta * divergence(z, a))
        else:
            p, q = softmax(z), softmax(a)
            wrong = max(q[j] for j in range(K) if j != y)
            boosted = nll(a, y) - torch.log(1.0001 - wrong + 1e-12)
            losses.append(boosted + wanted.beta * divergence(z, a) * (1.0000001 - p[y]))
    return mean(losses)


def captured(wanted, network, monkeypatch):
    """The images that the objective's attack makes, and the same for the loss that is computed next."""
    moved = wanted.adversarial(network, batch())
    monkeypatch.setattr(AdversarialObjective, "adversarial", lambda *_: moved)
    return moved
