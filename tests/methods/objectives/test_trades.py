"""TRADES: the worked terms of its loss."""

import pytest
from adversarial_examples import VALUES, given
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.objectives._adversarial import kl
from methods.objectives.trades import trades_loss


def test_the_terms_of_trades_are_the_worked_ones():
    clean, moved, labels = given("trades", "clean", "adversarial", "labels")
    assert_close(kl(clean, moved), tensor(VALUES["trades.kl"]), **EXACT)
    assert trades_loss(clean, moved, labels, 0.0).item() == pytest.approx(VALUES["trades.nat"], rel=1e-12)
    assert trades_loss(clean, moved, labels, 6.0).item() == pytest.approx(VALUES["trades"], rel=1e-12)
