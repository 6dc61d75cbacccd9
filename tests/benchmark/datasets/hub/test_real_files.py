"""Datasets of the Hub: the published files, where they are here."""

import numpy as np
import pytest
from places import SHARED

from benchmark.datasets import dataset


@pytest.fixture
def shared(monkeypatch):
    mirror = SHARED / "data"
    if not mirror.is_dir():
        pytest.skip(f"the local mirror of CIFAR and MNIST is not here: {mirror}")
    monkeypatch.setenv("OODBENCH_MIRROR", str(mirror))


def test_cifar10(shared):
    images = dataset("cifar10").build(32, None, 0, split="test")
    assert images.images.shape == (10_000, 3, 32, 32)
    assert np.bincount(images.labels).tolist() == [1000] * 10
    mean = images.images.mean(axis=(0, 2, 3)) / 255
    np.testing.assert_allclose(mean, (0.4942, 0.4851, 0.4504), atol=1e-4)
    subset = dataset("cifar10").build(32, 500, 3, split="test")
    assert np.bincount(subset.labels).tolist() == [50] * 10


def test_mnist_and_cifar100(shared):
    digits = dataset("mnist").build(28, 1000, 0, split="test")
    assert (digits.images[:, 0] == digits.images[:, 2]).all()
    assert np.bincount(digits.labels).tolist() == [100] * 10
    objects = dataset("cifar100").build(32, 200, 0, split="train_375_per_class")
    assert np.bincount(objects.labels).tolist() == [2] * 100
    assert dataset("cifar100").digest("test").startswith("b75b4e8fcee0394d")
