"""Entries beside each other: the numbers that the script compares, its quantiles, and the Pareto front."""

import csv
import json
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import synthetic_records as synthetic
from page import Page as Parsed
from places import ROOT
from scipy import stats
from two_sides import file, record

from benchmark.metrics.statistics import mean_interval, paired_difference
from benchmark.spec.leaderboard import Spec
from reports.boards.explore import Line
from reports.boards.recommend import Pick
from reports.boards.side_by_side import MOST, beyond, front, rounded_cost, side_by_side
from reports.claims.register import load_register
from reports.costs import FORWARDS, MS
from reports.pages.compare import UNIT, compare_pages, data_of, first_shown, least_effect
from reports.plots.pareto import Point, cost_ticks, pareto
from reports.select import select
from reports.site.html import html_of
from reports.site.markdown import markdown_of
from reports.site.sections import Bullets, Live, Table, blocks_of, plots_of
from reports.site.text import plain

ENTRIES = ("msp", "energy", "knn", "vim")
SEEDS = (0, 1, 2, 3)
SECONDS = {"msp": 0.1, "energy": 0.2, "knn": 2.0, "vim": 1.0}
STATIC = ROOT / "reports" / "site" / "static"


def built(change=lambda spec: None, *, costly=True, backbones=("tiny_cnn",), **records):
    """A specification and its invented records, each with the seconds that its entry takes."""
    made = synthetic.make_spec(entries=ENTRIES, backbones=backbones).model_dump()
    made["tracks"]["toy"]["drawn"] = ["energy", "vim"]
    change(made)
    spec = Spec.model_validate(made)
    files = synthetic.make_results(spec, **{"seeds": SEEDS, **records})
    if costly:
        files = [costing(one) for one in files]
    return spec, select(spec, files)


def costing(made):
    cost = {"extract_seconds": 1.0, "score_seconds": SECONDS[made.row]}
    records = [type(r).model_validate({**dict(r), "cost": cost}) for r in made.records]
    return made.model_copy(update={"records": records})


def pages_of(spec, counted):
    return compare_pages(spec, counted, None, load_register())


def of(spec, one):
    return data_of(spec, one, {}, least_effect(load_register()))


@pytest.fixture(scope="module")
def made():
    return built()


@pytest.fixture(scope="module")
def one(made):
    (found,) = side_by_side(*made, "toy")
    return found


@pytest.fixture(scope="module")
def data(made, one):
    return of(made[0], one)


def numbers(counted, entry, init, metric):
    return [f.numbers[metric] for c, f in counted.measured.items() if (c.entry, c.init) == (entry, init)]


def row(data, entry, init="scratch"):
    names = [one["name"] for one in data["entries"]]
    wanted = names.index(entry), data["inits"].index(init)
    return next(row for row in data["rows"] if (row["entry"], row["init"]) == wanted)


# Pages


def test_a_page_that_leads_and_one_a_track(made):
    pages = pages_of(*made)
    assert [page.name for page in pages] == ["compare", "compare/toy"]
    (leading,) = [block for block in blocks_of(pages[0].sections) if isinstance(block, Bullets)]
    assert [plain(item) for item in leading.items] == ["Toy digits (synthetic): 4 entries"]


def test_of_several_backbones_the_one_with_most_rows_leads():
    def keep(entry, backbone, init, seed):
        return entry in ("msp", "energy") or backbone == "tiny_vit"

    spec, counted = built(backbones=("tiny_cnn", "tiny_vit"), costly=False, keep=keep)
    pages = pages_of(spec, counted)[1:]
    assert [(page.name, page.heading.rpartition(", ")[2]) for page in pages] == [
        ("compare/toy", "tiny_vit"),
        ("compare/toy~mean", "mean of the backbones"),
        ("compare/toy~tiny_cnn", "tiny_cnn"),
    ]
    (leading,) = [
        block for block in blocks_of(pages_of(spec, counted)[0].sections) if isinstance(block, Bullets)
    ]
    assert [plain(item).rpartition(": ")[2] for item in leading.items] == [
        "4 entries", "2 entries", "2 entries",
    ]  # fmt: skip


def test_pages_are_shown_with_their_data(made):
    for page in pages_of(*made):
        html, text = html_of(page), markdown_of(page)
        parsed = Parsed(html)
        ids = [attributes["id"] for _, attributes in parsed.elements if attributes.get("id")]
        assert len(ids) == len(set(ids))
        assert not any("style" in attributes for _, attributes in parsed.elements)
        assert len(html.encode()) < 100_000
        assert text.startswith(f"# {page.heading}")


def test_without_a_script_the_front_stands_there(made):
    page = pages_of(*made)[1]
    (live,) = [block for block in blocks_of(page.sections) if isinstance(block, Live)]
    assert live.script == "compare"
    (table,) = [block for block in live.otherwise if isinstance(block, Table)]
    assert {row.cells[0].parts[1] for row in table.rows} == set(synthetic.INITS)
    assert [plot.file for plot in plots_of(page.sections)] == [
        f"pareto~toy~tiny_cnn~{init}.svg" for init in synthetic.INITS
    ]
    for plot in plots_of(page.sections):
        assert "On the Pareto front, with cost and near AUROC:" in plot.alt
        ET.fromstring(plot.svg)


def test_a_track_of_one_entry_has_no_page():
    spec = synthetic.make_spec(entries=["msp"], backbones=["tiny_cnn"])
    assert pages_of(spec, select(spec, synthetic.make_results(spec))) == []


def test_the_same_records_give_the_same_pages(made):
    assert pages_of(*made) == pages_of(*made)


def test_scripts_are_small_and_write_no_markup():
    scripts = {path.name: path.read_text(encoding="utf-8") for path in STATIC.glob("*.js")}
    assert sum(len(text.encode()) for text in scripts.values()) < 60_000
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|eval|document\.write|style", scripts["compare.js"]
    )


# What the script is given


def test_first_shown_is_what_is_recommended_and_what_is_best_else_the_two_best(made, one):
    spec, counted = made
    means = {e: np.mean(numbers(counted, e, "scratch", "near.auroc")) for e in ENTRIES}
    best, second, *_ = sorted(means, key=lambda entry: -means[entry])
    assert first_shown(spec, one, "scratch", None) == [best, second]

    def picked(cheap, best):
        lines = [None if e is None else Line(e, "scratch", None, False, None, None) for e in (cheap, best)]
        return Pick("toy", "scratch", "near.auroc", *lines, {})

    assert first_shown(spec, one, "scratch", picked("msp", "vim")) == ["msp", "vim"]
    others = [entry for entry in (best, second) if entry != "vim"]
    assert first_shown(spec, one, "scratch", picked("vim", "vim")) == ["vim", others[0]]
    assert first_shown(spec, one, "scratch", picked(None, "knn"))[0] == "knn"
    assert first_shown(spec, one, "scratch", picked("not there", "vim")) == ["vim", others[0]]
    shown = data_of(spec, one, {("toy", "scratch"): picked("msp", "vim")}, 0.5)["start"]
    assert shown[one.inits.index("scratch")] == ["msp", "vim"]
    assert len(shown) == len(one.inits)


def test_about_the_same_is_what_the_claims_count_as_no_difference(made, data):
    delta = load_register().metrics["near_auroc"].delta
    assert (data["same"], least_effect(load_register())) == (delta, delta)
    text = markdown_of(pages_of(*made)[1])
    assert f"lies within ±{delta:g} points of AUROC, the least difference that counts in the claims" in text


def test_a_group_of_one_set_is_compared_once(data):
    assert [(c["group"], c["title"], c["family"]) for c in data["compared"]] == [
        ("near", "digits_6_to_9", "means"),
        ("far", "mean of 2 sets", "means"),
        ("far", "glyphs", "sets"),
        ("far", "uniform_noise", "sets"),
    ]


def test_numbers_are_those_of_the_records(made, data):
    _, counted = made
    for entry in ENTRIES:
        found = row(data, entry, "fractaldb")
        assert found["seeds"] == [*SEEDS]
        for place, metric in enumerate(("near.auroc", "far.auroc", "detection.glyphs.auroc")):
            expected = numbers(counted, entry, "fractaldb", metric)
            assert found["values"][place] == [round(UNIT * value) for value in expected]
        interval = mean_interval(numbers(counted, entry, "fractaldb", "near.fpr95"))
        mean, half = found["others"][data["others"].index("FPR@95, near OOD")]
        assert mean == pytest.approx(100 * interval.mean, abs=0.005)
        assert half == pytest.approx(100 * (interval.high - interval.mean), abs=0.005)
    json.dumps(data, allow_nan=False)


def test_quantiles_make_intervals_that_hold_together(made, data):
    """As the script does it, against the paired interval at the level of Bonferroni's inequality."""
    _, counted = made
    a, b = (numbers(counted, entry, "scratch", "near.auroc") for entry in ("vim", "energy"))
    assert len(data["quantiles"]) == len(SEEDS) - 1
    assert {len(of_df) for of_df in data["quantiles"]} == {2 * (MOST - 1)}
    for m in (1, 2, 8):
        gaps = np.subtract(row(data, "vim")["values"][0], row(data, "energy")["values"][0]) / data["unit"]
        half = data["quantiles"][len(gaps) - 2][m - 1] * gaps.std(ddof=1) / len(gaps) ** 0.5
        expected = paired_difference(a, b, level=1 - 0.05 / m)
        assert gaps.mean() == pytest.approx(100 * expected.mean, abs=1e-3)
        assert gaps.mean() - half == pytest.approx(100 * expected.low, abs=2e-3)
    assert data["quantiles"][2][0] == pytest.approx(stats.t.ppf(0.975, 3), abs=1e-4)


def test_curves_are_means_over_seeds_of_drawn_entries(made, data):
    _, counted = made
    assert [data["entries"][row["entry"]]["name"] for row in data["rows"] if "roc" in row] == [
        "energy", "energy", "vim", "vim",
    ]  # fmt: skip
    assert (data["fpr"][0], data["fpr"][-1]) == (0, 1)
    assert len(data["fpr"]) <= 25
    curves = [
        f.drawn.curves for c, f in counted.measured.items() if (c.entry, c.init) == ("energy", "scratch")
    ]
    for which, of_seed in ((0, [c.tpr_near for c in curves]), (1, [c.tpr_far for c in curves])):
        expected = np.interp(data["fpr"], curves[0].fpr, np.mean(of_seed, axis=0))
        assert np.array(row(data, "energy")["roc"][which]) / 1000 == pytest.approx(expected, abs=1e-3)


def test_a_row_that_lacks_a_backbone_is_compared_with_none():
    def keep(entry, backbone, init, seed):
        return (entry, backbone) != ("knn", "tiny_vit")

    spec, counted = built(backbones=("tiny_cnn", "tiny_vit"), costly=False, keep=keep)
    mean, first, second = side_by_side(spec, counted, "toy")
    assert row(of(spec, mean), "knn")["alone"] == "not measured on all backbones"
    assert "alone" not in row(of(spec, mean), "vim")
    assert "alone" not in row(of(spec, first), "knn")
    assert "knn" not in second.entries


def test_ensembles_are_compared_with_none():
    spec = synthetic.make_spec(["msp", "ensemble"], backbones=["tiny_cnn"], inits=["scratch"])
    spec.entries["ensemble"].hyperparameters["members"] = 2
    two = {"hyperparameters": {"members": 2}, "hp_mode": "declared", "networks": 2}
    single, several = synthetic.make_results(spec, seeds=SEEDS)
    several = several.model_copy(update={"records": [synthetic.set_up(r, **two) for r in several.records]})
    (one,) = side_by_side(spec, select(spec, [single, several]), "toy")
    found = row(of(spec, one), "ensemble")
    assert (found["alone"], found["networks"]) == ("ensembles of 2 networks", 2)
    assert "alone" not in row(of(spec, one), "msp")


def test_rows_on_other_networks_are_told_apart():
    files = [
        file(entry, [record(0.7 + seed / 100, seed=seed, network=network) for seed in SEEDS])
        for entry, network in (("msp", "published"), ("energy", "published"), ("knn", "a contributor's"))
    ]
    spec = synthetic.make_spec(backbones=["tiny_cnn"], inits=["scratch"])
    (one,) = side_by_side(spec, select(spec, files), "toy")
    assert [[one.rows[i].labels[0] for i in pair] for pair in one.apart] == [
        ["msp", "knn"],
        ["energy", "knn"],
    ]


# Cost


def test_costs_are_in_forward_passes_with_the_front(made, one, data):
    _, counted = made
    assert (one.cost.metric, data["cost"]) == (FORWARDS, "forward passes")
    for init in synthetic.INITS:
        near = {entry: np.mean(numbers(counted, entry, init, "near.auroc")) for entry in ENTRIES}
        expected = {e for e in ENTRIES if all(near[e] > near[o] for o in ENTRIES if SECONDS[o] < SECONDS[e])}
        assert {e for e in ENTRIES if row(data, e, init)["front"]} == expected
        for entry in ENTRIES:
            assert row(data, entry, init)["cost"] == pytest.approx(1 + SECONDS[entry])
    assert one.cost_ratio == 1


def test_without_costs_there_is_nothing_of_them():
    spec, counted = built(costly=False)
    page = pages_of(spec, counted)[1]
    assert not [*plots_of(page.sections)]
    (one,) = side_by_side(spec, counted, "toy")
    assert (one.cost, one.costs, of(spec, one)["cost"]) == (None, (), None)


def test_the_front_is_what_none_beats():
    points = [(1, 0.5), (1, 0.6), (2, 0.6), (2, 0.7), (3, 0.65), (4, 0.9)]
    assert front(points) == {1, 3, 5}
    assert front([]) == set()


@pytest.mark.parametrize(
    ("cost", "metric", "expected"),
    [
        (1.0049, FORWARDS, 1.0),
        (1.006, FORWARDS, 1.01),
        (0.01234, MS, 0.012),
        (123.0, MS, 120.0),
        (0.0, MS, 0.0),
    ],
)
def test_costs_are_equal_to_the_digits_that_say_something(cost, metric, expected):
    assert rounded_cost(cost, metric) == pytest.approx(expected)


def test_forward_passes_are_drawn_by_what_they_cost_beyond_the_bare_one(made, data):
    assert [beyond(cost) for cost in (1.02, 1.5, 3.0)] == pytest.approx([2, 50, 200])
    assert beyond(1.0) == beyond(0.98) == data["beyond"]["least"]
    (plot, _) = plots_of(pages_of(*made)[1].sections)
    drawn = {row["series"]: row for row in csv.DictReader(plot.data.splitlines())}
    assert {entry: float(drawn[entry]["x"]) for entry in ENTRIES} == pytest.approx(
        {entry: 100 * SECONDS[entry] for entry in ENTRIES}
    )
    assert drawn["vim"]["panel"] == "time beyond the forward pass, in % of it (logarithmic)"


def test_the_front_rises_where_costs_begin_that_are_told_apart():
    """By hand: a costs 2 % and b 10; of b all from 6 % on counts as equal."""
    points = [Point("a", 2.0, 0.5, True, 0.1), Point("b", 10.0, 0.7, True, 6.0), Point("c", 8.0, 0.6, False)]
    svg = pareto("a.svg", "t", "t", points, "x").svg
    path = re.search(r'<path d="(M[^"]*H[^"]*V[^"]*)" fill="none" stroke="#', svg.split("</g>")[1]).group(1)
    start, rise = float(re.match(r"M([\d.]+)", path).group(1)), float(re.search(r"H([\d.]+)V", path).group(1))
    xs = [float(x) for x in re.findall(r'<circle cx="([\d.]+)"', svg)]  # c, then a and b
    assert start < xs[1] < rise < xs[0] < xs[2]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1, 4, [1, 1.5, 2, 3]),
        (0.01, 2, [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2]),
        (1.0, 1.02, [1.0, 1.005, 1.01, 1.015, 1.02]),
    ],
)
def test_ticks_of_costs_are_round(low, high, expected):
    found = cost_ticks(low, high)
    assert set(np.round(found, 6)) <= set(expected)
    assert 2 <= len(found) <= 6


def test_degenerate_figures_are_drawn():
    hostile = "<b>&\"'"
    for points in (
        [Point(hostile, 1.0, 0.5, True)],
        [Point("a", 1.0, 0.5, False), Point("b", 1.0, 0.5, True)],
        [Point(str(i), 10.0**i, i / 10, True) for i in range(6)],
    ):
        plot = pareto("a.svg", hostile, hostile, points, hostile)
        assert ET.fromstring(plot.svg).find("{http://www.w3.org/2000/svg}title").text == hostile
        assert not re.search(r"nan|inf\b", plot.svg)
