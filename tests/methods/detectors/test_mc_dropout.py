"""MC dropout against a slow transcription with the same masks."""

from typing import get_args

import numpy as np
import pytest
import torch
from detector_examples import F1, HEAD, QUERIES, TRAIN
from random_rows import rng
from scipy.special import softmax
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.detectors._averaging import Statistic
from methods.detectors.mc_dropout import MCDropout
from methods.detectors.msp import MSP


@pytest.mark.parametrize("statistic", get_args(Statistic))
def test_mc_dropout_is_the_average_over_its_masks(statistic):
    fitted = MCDropout(passes=4, rate=0.3, statistic=statistic).fit(TRAIN, TRAIN, HEAD, rng())
    expected = []
    for h in F1["Q"].numpy():
        p = [softmax(F1["W"].numpy() @ (m * h) + F1["b"].numpy()) for m in fitted.masks.numpy()]
        mean = np.mean(p, axis=0)
        entropies = [-(q * np.log(q)).sum() for q in p]
        total = -(mean * np.log(mean)).sum()
        expected.append(
            {"msp": mean.max(), "entropy": -total, "mutual_information": np.mean(entropies) - total}[
                statistic
            ]
        )
    assert_close(fitted.score(QUERIES), tensor(expected), **EXACT)


def test_mc_dropout_masks_are_those_of_the_seed_alone():
    fitted = MCDropout(passes=2000, rate=0.25).fit(TRAIN, TRAIN, HEAD, rng(4))
    other = MCDropout(passes=2000, rate=0.25).fit(QUERIES, TRAIN, HEAD, rng(4))
    assert torch.equal(fitted.masks, other.masks)
    assert set(fitted.masks.unique().tolist()) == {0.0, 1 / 0.75}
    assert_close(fitted.masks.mean(dim=0), torch.ones(4).double(), rtol=0.05, atol=0.05)
    assert not torch.equal(MCDropout(2000, 0.25).fit(TRAIN, TRAIN, HEAD, rng(5)).masks, fitted.masks)


def test_mc_dropout_in_blocks_of_any_size(monkeypatch):
    from methods.detectors import mc_dropout

    fitted = MCDropout().fit(TRAIN, TRAIN, HEAD, rng())
    expected = fitted.score(TRAIN)
    for held in (1, 2 * 90):
        monkeypatch.setattr(mc_dropout, "LOGITS", held)
        assert_close(fitted.score(TRAIN), expected, **EXACT)


def test_mc_dropout_that_leaves_out_next_to_nothing_is_msp():
    fitted = MCDropout(rate=1e-14).fit(TRAIN, TRAIN, HEAD, rng())
    assert_close(fitted.score(QUERIES), MSP().score(QUERIES), **EXACT)


def test_mc_dropout_needs_a_generator():
    with pytest.raises(ValueError, match=r"rng: 30 masks are drawn; pass a torch.Generator"):
        MCDropout().fit(TRAIN, TRAIN, HEAD)
