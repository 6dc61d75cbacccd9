"""ViM against the specification's worked numbers and the softmax with a virtual logit."""

import numpy as np
import pytest
import torch
from detector_examples import F1, HEAD, QUERIES, TRAIN, VALUES, features
from scipy.special import softmax
from torch.testing import assert_close
from worked_examples import EXACT

from methods.base import Head, NotApplicable
from methods.detectors.vim import ViM


def test_the_virtual_logit_is_as_large_as_the_largest_on_average():
    fitted = ViM(dim=2).fit(TRAIN, TRAIN, HEAD)
    assert fitted.alpha == pytest.approx(VALUES["vim.alpha"], rel=1e-12)
    virtual = -fitted.alpha * fitted.residual.score(TRAIN)
    assert_close(virtual.mean(), TRAIN.logits.amax(dim=1).mean(), **EXACT)


def test_vim_ranks_as_the_softmax_with_the_virtual_logit():
    virtual = VALUES["vim.alpha"] * np.array(VALUES["vim.res"])
    outlier = softmax(np.column_stack([QUERIES.logits.numpy(), virtual]), axis=1)[:, -1]
    scores = ViM(dim=2).fit(TRAIN, TRAIN, HEAD).score(QUERIES)
    assert_close(torch.sigmoid(-scores), torch.from_numpy(outlier), **EXACT)


def test_vim_of_features_that_stay_in_the_principal_subspace():
    h = F1["H"].clone()
    h[:, 2:] = h[:, :2]
    head = Head(F1["W"])  # no bias, so that the origin is zero
    train = features(h, head=head)
    with pytest.raises(NotApplicable, match="no training feature leaves the principal subspace"):
        ViM(dim=2).fit(train, train, head)
    ViM(dim=1).fit(train, train, head)
