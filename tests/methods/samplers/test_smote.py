"""SMOTE against the worked interpolation and imbalanced-learn."""

import imblearn.over_sampling
import numpy as np
import pytest
import torch
from imbalance_examples import COUNTS, INPUTS, VALUES, generator, long_tailed

from methods.base import HyperparameterError
from methods.registry import sampler


def lone(values, label=1):
    """Images of a class of 3 x 1 x 1 pixels, and more others, far away, of class 0."""
    images = torch.tensor(values, dtype=torch.uint8).reshape(len(values), 3, 1, 1)
    others = torch.full((300, 3, 1, 1), 255, dtype=torch.uint8)
    return torch.cat([others, images]), torch.tensor([0] * 300 + [label] * len(values))


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
