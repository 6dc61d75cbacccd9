"""The comparison with OpenOOD on the page: its tables, sentences and figures."""

import re
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import synthetic_records as synthetic
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Annotation
from openood_examples import ENTRIES, METHODS, NEAR, make_published
from page import Page as Parsed

from benchmark.metrics.statistics import mean_interval
from benchmark.spec.images import ImageSource
from reports.claims.register import load_register
from reports.openood.compare import Agreement, Move
from reports.openood.plots import drawn
from reports.openood.published import load_published
from reports.openood.section import openood_section
from reports.pages.parts import parts_of
from reports.pages.site import Made, pages_of
from reports.plots.figures import house_style
from reports.select import select
from reports.site import publish as publishing
from reports.site.html import html_of
from reports.site.leaderboard import leaderboard_page
from reports.site.markdown import markdown_of
from reports.site.sections import Bullets, Page, Paragraph, Section, Table, plots_of
from reports.site.text import plain

SPEC = synthetic.make_spec(ENTRIES, backbones=["tiny_cnn"])


@pytest.fixture(scope="module")
def counted():
    return select(SPEC, synthetic.make_results(SPEC, seeds=(0, 1, 2)))


@pytest.fixture(scope="module")
def section(counted) -> Section:
    return openood_section(SPEC, counted, make_published())


def tables(section):
    [track] = section.sections
    return [block for block in track.body if isinstance(block, Table)]


def said(section):
    """Paragraphs and bullets of the only track."""
    [track] = section.sections
    texts = []
    for block in track.body:
        texts += [block.text] if isinstance(block, Paragraph) else []
        texts += block.items if isinstance(block, Bullets) else []
    return [plain(text) for text in texts]


def page_of(section):
    page = Page("leaderboard", "Title", "Heading", "", (), (), (section,), "")
    return " ".join(Parsed(html_of(page)).text.split()), markdown_of(page)


def test_a_row_for_each_method_best_there_first(section):
    _, methods = tables(section)
    assert [row.cells[0].parts for row in methods.rows] == [*METHODS.items()]


def test_a_row_has_both_columns_with_their_ranks(section, counted):
    _, methods = tables(section)
    there, rank_there, here, rank_here = methods.rows[1].cells[1:5]  # EBO
    found = {
        entry: [
            m.numbers["near.auroc"]
            for c, m in counted.measured.items()
            if (c.init, c.entry) == ("scratch", entry)
        ]
        for entry in ENTRIES
    }
    interval = mean_interval(found["energy"])
    assert (there.value, there.half, rank_there) == (pytest.approx(0.8), pytest.approx(0.005), 2)
    assert (here.value, here.half) == (interval.mean, pytest.approx(interval.high - interval.mean))
    assert rank_here == 1 + sum(np.mean(values) > interval.mean for values in found.values())


def test_a_mean_without_a_deviation_is_shown_without_one(section):
    _, methods = tables(section)
    assert methods.rows[0].cells[5].spread == ""  # far, there


def test_each_init_has_its_correlations(section):
    correlations, _ = tables(section)
    assert [
        (row.cells[0].parts[0], row.cells[1], row.cells[2], row.cells[3]) for row in correlations.rows
    ] == [
        ("scratch", "near", 6, 3),
        ("scratch", "far", 6, 3),
        ("fractaldb", "near", 6, 3),
        ("fractaldb", "far", 6, 3),
    ]
    # Near OOD the synthetic entries rise in the order in which the published ones fall.
    assert correlations.rows[0].cells[4] == "−1.00"


def test_the_networks_and_images_are_said_to_differ(section):
    [sentence] = [text for text in said(section) if text.startswith("The networks differ.")]
    assert "There: a larger network, 3 runs, ID accuracy 95.00 %." in sentence
    assert (
        "Here: tiny_cnn (test_resnet); scratch, 3 seeds, 1 epoch of adamw with learning rate 0.1" in sentence
    )
    assert re.search(r"decay [\d.]+, ID accuracy \d\d\.\d\d %; fractaldb, 3 seeds", sentence)
    assert "near: Letters, far: Noise and Textures; here, near: digits_6_to_9" in sentence


def test_the_largest_movers_are_named(section):
    assert "Near OOD: MSP 1 → 6, KLM 6 → 1, EBO 2 → 5, GEN 5 → 2, KNN 3 → 4" in said(section)


def test_what_is_not_compared_is_named(section):
    assert "Not compared, because not among our methods: OTOD." in said(section)


def test_the_source_is_named_with_its_commit(section):
    source = "Source first: someone/OpenOOD, results/digits.csv at aaaaaaaa, read 2026-11-30."
    assert source in said(section)


def test_what_openood_may_choose_is_shown(counted):
    config = {"repository": "a/b", "commit": "b" * 40, "path": "configs/gen.yml"}
    gen = {"name": "GEN", "detector": "gen", "searched": "γ of 1 to 10", "config": config}
    _, methods = tables(openood_section(SPEC, counted, make_published(methods=[gen])))
    assert [row.cells[-1] for row in methods.rows if row.cells[-1]] == ["γ of 1 to 10"]


def test_sources_that_disagree_much_are_named_and_others_counted(counted):
    published = make_published()
    [table] = published.tables
    msp, ebo = (row for row in table.figures if row.method in ("MSP", "EBO"))
    other = [
        msp.model_copy(update={"near": [91.0], "source": "second"}),
        ebo.model_copy(update={"near": [80.1], "source": "second"}),
    ]
    both = table.model_copy(
        update={
            "sources": {**table.sources, "second": table.sources["first"]},
            "figures": [*table.figures, *other],
        }
    )
    texts = said(openood_section(SPEC, counted, published.model_copy(update={"tables": [both]})))
    expected = (
        "Sources disagree on 2 methods (near, far; the first counts): MSP 90.00, 90.00 in first and 91.00, "
        "90.00 in second; 1 by less than 0.5 points."
    )
    assert expected in texts
    assert any(text.startswith("Source second, only for what it says otherwise: ") for text in texts)


def test_both_formats_have_it(section):
    for text in page_of(section):
        assert "The order of methods, here and in OpenOOD v1.5" in text
        assert "How far the orders agree" in text
        assert "EBO · energy" in text


@pytest.mark.filterwarnings("error")
def test_one_seed_is_shown_without_an_interval_of_ours():
    counted = select(SPEC, synthetic.make_results(SPEC, seeds=(0,)))
    _, methods = tables(openood_section(SPEC, counted, make_published()))
    assert methods.rows[0].cells[3].spread == ""


def test_there_is_no_section_without_a_table(counted):
    assert openood_section(SPEC, counted) is None  # OpenOOD has no digits


def test_there_is_no_section_without_records():
    assert openood_section(SPEC, select(SPEC, []), make_published()) is None


def spec_of(dataset, **changes):
    """A spec whose track has another ID set."""
    track = SPEC.tracks["toy"].model_copy(update={"id": ImageSource(dataset=dataset), **changes})
    return SPEC.model_copy(update={"tracks": {"toy": track}})


@pytest.mark.parametrize("dataset", ["cifar10", "cifar100", "imagenet1k"])
def test_a_track_of_one_of_their_sets_has_their_figures(counted, dataset):
    _, methods = tables(openood_section(spec_of(dataset), counted))
    table = load_published().table(dataset)
    assert {row.cells[0].parts[0] for row in methods.rows} == METHODS.keys()
    for row in methods.rows:
        assert row.cells[1].value == pytest.approx(table.compared[row.cells[0].parts[0]].near[0] / 100)


@pytest.mark.usefixtures("undrawn")
def test_a_page_has_the_section_and_the_list_of_studies_leads_to_it():
    spec = spec_of("cifar10", drawn=["msp"])
    counted = select(spec, synthetic.make_results(spec, seeds=(0,)))
    register = load_register()
    parts = parts_of(spec, counted, register, None, "results")
    everything = leaderboard_page(spec, counted, parts, source="results", generated="today")
    assert [one.id for one in everything.sections].count("openood") == 1
    pages, _ = pages_of(spec, counted, register, parts, Made("results", "today"))
    of = {page.name: page for page in pages}
    assert [one.id for one in of["openood"].sections] == ["openood"]
    (listed,) = of["studies"].sections[0].body
    assert "openood" in [link.page for (link,) in listed.items]


def test_other_published_figures_make_other_pages(tmp_path, monkeypatch):
    (tmp_path / "results").mkdir()
    publishing.publish(SPEC, tmp_path / "results", tmp_path / "site")
    assert publishing.publish(SPEC, tmp_path / "results", tmp_path / "site") == []
    monkeypatch.setattr(publishing, "load_published", make_published)
    assert publishing.publish(SPEC, tmp_path / "results", tmp_path / "site")


def test_the_figures_of_a_track(section):
    files = [plot.file for plot in plots_of((section,))]
    assert files == ["openood~toy~scratch~near.svg", "openood~toy~scratch~far.svg"]
    near, _ = plots_of((section,))
    assert "Spearman's ρ is -1.00" in near.alt
    assert "MSP 1 to 6" in near.alt
    assert re.findall(r"<!--\s*(.*?)\s*-->", near.svg).count("MSP") == 1
    assert near.width < 390  # a phone shows it without scrolling


def test_a_narrow_figure_may_be_narrow_and_others_may_not(section):
    [track] = section.sections
    html = html_of(Page("leaderboard", "T", "H", "", (), (), (section,), ""))
    assert html.count('class="card narrow"') == 2
    [gallery] = [block for block in track.body if not isinstance(block, Paragraph | Bullets | Table)]
    wide = replace(gallery, plots=tuple(replace(plot, width=710) for plot in gallery.plots))
    html = html_of(Page("leaderboard", "T", "H", "", (), (), (Section("wide", "Wide", (wide,)),), ""))
    assert "narrow" not in re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)


def agreement_of(here, names):
    moves = tuple(Move(name, i, rank) for i, (name, rank) in enumerate(zip(names, here, strict=True), 1))
    return Agreement(moves, 0.5, (0.0, 1.0), 0.5)


LONG = [method.name for method in load_published().methods]


@pytest.mark.parametrize("order", ["same", "reverse", "mixed"])
def test_no_name_lies_on_another_name_or_leaves_the_figure(order):
    number = len(LONG)
    ranks = {
        "same": range(1, number + 1),
        "reverse": range(number, 0, -1),
        "mixed": np.random.default_rng(0).permutation(number) + 1,
    }[order]
    with house_style():
        figure = drawn(agreement_of(map(int, ranks), LONG), "rank here, scratch")
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    names = [child for child in figure.axes[0].get_children() if isinstance(child, Annotation)]
    boxes = {name.get_text(): name.get_window_extent(canvas.get_renderer()) for name in names}
    assert boxes.keys() == set(LONG)
    assert [pair for pair in combinations(boxes, 2) if boxes[pair[0]].overlaps(boxes[pair[1]])] == []
    whole = figure.bbox
    assert all(whole.x0 <= box.x0 and box.x1 <= whole.x1 for box in boxes.values())


def test_methods_of_equal_ranks_share_a_mark():
    moves = (Move("MSP", 1, 1), Move("EBO", 1, 1), Move("KNN", 3, 3))
    with house_style():
        figure = drawn(Agreement(moves, 1.0, (1.0, 1.0), 1.0), "rank here")
    names = [child.get_text() for child in figure.axes[0].get_children() if isinstance(child, Annotation)]
    assert names == ["MSP, EBO", "KNN"]


def test_the_same_records_give_the_same_figures(section, counted):
    again = openood_section(SPEC, counted, make_published())
    assert [plot.svg for plot in plots_of((again,))] == [plot.svg for plot in plots_of((section,))]


def test_nothing_moves_where_the_orders_are_one(counted):
    same = dict(zip(reversed(METHODS), sorted(NEAR.values(), reverse=True), strict=False))
    section = openood_section(SPEC, counted, make_published(near=same))
    assert "Near OOD: none moves" in said(section)
    near, _ = plots_of((section,))
    assert near.alt.endswith("None moves.")
