"""PGD on the margin loss: paper arithmetic."""

import torch
from attack_examples import ZERO, A, X, Y, linear
from torch.testing import assert_close
from worked_examples import EXACT

from methods.attacks._losses import carlini_wagner, margin
from methods.registry import attack


def test_the_margin_loss_stops_at_the_confidence():
    assert carlini_wagner(torch.tensor([[0.0, 60.0]]), ZERO[:1], 50.0).item() == 0
    assert carlini_wagner(torch.tensor([[0.0, 40.0]]), ZERO[:1], 50.0).item() == -10


def test_cw_pgd_lowers_the_margin_by_tenths_of_the_ball():
    points = list(attack("cw_pgd").path(linear, X, Y))
    assert len(points) == 30
    assert_close((points[0] - X).abs().amax(dim=(1, 2, 3)), torch.full((2,), 0.8 / 255).double())
    margins = torch.stack([margin(linear(p), Y) for p in [X, *points[:10]]])
    assert (margins.diff(dim=0) < 0).all()
    # Image 0: the largest other logit is 1 on the whole way, so that the corner is known.
    corner = X[0].flatten() - 8 / 255 * (A[0] - A[1]).sign()
    assert_close(points[-1][0].flatten(), corner, **EXACT)
