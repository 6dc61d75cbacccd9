"""Accuracy under attack, and what every evaluation looks at. Numbers are arithmetic on paper."""

import dataclasses
import math
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from benchmark.attacks import BrokenAttack, attack_accuracy
from benchmark.attacks import evaluate as module
from benchmark.attacks.batches import join
from benchmark.attacks.checks import loss_warnings, masking_warnings, unchanged
from benchmark.attacks.evaluate import Attempts, attempt, judged
from benchmark.backbones.checkpoint import Checkpoint, Pieces
from benchmark.conformance.pretended import pretended
from benchmark.seeds import derive_seed
from methods.attack import Attack, cross_entropy
from methods.errors import NotApplicable
from methods.registry import attack

EPSILON = 0.1


class Grey(nn.Module):
    """Class 1 where an image is lighter than .5 on average, by one weight; counts its passes."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(20.0, dtype=torch.float64))
        self.register_buffer("seen", torch.tensor(0))
        self.forwards = self.images = 0

    def forward(self, images):
        self.forwards, self.images = self.forwards + 1, self.images + len(images)
        light = self.weight * (images.mean(dim=(1, 2, 3)) - 0.5)
        return torch.stack([-light, light], dim=1)


GREYS = [0.2, 0.3, 0.42, 0.45, 0.47, 0.52, 0.56, 0.7, 0.8, 0.48]
IMAGES = torch.tensor(GREYS, dtype=torch.float64)[:, None, None, None].repeat(1, 3, 2, 2)
LABELS = torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])  # the last is wrong from the start
GOES = (slice(0, 8), slice(8, 10))


@pytest.fixture
def network():
    return Grey().eval()


def test_l20_a_network_on_a_device_is_attacked_there(network):
    attacks = {"pgd": attack("pgd", steps=3, epsilon=EPSILON), "square": attack("square", queries=5)}
    expected = attack_accuracy(network, IMAGES, LABELS, attacks, seed=0, every=("pgd",))
    with pretended() as device:
        found = attack_accuracy(
            network.to(device), IMAGES.to(device), LABELS.to(device), attacks, seed=0, every=("pgd",)
        )
    assert (found.clean, found.robust, found.worst) == (expected.clean, expected.robust, expected.worst)
    assert found.steps["pgd"].loss == pytest.approx(expected.steps["pgd"].loss, rel=1e-9)


@dataclass(frozen=True)
class Made(Attack):
    """Yields what a function makes of network, images and labels."""

    make: object = None
    epsilon: float = EPSILON
    steps: int = 1

    def _search(self, network, images, labels, rng):
        yield self.make(network, images, labels)


class Loose(Made):
    """Returns what it found without the cut to the ball."""

    def path(self, network, images, labels, rng=None):
        yield self.make(network, images, labels)


def pgd(**more):
    return attack("pgd", **{"epsilon": EPSILON, "step_size": 0.02, "steps": 10, **more})


# ---- accuracy


def test_an_image_counts_as_right_if_it_is_so_clean_and_attacked(network):
    # By ε = .1 every image is moved by .1 towards .5: those within .1 are lost, the wrong one stays so.
    found = attack_accuracy(network, IMAGES, LABELS, {"pgd": pgd(), "small": pgd(epsilon=0.04)}, seed=0)
    assert found.clean == 0.9
    assert found.robust == {"pgd": 0.4, "small": 0.7}
    assert found.right["pgd"].tolist() == [True, True] + 5 * [False] + [True, True, False]
    assert found.worst == 0.4
    assert found.warnings == ()


def test_an_error_that_an_attack_mends_does_not_count_as_right(network):
    away = Made(make=lambda net, x, y: x + torch.where(y == 1, 0.1, -0.1)[:, None, None, None])
    found = attack_accuracy(network, IMAGES, LABELS, {"mends": away}, seed=0)
    assert found.robust == {"mends": 0.9}


def test_the_worst_case_is_by_image(network):
    up, down = (Made(make=lambda net, x, y, s=s: x + s * 0.1) for s in (1, -1))
    found = attack_accuracy(network, IMAGES, LABELS, {"up": up, "down": down}, seed=0)
    assert found.robust == {"up": 0.6, "down": 0.7}
    assert found.worst == 0.4


def test_batches_change_nothing_but_random_numbers(network, monkeypatch):
    attacks = {"pgd": pgd(), "fgsm": attack("fgsm", epsilon=EPSILON)}
    whole = attack_accuracy(network, IMAGES, LABELS, attacks, seed=3)
    monkeypatch.setattr(module, "at_once", lambda images: 4)
    parts = attack_accuracy(network, IMAGES, LABELS, attacks, seed=3)
    assert parts.robust == whole.robust
    for name in attacks:
        assert torch.equal(parts.right[name], whole.right[name])
        assert_close(parts.losses[name][-1], whole.losses[name][-1])
    assert_close(parts.losses["fgsm"], whole.losses["fgsm"])
    assert parts.losses["pgd"][1] != whole.losses["pgd"][1]  # a start is drawn by the place of a batch


def test_images_may_be_attacked_in_several_goes(network, monkeypatch):
    monkeypatch.setattr(module, "at_once", lambda images: 4)
    attacks = {"pgd": pgd(steps=3), "square": attack("square", epsilon=EPSILON, queries=6)}
    of = {"seed": 3, "every": ("pgd",)}
    parts = [attempt(network, IMAGES[r], LABELS[r], attacks, first=r.start, **of) for r in GOES]
    clean = join([part.clean for part in parts])
    attacked = {name: join([part.attacked[name] for part in parts]) for name in attacks}
    whole, found = attack_accuracy(network, IMAGES, LABELS, attacks, **of), Attempts(clean, attacked, {})
    assert {n: r.tolist() for n, r in whole.right.items()} == {
        n: r["right"].tolist() for n, r in attacked.items()
    }
    assert dataclasses.replace(judged(attacks, found), right={}) == dataclasses.replace(whole, right={})
    assert judged(attacks, found).steps["pgd"].accuracy[-1] == whole.robust["pgd"]


def test_searches_of_fewer_points_stay_where_they_ended():
    short = {
        "right": torch.tensor([True]),
        "losses": torch.tensor([[1.0, 2.0]]),
        "rights": torch.tensor([[True, False]]),
    }
    long = {
        "right": torch.tensor([True]),
        "losses": torch.ones(1, 3),
        "rights": torch.ones(1, 3, dtype=torch.bool),
    }
    found = join([short, long])
    assert found["rights"].tolist() == [[True, False, False], [True, True, True]]
    assert found["losses"].isnan().tolist() == [[False, False, True], [False] * 3]
    assert found["right"].tolist() == [True, True]


def test_each_attack_has_a_generator_of_its_name(network):
    one = attack_accuracy(network, IMAGES, LABELS, {"a": pgd(steps=1)}, seed=3)
    more = attack_accuracy(network, IMAGES, LABELS, {"b": pgd(steps=1), "a": pgd(steps=1)}, seed=3)
    assert more.losses["a"] == one.losses["a"]
    assert more.losses["b"] != more.losses["a"]
    assert attack_accuracy(network, IMAGES, LABELS, {"a": pgd(steps=1)}, seed=4).losses != one.losses
    rng = torch.Generator().manual_seed(derive_seed(3, "a"))
    moved = pgd(steps=1).perturb(network, IMAGES, LABELS, rng)
    with torch.no_grad():
        assert_close(one.losses["a"][-1], cross_entropy(network(moved), LABELS).mean().item())


def test_the_losses_by_steps_are_those_of_the_points(network):
    """The attack's own passes give them: no pass is added."""
    steps = pgd(random_start=False, steps=6)
    points = [IMAGES, *steps.path(network, IMAGES, LABELS)]
    with torch.no_grad():
        expected = [cross_entropy(network(p), LABELS).mean().item() for p in points]
    network.forwards = 0
    found = attack_accuracy(network, IMAGES, LABELS, {"pgd": steps}, seed=0)
    assert_close(found.losses["pgd"], tuple(expected))
    assert network.forwards == 1 + 6 + 1


def by_steps(network, made, seed, name=None):
    name = name or made.name
    found = attack_accuracy(network, IMAGES, LABELS, {name: made}, seed=seed, every=[name])
    assert found.steps[name].accuracy[-1] == found.robust[name]
    assert found.steps[name].loss == found.losses[name]
    return found.steps[name]


def test_accuracy_by_steps_is_one_search(network):
    network.forwards = 0
    # From the clean images by .019 a step: after the k-th those within .019 k of .5 are lost.
    chosen = pgd(random_start=False, steps=6, step_size=0.019)
    found = by_steps(network, chosen, seed=0)
    assert network.forwards == 1 + 6 + 1
    assert found.accuracy == (0.9, 0.9, 0.7, 0.6, 0.5, 0.4, 0.4)
    assert len(found.loss) == 7
    assert list(found.loss) == sorted(found.loss)


def test_the_last_step_is_what_the_accuracy_is(network):
    for chosen in (pgd(), attack("apgd_ce", epsilon=EPSILON, steps=6), attack("fgsm", epsilon=0.03)):
        steps = by_steps(network, chosen, seed=1)
        found = attack_accuracy(network, IMAGES, LABELS, {chosen.name: chosen}, seed=1)
        assert len(steps.accuracy) == 1 + chosen.hyperparameters().get("steps", 1)
        assert steps.accuracy[-1] == found.robust[chosen.name]
        assert_close(steps.loss[-1], found.losses[chosen.name][-1])
    named = by_steps(network, pgd(steps=1), seed=1, name="other")
    other = attack_accuracy(network, IMAGES, LABELS, {"other": pgd(steps=1)}, seed=1)
    assert_close(named.loss[-1], other.losses["other"][-1])


def test_accuracy_by_epsilon(network):
    expected = {0.0: 0.9, 0.025: 0.8, 0.055: 0.6, 0.1: 0.4, 0.25: 0.2, 0.35: 0.0}
    attacks = {epsilon: {"pgd": pgd(steps=40, epsilon=epsilon)} for epsilon in expected}
    found = {e: attack_accuracy(network, IMAGES, LABELS, attacks[e], 0).robust["pgd"] for e in expected}
    assert found == expected


@pytest.mark.parametrize("name", ["pgd", "square"])
def test_a_callable_is_enough(name):
    def network(images):
        light = images.mean(dim=(1, 2, 3)) - 0.5
        return torch.stack([-light, light], dim=1)

    chosen = attack(name, epsilon=EPSILON) if name == "pgd" else attack(name, epsilon=EPSILON, queries=100)
    assert attack_accuracy(network, IMAGES, LABELS, {name: chosen}, seed=0).robust == {name: 0.4}


def test_a_black_box_needs_no_gradient(network):
    chosen = {"square": attack("square", epsilon=EPSILON, queries=100)}
    found = attack_accuracy(lambda x: network(x).detach(), IMAGES, LABELS, chosen, seed=0)
    assert found.robust == {"square": 0.4}
    with pytest.raises(ValueError, match="no gradient"):
        attack_accuracy(lambda x: network(x).detach(), IMAGES, LABELS, {"pgd": pgd()}, seed=0)


def test_arguments_that_do_not_fit_are_refused(network):
    with pytest.raises(ValueError, match="attacks: expected at least one"):
        attack_accuracy(network, IMAGES, LABELS, {}, seed=0)
    with pytest.raises(ValueError, match="images: expected at least one"):
        attack_accuracy(network, IMAGES[:0], LABELS[:0], {"pgd": pgd()}, seed=0)
    with pytest.raises(ValueError, match=r"labels: expected shape \(10,\), got \(9,\)"):
        attack_accuracy(network, IMAGES, LABELS[:9], {"pgd": pgd()}, seed=0)
    with pytest.raises(ValueError, match=r"pixels in \[0, 1\]"):
        attack_accuracy(network, 3 * IMAGES, LABELS, {"pgd": pgd()}, seed=0)
    with pytest.raises(ValueError, match=r"pixels in \[0, 1\]"):
        attack_accuracy(network, IMAGES.where(IMAGES < 0.8, math.nan), LABELS, {"pgd": pgd()}, seed=0)
    with pytest.raises(ValueError, match="images: expected floats"):
        attack_accuracy(network, (IMAGES * 255).byte(), LABELS, {"pgd": pgd()}, seed=0)
    with pytest.raises(ValueError, match="labels: 2 is none of the network's 2 classes"):
        attack_accuracy(network, IMAGES, LABELS + 1, {"pgd": pgd()}, seed=0)
    with pytest.raises(BrokenAttack, match="clean images: 20 of 20 logits are NaN"):
        attack_accuracy(lambda x: network(x) * math.nan, IMAGES, LABELS, {"pgd": pgd()}, seed=0)
    with pytest.raises(ValueError, match=r"call network\.eval"):
        attack_accuracy(network.train(), IMAGES, LABELS, {"pgd": pgd()}, seed=0)


# ---- what does not apply


def absent(*_):
    raise NotApplicable("odd: a package is not installed")


def test_an_attack_that_does_not_apply_is_left_out_with_a_warning(network):
    attacks = {"odd": Made(make=absent), "pgd": pgd()}
    found = attack_accuracy(network, IMAGES, LABELS, attacks, seed=0)
    alone = attack_accuracy(network, IMAGES, LABELS, {"pgd": pgd()}, seed=0)
    assert found.robust == alone.robust
    assert found.worst == alone.worst
    assert found.warnings == ("odd: left out: odd: a package is not installed", *alone.warnings)
    with pytest.raises(NotApplicable, match="not installed"):
        attack_accuracy(network, IMAGES, LABELS, {"odd": Made(make=absent)}, seed=0)


# ---- failures


def broken(network, made, match):
    for evaluation in (
        lambda: attack_accuracy(network, IMAGES, LABELS, {"fine": pgd(steps=1), "odd": made}, seed=0),
        lambda: by_steps(network, made, seed=0, name="odd"),
    ):
        with pytest.raises(BrokenAttack, match=match):
            evaluation()


def test_a_point_outside_the_ball_is_an_error(network):
    broken(network, Loose(make=lambda net, x, y: x + EPSILON + 2e-6), "attack odd: a point lies .* outside")
    broken(network, Loose(make=lambda net, x, y: x - EPSILON - 2e-6), "attack odd: a point lies .* outside")
    # Rounding is none.
    near = Loose(make=lambda net, x, y: x + EPSILON + 5e-7)
    assert attack_accuracy(network, IMAGES, LABELS, {"near": near}, seed=0).robust["near"] <= 0.9


def test_a_point_outside_the_pixels_is_an_error(network):
    wide = {"epsilon": 1.0}
    broken(network, Loose(make=lambda net, x, y: x - 0.3, **wide), "attack odd: a point lies 0.1 outside")
    broken(network, Loose(make=lambda net, x, y: x + 0.3, **wide), "attack odd: a point lies 0.1 outside")


def test_points_that_are_not_finite_or_not_there_are_errors(network):
    broken(
        network, Loose(make=lambda net, x, y: x.where(x > 0.25, math.nan)), "odd: points that are not finite"
    )
    broken(
        network, Made(make=lambda net, x, y: x.where(x > 0.25, math.nan)), "odd: points that are not finite"
    )
    broken(network, Loose(make=lambda net, x, y: x[1:]), r"odd: expected points of shape \(10, 3, 2, 2\)")


def test_a_reproduced_mistake_may_go_as_far_as_it_says(network):
    legacy = pgd(legacy_center=True, steps=40)
    found = attack_accuracy(network, IMAGES, LABELS, {"pgd": legacy}, seed=0)
    assert found.robust["pgd"] <= 0.4


def test_logits_that_are_not_finite_are_an_error():
    def network(images):  # only of images that were moved
        light = images.mean(dim=(1, 2, 3)) - 0.5
        logits = torch.stack([-light, light], dim=1)
        return logits / (images.flatten(1).std(dim=1) < 1e-9)[:, None]

    odd = {"odd": Made(make=lambda net, x, y: x + 0.05 * torch.arange(2))}
    with pytest.raises(BrokenAttack, match="attack odd: 20 of 20 logits are NaN or infinite"):
        attack_accuracy(network, IMAGES, LABELS, odd, seed=0)
    with pytest.raises(BrokenAttack, match="attack odd: 20 of 20 logits are NaN or infinite"):
        by_steps(network, odd["odd"], seed=0, name="odd")


def changes(what):
    def make(network, images, labels):
        what()
        return images

    return Made(make=make)


def test_a_network_that_is_changed_is_an_error(network):
    def weight():
        network.weight.data += 1e-12

    def buffer():
        network.seen += 1

    def mode():
        network.train()

    def frozen():
        network.weight.requires_grad_(not network.weight.requires_grad)

    def gradient():
        network.weight.grad = None if network.weight.grad is not None else torch.zeros_like(network.weight)

    def parameter():
        network.register_buffer("more", torch.tensor(0.0))

    for what, match in (
        (weight, "weight"), (buffer, "seen"), (mode, "training of the network"),
        (frozen, "requires_grad of weight"), (gradient, "gradient of weight"), (parameter, "more"),
    ):  # fmt: skip
        with pytest.raises(BrokenAttack, match=f"attack odd: the network was changed: {match}"):
            attack_accuracy(network, IMAGES, LABELS, {"fine": pgd(steps=1), "odd": changes(what)}, seed=0)
        network.eval().requires_grad_()


def test_nothing_is_said_of_a_network_that_stays(network):
    network.register_buffer("odd", torch.tensor([math.nan, math.inf]))
    with unchanged("any", network):
        network(IMAGES)


# ---- signs


def test_signs_of_a_loss_that_does_not_rise(network):
    still = Made(make=lambda net, x, y: x)
    found = attack_accuracy(network, IMAGES, LABELS, {"still": still}, seed=0)
    assert len(found.warnings) == 1
    assert found.warnings[0].startswith("still: the mean loss does not rise over the steps")
    # A ball without a radius holds one point: nothing can rise, and nothing is said.
    found = attack_accuracy(network, IMAGES, LABELS, {"none": Made(make=still.make, epsilon=0.0)}, seed=0)
    assert found.warnings == ()
    assert loss_warnings("a", [1.0, 2.0, 3.0, 2.9]) == []
    assert "falls again" in loss_warnings("a", [1.0, 2.0, 3.0, 2.7])[0]
    assert "does not rise" in loss_warnings("a", [1.0, 2.0, 3.0, 1.0])[0]


def test_a_step_that_is_too_long_is_seen():
    """Steps of 2ε jump over what lies within: the loss rises at first, and falls in the end."""

    def network(images):  # errs in a band beside the clean images, and is sure again beyond it
        light = (images.mean(dim=(1, 2, 3)) - 0.5) * 20
        return torch.stack([1 - (light + 0.1) * (1.5 - light) * 2, torch.zeros_like(light)], dim=1)

    images, labels = torch.full((4, 3, 2, 2), 0.5), torch.zeros(4, dtype=torch.int64)
    long = pgd(step_size=0.03, steps=10, random_start=False)
    found = attack_accuracy(network, images, labels, {"long": long}, seed=0)
    first, last, top = found.losses["long"][0], found.losses["long"][-1], max(found.losses["long"])
    assert first < last < top
    (sign,) = found.warnings
    assert sign == f"long: the mean loss falls again over the steps (to {last:.4g} from {top:.4g})"


class Rounded(Grey):
    """The same in steps: the gradient is zero, and a black box does not mind."""

    def forward(self, images):
        logits = super().forward(images)
        return logits.detach().round() + 0 * logits


def test_signs_of_a_masked_gradient():
    network = Rounded().eval()
    chosen = {
        "pgd": pgd(random_start=False), "square": attack("square", epsilon=EPSILON, queries=40),
    }  # fmt: skip
    found = attack_accuracy(network, IMAGES, LABELS, chosen, seed=0)
    assert found.robust["square"] < found.robust["pgd"]
    signs = "\n".join(found.warnings)
    assert "pgd: the mean loss does not rise" in signs
    assert "square leaves" in signs
    assert "the gradient may be masked" in signs
    assert "the gradient is zero or not finite for 100% of the images that are classified rightly" in signs
    assert len(found.warnings) == 3


def test_a_gradient_that_is_not_finite_is_a_sign_too(network):
    def odd(images):
        logits = network(images)
        return logits + (0 * logits).abs().sqrt()

    found = attack_accuracy(odd, IMAGES, LABELS, {"pgd": pgd()}, seed=0)
    assert found.robust["pgd"] > 0.4
    assert any("zero or not finite for 100%" in sign for sign in found.warnings)


def test_when_a_black_box_is_too_good():
    attacks = {"w": pgd(), "v": attack("fgsm"), "b": attack("square")}
    assert masking_warnings(attacks, {"w": 0.5, "v": 0.6, "b": 0.495}, 0.0) == []
    assert masking_warnings(attacks, {"w": 0.5, "v": 0.4, "b": 0.45}, 0.0) == []
    (sign,) = masking_warnings(attacks, {"w": 0.5, "v": 0.6, "b": 0.48}, 0.0)
    assert sign.startswith("b leaves 48.0% without gradients, the best attack with them, w, 50.0%")
    assert masking_warnings({"b": attacks["b"]}, {"b": 0.1}, 0.0) == []
    for both in ("aa_lite", "autoattack"):  # a square may be what made it strong
        (again,) = masking_warnings(
            {**attacks, "s": attack(both)}, {"w": 0.5, "v": 0.6, "b": 0.48, "s": 0.4}, 0.0
        )
        assert again == sign
        assert masking_warnings({"w": attacks["w"], "s": attack(both)}, {"w": 0.5, "s": 0.4}, 0.0) == []
    assert masking_warnings(attacks, {"w": 0.5, "v": 0.6, "b": 0.6}, 0.5) == []
    assert len(masking_warnings(attacks, {"w": 0.5, "v": 0.6, "b": 0.6}, 0.51)) == 1


def test_when_more_steps_are_much_stronger():
    attacks = {"20": pgd(steps=20), "100": pgd(steps=100)}
    (sign,) = masking_warnings(attacks, {"20": 0.5, "100": 0.46}, 0.0)
    assert sign.startswith("100 of 100 steps is much stronger than 20 of 20 (46.0% against 50.0%)")
    assert masking_warnings(attacks, {"20": 0.5, "100": 0.48}, 0.0) == []
    # One step is no PGD to be compared with, and another step size is another attack.
    assert masking_warnings(attacks | {"20": pgd(steps=1)}, {"20": 0.9, "100": 0.1}, 0.0) == []
    other = dataclasses.replace(attacks["20"], step_size=0.001)
    assert masking_warnings(attacks | {"20": other}, {"20": 0.9, "100": 0.1}, 0.0) == []


def test_what_an_attack_came_to_is_kept_to_the_bit(network, tmp_path, monkeypatch):
    """A measurement that was killed goes on with the attack that it was at."""
    attacks = {"fgsm": attack("fgsm", epsilon=EPSILON), "pgd": attack("pgd", steps=3, epsilon=EPSILON)}

    def measured(attacks, pieces=None):
        return attack_accuracy(network, IMAGES, LABELS, attacks, seed=3, every=["pgd"], pieces=pieces)

    def killed(network, images, labels):
        raise KeyboardInterrupt

    expected = measured(attacks)
    with pytest.raises(KeyboardInterrupt):
        measured({**attacks, "pgd": Made(make=killed)}, Pieces(Checkpoint(tmp_path)))
    attacked, made = module._attacked, []
    monkeypatch.setattr(
        module, "_attacked", lambda *given, **more: made.append(given[1]) or attacked(*given, **more)
    )
    for names in (["pgd"], []):
        found = measured(attacks, Pieces(Checkpoint(tmp_path)))
        assert made == names
        made.clear()
        assert dataclasses.replace(found, right={}) == dataclasses.replace(expected, right={})
        assert all(torch.equal(found.right[name], expected.right[name]) for name in attacks)
