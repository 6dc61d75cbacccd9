"""Scores must be real: taking one part of a complex number would rank images by half of what it says."""

import pytest
import torch

from methods.base import ScoreError, check_scores


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_r30_complex_scores_are_refused(dtype):
    scores = torch.tensor([1 + 2j, 3 - 1j], dtype=dtype)
    with pytest.raises(ScoreError, match=f"expected real scores, got {dtype}"):
        check_scores(scores, 2)
