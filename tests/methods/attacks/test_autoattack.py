"""AutoAttack by its package."""

import sys
import types

import pytest
import torch
from attack_examples import CLASSES, seeded
from torch.testing import assert_close
from worked_examples import EXACT

from methods.errors import NotApplicable
from methods.registry import attack


def test_without_its_package_autoattack_says_what_to_install(monkeypatch, world):
    monkeypatch.setitem(sys.modules, "pyautoattack", None)
    with pytest.raises(
        NotApplicable, match=r"not installed; `pip install pyautoattack==.*aa_lite runs without"
    ):
        attack("autoattack").perturb(*world)


class FakeSuite:
    """Takes the arguments of the package's class, as of version 0.2.0, and changes the global seed."""

    made = None

    def __init__(self, model, *, norm, eps, seed, version, device):
        self.arguments = norm, eps, seed, version, device
        self.model = model
        self.apgd_targeted = types.SimpleNamespace(n_target_classes=9)
        self.fab = types.SimpleNamespace(n_target_classes=9)
        FakeSuite.made = self

    def run_standard_evaluation(self, x_orig, y_orig, /, *, batch_size):
        torch.manual_seed(self.arguments[2])
        sys.settrace(None)  # its check of the network's dynamics does
        assert batch_size == len(x_orig)
        logits = self.model(x_orig)
        assert logits.shape == (len(y_orig), CLASSES)
        return x_orig + 1.0, logits.argmax(dim=1)


def test_autoattack_is_run_by_its_package(monkeypatch, world):
    network, images, labels = world
    monkeypatch.setitem(sys.modules, "pyautoattack", types.SimpleNamespace(AutoAttack=FakeSuite))
    state, before, trace = torch.get_rng_state(), sys.gettrace(), lambda *_: None
    sys.settrace(trace)
    try:
        moved = attack("autoattack").perturb(network, images, labels, seeded())
        assert sys.gettrace() is trace
    finally:
        sys.settrace(before)
    assert torch.equal(torch.get_rng_state(), state)
    assert_close(moved, (images + 8 / 255).clamp(0, 1), **EXACT)  # cut to the ball, whatever came back
    norm, eps, seed, version, device = FakeSuite.made.arguments
    assert (norm, eps, version, device) == ("Linf", 8 / 255, "standard", images.device)
    assert FakeSuite.made.apgd_targeted.n_target_classes == FakeSuite.made.fab.n_target_classes == CLASSES - 1
    attack("autoattack").perturb(network, images, labels, seeded())
    assert FakeSuite.made.arguments[2] == seed
    attack("autoattack").perturb(network, images, labels, seeded(8))
    assert FakeSuite.made.arguments[2] != seed
    with pytest.raises(NotApplicable, match="four classes, there are 3"):
        attack("autoattack").perturb(lambda x: network(x)[:, :3], images, labels.clamp(max=2))
