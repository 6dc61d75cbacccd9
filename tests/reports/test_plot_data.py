"""The numbers of a figure as CSV are those that were drawn."""

import csv
import io

import numpy as np
import pytest
import synthetic_records as synthetic
from matplotlib.figure import Figure

from reports.plots.cells import SECTIONS
from reports.plots.data import HEAD, csv_of, shown
from reports.plots.figures import COLOURS, draw_mean
from reports.plots.small import histogram, roc
from reports.select import select


def rows(text):
    return [tuple(row.values()) for row in csv.DictReader(io.StringIO(text))]


def test_lines_bands_points_and_bars_are_read_as_they_were_drawn():
    axis = Figure().subplots()
    axis.set(title="panel", xlabel="epoch")
    style = {"color": COLOURS[0], "linestyle": "-"}
    draw_mean(axis, (1, 2, 3), [[1.0, 2.0, 3.0], [3.0, 4.0, 5.0]], "ours", style)
    axis.scatter([1.5], [2.5], color="#123456", label="dots")
    axis.bar([10.0], [4.0], width=2.0, color="#123456")
    axis.stairs([7.0, 8.0], [0.0, 1.0, 2.0], label="steps", fill=True)
    found = rows(csv_of(axis.figure))
    where = "panel; epoch"
    half = 12.706204736  # of a t interval over 2 seeds that differ by 2: t(.975, 1) × 1
    assert [row[:5] for row in found if row[2] == "line"] == [
        (where, "ours", "line", x, y) for x, y in (("1", "2"), ("2", "3"), ("3", "4"))
    ]
    bands = [row for row in found if row[2] == "band"]
    assert [row[1] for row in bands] == ["ours"] * 3
    assert [[float(end) for end in row[5:]] for row in bands] == [
        pytest.approx([mean - half, mean + half], abs=1e-3) for mean in (2, 3, 4)
    ]
    assert (where, "dots", "point", "1.5", "2.5", "", "") in found
    assert (where, "dots", "bar", "10", "4", "9", "11") in found  # of the colour of the dots
    assert (where, "steps", "bar", "1.5", "8", "1", "2") in found


def test_every_plot_of_detection_has_its_numbers():
    spec = synthetic.make_spec(["msp", "energy"], backbones=["tiny_cnn"])
    counted = select(spec, synthetic.make_results(spec, seeds=(0, 1)))
    for kind in SECTIONS:
        for plot in kind.plots("toy", spec.tracks["toy"], counted):
            assert plot.data_file == f"plots/{plot.file[:-4]}.csv"
            assert len(rows(plot.data)) > 4
            assert plot.data.splitlines()[0] == ",".join(HEAD)


def test_an_accuracy_that_is_drawn_is_in_the_data():
    spec = synthetic.make_spec(["msp"], backbones=["tiny_cnn"], inits=["scratch"])
    counted = select(spec, synthetic.make_results(spec, seeds=(0, 1)))
    robustness = next(kind for kind in SECTIONS if kind.id == "robustness")
    plot = robustness.plots("toy", spec.tracks["toy"], counted)[0]
    clean = [found.measurement.robustness["contrast"][0].accuracy for found in counted.measured.values()]
    lines = [row for row in rows(plot.data) if row[:3] == ("contrast", "scratch", "line") and row[3] == "0"]
    assert lines[0][4] == shown(100 * np.mean(clean))


def test_small_figures_have_their_numbers():
    bars = histogram("a.svg", "t", "alt", [0, 1, 2], {"id": [40, 60], "near": [10, 90]})
    assert ("", "near", "bar", "1.5", "90", "1", "2") in rows(bars.data)
    curves = roc("b.svg", "t", "alt", [0, 0.5, 1], {"far": ([0, 0.75, 1], "75")})
    assert ("", "far", "line", "0.5", "0.75", "", "") in rows(curves.data)
