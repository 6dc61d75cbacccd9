"""MART: the worked terms of its loss."""

import pytest
from adversarial_examples import VALUES, given
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.objectives.mart import boosted_cross_entropy, mart_loss, weighted_kl


def test_the_terms_of_mart_are_the_worked_ones():
    clean, moved, labels = given("trades", "clean", "adversarial", "labels")
    assert_close(boosted_cross_entropy(moved, labels), tensor(VALUES["mart.bce"]), **EXACT)
    assert_close(weighted_kl(clean, moved, labels), tensor(VALUES["mart.reg"]), **EXACT)
    assert mart_loss(clean, moved, labels, 6.0).item() == pytest.approx(VALUES["mart"], rel=1e-12)
    assert mart_loss(clean, moved, labels, 5.0).item() == pytest.approx(VALUES["mart5"], rel=1e-12)
