"""The power law against the specification's counts and its formula."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imbalance_examples import INPUTS, VALUES

from methods.registry import profile


@pytest.mark.parametrize("gamma", VALUES["power"])
def test_worked_counts_of_a_power(gamma):
    made = profile("power", gamma=float(gamma), ratio=INPUTS["ratio"])
    assert made.counts(INPUTS["classes"], INPUTS["largest"]) == VALUES["power"][gamma]
    assert made.constants(INPUTS["classes"], INPUTS["largest"]) == pytest.approx(
        VALUES["power.constants"][gamma], rel=1e-12
    )


@pytest.mark.parametrize("gamma", VALUES["power.total"])
def test_worked_totals_of_a_power(gamma):
    counts = profile("power", gamma=float(gamma)).counts(INPUTS["classes"], INPUTS["largest"])
    assert sum(counts) == VALUES["power.total"][gamma]
    assert counts[-1] == 250


def test_the_ratio_of_a_power_holds_for_any_size():
    assert profile("power").counts(100, 500)[-1] == 25  # the paper's choice for CIFAR-100
    assert profile("power").counts(10, 140)[-1] == 7
    assert profile("power", ratio=0.5).counts(10, 30)[-1] == 15


@given(st.integers(2, 30), st.integers(1, 3000), st.floats(0.2, 2.0), st.integers(1, 3000))
@settings(max_examples=60, deadline=None)
def test_a_power_is_the_formula_of_the_spec(classes, largest, gamma, smallest):
    if smallest >= largest:
        return
    b = smallest * (classes - 1) ** gamma / (largest - smallest)
    a = largest * b
    exact = [a / (b + i**gamma) for i in range(classes)]
    counts = profile("power", gamma=gamma, ratio=smallest / largest).counts(classes, largest)
    assert all(abs(n - x) <= 0.5 + 1e-9 for n, x in zip(counts, exact, strict=True))
    assert (counts[0], counts[-1]) == (largest, smallest)
