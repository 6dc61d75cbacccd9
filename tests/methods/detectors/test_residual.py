"""Residual against the specification's worked numbers and paper arithmetic."""

import numpy as np
import pytest
import torch
from detector_examples import F1, HEAD, QUERIES, TRAIN, VALUES, features
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Head, HyperparameterError, NotApplicable
from methods.detectors.residual import Residual, published_dim
from methods.registry import detector


def test_residual_learns_the_statistics_of_the_worked_example():
    fitted = Residual(dim=2).fit(TRAIN, TRAIN, HEAD)
    assert_close(fitted.origin, tensor(VALUES["vim.u"]), **EXACT)
    assert_close(fitted.eigenvalues, tensor(VALUES["vim.eig"]), **EXACT)
    assert_close(fitted.score(QUERIES), -tensor(VALUES["vim.res"]), **EXACT)


def test_a_step_within_the_principal_subspace_leaves_the_residual():
    fitted = Residual(dim=2).fit(TRAIN, TRAIN, HEAD)
    step = tensor([1.0, 2.0, 3.0, 4.0])
    within = step - fitted.basis @ (fitted.basis.T @ step)
    assert within.norm() > 1
    assert_close(fitted.score(features(F1["Q"] + within)), -tensor(VALUES["vim.res"]), **EXACT)


@pytest.mark.parametrize(
    ("width", "dim"), [(4096, 1000), (2048, 1000), (2047, 512), (768, 512), (767, 383), (512, 256)]
)
def test_published_dimension_of_the_principal_subspace(width, dim):
    assert published_dim(width) == dim


def test_residual_origin_survives_weights_that_sum_to_zero_but_for_float32():
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(4, 6)), np.array([0.3, -0.1, 0.2, 0.4])
    weight -= weight.mean(axis=0)  # float32 leaves a fourth singular value of some 1e-8 of the largest
    train = features(tensor(rng.normal(size=(9, 6)).tolist()), head=Head(weight, bias))
    exact = Residual().fit(train, train, Head(weight, bias)).origin
    single = Residual().fit(train, train, Head(weight.astype(np.float32), bias.astype(np.float32))).origin
    assert_close(exact, torch.from_numpy(-np.linalg.pinv(weight, rcond=1e-10) @ bias), **EXACT)
    assert_close(single, exact, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["residual", "vim"])
def test_a_principal_subspace_must_leave_a_residual(name):
    with pytest.raises(
        HyperparameterError, match=r"dim: expected less than the number of features, 4, got 4"
    ):
        detector(name, dim=4).fit(TRAIN, TRAIN, HEAD)


@pytest.mark.parametrize("name", ["residual", "vim"])
def test_a_principal_subspace_needs_as_many_images_as_features(name):
    detector(name).fit(TRAIN[:4], TRAIN, HEAD)
    with pytest.raises(NotApplicable, match="4 features need as many training images, there are 3"):
        detector(name).fit(TRAIN[:3], TRAIN, HEAD)
