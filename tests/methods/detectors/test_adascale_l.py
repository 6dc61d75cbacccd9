"""AdaSCALE-L: its formula given r."""

import torch
from detector_examples import F1, HEAD, QUERIES, TRAIN
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.detectors._adascale import _ratio
from methods.detectors.adascale_l import AdaScaleL


def test_adascale_l_scales_logits_with_their_bias():
    fitted = AdaScaleL(low=25.0, high=75.0, epsilon=0.0).fit(TRAIN, TRAIN, HEAD)
    r = _ratio(F1["Q"], tensor([25.0] * 3))
    scores = fitted.calibrated(tensor([-1.0])).score(QUERIES)  # all shift more: p = 25
    assert_close(scores, torch.logsumexp(r.square()[:, None] * QUERIES.logits, dim=1), **EXACT)
    assert_close(  # all shift less: p = 75
        fitted.calibrated(tensor([1e9])).score(QUERIES),
        torch.logsumexp(_ratio(F1["Q"], tensor([75.0] * 3)).square()[:, None] * QUERIES.logits, dim=1),
        **EXACT,
    )
