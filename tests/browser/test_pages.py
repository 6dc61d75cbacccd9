"""The pages as readers use them: boards that one filters, sorts and shares, phones, keyboards, no scripts."""

from __future__ import annotations

import csv
import itertools
import json
import re
from importlib.resources import files

import pytest

WIDTHS = (390, 800, 1400)
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
KINDS = (  # a page of each kind
    "index", "boards", "overall", "boards/digits", "boards/cifar10_few", "methods", "methods/detectors/vim",
    "methods/objectives/logit_norm", "compare", "compare/cifar10", "pretraining", "pretraining/cifar10",
    "calibration", "studies", "studies/adversarial", "studies/plane", "claims", "claims/f", "datasets",
    "datasets/digits", "openood", "about",
)  # fmt: skip
SMALL = (  # a small page of each kind: axe takes seconds for a large table
    "index", "boards", "boards/cifar10_20", "overall", "methods/detectors/vim",
    "methods/objectives/logit_norm", "compare/cifar10_20",
    "pretraining", "calibration", "studies/plane", "claims/d", "datasets/digits",
    "openood",
)  # fmt: skip


def entries(reader):
    return [row[0].split(" · ")[0] for row in reader.rows()]


def test_search_and_filters_keep_the_rows_that_they_say(reader):
    one = reader()
    one.open("boards/cifar10")
    everything = len(one.rows())
    one.page.get_by_label("Search").fill("mahalanobis imagenet")
    found = one.rows()
    assert 0 < len(found) < everything
    assert all("mahalanobis" in row[0] and "imagenet" in row[0] for row in found)
    one.page.get_by_role("button", name="Reset").click()
    assert len(one.rows()) == everything
    one.choose("Needs", "gradients")
    assert "odin" in entries(one)
    assert "msp" not in entries(one)
    one.choose("Needs", "")
    one.choose("Hyper-parameters", "tuned")
    assert {name.rpartition("_")[2] for name in entries(one)} == {"tuned"}


def test_within_an_init_positions_are_among_its_rows(reader):
    one = reader()
    one.open("boards/cifar10", "init=scratch")
    assert one.rows()[0][1].startswith("1 [1–")
    assert "among rows of scratch" in one.page.locator(".live [role=status]").inner_text()


def test_no_row_with_a_lower_mean_has_a_better_position(reader):
    one = reader()
    for name in ("boards/digits", "boards/cifar10", "boards/cifar10_few"):
        one.open(name)
        placed = [row for row in one.rows() if row[1] != "–"]
        means = [float(row[2].split()[0]) for row in placed]
        positions = [int(row[1].split()[0]) for row in placed]
        assert means == sorted(means, reverse=True)
        assert positions == sorted(positions)
        assert positions[0] == 1
        assert one.rows()[: len(placed)] == placed  # rows without a position stand last


def test_a_click_on_a_head_sorts_and_another_turns_the_order(reader):
    one = reader()
    one.open("boards/cifar10")
    at = next(i for i, head in enumerate(one.heads()) if head.startswith("Far OOD AUROC"))
    head = one.page.locator(".live table.board thead th").nth(at)
    orders = []
    for _ in range(2):
        head.get_by_role("button").click()
        orders.append([float(row[at].split()[0]) for row in one.rows()])
    assert orders == [sorted(orders[0], reverse=True), sorted(orders[0])]
    assert head.get_attribute("aria-sort") == "ascending"


def test_columns_are_chosen_and_the_address_shares_the_view(reader):
    one = reader()
    one.open("boards/cifar10")
    one.page.locator(".chooser summary").click()
    group = one.page.get_by_role("group", name="mnist (far)")
    group.get_by_label("AUROC", exact=True).check()
    one.choose("Init", "imagenet")
    assert "mnist (far) AUROC ↑" in one.heads()
    other = reader()
    other.page.goto(one.page.url)
    assert (other.heads(), other.rows()) == (one.heads(), one.rows())


@pytest.mark.parametrize(
    "state", ["columns=x,y&sort=z&init=w&cost=9", "sort=-constructor", "search=%00%ff", "===&&%", "<b>=1"]
)
def test_an_address_that_says_nothing_we_know_shows_the_board(reader, state):
    one = reader()
    one.open("boards/cifar10", state)
    assert one.heads()[:2] == ["Entry", "Position"]


def test_what_is_shown_can_be_downloaded(reader):
    one = reader()
    one.open("boards/cifar10", "init=imagenet&search=energy")
    with one.page.expect_download() as waiting:
        one.page.get_by_role("button", name="CSV").click()
    with waiting.value.path().open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["entry"] for row in rows] == entries(one)
    assert rows[0]["near.auroc"] == one.rows()[0][2].split()[0].rstrip("0").rstrip(".")
    with one.page.expect_download() as waiting:
        one.page.get_by_role("button", name="JSON").click()
    with waiting.value.path().open(encoding="utf-8") as file:
        assert [row["entry"] for row in json.load(file)["rows"]] == entries(one)


def test_everything_can_be_downloaded(reader, site):
    one = reader()
    one.open("boards/cifar10")
    for kind in ("CSV", "JSON"):
        link = one.page.locator("main").get_by_role("link", name=kind)
        assert (site / "boards" / link.get_attribute("href")).resolve().is_file()


def test_without_scripts_the_full_table_stands_there_sorted(reader):
    one = reader(java_script_enabled=False)
    one.open("boards/cifar10")
    assert one.page.locator(".controls").count() == 0
    table = one.page.locator("main table").first
    assert table.is_visible()
    rows = [text.split("\n")[0] for text in table.locator("tbody tr").all_inner_texts()]
    assert len(rows) > 100
    positions = [cell.split()[0] for cell in table.locator("tbody tr td:nth-of-type(1)").all_inner_texts()]
    numbers = [int(position) for position in positions if position != "–"]
    assert numbers == sorted(numbers)


def test_two_entries_are_compared_and_the_address_shares_it(reader):
    one = reader()
    one.open("compare/cifar10", "entries=gen,odin,msp&init=imagenet")
    verdicts = one.page.locator(".verdicts").inner_text()
    assert "odin against gen" in verdicts
    assert "msp against gen" in verdicts
    assert one.page.locator(".live svg").count() >= 3  # curves of near and far OOD, and costs


def test_at_first_what_is_recommended_is_compared_and_named_entries_take_its_place(reader):
    one = reader()
    one.open("compare/cifar10")
    chosen = one.page.locator(".chosen li strong")
    first = chosen.all_inner_texts()
    assert len(first) == 2
    told = one.page.locator("p.notes[role=status]")
    assert "Suggested: what is recommended" in told.inner_text()
    one.page.get_by_label("Init").select_option("imagenet")
    assert chosen.all_inner_texts() != first  # what is recommended there
    assert "entries=" not in one.page.url
    field = one.page.get_by_label("Add one, or compare several")
    field.fill("msp, knn")
    field.press("Enter")
    assert chosen.all_inner_texts() == ["msp", "knn"]
    assert "Suggested" not in told.inner_text()
    field.fill("gen")
    field.press("Enter")
    assert chosen.all_inner_texts() == ["msp", "knn", "gen"]
    field.fill("msp nothing")
    field.press("Enter")
    assert "No entry of this track is called nothing" in one.page.locator("p[role=status]").first.inner_text()
    other = reader()
    other.page.goto(one.page.url)
    assert other.page.locator(".chosen li strong").all_inner_texts() == ["msp", "knn", "gen"]
    one.page.get_by_role("button", name="Reset").click()
    assert chosen.all_inner_texts() == first


def test_costs_just_above_a_pass_are_told_apart(reader):
    """The median entry costs 1.02 passes, which is a hundredth of the width of an axis of passes."""
    one = reader(390)
    one.open("compare/cifar10", "entries=msp,odin&init=scratch")
    figure = one.page.locator("svg.costs")
    names = figure.locator("text.name").all_text_contents()
    assert {"msp", "odin"} <= set(names)
    ys = sorted(
        float(y) for y in figure.locator("text.name").evaluate_all("all => all.map(t => t.getAttribute('y'))")
    )
    assert all(below - above >= 14 for above, below in itertools.pairwise(ys))
    xs = sorted(
        figure.locator("circle:not(.ring)").evaluate_all("all => all.map(c => Number(c.getAttribute('cx')))")
    )
    assert (xs[len(xs) // 2] - xs[0]) / (xs[-1] - xs[0]) > 0.2


def test_long_names_are_broken_where_their_parts_are_joined(reader):
    one = reader(390)
    for name in ("boards/cifar10", "overall"):
        one.open(name)
        link = (
            one.page.locator("main table:visible").first.get_by_role("link", name="temperature_scaling").first
        )
        assert link.evaluate("link => link.textContent") == "temperature_scaling"
        assert link.locator("wbr").count() == 1


FIRST = (  # a page, and the head of the first number that must be seen without scrolling
    ("index", "Near AUROC"), ("overall", "95 % interval"), ("boards", "Near AUROC"),
    ("boards/cifar10", "Near OOD AUROC"), ("pretraining/cifar10", "Gain"), ("claims", "Overall"),
    ("boards/digits/objectives", "Near AUROC"), ("methods/detectors/vim", "Near AUROC"),
    ("datasets/mnist", "msp"),
)  # fmt: skip


@pytest.mark.parametrize(("name", "head"), FIRST)
def test_on_a_phone_the_first_number_of_a_table_is_seen_at_once(reader, name, head):
    one = reader(390)
    one.open(name)
    found = one.page.locator("main th:visible").filter(has_text=re.compile(rf"^\s*{head}")).first
    box = found.bounding_box()
    assert box["x"] + box["width"] <= 380  # 390 less the page's margin, and that of the cell


def test_a_page_is_printed_light_and_whole(reader):
    one = reader(color_scheme="dark")
    one.open("boards/cifar10")
    one.page.emulate_media(media="print", color_scheme="dark")
    look = one.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert look == "rgb(255, 255, 255)"
    assert one.page.locator(".controls").is_hidden()
    box = one.page.locator(".scroll.tall")
    assert box.evaluate("box => box.scrollHeight <= box.clientHeight + 1")


def test_the_board_is_used_by_the_keyboard_alone(reader):
    one = reader()
    one.open("boards/cifar10")
    one.page.keyboard.press("Tab")
    assert one.page.evaluate("document.activeElement.className") == "skip"
    one.page.get_by_label("Search").focus()
    one.page.keyboard.type("knn")
    assert set(entries(one)) <= {"knn", "logit_knn", "prob_knn"}
    head = one.page.locator(".live table.board thead th").nth(2).get_by_role("button")
    head.focus()
    one.page.keyboard.press("Enter")
    assert one.page.locator(".live table.board thead th").nth(2).get_attribute("aria-sort") == "ascending"


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_scrolls_sideways(reader, width):
    one = reader(width)
    wide = []
    for name in KINDS:
        one.open(name)
        if one.page.evaluate("document.documentElement.scrollWidth") > width:
            wide.append(name)
    assert wide == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation_of_wcag_aa(reader, scheme):
    package = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    axe = (files(package) / "axe.min.js").read_text(encoding="utf-8")
    one = reader(color_scheme=scheme, bypass_csp=True)  # axe is no script of ours
    for name in SMALL:
        one.open(name)
        one.page.evaluate(axe)
        run = f"axe.run(document, {{runOnly: {json.dumps(WCAG)}}})"
        violations = one.page.evaluate(run)["violations"]
        assert [(name, v["id"], v["nodes"][0]["html"]) for v in violations] == []


def test_no_page_weighs_more_than_400_kb(site):
    assert {p.name: p.stat().st_size for p in site.rglob("*.html") if p.stat().st_size > 400_000} == {}


def test_no_page_loads_anything_from_elsewhere(reader):
    one = reader()
    asked = []
    one.page.on("request", lambda request: asked.append(request.url))
    for name in KINDS:
        one.open(name)
    assert [url for url in asked if not url.startswith(("file:", "about:", "data:"))] == []
