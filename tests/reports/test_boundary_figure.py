"""The figure and the table of the two-dimensional experiment, from made-up results."""

import math
import re
import xml.etree.ElementTree as ET

import matplotlib as mpl
import numpy as np
import pytest
from plane_files import plane_files

from benchmark.studies.plane.settings import ARMS
from reports.studies.plane.plots import boundary_plots, boundary_table

SIDE = np.linspace(-1, 1, 101)
# the second class lies on the right; only within a circle is either sure
RISING = np.tile(0.5 + 0.5 * SIDE, (101, 1))
ROUND = np.where(np.hypot(*np.meshgrid(SIDE, SIDE)) < 0.5, RISING, 0.5)


def result(arm, seed, **changed):
    place = ARMS.index(arm)
    regions = {
        name: {"auroc": 0.5 + 0.1 * place + 0.02 * seed, "confident": 0.3 - 0.1 * place, "n": 10}
        for name in ("band", "mid", "far")
    }
    grids = {field: (ROUND if arm == "near" else RISING).round(3).tolist() for field in ("near", "far")}
    made = {
        "arm": arm,
        "seed": seed,
        "steps": 6000,
        "accuracy": 0.97,
        "id_confident": 0.9,
        "regions": regions,
        "density": {"energy": 0.2, "msp": -0.3} if arm == "cross_entropy" else None,
        "maps": grids,
    }
    return made | changed


def files_of(arms=ARMS, seeds=(0, 1, 2)):
    return by_arm(*(result(arm, seed) for arm in arms for seed in seeds))


def by_arm(*results):
    return {file.row: file.records for file in plane_files(results)}


@pytest.fixture(scope="module")
def plot():
    (found,) = boundary_plots(files_of())
    return found


def texts(svg):
    """The words of a plot: matplotlib writes each, drawn as paths, into a comment."""
    return [text.strip() for text in re.findall(r"<!--(.*?)-->", svg, re.DOTALL)]


def test_the_table_has_means_and_intervals_over_seeds():
    table = boundary_table(files_of())
    assert [row.labels for row in table.rows] == [
        ("cross-entropy, no outliers",),
        ("near outliers",),
        ("far outliers",),
    ]
    titles = [column.title for column in table.columns]
    assert titles == [
        "Accuracy",
        "AUROC band",
        "Confident band",
        "AUROC mid",
        "Confident mid",
        "AUROC far",
        "Confident far",
    ]
    assert [column.better for column in table.columns[1:3]] == ["higher", "lower"]
    near = table.rows[1]
    assert near.seeds == (0, 1, 2)
    assert near.place is None
    # on paper: .60, .62, .64 have standard deviation .02; t(2) at .975 is 4.302653
    interval = near.values[titles.index("AUROC mid")].interval
    assert interval.mean == pytest.approx(0.62)
    assert interval.high - interval.mean == pytest.approx(4.302653 * 0.02 / math.sqrt(3), rel=1e-6)
    assert near.values[titles.index("Confident far")].interval.mean == pytest.approx(0.2)
    assert near.values[0].interval.mean == pytest.approx(0.97)


def test_columns_are_paths_into_a_result():
    """So that a number is found in the file under the name that the table gives it."""
    whole, only = files_of()["far"], by_arm(result("far", 0))
    assert only["far"] == whole[:1]
    table = boundary_table(only)
    for column, value in zip(table.columns, table.rows[0].values, strict=True):
        assert whole[0].numbers[column.metric] == value.interval.mean


def test_one_seed_has_no_interval():
    values = boundary_table(files_of(seeds=(4,))).rows[0].values
    assert all(math.isnan(value.interval.low) for value in values)


def test_an_arm_that_was_not_run_has_no_row_and_no_panel():
    files = files_of(arms=("near", "far"))
    assert [row.labels[0] for row in boundary_table(files).rows] == ["near outliers", "far outliers"]
    (drawn,) = boundary_plots(files)
    assert "near outliers" in texts(drawn.svg)
    assert "cross-entropy, no outliers" not in texts(drawn.svg)


def test_nothing_is_drawn_of_nothing():
    assert boundary_plots({}) == []
    assert boundary_table({}).rows == ()


def test_svg_is_xml_without_outside_references(plot):
    root = ET.fromstring(plot.svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    links = [v for node in root.iter() for k, v in node.attrib.items() if k.endswith("href")]
    assert links
    assert all(link.startswith("#") for link in links)
    assert plot.file == "boundary.svg"
    inches = [float(root.attrib[side].removesuffix("pt")) / 72 for side in ("width", "height")]
    assert inches == pytest.approx([plot.width / 96, plot.height / 96], abs=0.01)


def test_labels_are_drawn(plot):
    drawn = texts(plot.svg)
    words = [
        "cross-entropy, no outliers",
        "near outliers",
        "far outliers",
        "near field",
        "far field",
        "largest probability",
        "class means",
        "probability 0.95",
    ]
    assert [word for word in words if word not in drawn] == []


def test_the_alternative_text_gives_the_numbers(plot):
    assert "near outliers: Accuracy 97.0%, AUROC band 62.0%, Confident band 20.0%" in plot.alt
    assert "Seed 0" in plot.title


def panel(arm):
    """Return (colour, left, right) of each shape of the first panel, in shares of its width, and its SVG."""
    svg = boundary_plots(by_arm(result(arm, 0)))[0].svg
    field = svg[svg.index('<g id="axes_1">') : svg.index('<g id="axes_2">')]
    shapes = []
    for path, colour in re.findall(r'<path d="([^"]*)"[^>]*style="fill: (#\w{6})', field):
        x = [float(number) for number in re.findall(r"[ML] (\S+) \S+", path)]
        if x:  # a band that the map does not reach has an empty path
            shapes.append((colour, min(x), max(x)))
    _, left, right = shapes[0]  # the panel itself, in the colour of the lowest band
    return [(c, (a - left) / (right - left), (b - left) / (right - left)) for c, a, b in shapes], field


def test_bands_are_of_the_largest_probability():
    """Where the second class has probability x, max p is .7 or more left of x = .3 and right of .7."""
    shapes, field = panel("cross_entropy")
    expected = [(0, 1)] + [side for low in (0.6, 0.7, 0.8, 0.9, 0.95) for side in ((0, 1 - low), (low, 1))]
    assert [pytest.approx(side, abs=1e-3) for side in expected] == [shape[1:3] for shape in shapes[:11]]
    colours = [colour for colour, *_ in shapes[:11]]
    assert colours[1::2] == colours[2::2]
    assert len(set(colours)) == 6
    assert "stroke: #000000; stroke-width: 1.2" in field  # the contour of .95


def test_no_band_and_no_contour_where_the_network_is_never_confident():
    """Within the circle max p reaches .75 only."""
    shapes, field = panel("near")
    bands = {colour for colour, *_ in shapes} & {colour for colour, *_ in panel("cross_entropy")[0]}
    assert len(bands - {"#ffffff"}) == 3  # up to .6, .7 and .8
    assert "stroke: #000000; stroke-width: 1.2" not in field


def test_the_same_results_give_the_same_bytes_and_the_style_does_not_leak(plot):
    assert boundary_plots(files_of()) == [plot]
    assert mpl.rcParams["svg.hashsalt"] != "oodbench"
