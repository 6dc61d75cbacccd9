"""Auto-PGD, and AutoAttack whole, held to pyautoattack 0.2.0: its authors' code as a package of the index.

======================= ========== ==========================================================
theirs                  ours       how it is compared
======================= ========== ==========================================================
APGDAttack              apgd_ce    equal, after every number of steps, from our start
APGDAttack_targeted     apgd_t     the same, of the loss plus 10
AutoAttack              autoattack it is theirs that runs
AutoAttack              aa_lite    of a linear network both leave the images that no
                                   attack can take, though aa_lite lacks FAB
======================= ========== ==========================================================

Theirs compares the loss of the first step with 0, by an index that wraps around, and not with that of the
start: where losses are below 0, as targeted ones are, step sizes differ. 10 more makes all of them positive.
Where the network errs on no point theirs gives the start back; here the best point is compared instead.
"""

import pytest
import torch
from torch import nn

pytest.importorskip("pyautoattack", reason="pyautoattack is not installed (a development-only dependency)")

from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted

from methods.attack import cross_entropy
from methods.attacks._apgd import apgd, random_start
from methods.attacks._losses import targeted_dlr
from methods.registry import attack

CLASSES = 5
EPSILON = 0.02


@pytest.fixture(scope="module")
def world():
    """A network and 40 images that it is right on, some of which resist."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(),
            nn.Linear(8 * 16, CLASSES),
        ).eval()  # fmt: skip
        images = torch.rand(40, 3, 8, 8)
    with torch.no_grad():
        network[-1].bias -= network(images).mean(dim=0)
        labels = network(images).argmax(dim=1)
    return network, images, labels


def right(world, moved):
    network, _, labels = world
    with torch.no_grad():
        return network(moved).argmax(dim=1) == labels


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def by_theirs(made, images, labels, start):
    """Best points, and for images that the network errs on the last such point."""
    made.init_hyperparam(images)
    best, resists, _, fooling = made.attack_single_run(images, labels, x_init=start)
    return torch.where(resists.bool()[:, None, None, None], best, fooling), resists.bool()


def settings(network, steps):
    return {"predict": network, "n_iter": steps, "norm": "Linf", "eps": EPSILON, "device": "cpu"}


@pytest.mark.parametrize("steps", [1, 2, 5, 10, 20, 50, 100])
def test_auto_pgd(world, steps):
    network, images, labels = world
    start = random_start(images, EPSILON, seeded(3))
    *_, ours = apgd(network, images, labels, cross_entropy, EPSILON, steps, start)
    theirs, resists = by_theirs(APGDAttack(**settings(network, steps), loss="ce"), images, labels, start)
    assert 5 < resists.sum() < 35
    assert torch.equal(right(world, ours), resists)
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("steps", [10, 20, 100])
def test_targeted_auto_pgd(world, steps):
    network, images, labels = world
    with torch.no_grad():
        wanted = network(images).scatter(1, labels[:, None], -torch.inf).argmax(dim=1)
    start = random_start(images, EPSILON, seeded(3))

    def loss(logits, own):
        return targeted_dlr(logits, own, wanted) + 10

    *_, ours = apgd(network, images, labels, loss, EPSILON, steps, start)
    made = APGDAttack_targeted(**settings(network, steps))
    published = made.dlr_loss_targeted
    made.dlr_loss_targeted = lambda logits, own: published(logits, own) + 10
    made.loss, made.y_target = "dlr-targeted", wanted
    theirs, resists = by_theirs(made, images, labels, start)
    assert 5 < resists.sum() < 35
    assert torch.equal(right(world, ours), resists)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


def test_autoattack_runs_and_aa_lite_is_as_strong():
    """Of a linear network the smallest ball that holds an error is known: (z_y − z_j) / ‖w_y − w_j‖₁.

    No image is within a tenth of ε of it, nor so near to 0 or 1 that the range of pixels would help.
    """
    rng = seeded(1)
    weight = torch.randn(CLASSES, 48, generator=rng)
    images = 0.2 + 0.6 * torch.rand(60, 3, 4, 4, generator=rng)
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, CLASSES)).eval()
    with torch.no_grad():
        network[1].weight.copy_(weight)
        network[1].bias.copy_(-weight.sum(dim=1) / 2)
        logits = network(images)
    labels = logits.argmax(dim=1)
    gaps = logits.gather(1, labels[:, None]) - logits
    reach = (weight[labels][:, None] - weight).abs().sum(dim=2)
    radius = (gaps / reach).nan_to_num(torch.inf).amin(dim=1)  # 0 / 0 of the class itself
    clear = (radius / EPSILON - 1).abs() > 0.1
    images, labels, resists = images[clear][:24], labels[clear][:24], (radius > EPSILON)[clear][:24]
    assert 0 < resists.sum() < len(resists)
    state = torch.get_rng_state()
    moved = attack("autoattack", epsilon=EPSILON).perturb(network, images, labels, seeded(5))
    assert torch.equal(torch.get_rng_state(), state)
    assert (moved - images).abs().max() <= EPSILON + 1e-6
    lite = attack("aa_lite", epsilon=EPSILON).perturb(network, images, labels, seeded(5))
    for found in (moved, lite):
        with torch.no_grad():
            assert torch.equal(network(found).argmax(dim=1) == labels, resists)
