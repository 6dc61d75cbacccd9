"""NNGuide against worked numbers and paper arithmetic."""

import pytest
import torch
from detector_examples import F1, HEAD, QUERIES, TRAIN, VALUES
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features, HyperparameterError
from methods.detectors import nnguide
from methods.detectors.energy import Energy
from methods.detectors.nnguide import NNGuide


def test_nnguide_guidance_in_blocks_of_any_size(monkeypatch):
    fitted = NNGuide(k=2).fit(TRAIN, TRAIN, HEAD)
    energy = Energy().score(QUERIES)
    for similarities in (1, 18, 2**24):  # one row at a time, two, all
        monkeypatch.setattr(nnguide, "SIMILARITIES", similarities)
        assert_close(fitted.score(QUERIES) / energy, tensor(VALUES["nnguide.guidance"]), **EXACT)


def test_nnguide_does_not_depend_on_the_norm_of_features():
    lengths = torch.arange(1.0, 10.0, dtype=torch.float64)[:, None]
    train = Features(TRAIN.logits, lengths * F1["H"])
    queries = Features(QUERIES.logits, lengths[:3] * F1["Q"])
    scores = NNGuide(k=2).fit(train, train, HEAD).score(queries)
    assert_close(scores, tensor(VALUES["nnguide"]), **EXACT)


def test_nnguide_takes_the_largest_of_scaled_similarities():
    # One class: the energy is the logit. Cosines 1 and 0.6, times energies 1 and 10: the second is larger.
    bank = Features(tensor([[1.0], [10.0]]), tensor([[2.0, 0.0], [3.0, 4.0]]))
    scores = (
        NNGuide(k=1).fit(bank, bank, HEAD).score(Features(tensor([[2.0], [-2.0]]), tensor([[5.0, 0.0]] * 2)))
    )
    assert_close(scores, tensor([12.0, -12.0]), **EXACT)  # a negative energy turns the sign


@pytest.mark.parametrize(
    ("fraction", "images", "size"),
    [(None, 99_000, 990), (None, 100_000, 1000), (0.1, 500, 50), (1.0, 500, 500), (0.001, 500, 1)],
)
def test_nnguide_size_of_the_bank(fraction, images, size):
    # 1 % of 99,000 would be below 1000 images, so all are taken.
    train = Features(torch.zeros(images, 1), torch.ones(images, 1))
    fitted = NNGuide(k=1, fraction=fraction).fit(train, train, HEAD, torch.Generator().manual_seed(0))
    assert len(fitted.bank) == (images if size == 990 else size)


def test_nnguide_draws_features_and_logits_of_the_same_images():
    rows = torch.randperm(9, generator=torch.Generator().manual_seed(4))[:5]
    expected = NNGuide(k=2).fit(TRAIN[rows], TRAIN, HEAD).score(QUERIES)
    drawn = NNGuide(k=2, fraction=0.5).fit(TRAIN, TRAIN, HEAD, torch.Generator().manual_seed(4))
    assert len(drawn.bank) == 4  # a half to even
    drawn = NNGuide(k=2, fraction=0.6).fit(TRAIN, TRAIN, HEAD, torch.Generator().manual_seed(4))
    assert torch.equal(drawn.score(QUERIES), expected)


def test_nnguide_refuses_a_k_beyond_the_bank():
    with pytest.raises(HyperparameterError, match=r"k: expected at most the size of the bank, 9, got 10"):
        NNGuide().fit(TRAIN, TRAIN, HEAD)
