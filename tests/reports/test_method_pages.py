"""A page for each method: what it says of itself, what was measured of it, and how to use it."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
import synthetic_records as synthetic
from page import Page as Parsed
from places import ROOT

from benchmark.metrics.statistics import mean_interval
from benchmark.spec.leaderboard import Spec
from methods.cards import FAMILIES, MethodCard, cards
from reports.boards.tables import board_tables
from reports.claims.decide import decide_claims
from reports.claims.register import load_register
from reports.pages import method_results, methods
from reports.pages.method_results import intervals, results_of
from reports.pages.method_text import body_of, marked, paper_of
from reports.pages.methods import method_pages
from reports.pages.parts import Parts, Shown
from reports.plots.small import STYLES, histogram, roc, ticks
from reports.select import select
from reports.site.cells import Noted, Number, Position
from reports.site.html import html_of
from reports.site.markdown import markdown_of
from reports.site.sections import Facts, Maths, Page, Paragraph, Section, Table, blocks_of, plots_of, within
from reports.site.text import Formula, Link, code, pieces, plain, strong

SET = "detection.glyphs.auroc"
EMPTY = Section("e", "E", ())


def parts_of(spec, counted, **changes):
    """The parts that pages of methods draw on."""
    boards = {
        name: tuple(Shown(table, EMPTY) for table in board_tables(name, spec, counted))
        for name in spec.boards
    }
    made = dict.fromkeys(Parts.__dataclass_fields__) | {
        "boards": boards,
        "plots": (),
        "studies": {},
        "unmeasured": EMPTY,
        "provenance": EMPTY,
        "verdicts": tuple(decide_claims(load_register(), spec, counted)),
    }
    return Parts(**made | changes)


def built(change=lambda spec: None, **records):
    """The pages of invented records by their names, with what they are made of."""
    made = synthetic.make_spec(backbones=["tiny_cnn"]).model_dump()
    made["tracks"]["toy"]["drawn"] = ["energy"]
    made["entries"]["gen_tuned"] = {"detector": "gen", "tune": {"gamma": [0.1, 0.5]}}
    made["entries"]["logit_norm+energy"] = {"detector": "energy", "objective": "logit_norm", "fit_limit": 9}
    change(made)
    spec = Spec.model_validate(made)
    counted = select(spec, synthetic.make_results(spec, **{"seeds": (0, 1, 2), **records}))
    pages = method_pages(spec, counted, parts_of(spec, counted), results_of(spec, counted))
    assert len({page.name for page in pages}) == len(pages)
    return {page.name: page for page in pages}, spec, counted


@pytest.fixture(scope="module")
def made():
    return built(keep=lambda entry, backbone, init, seed: (entry, seed) != ("knn", 2))


@pytest.fixture(scope="module")
def pages(made):
    return made[0]


@pytest.fixture(scope="module")
def energy(pages):
    return pages["methods/detectors/energy"]


def section(page: Page, id: str) -> Section:
    found = {s.id: s for s in page.sections} | {s.id: s for top in page.sections for s in top.sections}
    return found[id]


def table(page, id) -> Table:
    return next(block for block in within(section(page, id).body) if isinstance(block, Table))


def cells(found: Table, row: str):
    """The cells of the first row that is called so, by the titles of their columns."""
    titles = [plain(column.title) for column in found.columns]
    return next(dict(zip(titles, r.cells, strict=True)) for r in found.rows if named(r.cells[0]) == row)


def named(cell) -> str:
    what = cell.what if isinstance(cell, Noted) else cell
    return plain(what) if isinstance(what, str | tuple) else " ".join(what.parts)


def links(page):
    """All links of a page, in texts and in tables."""
    texts = [page.intro]
    for block in [*within(page.body), *blocks_of(page.sections)]:
        texts += [text for _, text in block.items] if isinstance(block, Facts) else []
        texts += [block.text] if isinstance(block, Paragraph) else []
        texts += [c for row in block.rows for c in row.cells] if isinstance(block, Table) else []
    return [p for text in texts if isinstance(text, tuple) for p in pieces(text) if isinstance(p, Link)]


def test_a_page_for_every_method_and_one_that_leads_to_them(pages):
    every = {f"methods/{family}/{name}" for family in FAMILIES for name in cards(family)}
    assert pages.keys() == {"methods", *every}
    assert {link.page for link in links(pages["methods"])} == every
    assert [s.id for s in pages["methods"].sections] == [*FAMILIES]


def test_every_link_leads_to_a_page(pages):
    for page in pages.values():
        for link in links(page):
            assert link.page in pages or link.url or re.fullmatch(r"(boards|claims)/\w+", link.page), link


def test_every_page_can_be_shown(pages):
    for page in pages.values():
        html, text = html_of(page), markdown_of(page)
        parsed = Parsed(html)
        assert page.heading in " ".join(parsed.text.split())
        ids = [attributes["id"] for _, attributes in parsed.elements if attributes.get("id")]
        assert len(ids) == len(set(ids))
        assert text.startswith(f"# {page.name.rpartition('/')[2].replace('methods', 'Methods')} · ")
        assert len(html.encode()) < 150_000


def test_pages_need_no_torch():
    code = (
        "import sys, reports.pages.method_list, reports.pages.method_results; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"


def test_the_same_records_give_the_same_pages(made):
    pages, spec, counted = made
    assert {
        p.name: p for p in method_pages(spec, counted, parts_of(spec, counted), results_of(spec, counted))
    } == pages


# What a method says of itself


def test_paper_source_and_commit(energy):
    assert plain(energy.intro).endswith(
        "“Energy-based Out-of-distribution Detection”, NeurIPS 2020, arXiv:2010.03759."
    )
    assert [link.url for link in pieces(energy.intro) if isinstance(link, Link)] == [
        "https://arxiv.org/abs/2010.03759"
    ]
    facts = {name: plain(text) for name, text in energy.body[0].items}
    assert energy.heading.startswith("energy: Negative free energy")
    line = cards("detectors")["energy"].line
    assert facts["Source"] == f"methods/detectors/energy.py, line {line}, measured last at commit 0123abc"
    assert (facts["Needs"], facts["Filed under"]) == ("logits", "logits")
    assert facts["Also called"] == "ebo, energy_based, energy_score"


def test_a_docstring_is_typeset_and_leads_to_other_methods():
    vim = cards("detectors")["vim"]
    body = body_of(vim)
    assert isinstance(body[0], Maths)
    assert body[0].latex.startswith(r"s = \log \sum_k")
    assert pieces(body[1].text)[1] == Link("residual", "methods/detectors/residual")
    assert any(pieces(block.text)[0] == strong("Deviations from the paper:") for block in body[1:])
    assert marked("`dim` of :math:`h_i` in ``x`` is **not** `other`, :class:`~a.B`", vim) == (
        code("dim"), " of ", Formula("h_i"), " in ", code("x"), " is ", strong("not"), " ", code("other"),
        ", ", code("a.B"),
    )  # fmt: skip


def test_a_paper_without_arxiv_or_with_an_odd_one_has_no_link():
    assert paper_of(MethodCard("detectors", "x")) == ""
    smote = cards("samplers")["smote"]
    odd = replace(smote, paper=replace(smote.paper, arxiv="1 2' onload='x"))
    assert not any(isinstance(piece, Link) for piece in pieces(paper_of(odd)))
    none = replace(smote, paper=replace(smote.paper, arxiv=None))
    assert plain(paper_of(none)).endswith("Journal of Artificial Intelligence Research 2002.")


def test_hyperparameters_with_meaning_and_grid(energy, pages):
    assert cells(table(energy, "hyperparameters"), "temperature") == {
        "Name": (code("temperature"),),
        "Default": "1.0",
        "Meaning": ("T > 0, in the units of the logits.",),
    }
    gamma = cells(table(pages["methods/detectors/gen"], "hyperparameters"), "gamma")
    assert gamma["Grid, on validation OOD sets"] == "0.1, 0.5 (gen_tuned)"


def test_entries_with_their_settings(energy):
    found = cells(table(energy, "entries"), "logit_norm+energy")
    assert found["Objective"] == (Link("logit_norm", "methods/objectives/logit_norm"),)
    assert (found["Settings"], found["Tracks"]) == ("fitted on at most 9 images", None)
    assert cells(table(energy, "entries"), "energy")["Tracks"] == "toy"


def test_what_an_objective_is_given_is_said():
    def change(spec):
        given = {"objective": "confidence_loss", "epochs": 5, "hyperparameters": {"budget": 0.5}}
        spec["objectives"] = {"my_loss": given}
        spec["entries"]["my_loss+msp"] = {"detector": "msp", "objective": "my_loss"}

    pages, *_ = built(change)
    of_detector = cells(table(pages["methods/detectors/msp"], "entries"), "my_loss+msp")
    assert of_detector["Settings"] == "trained as my_loss, budget = 0.5, 5 epochs"
    assert of_detector["Objective"] == (Link("confidence_loss", "methods/objectives/confidence_loss"),)
    page = pages["methods/objectives/confidence_loss"]
    assert cells(table(page, "entries"), "my_loss+msp")["Settings"] == "my_loss, budget = 0.5, 5 epochs"
    assert {name: plain(text) for name, text in page.body[0].items}["Needs"] == "labelled ID images, outliers"
    command = section(page, "use").body[0].text
    assert command == "oodbench run --full --entry my_loss+msp"


def test_a_method_that_cannot_be_read_has_a_page_without_inventions():
    pages, *_ = built(lambda spec: spec["entries"].update(gone={"detector": "gone"}))
    page = pages["methods/detectors/gone"]
    assert (page.heading, page.intro) == ("gone", "")
    assert [name for name, _ in page.body[0].items] == ["Family"]
    assert [s.id for s in page.sections] == ["entries"]
    html_of(page)


# Results


def test_results_are_means_with_intervals_over_seeds(made, energy):
    _, _, counted = made
    found = table(energy, "results-toy")
    assert [plain(column.title) for column in found.columns] == [
        "Entry · backbone · init", "Near AUROC", "Far AUROC", "Near FPR@95", "digits 6 to 9", "glyphs",
        "uniform noise", "Seeds", "Verified",
    ]  # fmt: skip
    assert len(found.rows) == len(synthetic.INITS)
    measured = [f for c, f in counted.measured.items() if (c.entry, c.init) == ("energy", "fractaldb")]
    row = cells(found, "energy tiny_cnn fractaldb")
    for title, metric in (("Near AUROC", "near.auroc"), ("Near FPR@95", "near.fpr95"), ("glyphs", SET)):
        expected = mean_interval([f.numbers[metric] for f in measured])
        assert row[title].value == pytest.approx(expected.mean)
        assert row[title].half == pytest.approx(expected.high - expected.mean)
    assert (row["Seeds"].n, row["Seeds"].of) == (3, 3)


def test_intervals_of_groups_are_those_of_each():
    rng = np.random.default_rng(0)
    values, counts = rng.random((11, 2)), np.array([5, 1, 2, 3])
    values[9, 1] = np.nan
    means, halves = intervals(values, counts)
    for i, group in enumerate(np.split(values, np.cumsum(counts)[:-1])):
        for column in range(2):
            if np.isnan(group[:, column]).any():
                assert np.isnan([means[i, column], halves[i, column]]).all()
                continue
            expected = mean_interval(group[:, column])
            assert means[i, column] == pytest.approx(expected.mean)
            assert halves[i, column] == pytest.approx(expected.high - expected.mean, nan_ok=True)


def test_what_was_not_measured_is_said(pages):
    page = pages["methods/detectors/knn"]
    assert cells(table(page, "results-toy"), "knn tiny_cnn scratch")["Seeds"].text == "2 of 3"
    said = [plain(block.text) for block in section(page, "results-toy").body if isinstance(block, Paragraph)]
    assert said == [
        "knn is failed in 2 cells (tiny_cnn · scratch, tiny_cnn · fractaldb): scores are not finite."
    ]


def test_weights_that_saw_a_set_are_marked():
    pages, *_ = built(synthetic.weights_that_saw_glyphs)
    page = pages["methods/detectors/energy"]
    notes = {
        named(row.cells[0]): getattr(row.cells[0], "note", "") for row in table(page, "results-toy").rows
    }
    assert notes == {"energy tiny_cnn scratch": "", "energy tiny_cnn fractaldb": "saw glyphs, ID classes"}
    assert section(page, "results-toy").body[1].text.endswith("ID classes: the letter O.")


def test_costs_are_shown_where_they_are_recorded():
    spec = synthetic.make_spec(["msp"], ["scratch"], ["cnn"])
    files = synthetic.make_results(spec, seeds=(0, 1))
    (file,) = files
    costly = [r.model_copy(update={"cost": {"score_seconds": 2.0}}) for r in file.records]
    costly = [type(r).model_validate(dict(r)) for r in costly]
    counted = select(spec, [file.model_copy(update={"records": costly})])
    (results,) = results_of(spec, counted)
    assert results.measures[-1].title == "ms an image"
    assert results.lines["msp"][0].means[-1] == pytest.approx(
        next(iter(counted.measured.values())).numbers["cost.ms"]
    )


def test_an_objective_with_many_rows_shows_the_best_of_each_network(monkeypatch):
    monkeypatch.setattr(method_results, "MOST_ROWS", 4)
    monkeypatch.setattr(method_results, "KEPT", 2)
    monkeypatch.setattr(methods, "MANY", 2)
    pages, _, counted = built()
    page = pages["methods/objectives/cross_entropy"]
    means = {}
    for (_, _, init, _, entry), found in counted.measured.items():
        means.setdefault((init, entry), []).append(found.numbers["near.auroc"])
    best = {init: max(synthetic.ENTRIES, key=lambda e: np.mean(means[init, e])) for init in synthetic.INITS}
    shown = [named(row.cells[0]) for row in table(page, "results-toy").rows]
    assert shown == [f"{entry} tiny_cnn {init}" for init, entry in best.items()]
    said = [plain(block.text) for block in section(page, "results-toy").body if isinstance(block, Paragraph)]
    assert said[0].startswith("Of 6 rows, those with the best near AUROC")
    assert "positions" not in {s.id for s in page.sections}


def test_its_best_row_on_each_board(energy, pages):
    row = cells(table(energy, "positions"), "OOD detection")
    assert row["Board"] == (Link("OOD detection", "boards/toy"),)
    assert named(row["Its best row"]) == "energy fractaldb"
    assert isinstance(row["Position"], Position)
    assert row["Of"] == 6
    assert [s.id for s in pages["methods/detectors/vim"].sections] == ["about", "hyperparameters", "use"]


def test_claims_that_name_one_of_its_entries(energy):
    found = {plain(row.cells[0]): row for row in table(energy, "claims").rows}
    arms = {
        claim.id: {trial.a for trial in claim.trials} | {trial.b for trial in claim.trials}
        for claim in load_register().claims
    }
    assert found.keys() >= {id for id, names in arms.items() if "energy" in names and id[2] != "A"}
    (link,) = found["C-B1"].cells[0] if "C-B1" in found else next(iter(found.values())).cells[0]
    assert (link.page, link.anchor) == (f"claims/{link.text[2].lower()}", link.text)


def test_the_list_has_near_auroc_at_published_values(pages, made):
    found = table(pages["methods"], "detectors")
    assert cells(found, "energy")["Needs"] == "logits"
    assert (cells(found, "energy")["Venue"], cells(found, "energy")["Year"]) == ("NeurIPS", 2020)
    near = [f.numbers["near.auroc"] for c, f in made[2].measured.items() if c.entry == "energy"]
    assert cells(found, "energy")["Near AUROC, toy"] == Number(pytest.approx(np.mean(near)))
    assert cells(found, "vim")["Near AUROC, toy"] is None


# Figures


def test_scores_and_roc_of_what_is_drawn(made, energy, pages):
    files = [plot.file for plot in plots_of(energy.sections)]
    assert files == [
        f"{kind}~toy~energy~tiny_cnn~{init}.svg" for init in synthetic.INITS for kind in ("scores", "roc")
    ]
    assert not [*plots_of(pages["methods/detectors/msp"].sections)]
    seeds = [
        f.numbers["near.auroc"]
        for c, f in made[2].measured.items()
        if (c.entry, c.init) == ("energy", "scratch")
    ]
    scores, curves = [*plots_of(energy.sections)][:2]
    assert f"seed 0. AUROC: near {seeds[0]:.1%}" in scores.alt
    assert "scratch, mean over 3 seeds: the share of ID images kept against" in curves.alt
    assert f"AUROC: near {np.mean(seeds):.1%}" in curves.alt
    for plot in (scores, curves):
        root = ET.fromstring(plot.svg)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert not re.search(r"href|url\(|<script|<style", plot.svg)
        assert plot.width < 400  # not scrolled on a phone
        words = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
        assert any(word.startswith("near OOD") for word in words)
        assert any(word.startswith("far OOD") for word in words)


def test_lines_differ_in_colour_and_in_dashes():
    colours, dashes = zip(*STYLES.values(), strict=True)
    assert len(set(colours)) == len(set(dashes)) == len(STYLES)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (-7.2, 9.9, [-5, 0, 5]),
        (1e-7, 9e-7, [2e-7, 4e-7, 6e-7, 8e-7]),
        (3, 3, [3]),
    ],
)
def test_ticks_are_round_numbers_within(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


@pytest.mark.parametrize("edges", [[2.0, 2.0, 2.0], [-1e9, 0.0, 1e9], [0.0, 1e-12, 2e-12]])
def test_degenerate_figures_are_drawn(edges):
    flat = {"id": [0.5, 0.5], "near": [1.0, 0.0], "far": [0.0, 1.0]}
    hostile = "<b>&\"'"
    for plot in (
        histogram("a.svg", hostile, hostile, edges, flat),
        roc("b.svg", hostile, hostile, [0.0, 1.0], {"near": ([0.0, 1.0], hostile), "far": ([1.0, 1.0], "1")}),
    ):
        assert ET.fromstring(plot.svg).find("{http://www.w3.org/2000/svg}title").text == hostile
        assert "nan" not in plot.svg
