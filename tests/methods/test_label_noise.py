"""Models of label noise and corrections for it: what holds for every one, and what each says.

Numbers are the specification's worked ones, or NumPy transcriptions of the formulas, label by label. What is
asked of every noise model and every correction is asked of a new file by its being there.
"""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn
from torch.nn import functional
from torch.testing import assert_close

from methods.base import Batch, HyperparameterError, Paper, Setting
from methods.corrections._anchors import anchor
from methods.corrections._forward import FLOOR, corrected_losses, joint_losses
from methods.corrections.glc import from_trusted
from methods.label_noise import Correction, NoiseModel
from methods.noise_models.hierarchical import CIFAR100
from methods.registry import family, noise_model, objective, objective_class

WORKED = json.loads((Path(__file__).parent / "label_noise_worked_examples.json").read_text())
INPUTS, VALUES = WORKED["inputs"], WORKED["values"]
EXACT = {"rtol": 1e-12, "atol": 1e-12}

K = 10  # classes of the noise models' world
GIVEN = {"hierarchical": {"groups": [0, 0, 0, 1, 1, 1, 1, 2, 2, 2]}}  # else the defaults
NOISE_MODELS = {name: noise_model(name, **GIVEN.get(name, {})) for name in family("noise_models")}
CORRECTIONS = {name: objective(name) for name in family("corrections")}
every_noise_model = pytest.mark.parametrize("model", NOISE_MODELS.values(), ids=NOISE_MODELS)
every_correction = pytest.mark.parametrize("correction", CORRECTIONS.values(), ids=CORRECTIONS)
STRENGTHS = tuple(p / 10 for p in range(11))


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def labels_of(count, classes=K, seed=1):
    return torch.randint(classes, (count,), generator=rng(seed))


# ---------------------------------------------------------------------------- every noise model


def test_every_noise_model_is_found():
    assert NOISE_MODELS.keys() >= {"uniform", "uniform_patrini", "flip", "flip_next", "hierarchical"}


@every_noise_model
def test_a_noise_model_names_its_paper(model):
    assert isinstance(model, NoiseModel)
    assert isinstance(type(model).paper, Paper)


@every_noise_model
@pytest.mark.parametrize("strength", STRENGTHS)
def test_rows_are_distributions(model, strength):
    matrix = model.matrix(K, strength, rng())
    assert matrix.shape == (K, K)
    assert matrix.dtype == torch.float64
    assert (matrix >= 0).all()
    assert_close(matrix.sum(dim=1), torch.ones(K, dtype=torch.float64), **EXACT)


@every_noise_model
def test_without_strength_nothing_is_wrong(model):
    truth = labels_of(1000)
    observed, matrix = model.draw(truth, K, 0.0, rng())
    assert torch.equal(matrix, torch.eye(K, dtype=torch.float64))
    assert torch.equal(observed, truth)


@every_noise_model
def test_at_full_strength_labels_are_wrong(model):
    truth = labels_of(1000)
    observed, matrix = model.draw(truth, K, 1.0, rng())
    assert (observed != truth).double().mean() > 0.85
    assert (matrix.diagonal() <= 1 / K + 1e-12).all()


@every_noise_model
def test_the_noise_is_linear_in_its_strength(model):
    """What is drawn for the matrix does not depend on p."""
    full = model.matrix(K, 1.0, rng())
    for p in STRENGTHS:
        expected = (1 - p) * torch.eye(K, dtype=torch.float64) + p * full
        assert_close(model.matrix(K, p, rng()), expected, **EXACT)


@every_noise_model
def test_draws_come_from_the_generator(model):
    truth = labels_of(1000)
    torch.manual_seed(0)
    one, first = model.draw(truth, K, 0.5, rng(3))
    torch.manual_seed(1)
    other, second = model.draw(truth, K, 0.5, rng(3))
    assert torch.equal(one, other)
    assert torch.equal(first, second)
    assert not torch.equal(one, model.draw(truth, K, 0.5, rng(4))[0])


@every_noise_model
def test_the_matrix_is_the_one_that_labels_are_drawn_from(model):
    for count in (0, 1, 50):
        observed, matrix = model.draw(labels_of(count), K, 0.5, rng(3))
        assert observed.shape == (count,)
        assert torch.equal(matrix, model.matrix(K, 0.5, rng(3)))


@every_noise_model
def test_wrong_labels_are_nested_in_the_strength(model):
    truth = labels_of(2000)
    before = torch.zeros(2000, dtype=torch.bool)
    for p in STRENGTHS:
        wrong = model.draw(truth, K, p, rng(3))[0] != truth
        assert not (before & ~wrong).any()
        before = wrong


@every_noise_model
@pytest.mark.parametrize("strength", [0.3, 0.6, 1.0])
def test_observed_shares_are_those_of_the_matrix(model, strength):
    count = 20_000
    truth = torch.arange(count) % K
    observed, matrix = model.draw(truth, K, strength, rng(5))
    counts = torch.bincount(truth * K + observed, minlength=K * K).reshape(K, K).numpy()
    low, high = scipy.stats.binom.interval(1 - 1e-7, count // K, matrix.numpy())
    assert (low <= counts).all()
    assert (counts <= high).all()
    assert (counts[matrix.numpy() == 0] == 0).all()


@every_noise_model
def test_what_is_drawn_for_one_label_does_not_depend_on_the_others(model):
    truth = labels_of(500)
    observed = model.draw(truth, K, 0.7, rng(6))[0]
    changed = torch.where(torch.arange(500) % 2 == 0, truth, (truth + 1) % K)
    assert torch.equal(model.draw(changed, K, 0.7, rng(6))[0][::2], observed[::2])


@every_noise_model
def test_the_labels_are_left_and_keep_their_type(model):
    truth = labels_of(100).to(torch.int32)
    kept = truth.clone()
    observed, _ = model.draw(truth, K, 1.0, rng())
    assert observed.dtype == torch.int32
    assert torch.equal(truth, kept)


@every_noise_model
@pytest.mark.parametrize("strength", [-0.1, 1.1, math.nan, math.inf])
def test_a_strength_outside_the_unit_interval_is_refused(model, strength):
    with pytest.raises(ValueError, match=rf"strength: {model.name} expected a number in \[0, 1\], got"):
        model.matrix(K, strength, rng())
    with pytest.raises(ValueError, match="strength"):
        model.draw(labels_of(5), K, strength, rng())


@every_noise_model
@pytest.mark.parametrize("classes", [0, 1])
def test_too_few_classes_are_refused(model, classes):
    with pytest.raises(ValueError, match=f"classes: {model.name} expected at least 2, got {classes}"):
        model.matrix(classes, 0.5, rng())


@every_noise_model
@pytest.mark.parametrize("wrong", [-1, K])
def test_labels_that_are_no_class_are_refused(model, wrong):
    with pytest.raises(
        ValueError, match=rf"labels: expected class indices in \[0, {K}\), got some from .*{wrong}"
    ):
        model.draw(torch.tensor([0, wrong]), K, 0.5, rng())


@pytest.mark.parametrize("labels", [torch.zeros(3), torch.zeros(2, 2, dtype=torch.int64), torch.ones(2) > 0])
def test_labels_that_are_no_indices_are_refused(labels):
    with pytest.raises(ValueError, match="labels: expected integers"):
        noise_model("uniform").draw(labels, K, 0.5, rng())


class Contributed(NoiseModel):
    name = "contributed"

    def __init__(self, rows):
        self.rows = rows

    def matrix(self, classes, strength, rng):
        return self.rows


@pytest.mark.parametrize(
    "rows",
    [
        tensor([[0.5, 0.6], [0, 1]]),
        tensor([[1.5, -0.5], [0, 1]]),
        tensor([[math.nan, 1], [0, 1]]),
        torch.eye(3, dtype=torch.float64),
        torch.eye(2),
    ],
)
def test_a_contributed_matrix_that_is_none_is_refused(rows):
    with pytest.raises(ValueError, match=r"contributed\.matrix: expected"):
        Contributed(rows).draw(torch.tensor([0, 1]), 2, 0.5, rng())


def test_draws_invert_the_distribution_function():
    """By hand: the true class first, then the next ones in turn."""
    matrix = tensor([[0.5, 0.2, 0.3], [0.25, 0.0, 0.75], [0.0, 0.0, 1.0]])
    truth = labels_of(300, classes=3)
    observed, _ = Contributed(matrix).draw(truth, 3, 0.5, rng(7))
    u = torch.rand(300, dtype=torch.float64, generator=rng(7))
    for i, seen, at in zip(truth.tolist(), observed.tolist(), u.tolist(), strict=True):
        total = 0.0
        for j in (i, (i + 1) % 3, (i + 2) % 3):
            total += matrix[i, j].item()
            if at < total:
                break
        assert seen == j


def test_a_row_that_ends_below_one_never_gives_a_class_without_probability(monkeypatch):
    """Rounding may leave a sum of 1 - 1e-12; the last number below 1 must not fall through."""
    matrix = tensor([[0.5, 0.5 - 1e-12, 0, 0]]).repeat(4, 1)[[0, 0, 0, 0]]
    matrix = torch.stack([row.roll(i) for i, row in enumerate(matrix)])
    monkeypatch.setattr(torch, "rand", lambda n, **_: torch.full((n,), 1 - 2**-53, dtype=torch.float64))
    observed, _ = Contributed(matrix).draw(torch.arange(4), 4, 0.5, rng())
    assert observed.tolist() == [1, 2, 3, 0]


def test_the_least_random_number_never_keeps_a_label_without_probability(monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda n, **_: torch.zeros(n, dtype=torch.float64))
    truth = torch.arange(4)
    assert torch.equal(noise_model("flip_next").draw(truth, 4, 1.0, rng())[0], (truth + 1) % 4)
    assert torch.equal(noise_model("flip_next").draw(truth, 4, 0.9, rng())[0], truth)


# ---------------------------------------------------------------------------- each noise model


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("uniform", "noise.uniform"),
        ("uniform_patrini", "noise.patrini"),
        ("flip_next", "noise.flip"),
    ],
)
def test_matrix_of_the_worked_example(name, key):
    found = noise_model(name).matrix(INPUTS["noise"]["classes"], INPUTS["noise"]["strength"], rng())
    assert_close(found, tensor(VALUES[key]), **EXACT)


def test_uniform_noise_has_fewer_wrong_labels_than_its_strength():
    wrong = 1 - noise_model("uniform").matrix(K, 0.6, rng()).diagonal()
    assert_close(wrong, torch.full((K,), 0.6 * 9 / 10, dtype=torch.float64), **EXACT)


def test_flips_draw_another_class_for_each_row_and_any():
    """Partners may be equal, are never the class itself, and every pair is as likely as any other."""
    counts = np.zeros((4, 4), int)
    equal = 0
    for seed in range(600):
        matrix = noise_model("flip").matrix(4, 1.0, rng(seed))
        partners = matrix.argmax(dim=1)
        assert torch.equal(matrix, functional.one_hot(partners, 4).double())
        counts[np.arange(4), partners] += 1
        equal += len(set(partners.tolist())) < 4
    low, high = scipy.stats.binom.interval(1 - 1e-6, 600, 1 / 3)
    assert (counts[np.eye(4) == 1] == 0).all()
    assert ((counts[np.eye(4) == 0] >= low) & (counts[np.eye(4) == 0] <= high)).all()
    assert equal > 300  # of 81 maps without a fixed point 9 are permutations


def test_hierarchical_noise_stays_within_groups():
    found = noise_model("hierarchical", groups=[3, 0, 3, 0, 3]).matrix(5, 0.4, rng())
    expected = [
        [0.6, 0, 0.2, 0, 0.2],
        [0, 0.6, 0, 0.4, 0],
        [0.2, 0, 0.6, 0, 0.2],
        [0, 0.4, 0, 0.6, 0],
        [0.2, 0, 0.2, 0, 0.6],
    ]
    assert_close(found, tensor(expected), **EXACT)


# The coarse classes of CIFAR-100 by name, in alphabetical order, as Krizhevsky's table lists them.
COARSE = (
    "beaver dolphin otter seal whale",
    "aquarium_fish flatfish ray shark trout",
    "orchid poppy rose sunflower tulip",
    "bottle bowl can cup plate",
    "apple mushroom orange pear sweet_pepper",
    "clock keyboard lamp telephone television",
    "bed chair couch table wardrobe",
    "bee beetle butterfly caterpillar cockroach",
    "bear leopard lion tiger wolf",
    "bridge castle house road skyscraper",
    "cloud forest mountain plain sea",
    "camel cattle chimpanzee elephant kangaroo",
    "fox porcupine possum raccoon skunk",
    "crab lobster snail spider worm",
    "baby boy girl man woman",
    "crocodile dinosaur lizard snake turtle",
    "hamster mouse rabbit shrew squirrel",
    "maple_tree oak_tree palm_tree pine_tree willow_tree",
    "bicycle bus motorcycle pickup_truck train",
    "lawn_mower rocket streetcar tank tractor",
)


def test_the_groups_of_cifar_100_are_its_coarse_classes():
    coarse = {fine: i for i, group in enumerate(COARSE) for fine in group.split()}
    assert tuple(coarse[fine] for fine in sorted(coarse)) == CIFAR100
    matrix = noise_model("hierarchical").matrix(100, 0.4, rng())
    assert ((matrix > 0).sum(dim=1) == 5).all()
    assert_close(matrix[0, [0, 51, 53, 57, 83]], tensor([0.6, 0.1, 0.1, 0.1, 0.1]), **EXACT)


def test_other_classes_than_those_of_cifar_100_need_groups():
    with pytest.raises(
        ValueError, match=r"groups: None stands for the coarse classes of CIFAR-100.*each of 10"
    ):
        noise_model("hierarchical").matrix(10, 0.5, rng())
    with pytest.raises(ValueError, match="groups: expected one for each of 5 classes, got 4"):
        noise_model("hierarchical", groups=[0, 0, 1, 1]).matrix(5, 0.5, rng())


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([0, 0, 1], "class 2 is alone in group 1"),
        ([0, 0.5, 1], "whole number"),
        ([True, True], "whole number"),
        ("aabb", "expected"),
    ],
)
def test_groups_that_are_none_are_refused(groups, message):
    with pytest.raises(HyperparameterError, match=message):
        noise_model("hierarchical", groups=groups)


def test_groups_may_be_a_list_or_a_tuple():
    one, other = (noise_model("hierarchical", groups=kind([0, 0, 1, 1])) for kind in (list, tuple))
    assert one == other
    assert one.hyperparameters() == {"groups": (0, 0, 1, 1)}
    assert hash(one) == hash(other)


# ---------------------------------------------------------------------------- every correction


class Network(nn.Module):
    """Logits of three classes from images of 3 × 2 × 2 pixels."""

    def __init__(self, scale=1.0, dtype=torch.float64):
        super().__init__()
        self.head = nn.Linear(12, 3)
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(scale * torch.randn(p.shape, generator=rng(8)))
        self.to(dtype)

    def forward(self, images):
        return self.head(images.flatten(1))


NOISE = tensor([[0.7, 0.2, 0.1], [0.0, 0.8, 0.2], [0.25, 0.15, 0.6]])


def setting(first, labels, trusted=None, classes=3):
    return Setting(
        network=None, dimension=12, classes=classes, image_size=2, epochs=1, val=torch.empty(0),
        labels=labels, trusted=trusted, first=first,
    )  # fmt: skip


def world(count=300, dtype=torch.float64, seed=9):
    """A first phase that says of each image something near its class's row of the noise."""
    truth = labels_of(count, classes=3, seed=seed)
    random = torch.rand(count, 3, dtype=torch.float64, generator=rng(seed))
    first = 0.7 * NOISE[truth] + 0.3 * random / random.sum(dim=1, keepdim=True)
    observed, _ = Contributed(NOISE).draw(truth, 3, 1.0, rng(seed))
    trusted = torch.arange(count) % 7 == 0
    return setting(first.to(dtype), torch.where(trusted, truth, observed), trusted)


def batch_of(made, rows=40, dtype=torch.float64):
    images = torch.rand(rows, 3, 2, 2, generator=rng(10), dtype=torch.float64).to(dtype)
    return Batch(images, made.labels[:rows], trusted=made.trusted[:rows])


def test_every_correction_is_found():
    assert CORRECTIONS.keys() >= {"forward_correction", "forward_gold", "glc"}
    assert all(isinstance(correction, Correction) for correction in CORRECTIONS.values())
    assert objective_class("glc").trusted
    assert objective_class("forward_gold").trusted
    assert not objective_class("forward_correction").trusted


@every_correction
def test_a_correction_names_its_paper_and_its_first_phase(correction):
    assert isinstance(type(correction).paper, Paper)
    assert correction.first_phase == "cross_entropy"
    assert correction.starts_from is None
    assert correction.detectors


@every_correction
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_estimate_is_row_stochastic_and_leaves_the_setting(correction, dtype):
    made = world(dtype=dtype)
    before = [t.clone() for t in (made.first, made.labels, made.trusted)]
    found = correction.estimate(made)
    assert found.shape == (3, 3)
    assert found.dtype == torch.float64
    assert (found >= 0).all()
    assert_close(found.sum(dim=1), torch.ones(3, dtype=torch.float64), **EXACT)
    found.fill_(7)  # no view of it either
    assert_close((made.first, made.labels, made.trusted), tuple(before), rtol=0, atol=0)


@every_correction
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_an_estimate_works_on_is_its_own(correction, dtype):
    made = world(dtype=dtype)
    before = made.first.clone()
    found = correction.probabilities(made)
    assert found.dtype == torch.float64
    assert torch.equal(found, before.double())
    found.zero_()
    assert torch.equal(made.first, before)


@every_correction
def test_a_first_phase_that_knows_the_noise_gives_it(correction):
    made = world()
    truth = labels_of(300, classes=3, seed=9)
    assert_close(correction.estimate(replace(made, first=NOISE[truth])), NOISE, **EXACT)


@every_correction
def test_the_order_of_images_does_not_matter(correction):
    made = world()
    order = torch.randperm(300, generator=rng(11))
    other = setting(made.first[order], made.labels[order], made.trusted[order])
    assert_close(correction.estimate(other), correction.estimate(made), **EXACT)


@every_correction
def test_the_matrix_is_kept_with_the_state_of_the_training(correction):
    made = world()
    kept, other = nn.ModuleDict(correction.modules(made)), nn.ModuleDict(correction.modules(world(seed=12)))
    assert_close(kept["noise"](), correction.estimate(made), **EXACT)
    assert not list(kept.parameters())
    assert not torch.equal(kept["noise"](), other["noise"]())
    other.load_state_dict(kept.state_dict())
    batch = batch_of(made)
    losses = [correction.loss(Network(), batch, dict(m.items())) for m in (kept, other)]
    assert torch.equal(*losses)


@every_correction
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_noise_and_with_a_perfect_first_phase_it_is_cross_entropy(correction, dtype):
    truth = labels_of(300, classes=3)
    perfect = functional.one_hot(truth, 3).to(dtype)
    made = setting(perfect, truth, torch.arange(300) % 7 == 0)
    network, batch = Network(dtype=dtype), batch_of(made, dtype=dtype)
    found = correction.loss(network, batch, correction.modules(made))
    assert_close(found, functional.cross_entropy(network(batch.images), batch.labels))


@every_correction
def test_the_loss_is_the_mean_over_the_batch_in_plain_arithmetic(correction):
    made, network = world(), Network()
    batch, modules = batch_of(made), correction.modules(made)
    with torch.no_grad():
        logits = network(batch.images).numpy()
    trusted = batch.trusted.numpy() if correction.trusted else np.zeros(len(logits), bool)
    expected = plain_losses(logits, batch.labels.numpy(), trusted, correction.estimate(made).numpy())
    assert trusted.any() == correction.trusted
    assert_close(correction.loss(network, batch, modules).item(), np.mean(expected).item(), **EXACT)


@every_correction
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_gradients_are_finite(correction, dtype, scale):
    made = world()
    for first in (
        made.first,
        functional.one_hot(made.labels, 3).double(),
        tensor([[1, 0, 0]]).repeat(300, 1),
    ):
        network, batch = Network(scale, dtype), batch_of(made, dtype=dtype)
        loss = correction.loss(network, batch, correction.modules(replace(made, first=first)))
        loss.backward()
        assert loss.isfinite()
        assert all(p.grad.isfinite().all() for p in network.parameters())
        if first is made.first and scale <= 1:  # else all labels may be below the floor, or p be 0 and 1
            assert all(p.grad.any() for p in network.parameters())


@every_correction
@pytest.mark.parametrize(
    ("first", "message"),
    [
        (None, "got none"),
        (torch.full((300, 2), 0.5), r"shape \(N, 3\)"),
        (torch.full((3,), 1 / 3), r"shape \(N, 3\)"),
        (torch.empty(0, 3), r"shape \(N, 3\)"),
        (torch.full((300, 3), 0.5), "sum to 1"),
        (tensor([[1.5, -0.5, 0]]).repeat(300, 1), "probabilities"),
        (tensor([[math.nan, 0.5, 0.5]]).repeat(300, 1), "probabilities"),
    ],
)
def test_a_setting_without_probabilities_is_refused(correction, first, message):
    with pytest.raises(ValueError, match=rf"setting\.first: {correction.name} expected .*{message}"):
        correction.modules(replace(world(), first=first))


@every_correction
def test_what_is_not_trusted_needs_no_trusted_labels(correction):
    made = world()
    bare = setting(made.first, made.labels)
    batch = replace(batch_of(made), trusted=None)
    if correction.trusted:
        with pytest.raises(ValueError, match=rf"setting\.trusted: {correction.name} expected"):
            correction.modules(bare)
        with pytest.raises(ValueError, match=rf"batch\.trusted: {correction.name} expected"):
            correction.loss(Network(), batch, correction.modules(made))
    else:
        assert correction.loss(Network(), batch, correction.modules(bare)).isfinite()


@pytest.mark.parametrize("name", [n for n, c in CORRECTIONS.items() if c.trusted])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trusted": torch.zeros(300, dtype=torch.bool)}, "expected at least one trusted label"),
        ({"trusted": torch.zeros(300)}, r"expected bool \(300,\)"),
        ({"trusted": torch.ones(299, dtype=torch.bool)}, r"expected bool \(300,\)"),
        ({"labels": torch.empty(0, dtype=torch.int64)}, r"setting\.labels: .* expected shape \(300,\)"),
        ({"labels": torch.full((300,), 3)}, r"labels: expected class indices in \[0, 3\)"),
        ({"first": torch.full((300, 4), 0.25)}, r"setting\.first: .* expected shape \(N, 3\)"),
    ],
)
def test_a_setting_that_does_not_fit_is_refused(name, change, message):
    with pytest.raises(ValueError, match=message):
        objective(name).modules(replace(world(), **change))


class Broken(Correction):
    name = "broken"

    def estimate(self, setting):
        return 2 * torch.eye(3, dtype=torch.float64)

    def loss(self, network, batch, modules):
        raise AssertionError


def test_a_contributed_estimate_that_is_no_matrix_of_noise_is_refused():
    with pytest.raises(ValueError, match=r"broken\.estimate: expected rows that are probabilities"):
        Broken().modules(world())


# ---------------------------------------------------------------------------- losses


def plain_losses(logits, labels, trusted, matrix):
    found = []
    for z, y, known in zip(logits, labels, trusted, strict=True):
        p = np.exp(z - z.max())
        p = p / p.sum()
        q = p[y] if known else max(sum(p[i] * matrix[i, y] for i in range(len(p))), 1e-12)
        found.append(-math.log(q))
    return np.array(found)


P, C = tensor(INPUTS["loss"]["p"]), tensor(INPUTS["loss"]["C"])
Y, TRUSTED = torch.tensor(INPUTS["loss"]["y"]), torch.tensor(INPUTS["loss"]["trusted"])


def test_losses_of_the_worked_example():
    assert_close(corrected_losses(P.log(), Y, C), tensor(VALUES["fwd.each"]), **EXACT)
    assert_close(corrected_losses(P.log(), Y, C)[:2].mean(), tensor(VALUES["fwd"]), **EXACT)
    assert_close(joint_losses(P.log(), Y, TRUSTED, C).mean(), tensor(VALUES["glc"]), **EXACT)
    for j in range(3):
        each = corrected_losses(P.log(), torch.full((3,), j), C)
        assert_close((-each).exp(), tensor(VALUES["fwd.q"])[:, j], **EXACT)


@pytest.mark.parametrize("seed", range(5))
def test_losses_agree_with_plain_arithmetic(seed):
    draws = np.random.default_rng(seed)
    logits, matrix = draws.normal(0, 4, (50, 6)), draws.dirichlet(np.full(6, 0.5), 6)
    labels, trusted = draws.integers(0, 6, 50), draws.random(50) < 0.3
    found = joint_losses(*map(torch.from_numpy, (logits, labels, trusted, matrix)))
    assert_close(found.numpy(), plain_losses(logits, labels, trusted, matrix), **EXACT)


def test_the_gradient_is_that_of_the_definition():
    logits = (P.log() * 3).requires_grad_()
    p = torch.softmax(logits, dim=1)
    (expected,) = torch.autograd.grad(-(p @ C)[torch.arange(3), Y].log().sum(), logits)
    (found,) = torch.autograd.grad(corrected_losses(logits, Y, C).sum(), logits)
    assert_close(found, expected, **EXACT)


def test_an_observed_label_has_a_least_probability_and_a_trusted_one_has_none():
    logits, labels = tensor([[40.0, 0.0], [40.0, 0.0], [20.0, 0.0]]), torch.ones(3, dtype=torch.int64)
    identity = torch.eye(2, dtype=torch.float64)
    found = joint_losses(logits, labels, torch.tensor([False, True, False]), identity)
    assert FLOOR == 1e-12
    assert_close(found, tensor([-math.log(1e-12), 40.0, 20 + math.log1p(math.exp(-20))]), **EXACT)


def test_probabilities_that_underflow_still_count():
    """In float32 p of the second class is 0; its logarithm is not."""
    logits = torch.tensor([[0.0, -200.0, -201.0]], requires_grad=True)
    matrix = tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1e-8, 0.0, 1 - 1e-8]])
    loss = corrected_losses(
        logits, torch.tensor([2]), matrix + tensor([[-1e-9, 0, 1e-9], [0, 0, 0], [0, 0, 0]])
    )
    assert_close(loss.item(), -math.log(1e-9), rtol=1e-6, atol=0.0)
    assert (torch.autograd.grad(loss.sum(), logits)[0].isfinite()).all()


def test_half_precision_is_widened():
    logits = (P.log() * 3).to(torch.bfloat16)
    found = joint_losses(logits, Y, TRUSTED, C)
    assert found.dtype == torch.float32
    assert_close(found.double(), joint_losses(logits.double(), Y, TRUSTED, C), rtol=1e-6, atol=1e-6)


# ---------------------------------------------------------------------------- estimates


def plain_anchor(column, percentile):
    """By sorting; the percentile is the value at the rank that is rounded up."""
    ascending = sorted(column)
    limit = ascending[math.ceil(percentile / 100 * (len(column) - 1) - 1e-9)]
    below = [value for value in column if value < limit] or ascending
    return list(column).index(max(below))


def test_anchors_of_the_worked_example():
    first = tensor(INPUTS["anchors"])
    for percentile in (None, 100.0):  # by default as well, of four images
        made = objective("forward_correction", percentile=percentile)
        assert_close(made.estimate(setting(first, torch.zeros(4))), tensor(VALUES["fwd.C_argmax"]), **EXACT)
        rows = [anchor(column, percentile, 3) for column in first.T.numpy()]
        assert rows == VALUES["fwd.anchor_argmax"]


@pytest.mark.parametrize("percentile", [None, 97, 97.0])
def test_an_anchor_is_strictly_below_the_percentile(percentile):
    column = np.random.default_rng(0).permutation(np.arange(1, 101) / 100)
    assert np.percentile(column, 97, method="higher") == VALUES["anc.thr"]
    assert column[anchor(column, percentile, 10)] == VALUES["anc.val"]


@pytest.mark.parametrize("count", [1, 2, 3, 10, 34, 101, 1000])
@pytest.mark.parametrize("percentile", [50.0, 97.0, 99.5])
def test_anchors_agree_with_plain_sorting(count, percentile):
    draws = np.random.default_rng(count)
    for column in (draws.random(count), draws.integers(0, 4, count) / 4, np.full(count, 0.5)):
        assert anchor(column, percentile, 3) == plain_anchor(column, percentile)


@pytest.mark.parametrize(
    ("images", "classes", "rank"),
    [
        (50_000, 10, 1501),  # CIFAR-10: the threshold is 1500th from the top
        (50_000, 16, 1501),
        (50_000, 17, 1),
        (50_000, 100, 1),  # CIFAR-100
        (200, 10, 7),
        (20, 10, 1),
        (10, 10, 1),
        (1, 1, 1),
    ],
)
def test_by_default_few_images_of_a_class_are_left_out(images, classes, rank):
    column = np.arange(images) / images
    assert anchor(column, None, classes) == images - rank


def test_equal_probabilities_do_not_lead_to_another_class():
    """All of a class at exactly 1: nothing of the class is strictly below the percentile."""
    column = np.repeat([0.0, 1.0], [90, 10])
    assert column[anchor(column, 97.0, 10)] == 0
    assert column[anchor(column, None, 10)] == 1


def test_noise_may_leave_no_label_of_the_highest_class():
    """As flipping all labels of 120 did: they show K - 1 classes, and the first phase's network knows K."""
    made = world()
    seen = replace(made, labels=made.labels.clamp(max=1), trusted=None, classes=2)
    correction = objective("forward_correction")
    modules = correction.modules(seen)
    assert_close(modules["noise"](), correction.estimate(made), **EXACT)
    assert modules["noise"]().shape == (3, 3)
    loss = correction.loss(Network(), replace(batch_of(made), labels=seen.labels[:40], trusted=None), modules)
    assert loss.isfinite()


def test_the_percentile_is_passed_on():
    made = world()
    expected = {}
    for percentile in (60.0, 97.0, 100.0):
        rows = [
            plain_anchor(column, percentile) if percentile < 100 else int(column.argmax())
            for column in made.first.T.numpy()
        ]
        expected[percentile] = made.first[rows] / made.first[rows].sum(dim=1, keepdim=True)
        for name in ("forward_correction", "forward_gold"):
            found = objective(name, percentile=percentile).estimate(made)
            assert_close(found, expected[percentile], **EXACT)
    assert not torch.equal(expected[60.0], expected[97.0])
    assert not torch.equal(expected[97.0], expected[100.0])
    assert_close(objective("forward_correction").estimate(made), expected[97.0], **EXACT)


@pytest.mark.parametrize("name", ["forward_correction", "forward_gold"])
@pytest.mark.parametrize("percentile", [0.0, -3.0, 100.1, math.nan])
def test_a_percentile_that_is_none_is_refused(name, percentile):
    with pytest.raises(HyperparameterError, match=r"percentile: expected a number in \(0, 100\] or None"):
        objective(name, percentile=percentile)


GOLD, GOLD_LABELS = tensor(INPUTS["gold"]["p"]), torch.tensor(INPUTS["gold"]["y"])


def test_means_of_the_worked_example():
    assert_close(from_trusted(GOLD, GOLD_LABELS), tensor(VALUES["glc.C"]), **EXACT)
    others = tensor([[0.2, 0.3, 0.5]]).repeat(4, 1)
    made = setting(torch.cat([others, GOLD]), torch.cat([torch.zeros(4, dtype=torch.int64), GOLD_LABELS]))
    made = replace(made, trusted=torch.arange(9) >= 4)
    assert_close(objective("glc").estimate(made), tensor(VALUES["glc.C"]), **EXACT)


def test_only_trusted_images_tell_of_the_noise():
    made = world()
    expected = np.zeros((3, 3))
    for i in range(3):
        rows = [n for n in range(300) if made.trusted[n] and made.labels[n] == i]
        expected[i] = sum(made.first[n].numpy() for n in rows) / len(rows)
    assert_close(objective("glc").estimate(made).numpy(), expected, **EXACT)


def test_classes_without_trusted_images_are_counted_and_taken_to_have_no_noise():
    glc = objective("glc")
    made = setting(torch.cat([GOLD, GOLD]), torch.cat([GOLD_LABELS, GOLD_LABELS]))
    for missing, expected in ((0, [0, 0, 0]), (1, [0, 1, 0]), (2, [0, 1, 1])):
        told = torch.arange(10) < 5
        for i, without in enumerate(expected):
            told &= ~((made.labels == i) & bool(without))
        partly = replace(made, trusted=told)
        rows = glc.estimate(partly)
        for i, without in enumerate(expected):
            row = torch.eye(3, dtype=torch.float64)[i] if without else tensor(VALUES["glc.C"])[i]
            assert_close(rows[i], row, **EXACT)
        batch = replace(batch_of(partly, rows=10), notes={})
        glc.loss(Network(), batch, glc.modules(partly))
        assert batch.notes == {"classes_without_trusted": [missing]}
