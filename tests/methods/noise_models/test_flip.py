"""Flips: what each row draws."""

import numpy as np
import scipy.stats
import torch
from label_noise_examples import rng
from torch.nn import functional

from methods.registry import noise_model


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
