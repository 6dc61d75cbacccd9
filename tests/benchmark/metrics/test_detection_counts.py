"""Every way of counting behind `detection_metrics` against a plain transcription of spec/methods.md §7.1."""

from __future__ import annotations

import math
from dataclasses import astuple
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmark.metrics import _counts, detection_metrics

EXACT = {"rel": 1e-12, "abs": 1e-12}
FLOAT32_TINY = float(np.finfo(np.float32).smallest_subnormal)
MIXES = {  # of scores: with few, many and only ties, at the ends of float32 and of float64
    "distinct": st.floats(-1, 1, width=64),
    "few ties": st.integers(-500, 500).map(lambda i: i / 7),
    "many ties": st.integers(-3, 3).map(lambda i: i / 7),
    "all tied": st.just(0.1),
    "zeros": st.sampled_from([0.0, -0.0, 5e-324, -5e-324]),
    "float32": st.floats(width=32, allow_nan=False, allow_infinity=False),
    "float32 ends": st.sampled_from(
        [0.0, -0.0, FLOAT32_TINY, -FLOAT32_TINY, 2.0**-126, 2.0**127, -3e38, 1.0]
    ),
    "float64 ends": st.sampled_from([0.0, -0.0, 5e-324, -5e-324, 2.0**-1022, 1.7e308, -1.7e308, 1.0]),
    "neighbours": st.integers(-3, 3).map(lambda i: 1 + i * 2.0**-52),
    "float32 neighbours": st.integers(-3, 3).map(lambda i: 1 + i * 2.0**-23),
}


def slow_metrics(ids: list[float], oods: list[float]) -> tuple[float, ...]:
    """Definitions, one threshold at a time, in fractions."""
    n_in, n_out = len(ids), len(oods)
    thresholds = sorted(set(ids) | set(oods))
    wins = sum(Fraction((i > o) * 2 + (i == o), 2) for i in ids for o in oods)
    aupr_in = aupr_out = Fraction(0)
    errors = [Fraction(1, 2)]
    for t in thresholds:
        id_up, ood_up = sum(i >= t for i in ids), sum(o >= t for o in oods)
        id_down, ood_down = sum(i <= t for i in ids), sum(o <= t for o in oods)
        aupr_in += Fraction(ids.count(t), n_in) * Fraction(id_up, id_up + ood_up)
        aupr_out += Fraction(oods.count(t), n_out) * Fraction(ood_down, id_down + ood_down)
        errors.append((Fraction(n_in - id_up, n_in) + Fraction(ood_up, n_out)) / 2)
    accepts = max(t for t in thresholds if 20 * sum(i >= t for i in ids) >= 19 * n_in)
    rejects = min(t for t in thresholds if 20 * sum(o <= t for o in oods) >= 19 * n_out)
    fpr, fpr_ood = sum(o >= accepts for o in oods) / n_out, sum(i <= rejects for i in ids) / n_in
    return tuple(
        map(float, (wins / (n_in * n_out), aupr_in, aupr_out, fpr, fpr_ood, min(errors), n_in, n_out))
    )


@pytest.mark.parametrize("mix", MIXES)
@given(data=st.data(), block=st.sampled_from([1, 2, 5, 1 << 16]))
@settings(deadline=None, max_examples=40)
@pytest.mark.parametrize("many_ties", [0.25, -1.0, 2.0], ids=["either", "groups", "scores"])
def test_equals_the_definitions(mix: str, many_ties: float, block: int, data: st.DataObject) -> None:
    sides = st.lists(MIXES[mix], min_size=1, max_size=data.draw(st.sampled_from([1, 30])))
    ids, oods = data.draw(sides), data.draw(sides)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_counts, "_BLOCK", block)
        patch.setattr(_counts, "_MANY_TIES", many_ties)
        assert astuple(detection_metrics(ids, oods)) == pytest.approx(slow_metrics(ids, oods), **EXACT)


@pytest.mark.parametrize("many_ties", [-1.0, 2.0], ids=["groups", "scores"])
@pytest.mark.parametrize("decimals", [1, 2, 5, 16])
def test_equals_scikit_learn_in_many_blocks(
    many_ties: float, decimals: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(decimals)
    ids, oods = rng.normal(1, 1, 3000).round(decimals), rng.normal(0, 1, 2000).round(decimals)
    oods[::7] = ids[: oods[::7].size]  # ties across the sides in any case
    monkeypatch.setattr(_counts, "_BLOCK", 256)
    monkeypatch.setattr(_counts, "_MANY_TIES", many_ties)
    is_id, pooled = np.repeat([1, 0], [3000, 2000]), np.concatenate([ids, oods])
    got = detection_metrics(ids, oods)
    assert got.auroc == pytest.approx(roc_auc_score(is_id, pooled), **EXACT)
    assert got.aupr_in == pytest.approx(average_precision_score(is_id, pooled), **EXACT)
    assert got.aupr_out == pytest.approx(average_precision_score(1 - is_id, -pooled), **EXACT)


def test_float32_scores_are_sorted_as_float32() -> None:
    halves = np.array([0.5, -0.25, 2.0**127])
    assert _counts._merge(halves, -halves).dtype == np.int32
    assert _counts._merge(halves, np.array([0.1])).dtype == np.int64
    assert _counts._merge(halves, np.array([1e300])).dtype == np.int64


@pytest.mark.parametrize("exponent", [-1074, -1022, -149, -126, -1, 0, 1, 127, 128, 1023])
def test_next_larger_score_wins_at_every_scale(exponent: int) -> None:
    low = math.ldexp(1.0, exponent)
    for dtype in (np.float64, np.float32) if -149 <= exponent <= 127 else (np.float64,):
        high = float(np.nextafter(dtype(low), dtype(np.inf)))
        for other in (0.0, 1.0, float(np.finfo(dtype).max)):  # sets the scale
            assert detection_metrics([high, other], [low, other]).auroc > 0.5
            assert detection_metrics([-high, other], [-low, other]).auroc < 0.5
            assert detection_metrics([low, other], [low, other]).auroc == 0.5


def test_metrics_are_python_numbers() -> None:  # a numpy scalar prints differently and is no JSON
    for sides in (([0.9, 0.8, 0.7, 0.7, 0.3], [0.75, 0.7, 0.2, 0.1]), ([0.0], [1.0]), ([1.0], [0.0])):
        assert {type(value) for value in astuple(detection_metrics(*sides))} == {float, int}
