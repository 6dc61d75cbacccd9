"""Which rows stand on different networks: told of all at once, as of each pair."""

from itertools import combinations

import numpy as np
import pytest

from benchmark.records.network_places import stand_apart
from reports.boards.places import _apart


def rows(rng, count: int, weights: int):
    """Rows with the weights of some of their networks, of which each place has up to `weights`."""
    places = [("toy", backbone, "scratch", seed, "way") for backbone in "ab" for seed in range(3)]
    return [
        {
            place: {f"{place[1]}{place[3]}{w}" for w in rng.integers(weights, size=rng.integers(1, 3))}
            for place in places
            if rng.random() < 0.7
        }
        for _ in range(count)
    ]


@pytest.mark.parametrize("weights", [1, 2, 3])
@pytest.mark.parametrize("count", [0, 1, 2, 12])
def test_rows_stand_apart_as_each_pair_of_them_does(count, weights):
    rng = np.random.default_rng(10 * count + weights)
    for _ in range(20):
        stands = rows(rng, count, weights)
        expected = np.zeros((count, count), dtype=bool)
        for i, j in combinations(range(count), 2):
            expected[i, j] = expected[j, i] = stand_apart(stands[i], stands[j])
        found = _apart(stands)
        if found is None:
            assert not expected.any()
        else:
            np.testing.assert_array_equal(found, expected)
            assert found.any()


def test_rows_on_the_same_networks_are_told_without_pairs(monkeypatch):
    monkeypatch.setattr("reports.boards.places.stand_apart", None)
    assert _apart(rows(np.random.default_rng(0), 30, 1)) is None
