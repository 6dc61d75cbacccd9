"""Small networks and batches for objectives with heads and modules, and plain arithmetic."""

import torch
from torch import nn
from torch.testing import assert_close
from worked_examples import worked

from methods.base import Batch, Setup
from methods.registry import objective

INPUTS, VALUES = worked("network_objectives")


ROUNDING = {"rtol": 1e-9, "atol": 1e-11}  # sums in another order, through a network in float64


D, K, B, SIZE, UNLABELLED = 5, 3, 6, 8, 14


SMALL = {"joint_confidence_gan": {"width": 1, "noise": 4}, "mtc": {"history": 2}}


class Network(nn.Module):
    def __init__(self, head=None):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, D, 3, 2, 1, bias=False), nn.BatchNorm2d(D), nn.Tanh(), nn.AdaptiveAvgPool2d(1)
        )
        self.head = head or nn.Linear(D, K)

    def penultimate(self, images):
        return self.body(images - 0.5).flatten(1)

    def forward(self, images):
        return self.head(self.penultimate(images))


def images(n=B, seed=0, size=SIZE):
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def make(name, dtype=torch.float64, seed=0, epochs=4, **hyperparameters):
    """An objective, its network on first weights, and its modules."""
    torch.manual_seed(seed)
    wanted = objective(name, **{**SMALL.get(name, {}), **hyperparameters})
    network = Network(wanted.head(D, K)).to(dtype)
    val = torch.zeros(2, 3, SIZE, SIZE, dtype=torch.uint8)
    setup = Setup(network, D, K, SIZE, epochs, val, unlabelled=UNLABELLED)
    modules = wanted.modules(setup)
    return wanted, network, {key: module.to(dtype) for key, module in modules.items()}


def batch(seed=0, progress=0.0, epochs=4, **changes):
    given = {
        "images": images(B, 1),
        "labels": torch.arange(B) % K,
        "unlabelled": images(4, 2),
        "rows": torch.tensor([3, 0, 7, 12]),
        "progress": progress,
        "epochs": epochs,
        "rng": torch.Generator().manual_seed(seed),
    }
    return Batch(**{**given, **changes})


def parameters(*modules):
    return {f"{i}.{n}": p for i, module in enumerate(modules) for n, p in module.named_parameters()}


def gradients(loss, *modules):
    found = parameters(*modules)
    given = torch.autograd.grad(loss, list(found.values()), allow_unused=True)
    return dict(zip(found, given, strict=True))


def check_gradients(loss, plain, *modules):
    assert_close(loss, plain, **ROUNDING)
    ours, theirs = gradients(loss, *modules), gradients(plain, *modules)
    assert any(g is not None and g.abs().max() > 1e-6 for g in ours.values())
    for key, ours_ in ours.items():
        assert (ours_ is None) == (theirs[key] is None), key
        if ours_ is not None:
            assert_close(ours_, theirs[key], **ROUNDING, msg=lambda m, key=key: f"{key}: {m}")


def nll(logits, label):
    return -(logits[label] - torch.log(sum(torch.exp(z) for z in logits)))


def mean(values):
    values = list(values)
    return sum(values) / len(values)
