"""What holds for every registered attack, and the worked numbers of spec/methods.md §3.1-3.4.

Nothing of the first part is written for one attack: a new file is tested by being there. The world is a small
network with batch normalisation, in float64, and images of noise that it labels itself.
"""

import copy
import importlib
import json
import math
import sys
import types
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from methods.attack import Attack, ascend, cross_entropy, gradient, project, uniform_noise, uniform_start
from methods.attacks import pgd
from methods.attacks._apgd import apgd, checkpoints, last, random_start
from methods.attacks._losses import carlini_wagner, dlr, margin, targeted_dlr
from methods.attacks.aa_lite import AALite
from methods.attacks.square import side_of_square
from methods.errors import HyperparameterError, NotApplicable
from methods.registry import attack, broken, family

pytestmark = pytest.mark.usefixtures("one_thread")

WORKED = json.loads((Path(__file__).parent / "attack_worked_examples.json").read_text())
INPUTS, VALUES = WORKED["inputs"], WORKED["values"]
EXACT = {"rtol": 1e-12, "atol": 1e-12}

ATTACKS = family("attacks")
CHEAP = {  # for speed alone
    "apgd_ce": {"steps": 12}, "apgd_t": {"steps": 12, "targets": 3}, "square": {"queries": 80},
    "aa_lite": {"steps": 8, "targets": 2, "queries": 30}, "pgd": {"steps": 8}, "cw_pgd": {"steps": 12},
}  # fmt: skip
COUNTS = ("steps", "queries", "targets")
EPSILON = 8 / 255
CLASSES = 4


def there(name):
    """Whether the attack's package is installed."""
    try:
        made(name).perturb(lambda x: x.flatten(1), torch.rand(1, 3, 2, 2), torch.zeros(1, dtype=torch.int64))
    except NotApplicable:
        return False
    return True


def made(name, **more):
    return attack(name, **CHEAP.get(name, {}), **more)


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


every_attack = pytest.mark.parametrize("name", ATTACKS)
every_attack_there = pytest.mark.parametrize("name", [name for name in ATTACKS if there(name)])


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(4), nn.Flatten(),
            nn.Linear(8 * 4, CLASSES),
        )  # fmt: skip

    def forward(self, images):
        return 5 * self.body(images)


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


def seeded(seed=7):
    return torch.Generator().manual_seed(seed)


def right(network, images, labels):
    with torch.no_grad():
        return network(images).argmax(dim=1) == labels


def mean_loss(network, images, labels):
    with torch.no_grad():
        return cross_entropy(network(images), labels).mean()


def blind(network):
    """The same network, without a gradient."""
    return lambda x: network(x.detach()).detach()


# ---- every attack


def test_the_attacks_are_all_there():
    assert {name for name in broken() if name.startswith("methods.attacks")} == set()
    assert set(ATTACKS) >= {
        "fgsm", "pgd", "cw_pgd", "apgd_ce", "apgd_t", "square", "aa_lite", "autoattack"
    }  # fmt: skip


@every_attack
def test_it_says_what_it_is(name):
    cls = ATTACKS[name]
    assert issubclass(cls, Attack)
    assert cls.paper.year > 2000
    assert ".. math::" in cls.__doc__
    assert "Deviations from the paper" in cls.__doc__
    assert "Cost:" in cls.__doc__
    for field in cls.configure({}).hyperparameters():
        assert f"\n    {field}\n" in cls.__doc__


@every_attack_there
@pytest.mark.parametrize("epsilon", [0.0, EPSILON, 0.3, 1.0])
def test_it_never_leaves_the_ball_nor_the_pixels(name, epsilon, world):
    network, images, labels = world
    moved = None
    for moved in made(name, epsilon=epsilon).path(network, images, labels, seeded()):
        assert moved.shape == images.shape
        assert moved.dtype == images.dtype
        assert (moved - images).abs().max() <= epsilon + 1e-15
        assert moved.min() >= 0
        assert moved.max() <= 1
        assert not moved.requires_grad
    assert torch.equal(moved, made(name, epsilon=epsilon).perturb(network, images, labels, seeded()))
    if epsilon:
        assert (moved - images).abs().max() > epsilon / 2  # it uses the ball
    else:
        assert torch.equal(moved, images)


@every_attack_there
def test_it_changes_neither_network_nor_images(name, world):
    network, images, labels = world
    network.body[0].weight.requires_grad_(requires_grad=False)
    network.body[1].train()  # attacks take a network's modes as they are
    network.body[1].momentum = 0.0
    state = copy.deepcopy(network.state_dict(keep_vars=True))
    modes, before = [m.training for m in network.modules()], (images.clone(), labels.clone())
    try:
        made(name).perturb(network, images, labels, seeded())
        now = network.state_dict(keep_vars=True)
        del state["body.1.num_batches_tracked"], now["body.1.num_batches_tracked"]
        assert all(torch.equal(value, state[key]) for key, value in now.items())
        assert all(value.requires_grad == state[key].requires_grad for key, value in now.items())
        assert all(p.grad is None for p in network.parameters())
        assert [m.training for m in network.modules()] == modes
    finally:
        network.body[0].weight.requires_grad_()
        network.eval()
    assert torch.equal(images, before[0])
    assert torch.equal(labels, before[1])


@every_attack_there
def test_it_makes_the_network_err(name, world):
    network, images, labels = world
    moved = made(name, epsilon=0.1).perturb(network, images, labels, seeded())
    assert right(network, moved, labels).sum() < right(network, images, labels).sum()
    assert mean_loss(network, moved, labels) > mean_loss(network, images, labels)


@every_attack_there
def test_a_larger_ball_is_no_safer(name, world):
    network, images, labels = world
    found = []
    for epsilon in (0.0, 0.02, 0.3):
        moved = made(name, epsilon=epsilon).perturb(network, images, labels, seeded())
        found.append(int(right(network, moved, labels).sum()))
    assert found == sorted(found, reverse=True)
    assert found[2] < found[0]


@every_attack_there
def test_the_generator_decides_and_nothing_else(name, world):
    network, images, labels = world
    first = made(name).perturb(network, images, labels, seeded())
    torch.manual_seed(99)
    assert torch.equal(first, made(name).perturb(network, images, labels, seeded()))
    state = torch.get_rng_state()
    made(name).perturb(network, images, labels, seeded())
    assert torch.equal(torch.get_rng_state(), state)
    # Without a generator it is that of seed 0.
    unseeded = made(name).perturb(network, images, labels)
    assert torch.equal(unseeded, made(name).perturb(network, images, labels, seeded(0)))
    rng, untouched = seeded(), seeded().get_state()
    made(name).perturb(network, images, labels, rng)
    other = made(name).perturb(network, images, labels, seeded(8))
    drew = not torch.equal(rng.get_state(), untouched)
    assert drew != torch.equal(first, other)


def test_who_draws():
    drawing = {"pgd", "apgd_ce", "apgd_t", "square", "aa_lite"}
    for name in CHEAP.keys() | {"fgsm"}:
        rng, before = seeded(), seeded().get_state()
        images = torch.full((2, 3, 4, 4), 0.5)
        made(name).perturb(lambda x: x.mean(dim=(2, 3)), images, torch.tensor([0, 1]), rng)
        assert (not torch.equal(rng.get_state(), before)) == (name in drawing), name


@every_attack_there
def test_an_image_is_attacked_the_same_whatever_the_others_are(name, world):
    network, images, labels = world
    mirrored, rows = images.clone(), torch.arange(0, 24, 3)
    others = torch.tensor([i for i in range(24) if i % 3])
    mirrored[others] = images[others].flip(3)
    first, second = (made(name).perturb(network, x, labels, seeded()) for x in (images, mirrored))
    if name == "autoattack":
        pytest.skip("its package draws for what resists")
    assert_close(first[rows], second[rows], **EXACT)


@pytest.mark.parametrize(
    ("name", "more"),
    [("fgsm", {}), ("cw_pgd", {}), ("pgd", {"random_start": False}), ("pgd", {}), ("apgd_ce", {})],
)
def test_an_image_is_attacked_the_same_however_many_follow(name, more, world):
    network, images, labels = world
    whole = made(name, **more).perturb(network, images, labels, seeded())
    assert_close(made(name, **more).perturb(network, images[:7], labels[:7], seeded()), whole[:7], **EXACT)


@pytest.mark.parametrize(("name", "more"), [("fgsm", {}), ("cw_pgd", {}), ("pgd", {"random_start": False})])
def test_without_randomness_the_place_does_not_count(name, more, world):
    network, images, labels = world
    whole = made(name, **more).perturb(network, images, labels)
    order = torch.arange(23, -1, -1)
    assert_close(made(name, **more).perturb(network, images[order], labels[order]), whole[order], **EXACT)


@every_attack
def test_no_images_are_no_error(name, world):
    network, images, labels = world
    assert made(name).perturb(network, images[:0], labels[:0], seeded()).shape == (0, 3, 8, 8)


@every_attack
@pytest.mark.parametrize("epsilon", [-0.1, 1.1, math.nan, math.inf])
def test_an_epsilon_that_is_no_share_is_refused(name, epsilon):
    with pytest.raises(ValueError, match=r"epsilon: expected a number in \[0, 1\], got"):
        ATTACKS[name](epsilon=epsilon)
    with pytest.raises(HyperparameterError, match=f"{name}: epsilon"):
        attack(name, epsilon=epsilon)


@pytest.mark.parametrize(
    ("name", "field"),
    [(n, f) for n, cls in ATTACKS.items() for f in COUNTS if f in cls.configure({}).hyperparameters()],
)
def test_zero_steps_are_refused(name, field):
    for count in (0, -3):
        with pytest.raises(ValueError, match=f"{field}: expected at least 1, got {count}"):
            ATTACKS[name](**{field: count})


@pytest.mark.parametrize("name", [n for n in ATTACKS if "step_size" in ATTACKS[n]().hyperparameters()])
@pytest.mark.parametrize("step_size", [0.0, -0.1, 1.5, math.nan])
def test_a_step_size_out_of_range_is_refused(name, step_size):
    with pytest.raises(ValueError, match="step_size: expected"):
        ATTACKS[name](step_size=step_size)


@pytest.mark.parametrize(
    ("name", "more"),
    [("square", {"share": 0.0}), ("square", {"share": 1.1}), ("cw_pgd", {"confidence": -1.0}),
     ("cw_pgd", {"confidence": math.nan}), ("pgd", {"legacy_center": True, "random_start": False})],
)  # fmt: skip
def test_other_hyperparameters_out_of_range_are_refused(name, more):
    with pytest.raises(ValueError, match=f"{next(iter(more))}: expected"):
        ATTACKS[name](**more)


@every_attack
def test_images_and_labels_that_do_not_fit_are_refused(name, world):
    network, images, labels = world

    def refused(images, labels, match):
        with pytest.raises(ValueError, match=match):
            made(name).perturb(network, images, labels, seeded())

    refused(255 * images, labels, r"images: expected pixels in \[0, 1\], got 0 to 255")
    refused(images - 0.1, labels, r"images: expected pixels in \[0, 1\]")
    refused(images.where(images < 0.9, math.nan), labels, r"images: expected pixels in \[0, 1\]")
    refused((255 * images).byte(), labels, "images: expected floats")
    refused(images[0], labels, r"images: expected floats of shape \(N, 3, H, W\)")
    refused(images, labels[:-1], r"labels: expected shape \(24,\), got \(23,\)")
    refused(images, labels[:, None], "labels: expected shape")
    refused(images, labels.double(), "labels: expected class indices of type int64")
    refused(images, labels - 1, "labels: expected class indices of at least 0")


@every_attack_there
def test_a_label_that_the_network_does_not_have_is_refused(name, world):
    network, images, labels = world
    with pytest.raises(ValueError, match="labels: 4 is none of the network's 4 classes"):
        made(name).perturb(network, images, torch.full_like(labels, 4), seeded())
    with pytest.raises(ValueError, match=r"network: expected logits \(24, K\), got \(24,\)"):
        made(name).perturb(lambda x: network(x)[:, 0], images, labels, seeded())


@every_attack_there
def test_a_network_without_gradient_is_refused_where_one_is_needed(name, world):
    network, images, labels = world
    if not ATTACKS[name].needs_gradient:
        moved = made(name).perturb(blind(network), images, labels, seeded())
        assert torch.equal(moved, made(name).perturb(network, images, labels, seeded()))
        return
    # A network whose parameters have a gradient gives the images none by that.
    for without in (blind(network), lambda x: network(x.detach())):
        with pytest.raises(ValueError, match="no gradient"):
            made(name).perturb(without, images, labels, seeded())


def test_the_black_boxes():
    assert [name for name, cls in ATTACKS.items() if not cls.needs_gradient] == ["square"]


@every_attack_there
def test_it_needs_no_leave_for_gradients(name, world):
    """Evaluations run under no_grad; the same points are found."""
    network, images, labels = world
    with torch.no_grad():
        first = made(name).perturb(network, images, labels, seeded())
    assert torch.equal(first, made(name).perturb(network, images, labels, seeded()))


# ---- the pieces of the contract


def test_projection_takes_the_nearest_point():
    images = torch.tensor([[0.0, 0.5, 1.0]])
    moved = project(torch.tensor([[-1.0, 0.7, 0.93]]), images, 0.1)
    assert_close(moved, torch.tensor([[0.0, 0.6, 0.93]]))


def test_noise_fills_the_ball():
    images = torch.full((50, 3, 8, 8), 0.01, dtype=torch.float64)
    noise = uniform_noise(images, 0.1, seeded())
    assert noise.abs().max() <= 0.1
    assert_close(noise.mean().item(), 0.0, rtol=0, atol=0.003)
    assert_close(noise.var().item(), 0.1**2 / 3, rtol=0.03, atol=0)
    start = uniform_start(images, 0.1, seeded())
    assert torch.equal(start, (images + noise).clamp(0, 1))
    assert torch.equal(uniform_noise(images[:9], 0.1, seeded()), noise[:9])


def test_the_gradient_is_each_images_own(world):
    network, images, labels = world
    found, losses = gradient(lambda x: cross_entropy(network(x), labels), images)
    one, loss = gradient(lambda x: cross_entropy(network(x), labels[3:4]), images[3:4])
    assert_close(found[3:4], one, **EXACT)
    assert_close(losses[3:4], loss, **EXACT)


# ---- the toy T2 of the spec: a linear network of three pixels


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


def test_the_defaults_are_the_specs():
    assert INPUTS["T2"]["eps"] == 8 / 255
    assert all(cls.configure({}).epsilon == 8 / 255 for cls in ATTACKS.values())
    assert attack("pgd").hyperparameters() == {
        "epsilon": 8 / 255, "steps": 20, "step_size": STEP, "random_start": True, "legacy_center": False,
    }  # fmt: skip
    assert attack("cw_pgd").hyperparameters() == {
        "epsilon": 8 / 255, "steps": 30, "step_size": None, "confidence": 50.0, "random_start": False,
    }  # fmt: skip
    assert attack("apgd_ce").steps == attack("apgd_t").steps == 100
    assert attack("apgd_t").targets == 9
    assert (attack("square").queries, attack("square").share) == (5000, 0.8)
    assert attack("aa_lite").hyperparameters() == {
        "epsilon": 8 / 255, "steps": 100, "targets": 9, "queries": 5000,
    }  # fmt: skip


def test_the_worked_step_of_fgsm():
    moved = attack("fgsm").perturb(linear, X, Y)
    close(moved, "fgsm")
    close(losses(X), "fgsm.loss0")
    close(losses(moved), "fgsm.loss1")


def test_a_pixel_without_a_gradient_stays():
    moved = attack("fgsm").perturb(lambda x: linear(x * torch.tensor([1.0, 0.0, 1.0])[:, None, None]), X, Y)
    assert torch.equal(moved[:, 1], X[:, 1])
    assert ((moved - X)[:, [0, 2]].abs() > 0).all()


def test_the_worked_losses_of_pgd():
    points = list(attack("pgd", random_start=False).path(linear, X, Y))
    assert len(points) == 20
    for steps in (1, 4, 20):
        close(losses(points[steps - 1]), f"pgd.loss{steps}")
    close(points[-1], "pgd")


def test_the_worked_path_of_pgd_from_a_noisy_start():
    start = (X + pixels(INPUTS["start"])).clamp(0, 1)
    *_, moved = ascend(losses, start, X, 8 / 255, STEP, 3)
    close(moved, "pgd.start3")


@pytest.fixture
def fixed_noise(monkeypatch):
    monkeypatch.setattr(pgd, "uniform_noise", lambda images, epsilon, rng: pixels(INPUTS["start"]))
    monkeypatch.setattr(
        pgd, "uniform_start", lambda images, epsilon, rng: (images + pixels(INPUTS["start"])).clamp(0, 1)
    )


def test_the_worked_legacy_centre_leaves_the_ball(fixed_noise):
    legacy = attack("pgd", legacy_center=True)
    moved = legacy.perturb(linear, X, Y)
    close(moved, "pgd.bug20")
    close((moved - X).abs().flatten(1).amax(dim=1), "pgd.bugdist")
    assert legacy.reach == 2 * legacy.epsilon
    assert attack("pgd").reach == legacy.epsilon
    close(attack("pgd", steps=3).perturb(linear, X, Y), "pgd.start3")


Z, ZERO = torch.tensor(INPUTS["z"], dtype=torch.float64), torch.tensor(INPUTS["y"])


def test_the_worked_losses():
    close(margin(Z, ZERO), "cw.margin")
    close(carlini_wagner(Z, ZERO, 50.0), "cw.loss50")
    close(dlr(Z, ZERO), "dlr")
    close(targeted_dlr(Z, ZERO, torch.tensor(INPUTS["targets"])), "dlrt")


def test_the_margin_loss_stops_at_the_confidence():
    assert carlini_wagner(torch.tensor([[0.0, 60.0]]), ZERO[:1], 50.0).item() == 0
    assert carlini_wagner(torch.tensor([[0.0, 40.0]]), ZERO[:1], 50.0).item() == -10


def test_cw_pgd_lowers_the_margin_by_tenths_of_the_ball():
    points = list(attack("cw_pgd").path(linear, X, Y))
    assert len(points) == 30
    assert_close((points[0] - X).abs().amax(dim=(1, 2, 3)), torch.full((2,), 0.8 / 255).double())
    margins = torch.stack([margin(linear(p), Y) for p in [X, *points[:10]]])
    assert (margins.diff(dim=0) < 0).all()
    # Image 0: the largest other logit is 1 on the whole way, so that the corner is known.
    corner = X[0].flatten() - 8 / 255 * (A[0] - A[1]).sign()
    assert_close(points[-1][0].flatten(), corner, **EXACT)


# ---- Auto-PGD


def test_the_checkpoints_of_auto_pgd():
    assert checkpoints(100) == VALUES["apgd.cp100"]
    assert checkpoints(20) == VALUES["apgd.cp20"]


class Parabola:
    """One pixel, the loss -(x - top)²; a network that never errs. It keeps what it is asked."""

    def __init__(self, top=0.52):
        self.top, self.seen = top, []

    def __call__(self, x):
        self.seen.append(x.detach().flatten().item())
        return torch.cat([x.flatten(1), torch.full_like(x.flatten(1), -10)], dim=1)

    def loss(self, logits, labels):
        return -((logits[:, 0] - self.top) ** 2)

    def climb(self, epsilon, steps):
        start = torch.full((1, 1, 1, 1), 0.5, dtype=torch.float64)
        return last(apgd(self, start, ZERO[:1], self.loss, epsilon, steps, start)).item()


def test_the_worked_path_of_auto_pgd():
    toy = Parabola()
    toy.climb(8 / 255, 100)
    path = torch.tensor(VALUES["apgd.toy"], dtype=torch.float64)
    seen = torch.tensor(toy.seen[1 : 1 + len(path)], dtype=torch.float64)
    assert_close(seen, path[:, 0], **EXACT)
    assert_close(-((seen - 0.52) ** 2), path[:, 1], **EXACT)


def test_auto_pgd_halves_its_step_and_goes_on_from_the_best():
    """20 steps look after 4, 7, 9, …; on paper: the loss rises in 2 of the first 4 steps, so it halves."""
    toy = Parabola()
    toy.climb(8 / 255, 20)
    step, best = 16 / 255, 0.5117647058823530  # the third point, of loss -6.8e-5
    previous = toy.seen[3]
    there = min(best + step / 2, 0.5 + 8 / 255)
    expected = min(best + 0.75 * (there - best) + 0.25 * (best - previous), 0.5 + 8 / 255)
    assert_close(toy.seen[5], expected, **EXACT)


def test_auto_pgd_halves_its_step_where_the_best_stands_still_but_not_twice_in_a_row():
    """The first step is the best; then the loss rises always and never so far. 100 steps: 22, 41, 57, …

    At 22 the best is new since the start, and 21 of 22 steps rose: no halving. At 41 it is not, at 57 the
    step was halved just before. The slope is down but at the start, so that points lie at .2 otherwise.
    """
    toy = Parabola()
    calls = []

    def loss(logits, labels):
        step = len(calls)
        calls.append(step)
        return {0: 0.0, 1: 1000.0}.get(step, step) + (-1e-6 if step else 1e-6) * logits[:, 0]

    start = torch.full((1, 1, 1, 1), 0.5, dtype=torch.float64)
    last(apgd(toy, start, ZERO[:1], loss, 0.3, 100, start))
    seen = torch.tensor(toy.seen, dtype=torch.float64)
    assert_close(seen[[1, 3, 22, 23, 41]], torch.tensor([0.8, 0.2, 0.2, 0.2, 0.2], dtype=torch.float64))
    # From .8 by a step of .3 down, and a quarter of what lies between .8 and the point before.
    assert_close(seen[42].item(), 0.8 - 0.75 * 0.3 + 0.25 * 0.6, **EXACT)
    assert_close(seen[[57, 58]], torch.tensor([0.2, 0.2], dtype=torch.float64))


def test_auto_pgd_comes_close_where_steps_of_one_size_cannot():
    toy = Parabola()
    assert_close(toy.climb(8 / 255, 100), 0.52, rtol=0, atol=1e-4)


def test_auto_pgd_returns_the_last_point_of_an_error_even_where_another_has_a_larger_loss():
    def network(x):  # errs between .505 and .515 alone
        odd = (x - 0.51).abs() - 0.005
        return torch.cat([odd.flatten(1), torch.zeros_like(x.flatten(1))], dim=1)

    start = torch.full((1, 1, 1, 1), 0.5, dtype=torch.float64)
    heights = []

    def loss(logits, labels):  # grows without end, whatever the logits; errors are passed on the way
        heights.append(0)
        return logits[:, 0]

    points = list(apgd(network, start, ZERO[:1], loss, 0.3, 40, start + 0.008))
    wrong = [network(p)[0, 0].item() < 0 for p in points]
    assert wrong[-1]
    assert loss(network(points[-1]), None) < loss(network(start + 0.3), None)


def test_auto_pgd_starts_on_the_surface_of_the_ball():
    images = torch.full((5, 3, 4, 4), 0.5, dtype=torch.float64)
    offset = (random_start(images, 0.1, seeded()) - images).abs().flatten(1)
    assert_close(offset.amax(dim=1), torch.full((5,), 0.1).double())
    assert (offset.mean(dim=1) < 0.08).all()
    assert ((random_start(images, 0.1, seeded()) - images).flatten(1).amin(dim=1) < 0).all()


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_the_targeted_attack_takes_any_number_of_classes(classes):
    weight = torch.randn(classes, 12, generator=seeded(), dtype=torch.float64)
    images = torch.rand(6, 3, 2, 2, generator=seeded(), dtype=torch.float64)

    def network(x):
        return x.flatten(1) @ weight.T

    labels = network(images).argmax(dim=1)
    moved = attack("apgd_t", epsilon=0.5, steps=10).perturb(network, images, labels)
    assert right(network, moved, labels).sum() < 6


def test_the_targeted_attack_goes_through_the_classes_by_rank():
    """Class 2 is out of reach, although it is the second; class 3 can be reached."""
    images = torch.full((1, 3, 1, 1), 0.5, dtype=torch.float64)

    def network(x):
        free = x.flatten(1)[:, :1]
        one = torch.ones_like(free)
        return torch.cat([2 * one + 0 * free, -9 * one, 1.9 * one, 1.5 * one + 2 * free - 1, -9 * one], dim=1)

    labels = torch.tensor([0])
    found = {}
    for targets in (1, 2):
        chosen = attack("apgd_t", epsilon=0.4, steps=10, targets=targets)
        points = list(chosen.path(network, images, labels, seeded()))
        assert len(points) == targets
        found[targets] = right(network, points[-1], labels).item()
    assert found[2] is False


# ---- squares


def test_the_sides_of_the_squares():
    firsts = [1, 11, 51, 201, 501, 1001, 2001]
    assert [side_of_square(i, 0.8, 32, 32) for i in firsts] == INPUTS["squares"]
    lasts = [10, 50, 200, 500, 1000, 2000, 4000]
    assert [side_of_square(i, 0.8, 32, 32) for i in lasts] == INPUTS["squares"]
    p = {6000: 128, 8000: 256, 8001: 512}
    assert [side_of_square(i, 0.8, 224, 224) for i in p] == [
        round(math.sqrt(0.8 / q * 224 * 224)) for q in p.values()
    ]
    assert side_of_square(9000, 0.8, 8, 8) == 1
    assert side_of_square(1, 1.0, 8, 8) == 8
    assert side_of_square(1, 1.0, 4, 16) == 4


def test_the_queries_of_the_square_attack():
    """Stripes of one sign a column first; then a window differs, by one amount in each channel."""
    images = torch.full((2, 3, 16, 16), 0.5, dtype=torch.float64)
    asked = []

    def network(x):  # never errs, and likes every query better than those before: all are kept
        asked.append(x.detach().clone())
        own = torch.full((len(x), 1), 10.0 - 0.01 * len(asked), dtype=torch.float64)
        return torch.cat([own, torch.zeros_like(own)], dim=1)

    attack("square", queries=30, epsilon=0.1).perturb(network, images, torch.tensor([0, 0]), seeded())
    clean, stripes, *rest = asked
    assert torch.equal(clean, images)
    assert len(asked) == 31
    offset = stripes - images
    assert_close(offset.abs(), torch.full_like(offset, 0.1))
    assert torch.equal(offset, offset[:, :, :1].expand_as(offset))
    assert 0 < (offset > 0).double().mean() < 1
    assert not torch.equal(offset[0], offset[1])
    places, before = set(), stripes
    for i, now in enumerate(rest, start=1):
        assert_close((now - images).abs(), torch.full_like(offset, 0.1))  # ±2ε is cut to the other side
        side = side_of_square(i, 0.8, 16, 16)
        for image in range(2):
            changed = (now[image] != before[image]).any(dim=0)
            rows, columns = changed.any(dim=1).nonzero(), changed.any(dim=0).nonzero()
            if len(rows):
                assert rows.max() - rows.min() < side
                assert columns.max() - columns.min() < side
                places.add((image, int(rows.min()), int(columns.min())))
            for channel in now[image] - before[image]:
                assert len(channel[channel != 0].sign().unique()) <= 1
        before = now
    assert len(places) > 10


def test_the_square_attack_goes_on_from_its_stripes_even_where_they_are_worse():
    images = torch.full((1, 3, 16, 16), 0.5, dtype=torch.float64)
    asked = []

    def network(x):  # surer with every change
        asked.append(x.detach().clone())
        far = (x - 0.5).abs().sum(dim=(1, 2, 3))
        return torch.stack([1 + far, torch.zeros_like(far)], dim=1)

    attack("square", queries=2, epsilon=0.1).perturb(network, images, torch.tensor([0]), seeded())
    assert_close((asked[2] - 0.5).abs(), torch.full_like(images, 0.1))


def test_the_square_attack_keeps_only_what_lowers_the_margin():
    images = torch.full((3, 3, 8, 8), 0.5, dtype=torch.float64)

    def network(x):
        total = x.sum(dim=(1, 2, 3))
        return torch.stack([total, torch.zeros_like(total)], dim=1)  # cannot err in this ball

    margins = []
    for queries in (1, 5, 20, 80):
        chosen = attack("square", queries=queries, epsilon=0.1)
        moved = chosen.perturb(network, images, torch.zeros(3, dtype=torch.int64), seeded())
        margins.append(margin(network(moved), torch.zeros(3, dtype=torch.int64)))
    found = torch.stack(margins)
    assert (found.diff(dim=0) <= 0).all()
    assert (found[-1] < found[0] - 1).all()


def test_the_square_attack_stops_asking_about_an_image_that_is_lost(world):
    network, images, labels = world
    sizes = []

    def counting(x):
        sizes.append(len(x))
        return network(x)

    attack("square", queries=60, epsilon=0.1).perturb(counting, images, labels, seeded())
    assert sizes[:2] == [24, int(right(network, images, labels).sum())]
    assert sizes[1:] == sorted(sizes[1:], reverse=True)
    assert sizes[-1] < sizes[1]


# ---- suites


def test_the_worst_case_is_at_least_as_bad_as_each_part(world):
    network, images, labels = world
    wrong = {}
    for name in ("apgd_ce", "aa_lite"):
        steps = {"steps": 8} if name == "apgd_ce" else {}
        moved = made(name, epsilon=0.05) if not steps else attack(name, epsilon=0.05, **steps)
        wrong[name] = ~right(network, moved.perturb(network, images, labels, seeded()), labels)
    assert wrong["apgd_ce"].any()
    assert not wrong["apgd_ce"].all()
    assert (wrong["aa_lite"] | ~wrong["apgd_ce"]).all()


def test_the_suite_attacks_what_resists_and_nothing_else(world):
    """Each part adds errors and touches no image that was lost before."""
    network, images, labels = world
    left = right(network, images, labels)
    before = images
    found = list(AALite(epsilon=0.05, steps=4, targets=1, queries=40).path(network, images, labels, seeded()))
    assert len(found) == 3
    for now in found:
        assert torch.equal(now[~left], before[~left])
        before, left = now, left & right(network, now, labels)


def test_a_network_that_hides_its_gradient_is_found_by_squares():
    """Logits rounded to steps: the gradient is zero, the black box needs none."""
    weight = torch.randn(3, 48, generator=seeded(), dtype=torch.float64)
    images = torch.rand(12, 3, 4, 4, generator=seeded(), dtype=torch.float64)

    def network(x):
        smooth = x.flatten(1) @ weight.T
        return (smooth * 4).round() / 4 + 0 * smooth

    labels = network(images).argmax(dim=1)
    by_pgd = attack("pgd", random_start=False, epsilon=0.1).perturb(network, images, labels)
    assert torch.equal(by_pgd, images)
    by_lite = attack("aa_lite", epsilon=0.1, steps=2, targets=1, queries=60).perturb(network, images, labels)
    assert right(network, by_lite, labels).sum() < 12


# ---- AutoAttack's package


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


# ---- the settings of the papers


def test_pgd_of_hundred_steps_is_not_much_stronger_than_of_twenty(world):
    """And the loss does not fall over the steps: no gradient is masked in such a network (pitfall iv)."""
    network, images, labels = world
    points = list(attack("pgd", steps=100, random_start=False).path(network, images, labels))
    means = [mean_loss(network, points[steps - 1], labels) for steps in (1, 5, 20, 100)]
    assert means == sorted(means)
    assert means[3] - means[2] < 0.1 * (means[2] - means[0])
