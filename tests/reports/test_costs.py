"""What scores cost: milliseconds an image, and forward passes of the network."""

from math import isnan

import pytest
import synthetic_records as synthetic
from board_worlds import IMAGES, PLAIN, files_of, spec_of

from benchmark.errors import DataError
from reports.boards.explore import explore
from reports.boards.sections import number_of
from reports.costs import FORWARDS, MEMORY, MS, cost_of, in_forwards, passed_ms
from reports.select import select
from reports.site.build import build_site

EXTRACT, SCORE = "extract_seconds", "score_seconds"


def numbers(costs, **changes):
    """By entry and seed, the numbers of records with these costs: None where nothing is recorded."""
    spec = spec_of(["msp", "knn"], **changes)
    files = files_of(
        spec,
        lambda of: {"near": 0.8 + of[3] / 100, "far": 0.9},
        seeds=sorted({seed for _, seed in costs}),
        cost=lambda of: costs[of[0], of[3]],
        keep=lambda of: (of[0], of[3]) in costs,
    )
    counted = select(spec, files)
    return spec, files, {(cell.entry, cell.seed): found for cell, found in counted.measured.items()}


def test_forward_passes_are_the_networks_and_the_scoring_in_units_of_the_least_extraction():
    _, _, found = numbers(
        {
            ("msp", 0): {EXTRACT: 2.0, SCORE: 1.0},
            ("knn", 0): {EXTRACT: 5.0, SCORE: 4.0},  # it saw training images, too
            ("msp", 1): {EXTRACT: 8.0, SCORE: 1.0},  # another network
            ("knn", 1): {EXTRACT: 4.0, SCORE: 4.0},
        }
    )
    assert {of: one.numbers[FORWARDS] for of, one in found.items()} == pytest.approx(
        {("msp", 0): 1.5, ("knn", 0): 3.0, ("msp", 1): 1.25, ("knn", 1): 2.0}
    )
    assert found["knn", 0].numbers[MS] == pytest.approx(4000 / IMAGES)
    assert MEMORY not in found["knn", 0].numbers


def test_an_ensemble_passes_through_each_of_its_networks_and_is_no_measure_of_one():
    spec = spec_of(["msp", "ensemble"])
    spec.entries["ensemble"].hyperparameters["members"] = 2
    two = {"hyperparameters": {"members": 2}, "hp_mode": "declared", "networks": 2}
    single = synthetic.make_record("cnn", "scratch", 0, PLAIN, cost={EXTRACT: 2.0, SCORE: 1.0})
    pair = synthetic.make_record("cnn", "scratch", 0, PLAIN, cost={EXTRACT: 0.5, SCORE: 1.0}, **two)
    files = [synthetic.make_file("msp", [single]), synthetic.make_file("ensemble", [pair])]
    found = {cell.entry: one.numbers[FORWARDS] for cell, one in select(spec, files).measured.items()}
    assert found == pytest.approx({"msp": 1.5, "ensemble": 2.5})


def test_what_costs_nothing_beside_the_pass_costs_a_pass():
    assert in_forwards(0.0, 1, 0.25) == 1
    assert in_forwards(0.5, 3, 0.25) == 5


def test_test_images_are_clean_shifted_and_ood():
    record = synthetic.make_record(
        "cnn", "scratch", 0, PLAIN, cost={EXTRACT: 1.0, SCORE: 3.0, "peak_memory_mb": 7}
    )
    plain = {
        "classification.n": 10,
        "detection.a.n_out": 20,
        "detection.b.n_out": 30,
        "detection.a.auroc": 0.9,
    }
    assert cost_of(record, plain) == pytest.approx({MS: 3000 / 60, MEMORY: 7})
    assert passed_ms(record, plain) == pytest.approx(1000 / 60)
    assert cost_of(record, {**plain, "full_spectrum.n_in": 110})[MS] == pytest.approx(3000 / 160)


@pytest.mark.parametrize("cost", [None, {}, {EXTRACT: 1.0}], ids=["none", "empty", "no scoring"])
def test_without_a_time_of_scoring_there_is_no_cost(cost):
    spec, _, found = numbers({("msp", 0): cost, ("knn", 0): {EXTRACT: 1.0, SCORE: 1.0}})
    for path in (MS, FORWARDS, MEMORY):
        assert path not in found["msp", 0].numbers
        with pytest.raises(DataError, match="what it took is not recorded"):
            found["msp", 0].number(path, "here")
    assert found["knn", 0].numbers[FORWARDS] == pytest.approx(2.0)
    assert spec.entries


@pytest.mark.parametrize("cost", [{SCORE: 1.0}, {SCORE: 1.0, EXTRACT: 0.0}], ids=["not recorded", "zero"])
def test_without_a_time_of_the_pass_the_scoring_is_known_and_forward_passes_are_not(cost):
    _, _, found = numbers({("msp", 0): cost})
    assert found["msp", 0].numbers[MS] == pytest.approx(1000 / IMAGES)
    assert isnan(found["msp", 0].numbers[FORWARDS])


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("lacking", [None, {SCORE: 1.0}], ids=["no cost", "no pass"])
def test_a_cost_that_is_not_known_is_a_dash(tmp_path, lacking):
    costs = {(entry, seed): lacking for entry in ("msp", "knn") for seed in (0, 1)}
    costs["knn", 0] = {EXTRACT: 2.0, SCORE: 1.0}
    costs["knn", 1] = {EXTRACT: 2.0, SCORE: 1.0}
    if lacking is not None:  # of other networks, or the pass of knn would be that of msp
        costs = {(entry, seed + 2 * (entry == "msp")): cost for (entry, seed), cost in costs.items()}
    spec, files, _ = numbers(costs)
    (one,) = explore(spec, select(spec, files), "toy")
    at = [measure.column.metric for measure in one.measures].index(FORWARDS)
    shown = {line.entry: number_of(line.row.values[at], one.measures[at].column) for line in one.lines}
    assert shown["msp"] is None
    assert shown["knn"].value == pytest.approx(1.5)
    build_site(spec, files, tmp_path, generated=synthetic.NOW)
    text = (tmp_path / "boards" / "toy.md").read_text()
    assert [line.split("|")[-4].strip() for line in text.splitlines() if line.startswith("| msp")] == ["–"]
    assert "nan" not in text
    assert "NaN" not in (tmp_path / "data" / "boards" / "toy.json").read_text()
