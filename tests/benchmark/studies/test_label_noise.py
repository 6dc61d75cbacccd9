"""The study of label noise: what is paired, kept and shared."""

import pytest
from small_studies import of

from benchmark.jobs.job import Kind


def test_noise_is_paired_over_methods_and_kept_over_strengths(made):
    none, glc = (of(made, "label_noise", row) for row in ("none", "glc"))
    assert [r.condition for r in none] == ["uniform@0", "uniform@0.5", "uniform@1"] * 2
    by = {(r.seed, r.condition): r.numbers["flipped"] for r in none}
    for seed in (0, 1):
        assert by[seed, "uniform@0"] == 0 < by[seed, "uniform@0.5"] < by[seed, "uniform@1"]
    assert by[0, "uniform@1"] != by[1, "uniform@1"] or by[0, "uniform@0.5"] != by[1, "uniform@0.5"]
    told = {(r.seed, r.condition): r.numbers["flipped"] for r in glc}
    assert all(told[cell] <= by[cell] for cell in by)
    assert all("estimate.error" in r.numbers for r in glc if r.condition != "uniform@0")


def test_the_test_error_is_kept_where_it_is_watched(made):
    watched = {r.condition: r.series for r in of(made, "label_noise", "none") if r.seed == 0}
    assert len(watched["uniform@0.5"]["test_error"]) == 2  # epochs
    assert watched["uniform@0"] == watched["uniform@1"] == {}
    last = next(r for r in of(made, "label_noise", "none") if (r.seed, r.condition) == (0, "uniform@0.5"))
    assert last.series["test_error"][-1] == pytest.approx(last.numbers["test.error"], abs=1e-3)


def test_networks_without_noise_are_trained_once(made):
    """Strength 0 is the plain network, that of the adversarial board too."""
    _, plan = made
    plain = {
        s.chain[Kind.TRAIN]
        for s in plan.studies
        if (s.place.row, s.place.condition, s.place.seed)
        in {("none", "uniform@0", 0), ("cross_entropy", "", 0)}
    }
    assert len(plain) == 1
