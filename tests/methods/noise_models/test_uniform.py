"""Uniform noise: its strength is no share of wrong labels."""

import torch
from label_noise_examples import K, rng
from torch.testing import assert_close
from worked_examples import EXACT

from methods.registry import noise_model


def test_uniform_noise_has_fewer_wrong_labels_than_its_strength():
    wrong = 1 - noise_model("uniform").matrix(K, 0.6, rng()).diagonal()
    assert_close(wrong, torch.full((K,), 0.6 * 9 / 10, dtype=torch.float64), **EXACT)
