import importlib

import pytest
import torch
from attack_examples import CLASSES, Small


@pytest.fixture(autouse=True)
def short_autoattack(monkeypatch):
    """Cheap, as the others are, where it is installed; `tests/oracles` runs it whole."""
    try:
        package = importlib.import_module("pyautoattack")
    except ModuleNotFoundError:
        return

    class Short(package.AutoAttack):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            self.apgd.n_iter = self.apgd_targeted.n_iter = self.fab.n_iter = 5
            self.square.n_queries = 20

    monkeypatch.setattr(package, "AutoAttack", Short)


@pytest.fixture(scope="module")
def world():
    """A network in eval mode, images, and the labels that it gives them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Small().double().eval()
    images = torch.rand(24, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    images[0], images[1] = 0.0, 1.0
    with torch.no_grad():
        network.body[-1].bias -= network.body(images).mean(dim=0)
        labels = network(images).argmax(dim=1)
    assert len(labels.unique()) == CLASSES
    labels[5] = (labels[5] + 1) % CLASSES  # the network errs on one of them
    return network, images, labels
