"""RankFeat against the energy of maps without their leading component."""

import pytest
import torch
from detector_examples import F1, HEAD, features
from stage_examples import normal
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features, NotApplicable
from methods.detectors import rankfeat
from methods.detectors.energy import Energy
from methods.detectors.rankfeat import RankFeat
from methods.statistics import pooled, rank_one


def ranked(maps):
    h = pooled(maps)
    return Features(h @ F1["W"].to(h).T + F1["b"].to(h), h, rank_one=rank_one(maps))


@pytest.mark.parametrize("shape", [(20, 4, 3, 3), (20, 4, 1, 3)])
def test_rankfeat_is_the_energy_of_maps_without_their_leading_component(shape):
    maps = normal(*shape).abs()
    u, s, v = torch.linalg.svd(maps.flatten(2), full_matrices=False)
    s[:, 0] = 0
    rest = (u @ torch.diag_embed(s) @ v).reshape(shape)
    expected = Energy().score(features(pooled(rest)))
    scores = RankFeat().fit(ranked(maps), ranked(maps), HEAD).score(ranked(maps))
    assert_close(scores, expected, rtol=1e-10, atol=1e-10)
    assert (scores - Energy().score(features(pooled(maps)))).abs().max() > 0.1


def test_rankfeat_by_hand():
    # Two positions with one channel each, 3 and 1: the larger goes, and h is (3, 1, 0, 0) / 2.
    maps = torch.zeros(1, 4, 1, 2, dtype=torch.float64)
    maps[0, 0, 0, 0], maps[0, 1, 0, 1] = 3.0, 1.0
    expected = Energy().score(features(tensor([[0.0, 0.5, 0.0, 0.0]])))
    assert_close(RankFeat().fit(ranked(maps), ranked(maps), HEAD).score(ranked(maps)), expected, **EXACT)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rankfeat_of_maps_of_one_position_is_not_applicable(dtype, monkeypatch):
    monkeypatch.setattr(rankfeat, "ROWS", 1)
    train = ranked(normal(10, 4, 1, 1).to(dtype))
    with pytest.raises(NotApplicable, match="the last feature map has rank one"):
        RankFeat().fit(train, train, HEAD)
    mixed = Features(
        train.logits, train.penultimate, rank_one=train.rank_one * torch.linspace(1, 1.1, 10)[:, None]
    )
    RankFeat().fit(mixed, mixed, HEAD)


def test_rankfeat_of_float32_features_is_computed_in_float64():
    single = ranked(normal(6, 4, 3, 3).float())
    rest = single.penultimate.double() - single.rank_one.double()
    scores = RankFeat().fit(single, single, HEAD).score(single)
    assert_close(scores, torch.logsumexp(rest @ F1["W"].T + F1["b"], dim=1), **EXACT)
