"""What holds for every registered attack. Nothing is written for one: a new file is tested by being there."""

import copy
import math
from contextlib import suppress

import pytest
import torch
from attack_examples import INPUTS, STEP, made, mean_loss, right, seeded
from torch.testing import assert_close
from worked_examples import EXACT

from benchmark.conformance.pretended import pretended
from methods.errors import HyperparameterError, NotApplicable
from methods.registry import attack, broken, family

ATTACKS = family("attacks")


COUNTS = ("steps", "queries", "targets")


EPSILON = 8 / 255


def there(name):
    """Whether the attack's package is installed; one that is not written yet fails in its own tests."""
    with suppress(NotImplementedError):
        try:
            made(name).perturb(
                lambda x: x.flatten(1), torch.rand(1, 3, 2, 2), torch.zeros(1, dtype=torch.int64)
            )
        except NotApplicable:
            return False
    return True


every_attack = pytest.mark.parametrize("name", ATTACKS)


every_attack_there = pytest.mark.parametrize("name", [name for name in ATTACKS if there(name)])


def blind(network):
    """The same network, without a gradient."""
    return lambda x: network(x.detach()).detach()


def test_the_attacks_are_all_there():
    assert {name for name in broken() if name.startswith("methods.attacks")} == set()
    assert set(ATTACKS) >= {
        "fgsm", "pgd", "cw_pgd", "apgd_ce", "apgd_t", "square", "aa_lite", "autoattack"
    }  # fmt: skip


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
def test_l20_it_computes_where_the_network_and_the_images_are(name, world):
    network, images, labels = world
    expected = made(name).perturb(network, images, labels, seeded())
    with pretended() as device:
        there = copy.deepcopy(network).to(device)
        moved = made(name).perturb(there, images.to(device), labels.to(device), seeded())
        assert moved.device == device
    assert_close(moved.here, expected, rtol=0, atol=1e-12)


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
    for name in (*drawing, "cw_pgd", "fgsm"):
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
    if ATTACKS[name].package is not None:
        pytest.skip("its package draws as it likes")
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
