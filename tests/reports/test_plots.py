import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
import pytest
import synthetic_records as synthetic
from matplotlib.figure import Figure

from benchmark.errors import DataError
from benchmark.studies.detection.measurement import Reliability
from reports.plots.cells import SECTIONS, beyond, pool_bins, robustness
from reports.plots.figures import Plot, file_name, house_style
from reports.select import select


def draw(seeds=(0, 1)) -> dict[str, list[Plot]]:
    spec = synthetic.make_spec(["msp", "energy"], backbones=["tiny_cnn"])
    counted = select(spec, synthetic.make_results(spec, seeds=seeds))
    return {kind.id: kind.plots("toy", spec.tracks["toy"], counted) for kind in SECTIONS}


@pytest.fixture(scope="module")
def plots() -> Mapping[str, list[Plot]]:
    return draw()


def texts(plot: Plot) -> list[str]:
    """The words of a plot: matplotlib writes each, drawn as paths, into a comment."""
    return [text.strip() for text in re.findall(r"<!--(.*?)-->", plot.svg, re.DOTALL)]


@pytest.mark.parametrize(
    ("section", "files"),
    [
        ("reliability", ["reliability~toy~tiny_cnn~cross_entropy.svg"]),
        ("histograms", ["histograms~toy~tiny_cnn~scratch.svg", "histograms~toy~tiny_cnn~fractaldb.svg"]),
        ("roc", ["roc~toy~tiny_cnn~scratch.svg", "roc~toy~tiny_cnn~fractaldb.svg"]),
        (
            "robustness",
            ["robustness~toy~tiny_cnn~cross_entropy.svg", "robustness_detection~toy~tiny_cnn.svg"],
        ),
    ],
)
def test_each_network_has_its_plots(plots, section, files):
    assert [plot.file for plot in plots[section]] == files


def test_a_track_without_shifts_has_no_robustness_plots():
    spec = synthetic.make_spec(["msp"], backbones=["tiny_cnn"])
    unshifted = spec.tracks["toy"].model_copy(update={"shifts": None})
    counted = select(spec, synthetic.make_results(spec))
    assert robustness("toy", unshifted, counted) == []


@pytest.mark.parametrize("section", [kind.id for kind in SECTIONS])
def test_svg_is_xml_without_outside_references(plots, section):
    for plot in plots[section]:
        root = ET.fromstring(plot.svg)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        inches = [float(root.attrib[side].removesuffix("pt")) / 72 for side in ("width", "height")]
        assert inches == pytest.approx([plot.width / 96, plot.height / 96], abs=0.01)
        links = [v for node in root.iter() for k, v in node.attrib.items() if k.endswith("href")]
        assert links
        assert all(link.startswith("#") for link in links)
        assert not any("<text" in line for line in plot.svg.splitlines())  # paths: no font is needed


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("reliability", ["confidence (%)", "accuracy (%)", "images (%)", "scratch", "fractaldb", "T = 1"]),
        ("histograms", ["msp", "energy", "ID", "near OOD", "far OOD"]),
        ("roc", ["near OOD", "far OOD", "OOD images let through (%)", "ID images kept (%)"]),
        ("robustness", ["severity", "accuracy (%)", "ECE (%)", "gaussian noise", "scratch", "fractaldb"]),
    ],
)
def test_labels_are_drawn(plots, section, words):
    drawn = texts(plots[section][0])
    assert [word for word in words if word not in drawn] == []


def test_alternative_texts_give_the_numbers(plots):
    spec = synthetic.make_spec(["msp", "energy"], backbones=["tiny_cnn"])
    measured = select(spec, synthetic.make_results(spec, seeds=(0, 1))).measured
    msp = [f.measurement for c, f in measured.items() if (c.entry, c.init) == ("msp", "scratch")]
    assert len(msp) == 2
    near, far = (f"{100 * np.mean([getattr(m, g).auroc for m in msp]):.1f}" for g in ("near", "far"))
    ece = f"{np.mean([m.classification.calibration.ece for m in msp]):.1%}"
    accuracy = 100 * np.mean([m.robustness["contrast"][0].accuracy for m in msp])
    assert f"msp near {near}, far {far}" in plots["roc"][0].alt
    assert f"msp {near} / {far}" in texts(plots["roc"][0])
    assert f"msp near {100 * msp[0].near.auroc:.1f}" in plots["histograms"][0].alt
    assert f"scratch (2 seeds): mean ECE {ece} at T = 1" in plots["reliability"][0].alt
    assert f"accuracy (%), contrast, scratch: {accuracy:.1f} to" in plots["robustness"][0].alt


def test_the_same_records_give_the_same_bytes(plots):
    assert draw() == plots


@pytest.mark.filterwarnings("error")
def test_one_seed_is_drawn_without_a_band(plots):
    def bands(drawn):
        return drawn["robustness"][0].svg.count("FillBetweenPolyCollection")

    assert bands(draw(seeds=(0,))) == 0
    assert bands(plots) == 2 * 2 * len(synthetic.SHIFTS)  # metrics × inits × shifts


def test_the_style_does_not_leak(plots):
    assert mpl.rcParams["svg.hashsalt"] != "oodbench"
    assert Figure().subplots().spines["top"].get_visible()


def test_reliability_pools_the_bins_of_the_seeds_by_their_counts():
    few = Reliability(lower=[0.8], upper=[0.9], count=[1], confidence=[0.82], accuracy=[1.0])
    more = Reliability(
        lower=[0.9, 0.8], upper=[1.0, 0.9], count=[4, 3], confidence=[0.95, 0.86], accuracy=[0.9, 0.6]
    )
    pooled = pool_bins([few, more])
    assert (pooled.lower, pooled.upper, pooled.count) == ([0.8, 0.9], [0.9, 1.0], [4, 4])
    # on paper: (1·0.82 + 3·0.86)/4 = 0.85 and (1·1 + 3·0.6)/4 = 0.7
    assert pooled.confidence == pytest.approx([0.85, 0.95])
    assert pooled.accuracy == pytest.approx([0.7, 0.9])


@pytest.mark.parametrize("name", ["../escape", "a/b", "", ".hidden", "A", "a~b", 'x"onload="'])
def test_names_that_are_not_plain_never_become_files(name):
    with pytest.raises(DataError, match="cannot be part of a file name"):
        file_name("roc", name)


def test_u14_a_bar_beyond_the_panel_says_its_height():
    with house_style():
        axis = Figure().subplots()
        beyond(axis, np.array([75.0, 3.0, 2.0, 20.0]), 5.0, 2)
        assert [text.get_text() for text in axis.texts] == ["↑ 75 %", "↑ 20 %"]
        beyond(axis, np.array([5.0, 3.0, 2.0, 4.0]), 5.0, 1)
        assert len(axis.texts) == 2
