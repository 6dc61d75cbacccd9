"""What holds for every sampler."""

import numpy as np
import pytest
import torch
from imbalance_examples import SAMPLERS, generator, long_tailed, shares
from torch.testing import assert_close

from benchmark.conformance.pretended import pretended
from methods.base import HyperparameterError
from methods.registry import sampler

every_sampler = pytest.mark.parametrize("cls", SAMPLERS.values(), ids=SAMPLERS)


def shown(made, labels, epochs):
    """Labels of the images of several epochs."""
    rng = generator(3)
    return torch.cat([labels[made.epoch(labels, rng)] for _ in range(epochs)])


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
def test_l20_images_and_labels_stay_on_their_device(cls):
    images, labels = long_tailed()
    rng = generator()
    expected = *cls().resampled(images, labels, rng), cls().epoch(labels, rng)
    with pretended() as device:
        rng = generator()
        found, theirs = cls().resampled(images.to(device), labels.to(device), rng)
        rows = cls().epoch(labels.to(device), rng)
        assert cls().size(theirs) == cls().size(theirs.cpu())
        assert found[rows].device == theirs[rows].device == device
    for one, other in zip((found.here, theirs.here, rows), expected, strict=True):
        assert torch.equal(one, other)


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
