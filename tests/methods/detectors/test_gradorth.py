"""GradOrth: its subspace, and what it comes to at both ends."""

import pytest
import torch
from detector_examples import F1, HEAD, QUERIES, TRAIN, features
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.detectors import gradorth
from methods.detectors.gradnorm import GradNorm
from methods.detectors.gradorth import GradOrth


@pytest.mark.parametrize(("share", "k"), [(0.5, 1), (0.97, 2), (0.99, 3), (0.999, 4), (1.0, 4)])
def test_gradorth_keeps_the_fewest_directions_of_that_share(share, k):
    # The worked cumulative shares are 0.543, 0.989, 0.997 and 1.
    assert GradOrth(share).fit(TRAIN, TRAIN, HEAD).basis.shape == (4, k)


def test_gradorth_of_the_whole_space_is_gradnorm():
    expected = GradNorm(norm="l2").fit(TRAIN, TRAIN, HEAD).score(QUERIES)
    assert_close(GradOrth(1.0).fit(TRAIN, TRAIN, HEAD).score(QUERIES), expected, **EXACT)


def test_gradorth_sees_nothing_orthogonal_to_the_training_features():
    train = features(torch.cat([F1["H"][:, :3], torch.zeros(9, 1)], dim=1))
    fitted = GradOrth(1.0).fit(train, train, HEAD)
    assert_close(fitted.score(features(tensor([[0.0, 0.0, 0.0, 7.0]]))), tensor([0.0]), **EXACT)


def test_gradorth_takes_its_subspace_from_a_sample(monkeypatch):
    monkeypatch.setattr(gradorth, "SAMPLES", 5)
    fitted = GradOrth().fit(TRAIN, TRAIN, HEAD, torch.Generator().manual_seed(4))
    rows = torch.randperm(9, generator=torch.Generator().manual_seed(4))[:5]
    assert torch.equal(fitted.score(QUERIES), GradOrth().fit(TRAIN[rows], TRAIN, HEAD).score(QUERIES))


def test_gradorth_of_features_that_are_all_zero():
    train = features(torch.zeros(9, 4, dtype=torch.float64))
    with pytest.raises(ValueError, match="penultimate: every training feature is zero"):
        GradOrth().fit(train, train, HEAD)
