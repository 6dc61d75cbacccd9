"""Principal subspaces and samples of the training set."""

import numpy as np
import pytest
import torch
from detector_examples import F1, TRAIN, VALUES
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.detectors._rows import Rows
from methods.detectors._subspace import principal_axes, sample


def test_principal_axes_are_the_worked_singular_values():
    eigenvalues, axes = principal_axes(Rows(F1["H"]))
    assert_close((9 * eigenvalues).sqrt(), tensor(VALUES["gradorth.sv"]), **EXACT)
    assert_close(eigenvalues.cumsum(0) / eigenvalues.sum(), tensor(VALUES["gradorth.cum"]), **EXACT)
    assert_close(axes @ torch.diag(eigenvalues) @ axes.T, F1["H"].T @ F1["H"] / 9, **EXACT)


def test_principal_axes_of_a_singular_matrix_have_no_negative_eigenvalue():
    rows = tensor(np.random.default_rng(0).normal(size=(50, 1)).tolist()) @ torch.ones(1, 20).double()
    assert principal_axes(Rows(rows))[0].min() >= 0  # rounding leaves some of the 19 zeros below 0


def test_a_sample_is_drawn_from_the_generator_alone():
    drawn = sample(TRAIN, 5, torch.Generator().manual_seed(4))
    expected = torch.randperm(9, generator=torch.Generator().manual_seed(4))[:5]
    assert torch.equal(drawn.penultimate, F1["H"][expected])
    with pytest.raises(ValueError, match=r"rng: 5 of 9 training images are drawn; pass a torch.Generator"):
        sample(TRAIN, 5, None)


def test_a_sample_of_everything_draws_nothing():
    rng = torch.Generator().manual_seed(4)
    before = rng.get_state()
    assert torch.equal(sample(TRAIN, 9, rng).penultimate, F1["H"])
    assert torch.equal(rng.get_state(), before)
