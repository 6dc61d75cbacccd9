"""Long-tail profiles, samplers and the class-balanced cost: worked examples of spec/methods.md §5, and what
holds for every registered one.
"""

import inspect
import json
import re
from pathlib import Path

import imblearn.over_sampling
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torch.testing import assert_close

from methods.base import Batch, HyperparameterError, Setting
from methods.imbalance import BETA, Profile, Sampler, class_weights, classes_of
from methods.registry import broken, family, objective, profile, sampler

pytestmark = pytest.mark.usefixtures("one_thread")

WORKED = json.loads((Path(__file__).parent / "imbalance_worked_examples.json").read_text())
VALUES, INPUTS = WORKED["values"], WORKED["inputs"]
EXACT = {"rtol": 1e-12, "atol": 1e-12}

PROFILES, SAMPLERS = family("profiles"), family("samplers")
every_profile = pytest.mark.parametrize("cls", PROFILES.values(), ids=PROFILES)
every_sampler = pytest.mark.parametrize("cls", SAMPLERS.values(), ids=SAMPLERS)

COUNTS = [30, 12, 7, 6, 2, 1]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def long_tailed(counts=COUNTS, seed=0):
    """Images whose pixels tell the class: those of class c are within [40 c, 40 c + 20]."""
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=generator(seed))]
    noise = torch.randint(0, 21, (len(labels), 3, 4, 4), generator=generator(seed + 1))
    return (40 * labels[:, None, None, None] + noise).to(torch.uint8), labels


def lone(values, label=1):
    """Images of a class of 3 x 1 x 1 pixels, and more others, far away, of class 0."""
    images = torch.tensor(values, dtype=torch.uint8).reshape(len(values), 3, 1, 1)
    others = torch.full((300, 3, 1, 1), 255, dtype=torch.uint8)
    return torch.cat([others, images]), torch.tensor([0] * 300 + [label] * len(values))


def shares(labels):
    return torch.bincount(labels) / len(labels)


def shown(made, labels, epochs):
    """Labels of the images of several epochs."""
    rng = generator(3)
    return torch.cat([labels[made.epoch(labels, rng)] for _ in range(epochs)])


def test_the_files_can_be_loaded():
    assert not [m for m in broken() if m.startswith(("methods.profiles", "methods.samplers"))]
    assert PROFILES.keys() >= {"exp", "power", "step"}
    assert SAMPLERS.keys() >= {"oversample", "smote", "undersample"}


@pytest.mark.parametrize("cls", [*PROFILES.values(), *SAMPLERS.values()], ids=[*PROFILES, *SAMPLERS])
def test_it_says_what_it_is(cls):
    assert issubclass(cls, Profile | Sampler)
    assert cls.paper.title
    assert cls.paper.year > 1900
    assert "Deviations from the paper:" in inspect.getdoc(cls)
    with pytest.raises(HyperparameterError, match="no hyper-parameter 'nonsense'"):
        cls.configure({"nonsense": 1})


# Profiles


@every_profile
@pytest.mark.parametrize(("classes", "largest"), [(2, 100), (3, 700), (10, 140), (10, 5000), (100, 500)])
def test_a_profile_falls_from_the_largest_class(cls, classes, largest):
    counts = cls().counts(classes, largest)
    assert len(counts) == classes
    assert all(type(n) is int for n in counts)
    assert counts[0] == largest
    assert counts == sorted(counts, reverse=True)
    assert 1 <= counts[-1] < largest


@every_profile
@pytest.mark.parametrize(("classes", "largest"), [(1, 100), (0, 100), (10, 0), (10, -5)])
def test_a_profile_refuses_what_is_no_imbalance(cls, classes, largest):
    with pytest.raises(ValueError, match="classes: " if classes < 2 else "largest: "):
        cls().counts(classes, largest)


@pytest.mark.parametrize(("name", "mu"), [("exp", "0.01"), ("exp", "0.1"), ("step", "0.01")])
def test_worked_counts_of_a_share(name, mu):
    counts = profile(name, mu=float(mu)).counts(INPUTS["classes"], INPUTS["largest"])
    assert counts == VALUES[name][mu]


@pytest.mark.parametrize("gamma", VALUES["power"])
def test_worked_counts_of_a_power(gamma):
    made = profile("power", gamma=float(gamma), ratio=INPUTS["ratio"])
    assert made.counts(INPUTS["classes"], INPUTS["largest"]) == VALUES["power"][gamma]
    assert made.constants(INPUTS["classes"], INPUTS["largest"]) == pytest.approx(
        VALUES["power.constants"][gamma], rel=1e-12
    )


@pytest.mark.parametrize("gamma", VALUES["power.total"])
def test_worked_totals_of_a_power(gamma):
    counts = profile("power", gamma=float(gamma)).counts(INPUTS["classes"], INPUTS["largest"])
    assert sum(counts) == VALUES["power.total"][gamma]
    assert counts[-1] == 250


def test_published_defaults():
    assert profile("exp").hyperparameters() == {"mu": 0.01}
    assert profile("step").hyperparameters() == {"mu": 0.01}
    assert profile("power").hyperparameters() == {"gamma": 1.0, "ratio": 0.05}
    assert sampler("oversample").hyperparameters() == {"weights": "inverse"}
    assert sampler("undersample").hyperparameters() == {}
    assert sampler("smote").hyperparameters() == {"neighbours": None}
    defaults = {"weights": "effective", "beta": 0.9999, "defer": None}
    assert objective("class_balanced").hyperparameters() == defaults


def test_the_ratio_of_a_power_holds_for_any_size():
    assert profile("power").counts(100, 500)[-1] == 25  # the paper's choice for CIFAR-100
    assert profile("power").counts(10, 140)[-1] == 7
    assert profile("power", ratio=0.5).counts(10, 30)[-1] == 15


@given(st.integers(2, 30), st.integers(1, 3000), st.floats(0.2, 2.0), st.integers(1, 3000))
@settings(max_examples=60, deadline=None)
def test_a_power_is_the_formula_of_the_spec(classes, largest, gamma, smallest):
    if smallest >= largest:
        return
    b = smallest * (classes - 1) ** gamma / (largest - smallest)
    a = largest * b
    exact = [a / (b + i**gamma) for i in range(classes)]
    counts = profile("power", gamma=gamma, ratio=smallest / largest).counts(classes, largest)
    assert all(abs(n - x) <= 0.5 + 1e-9 for n, x in zip(counts, exact, strict=True))
    assert (counts[0], counts[-1]) == (largest, smallest)


def test_products_are_cut_off_in_floating_point():
    assert 100 * 0.29 < 29
    assert profile("step", mu=0.29).counts(2, 100) == [100, 28]
    assert profile("exp", mu=0.29).counts(2, 100) == [100, 28]
    assert profile("exp", mu=0.5).counts(3, 100) == [100, 70, 50]  # 70.71


def test_half_of_an_odd_number_of_classes_is_rounded_down():
    assert profile("step", mu=0.5).counts(5, 8) == [8, 8, 4, 4, 4]


@pytest.mark.parametrize("name", ["exp", "step"])
def test_a_share_of_one_leaves_the_set_balanced(name):
    assert profile(name, mu=1).counts(4, 7) == [7] * 4


@pytest.mark.parametrize(
    ("name", "rank", "settings"),
    [("exp", 8, "mu = 0.01"), ("step", 5, "mu = 0.01"), ("power", 9, "gamma = 0.2, ratio = 0.01")],
)
def test_a_class_without_images_is_an_error(name, rank, settings):
    given = {"power": {"gamma": 0.2, "ratio": 0.01}}.get(name, {})
    largest = {"power": 49}.get(name, 50)
    message = f"{name} with {settings}: the class of rank {rank} of 10 .* the largest has {largest}"
    with pytest.raises(ValueError, match=message):
        profile(name, **given).counts(10, largest)


@pytest.mark.parametrize(
    ("name", "key", "values"),
    [
        ("exp", "mu", (0.0, -0.1, 1.1, float("nan"))),
        ("step", "mu", (0.0, -0.1, 1.1, float("nan"))),
        ("power", "gamma", (0.0, -1.0, 10.5, float("inf"), float("nan"))),
        ("power", "ratio", (0.0, 1.0, 1.5, float("nan"))),
    ],
)
def test_profiles_refuse_what_makes_no_tail(name, key, values):
    for value in values:
        with pytest.raises(HyperparameterError, match=f"{name}: {key}: expected .* got {value}"):
            profile(name, **{key: value})


# Samplers


@every_sampler
def test_a_sampler_keeps_images_with_their_labels(cls):
    images, labels = long_tailed()
    found, theirs = cls().resampled(images, labels, generator())
    assert (found.dtype, theirs.dtype) == (torch.uint8, torch.int64)
    assert found.shape == (len(theirs), 3, 4, 4)
    assert torch.equal(found[: len(images)], images)
    assert torch.equal(theirs[: len(labels)], labels)
    assert (
        (found >= 40 * theirs[:, None, None, None]) & (found <= 40 * theirs[:, None, None, None] + 20)
    ).all()


@every_sampler
def test_a_sampler_shows_rows_that_exist(cls):
    images, labels = long_tailed()
    _, theirs = cls().resampled(images, labels, generator())
    rows = cls().epoch(theirs, generator())
    assert rows.dtype == torch.int64
    assert rows.shape == (cls().size(theirs),)
    assert type(cls().size(theirs)) is int
    assert 0 <= int(rows.min()) <= int(rows.max()) < len(theirs)


@every_sampler
def test_a_sampler_leaves_its_inputs_alone(cls):
    images, labels = long_tailed()
    before = images.clone(), labels.clone()
    _, theirs = cls().resampled(images, labels, generator())
    kept = theirs.clone()
    cls().epoch(theirs, generator())
    assert torch.equal(images, before[0])
    assert torch.equal(labels, before[1])
    assert torch.equal(theirs, kept)


@every_sampler
def test_a_sampler_draws_from_the_generator_alone(cls):
    images, labels = long_tailed()

    def drawn(seed, elsewhere):
        torch.manual_seed(elsewhere)
        np.random.seed(elsewhere)  # noqa: NPY002 - imbalanced-learn's
        rng = generator(seed)
        found, theirs = cls().resampled(images, labels, rng)
        return found, theirs, cls().epoch(theirs, rng), cls().epoch(theirs, rng)

    first, again, other = drawn(5, 0), drawn(5, 1), drawn(6, 0)
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not torch.equal(first[2], other[2])
    assert not torch.equal(first[2], first[3])


@every_sampler
def test_a_balanced_set_stays_balanced(cls):
    images, labels = long_tailed([8] * 4)
    found, theirs = cls().resampled(images, labels, generator())
    assert torch.equal(found, images)
    assert torch.equal(theirs, labels)
    assert cls().size(theirs) == 32
    # of 6,400 draws a share has a standard deviation of at most .0055
    assert_close(shares(shown(cls(), theirs, 200)), torch.full((4,), 0.25), rtol=0, atol=0.02)


@every_sampler
def test_classes_need_not_be_counted_from_nought(cls):
    images, labels = long_tailed([9, 3])
    _, plain = cls().resampled(images, labels, generator())
    _, moved = cls().resampled(images, labels * 5 + 2, generator())
    assert torch.equal(moved, plain * 5 + 2)
    assert torch.equal(cls().epoch(moved, generator()), cls().epoch(plain, generator()))


@pytest.mark.parametrize("name", ["oversample", "undersample", "smote"])
def test_classes_are_shown_equally_often(name):
    made = sampler(name)
    _, theirs = made.resampled(*long_tailed(), generator())
    # of at least 2,400 draws a share has a standard deviation of at most .0076
    assert_close(shares(shown(made, theirs, 400)), torch.full((6,), 1 / 6), rtol=0, atol=0.03)


def test_oversampling_keeps_the_length_of_an_epoch():
    _, labels = long_tailed()
    made = sampler("oversample")
    assert made.size(labels) == len(labels) == sum(COUNTS)
    rows = made.epoch(labels, generator())
    assert len(rows.unique()) < len(rows)  # with replacement


@pytest.mark.parametrize(("weights", "share"), [("inverse", 0.5), ("cb", 0.75854)])
def test_oversampling_by_either_weights(weights, share):
    """`cb`: n w is 30,000 / E(30,000) = 3.15719 and 100 / E(100) = 1.00496, E = (1 - β^n) / (1 - β)."""
    labels = torch.tensor([0] * 30_000 + [1] * 100)
    seen = shares(labels[sampler("oversample", weights=weights).epoch(labels, generator())])
    assert abs(float(seen[0]) - share) < 0.012  # four standard deviations at most


def test_oversampling_shows_all_images_of_a_class_alike():
    labels = torch.tensor([0] * 12 + [1] * 4)
    rng = generator()
    rows = torch.cat([sampler("oversample").epoch(labels, rng) for _ in range(500)])
    expected = torch.tensor([1 / 24] * 12 + [1 / 8] * 4)
    assert_close(shares(rows), expected, rtol=0, atol=0.015)


def test_undersampling_shows_as_many_as_the_smallest_class_has():
    labels = torch.tensor([0] * 10 + [1] * 3 + [2] * 5)[torch.randperm(18, generator=generator(4))]
    made = sampler("undersample")
    rng = generator()
    epochs = [made.epoch(labels, rng) for _ in range(40)]
    assert made.size(labels) == 9
    for rows in epochs:
        assert torch.bincount(labels[rows]).tolist() == [3, 3, 3]
        assert len(rows.unique()) == 9  # without replacement
    assert len({tuple(sorted(rows.tolist())) for rows in epochs}) > 30  # anew for every epoch
    assert len(torch.cat(epochs).unique()) == 18
    places = torch.stack([labels[rows] for rows in epochs]).double().mean(dim=0)
    assert ((places > 0.5) & (places < 1.5)).all()  # classes mixed: each place has a mean class of 1


def test_undersampling_shows_all_images_of_a_class_alike():
    labels = torch.tensor([0] * 8 + [1] * 2)
    rng = generator()
    rows = torch.cat([sampler("undersample").epoch(labels, rng) for _ in range(400)])
    # 400 draws of probability 1/4 out of 4 an epoch: a share has a standard deviation of .0054
    assert_close(shares(rows), torch.tensor([1 / 16] * 8 + [1 / 4] * 2), rtol=0, atol=0.022)


def test_smote_fills_every_class_up():
    images, labels = long_tailed()
    found, theirs = sampler("smote").resampled(images, labels, generator())
    assert torch.bincount(theirs).tolist() == [30] * 6
    new, their_labels = found[len(images) :], theirs[len(images) :]
    only = images[labels == 5]
    assert torch.equal(new[their_labels == 5], only.expand(29, 3, 4, 4))  # an only image is repeated
    for label in range(1, 5):
        assert len(new[their_labels == label].unique(dim=0)) > (30 - COUNTS[label]) // 2


def test_a_new_image_lies_between_two_of_its_class():
    images, labels = long_tailed()
    found, theirs = sampler("smote").resampled(images, labels, generator())
    deltas = []
    for image, label in zip(found[len(images) :], theirs[len(images) :], strict=True):
        own = images[labels == label].flatten(1).double()
        if len(own) == 1:
            continue
        others = own[None] - own[:, None]  # (n, n, D) from each to each
        distance = others.norm(dim=2)
        near = distance <= distance.sort(dim=1).values[:, min(5, len(own) - 1), None]
        near.fill_diagonal_(False)
        start, step = own[:, None].expand_as(others)[near], others[near]  # (P, D) each
        away = image.flatten() - start
        # Which δ give this image, rounded: of every pixel an interval, all of which must meet.
        ends = torch.stack([(away - 0.5) / step, (away + 0.5) / step])
        low = torch.where(step == 0, 0.0, ends.amin(dim=0)).amax(dim=1).clamp(min=0)
        high = torch.where(step == 0, 1.0, ends.amax(dim=0)).amin(dim=1).clamp(max=1)
        fits = (low <= high) & ((step != 0) | (away == 0)).all(dim=1)
        assert fits.any()
        deltas.append(float((low + high)[fits][0]) / 2)
    assert len(deltas) == 4 * 30 - (12 + 7 + 6 + 2)
    assert sum(0.05 < d < 0.95 for d in deltas) > 70  # of 93, δ being uniform


class Quarter(np.random.RandomState):
    """Draws δ = 1/4."""

    def uniform(self, *_, size):
        return np.full(size, INPUTS["smote"]["delta"])


def quartered(**given):
    return SMOTE(**(given | {"random_state": Quarter(given["random_state"])}))


SMOTE = imblearn.over_sampling.SMOTE


def test_worked_interpolation(monkeypatch):
    """80 times the numbers of the spec, in both directions, and in imbalanced-learn itself."""
    x, other = np.array(INPUTS["smote"]["x"]), np.array(INPUTS["smote"]["neighbour"])
    new = {tuple(VALUES["smote"]), tuple(x + other - VALUES["smote"])}
    table, classes = np.array([x, other, x]).astype(float), [1, 1, 0]
    made = quartered(sampling_strategy={1: 30}, k_neighbors=1, random_state=0).fit_resample(table, classes)
    assert set(map(tuple, made[0][3:])) == new
    monkeypatch.setattr(imblearn.over_sampling, "SMOTE", quartered)
    images, labels = lone([[*(80 * x), 0], [*(80 * other), 0]])
    found, _ = sampler("smote").resampled(images, labels, generator())
    seen = {tuple(v) for v in found[302:].flatten(1).tolist()}
    assert seen == {(80 * a, 80 * b, 0) for a, b in new} == {(40, 120, 0), (120, 200, 0)}


def test_pixels_are_rounded(monkeypatch):
    monkeypatch.setattr(imblearn.over_sampling, "SMOTE", quartered)
    found, _ = sampler("smote").resampled(*lone([[0, 1, 255], [255, 2, 0]]), generator())
    # 63.75, 1.25, 191.25 and 191.25, 1.75, 63.75
    assert {tuple(v) for v in found[302:].flatten(1).tolist()} == {(64, 1, 191), (191, 2, 64)}


def test_neighbours_are_the_nearest():
    images, labels = lone([[0, 0, 0], [10, 0, 0], [100, 0, 0], [110, 0, 0]])
    near, _ = sampler("smote", neighbours=1).resampled(images, labels, generator())
    assert not ((near[304:, 0] > 10) & (near[304:, 0] < 100)).any()
    near, _ = sampler("smote", neighbours=2).resampled(images, labels, generator())
    assert ((near[304:, 0] > 10) & (near[304:, 0] < 100)).any()


@pytest.mark.parametrize(("neighbours", "expected"), [(None, [5, 5, 5, 1]), (1, [1, 1, 1, 1])])
def test_what_imbalanced_learn_is_asked(monkeypatch, neighbours, expected):
    """5 neighbours, or all others where there are fewer; a seed for each class."""
    asked = []

    def spy(**given):
        asked.append(given)
        return SMOTE(**given)

    monkeypatch.setattr(imblearn.over_sampling, "SMOTE", spy)
    sampler("smote", neighbours=neighbours).resampled(*long_tailed(COUNTS[:5]), generator())
    assert [given["k_neighbors"] for given in asked] == expected
    assert len({given["random_state"] for given in asked}) == 4


@pytest.mark.parametrize(("count", "k"), [(2, 1), (3, 2), (5, 4), (6, 5), (7, 5)])
def test_neighbours_fit_small_classes(monkeypatch, count, k):
    asked = []
    monkeypatch.setattr(imblearn.over_sampling, "SMOTE", lambda **g: asked.append(g) or SMOTE(**g))
    sampler("smote").resampled(*long_tailed([9, count]), generator())
    assert [given["k_neighbors"] for given in asked] == [k]


@pytest.mark.parametrize(("counts", "neighbours"), [([9, 9, 3], 3), ([9, 1], 1), ([9, 8, 5, 2], 5)])
def test_too_few_images_for_the_neighbours(counts, neighbours):
    short = next(c for c, n in enumerate(counts) if n <= neighbours)
    message = (
        f"neighbours: {neighbours} .* need {neighbours + 1} images .* class {short} has {counts[short]};"
    )
    with pytest.raises(ValueError, match=message):
        sampler("smote", neighbours=neighbours).resampled(*long_tailed(counts), generator())


def test_just_enough_images_for_the_neighbours():
    _, theirs = sampler("smote", neighbours=2).resampled(*long_tailed([9, 3]), generator())
    assert torch.bincount(theirs).tolist() == [9, 9]


def test_the_largest_class_needs_no_neighbours():
    images, labels = long_tailed([3, 3])
    _, theirs = sampler("smote", neighbours=40).resampled(images, labels, generator())
    assert torch.equal(theirs, labels)


@pytest.mark.parametrize("neighbours", [0, -1])
def test_no_neighbours_are_an_error(neighbours):
    with pytest.raises(
        HyperparameterError, match=f"smote: neighbours: .* at least 1, or None, got {neighbours}"
    ):
        sampler("smote", neighbours=neighbours)


def test_smote_takes_pixels_and_their_labels():
    images, labels = long_tailed()
    with pytest.raises(ValueError, match=r"images: expected 58 of uint8.* torch.float32"):
        sampler("smote").resampled(images.float(), labels, generator())
    with pytest.raises(ValueError, match=r"images: expected 58 of uint8.* shape \(57, 3, 4, 4\)"):
        sampler("smote").resampled(images[1:], labels, generator())


@pytest.mark.parametrize("name", ["oversample", "undersample"])
@pytest.mark.parametrize(
    "labels", [torch.zeros(0, dtype=torch.int64), torch.zeros(3), torch.zeros(2, 2).long()]
)
def test_labels_that_are_none(name, labels):
    with pytest.raises(ValueError, match=r"labels: expected a non-empty vector of class indices"):
        sampler(name).epoch(labels, generator())


def test_an_unknown_weighting_is_refused():
    with pytest.raises(HyperparameterError, match=r"oversample\.weights: expected one of 'inverse', 'cb'"):
        sampler("oversample", weights="effective")


# Class weights and the class-balanced cost


COUNTED = torch.tensor(VALUES["exp"]["0.01"])


class Table(nn.Module):
    """Logits of an image are its first pixels."""

    def __init__(self, classes=3):
        super().__init__()
        self.classes = classes
        self.bias = nn.Parameter(torch.zeros(classes, dtype=torch.float64))

    def forward(self, images):
        return images.flatten(1)[:, : self.classes] + self.bias


def setting(labels, classes):
    images = torch.zeros(2, 3, 1, 1, dtype=torch.uint8)
    return Setting(Table(), 3, classes, 1, 10, images, labels=torch.as_tensor(labels, dtype=torch.int64))


def cost(images, labels, counts=(6, 3, 1), progress=0.0, epochs=10, **hyperparameters):
    """The loss of a batch, and its gradient in the network's bias."""
    made = objective("class_balanced", **hyperparameters)
    network = Table(len(counts))
    of_training = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    modules = made.modules(setting(of_training, len(counts)))
    batch = Batch(images, torch.tensor(labels), progress=progress, epochs=epochs)
    loss = made.loss(network, batch, modules)
    loss.backward()
    return loss.detach(), network.bias.grad


def logits(n, seed=0):
    return torch.randn(n, 3, 1, 1, generator=generator(seed), dtype=torch.float64)


@pytest.mark.parametrize("weights", ["effective", "inverse"])
def test_worked_weights(weights):
    labels = torch.arange(10).repeat_interleave(COUNTED)
    labels = labels[torch.randperm(len(labels), generator=generator())]
    modules = objective("class_balanced", weights=weights).modules(setting(labels, 10))
    (found,) = [b for module in modules.values() for b in module.buffers()]
    assert_close(found, torch.tensor(VALUES[f"weights.{weights}"], dtype=torch.float64), **EXACT)
    assert not [p for module in modules.values() for p in module.parameters()]


def test_weights_by_hand():
    # 1 - β^n is .5, .75 and .875; with a sum of 3: 4/7 · (1/.5, 1/.75, 1/.875) · 3 / (...)
    raw = torch.tensor([1 / 0.5, 1 / 0.75, 1 / 0.875], dtype=torch.float64)
    assert_close(class_weights(torch.tensor([1, 2, 3]), 0.5), 3 * raw / raw.sum(), **EXACT)
    assert_close(class_weights(torch.tensor([1, 3]), None), torch.tensor([1.5, 0.5], dtype=torch.float64))
    assert_close(class_weights(torch.tensor([1, 3]), 0.0), torch.ones(2, dtype=torch.float64))


def test_the_inverse_is_the_limit():
    assert_close(class_weights(COUNTED, 1 - 1e-10), class_weights(COUNTED, None), rtol=1e-4, atol=0)
    assert BETA == 0.9999


def test_weights_of_no_images():
    with pytest.raises(ValueError, match=r"counts: expected at least one .* got \[3, 0\]"):
        class_weights(torch.tensor([3, 0]), BETA)


def test_classes_of_labels():
    classes, place, counts = classes_of(torch.tensor([7, 2, 7, 7]))
    assert (classes.tolist(), place.tolist(), counts.tolist()) == ([2, 7], [1, 0, 1, 1], [1, 3])


@pytest.mark.parametrize("weights", ["effective", "inverse"])
def test_the_cost_is_a_weighted_sum_divided_by_the_batch(weights):
    z, labels = logits(5), [0, 2, 2, 1, 0]
    w = class_weights(torch.tensor([6, 3, 1]), 0.9 if weights == "effective" else None)
    p = torch.softmax(z.flatten(1), dim=1)
    each = [-float(w[y] * p[i, y].log()) for i, y in enumerate(labels)]
    found, gradient = cost(z, labels, weights=weights, beta=0.9)
    assert_close(found, torch.tensor(sum(each) / 5, dtype=torch.float64), **EXACT)
    expected = (w[torch.tensor(labels)][:, None] * (p - torch.eye(3)[torch.tensor(labels)])).sum(dim=0) / 5
    assert_close(gradient, expected, **EXACT)


def test_a_batch_of_one_class_keeps_its_weight():
    """A mean weighted by the batch's own weights would be the plain cross-entropy."""
    z = logits(4)
    found, _ = cost(z, [2] * 4, weights="inverse")
    plain = functional.cross_entropy(z.flatten(1), torch.full((4,), 2))
    assert_close(found, plain * 2, **EXACT)  # 1/6, 1/3 and 1 have a sum of 3/2: w = 1/3, 2/3, 2


def test_equal_classes_cost_the_cross_entropy():
    z = logits(4)
    found, _ = cost(z, [0, 1, 2, 2], counts=(5, 5, 5))
    assert_close(found, functional.cross_entropy(z.flatten(1), torch.tensor([0, 1, 2, 2])), **EXACT)


@pytest.mark.parametrize(
    ("progress", "epochs", "deferred"),
    [(0.0, 200, True), (159.99, 200, True), (160.0, 200, False), (199.5, 200, False), (3.5, 5, True),
     (4.0, 5, False)],
)  # fmt: skip
def test_deferred_weights_set_in_late(progress, epochs, deferred):
    z, labels = logits(4), [2, 2, 0, 1]
    found = cost(z, labels, progress=progress, epochs=epochs, defer=0.8)
    plain = cost(z, labels, counts=(1, 1, 1))
    weighted = cost(z, labels, progress=progress, epochs=epochs)
    assert abs(plain[0] - weighted[0]) > 0.01
    assert_close(found, plain if deferred else weighted, **EXACT)


def test_half_precision_is_widened():
    made = objective("class_balanced")
    network = Table().half()
    modules = made.modules(setting([0, 1, 2, 2], 3))
    images = logits(4).half()
    found = made.loss(network, Batch(images, torch.tensor([0, 1, 2, 2])), modules)
    assert found.dtype == torch.float32
    exact, _ = cost(images.double(), [0, 1, 2, 2], counts=(1, 1, 2))
    assert_close(found, exact.float(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("labels", "empty"), [([0, 0, 2], "1, 3"), ([], "0, 1, 2, 3")])
def test_a_class_without_training_images_has_no_weight(labels, empty):
    with pytest.raises(
        ValueError, match=f"training images of all 4 classes, got none of: {re.escape(empty)}$"
    ):
        objective("class_balanced").modules(setting(labels, 4))


def test_a_label_that_is_no_class():
    with pytest.raises(ValueError, match=r"setting.labels: expected class indices below 3, got 3"):
        objective("class_balanced").modules(setting([0, 1, 2, 3], 3))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("beta", 1.0, "beta: expected .* below 1, got 1.0"),
        ("beta", -0.1, "beta: expected a number of at least 0"),
        ("beta", float("nan"), "beta: .* got nan"),
        ("defer", 0.0, "defer: expected a number between 0 and 1, or None, got 0.0"),
        ("defer", 1.0, "defer: .* got 1.0"),
        ("defer", float("nan"), "defer: .* got nan"),
        ("weights", "cb", "weights: expected one of 'effective', 'inverse', got 'cb'"),
    ],
)
def test_the_cost_refuses_what_makes_no_sense(key, value, message):
    with pytest.raises(HyperparameterError, match=message):
        objective("class_balanced", **{key: value})
