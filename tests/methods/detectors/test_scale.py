"""SCALE against ASH-S."""

import pytest
from detector_examples import HEAD, TRAIN, features
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.detectors.ash import ASH
from methods.detectors.scale import Scale


@pytest.mark.parametrize("percentile", [0.0, 25.0, 50.0])
def test_scale_is_ash_s_where_nothing_is_pruned_away(percentile):
    sparse = features(tensor([[3.0, 0.0, 0.5, 0.0], [0.0, 1.0, 0.0, 0.0]]))
    scores = [m.fit(TRAIN, TRAIN, HEAD).score(sparse) for m in (Scale(percentile), ASH(percentile))]
    assert_close(*scores, **EXACT)
