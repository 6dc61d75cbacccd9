"""What is kept of a feature map, against Gram matrices and decompositions formed in full."""

import numpy as np
import pytest
import torch
from detector_examples import INPUTS, VALUES
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.statistics import POWERS, gram, pooled, rank_one


def normal(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def formed(maps, q):
    """Gram statistics of one power, of Gram matrices that are formed."""
    rows = []
    for f in maps.flatten(2).numpy():
        power = f**q
        sums = (power @ power.T).sum(axis=1)
        rows.append(np.sign(sums) * np.abs(sums) ** (1 / q))
    return torch.from_numpy(np.stack(rows))


def removed(maps):
    """The leading component by a full decomposition, averaged over positions."""
    u, s, v = torch.linalg.svd(maps.flatten(2), full_matrices=False)
    return (s[:, :1, None] * u[:, :, :1] @ v[:, :1, :]).mean(dim=2)


def test_pooled_is_the_average_over_positions():
    maps = tensor([[[[1.0, 2.0], [3.0, 6.0]], [[0.0, 0.0], [0.0, -4.0]]]])
    assert pooled(maps).tolist() == [[3.0, -1.0]]


def test_gram_of_the_worked_example():
    maps = tensor(INPUTS["gram"]["F"]).reshape(1, 2, 1, 3)
    found = gram(maps, powers=2)
    assert found.shape == (1, 2, 2)
    assert_close(found[:, 0], tensor(VALUES["gram.G1"]), **EXACT)
    assert_close(found[:, 1], tensor(VALUES["gram.G2"]), **EXACT)
    assert_close(found[0, 0], tensor(VALUES["gram.full1"])[0].sum(dim=1), **EXACT)


@pytest.mark.parametrize("shape", [(3, 5, 4, 2), (2, 3, 1, 1), (2, 1, 3, 3), (0, 3, 2, 2)])
def test_gram_is_that_of_matrices_formed_in_full(shape):
    maps = normal(*shape)  # signed, so that some row sums of odd powers are negative
    found = gram(maps)
    assert found.shape == (shape[0], POWERS, shape[1])
    for q in range(1, POWERS + 1) if shape[0] else ():
        assert_close(found[:, q - 1], formed(maps, q), rtol=1e-10, atol=1e-12)
    if shape[0] == 3:
        assert (found < 0).any()
        assert (found[:, 1::2] > 0).all()


def test_gram_is_homogeneous_of_degree_two():
    maps = normal(4, 6, 3, 3)
    assert_close(gram(8.0 * maps), 64.0 * gram(maps), rtol=1e-15, atol=0.0)
    assert_close(gram(0.3 * maps), 0.09 * gram(maps), rtol=1e-12, atol=1e-14)


def test_gram_does_not_depend_on_the_order_of_positions():
    maps = normal(2, 5, 3, 4)
    assert_close(gram(maps.flip(2, 3)), gram(maps), rtol=1e-10, atol=1e-12)
    assert_close(gram(maps.transpose(2, 3)), gram(maps), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_high_powers_in_float32_neither_overflow_nor_vanish(scale):
    maps = normal(2, 5, 3, 3).abs()
    plain = (scale * maps).float() ** 5
    assert torch.isinf(plain.square()).any() or (plain.square() == 0).any()
    found = gram((scale * maps).float())
    assert found.dtype == torch.float32
    assert_close(found.double(), scale**2 * gram(maps), rtol=1e-5, atol=0.0)


@pytest.mark.parametrize("statistic", [gram, rank_one, pooled])
def test_a_map_of_zeros_gives_zeros(statistic):
    for dtype in (torch.float32, torch.float64):
        found = statistic(torch.zeros(2, 3, 2, 2, dtype=dtype))
        assert found.dtype == dtype
        assert not found.any()


@pytest.mark.parametrize(
    ("channels", "height", "width"), [(3, 4, 5), (20, 2, 3), (6, 2, 3), (1, 4, 4), (7, 1, 1)]
)
def test_rank_one_is_that_of_a_full_decomposition(channels, height, width):
    maps = normal(6, channels, height, width)
    assert_close(rank_one(maps), removed(maps), rtol=1e-9, atol=1e-10)


def test_rank_one_of_maps_of_rank_one_is_all_of_them():
    column, row = normal(4, 6, 1), normal(4, 1, 9, seed=1)
    maps = (column * row).reshape(4, 6, 3, 3)
    assert_close(rank_one(maps), pooled(maps), **EXACT)


def test_rank_one_is_homogeneous_and_signed():
    maps = normal(3, 4, 3, 3)
    assert_close(rank_one(-2.5 * maps), -2.5 * rank_one(maps), **EXACT)


@pytest.mark.parametrize("scale", [1e-15, 1e15])
def test_rank_one_of_float32_maps_is_computed_in_float64(scale):
    maps = (scale * normal(3, 4, 3, 3)).float()  # their fourth powers leave the range of float32
    found = rank_one(maps)
    assert found.dtype == torch.float32
    assert_close(found.double(), removed(maps.double()), rtol=1e-6, atol=1e-7 * scale)


@pytest.mark.parametrize("statistic", [gram, rank_one, pooled])
def test_each_image_counts_alone(statistic):
    maps = normal(5, 4, 3, 3)
    maps[2] *= 1e6
    alone = torch.cat([statistic(maps[i : i + 1]) for i in range(5)])
    before = maps.clone()
    assert_close(statistic(maps), alone, rtol=1e-11, atol=1e-12)
    assert torch.equal(maps, before)


def test_gram_is_differentiable():
    maps = (normal(1, 2, 2, 2).abs() + 0.1).requires_grad_()
    assert torch.autograd.gradcheck(gram, (maps,))
