"""Quantiles that are found in parts, against NumPy's, to the bit."""

import numpy as np
import pytest
import torch
from random_rows import normal

from methods.detectors import _quantiles
from methods.detectors._quantiles import feature_quantiles, quantiles

SHARES = [0.0, 0.01, 0.5, 0.6, 0.937, 1.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(1, 3), (2, 5), (1000, 7)])
@pytest.mark.parametrize("at_once", [1, 64, 2**27])
def test_quantiles_are_those_of_numpy(dtype, shape, at_once, monkeypatch):
    monkeypatch.setattr(_quantiles, "SORTED", at_once)
    monkeypatch.setattr(_quantiles, "COUNTED", at_once)
    rows = normal(*shape).to(dtype).clamp(-1.0, 1.5)  # with ties, on both sides of 0
    rows[rows.abs() < 0.3] = 0
    exact = rows.double().numpy()
    assert torch.equal(quantiles(rows, SHARES), torch.from_numpy(np.quantile(exact, SHARES)))
    assert torch.equal(feature_quantiles(rows, SHARES), torch.from_numpy(np.quantile(exact, SHARES, axis=0)))


def test_quantiles_of_numbers_of_all_sizes(monkeypatch):
    monkeypatch.setattr(_quantiles, "SORTED", 1)
    rows = torch.tensor([[-3e38, -1.0, -1e-45, 0.0, 1e-45, 1.0, 1.0000001, 3e38]])
    ranks = [i / 7 for i in range(8)]
    assert torch.equal(quantiles(rows, ranks).float(), rows[0])
