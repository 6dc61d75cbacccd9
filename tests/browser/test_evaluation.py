"""The report of an evaluation as readers open it: from a disk, on a phone, in the dark, without scripts."""

import json
from importlib.resources import files

import outcomes
import pytest
from once import once

from reports.evaluation.report import write_report

CASES = {
    "full": {"corrupted": True, "near": 2, "far": 3, "warnings": ("Few images: intervals are wide.",)},
    "bare": {"labels": False, "near": 0, "far": 1, "detectors": 1, "ood_images": 1},
    "many": {"detectors": 45, "near": 4, "far": 8},
    "hostile": {"hostile": True, "corrupted": True, "far": 9},
}
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]


@pytest.fixture(scope="module")
def site(browser, tmp_path_factory):
    """A folder a case."""

    def make(folder):
        for name, case in CASES.items():
            one = outcomes.outcome(**case)
            write_report(one, folder / name, outcomes.thumbnails(one), outcomes.scored(one))

    return once(tmp_path_factory, "evaluation_reports", make)


@pytest.mark.parametrize("width", [390, 800, 1400])
def test_no_report_scrolls_sideways(reader, width):
    one = reader(width)
    for name in CASES:
        one.open(f"{name}/index")
        one.page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert (name, one.page.evaluate("document.documentElement.scrollWidth")) == (name, width)


def test_on_a_phone_the_answer_and_the_warnings_come_first(reader):
    one = reader(390)
    one.open("full/index")
    answer = one.page.locator("header p").first.bounding_box()
    warning = one.page.get_by_role("note", name="Warnings").bounding_box()
    assert answer["y"] + answer["height"] < warning["y"] < 800
    number = one.page.locator("main td:visible").first.bounding_box()
    assert number["x"] + number["width"] <= 380


def test_without_scripts_everything_stands_there(reader):
    one = reader(java_script_enabled=False)
    one.open("full/index")
    assert one.page.locator("main section").count() == 11
    rows = one.page.locator("table.sortable").first.locator("tbody tr")
    assert rows.count() == 8
    fold = one.page.locator("details").first
    fold.locator("summary").click()
    assert fold.locator("table").is_visible()


def test_the_board_is_sorted_by_a_click(reader):
    one = reader()
    one.open("many/index")
    heads = one.page.locator("table.sortable").first.locator("thead th")
    at = next(i for i, text in enumerate(heads.all_inner_texts()) if text.startswith("Cost"))
    heads.nth(at).get_by_role("button").click()
    costs = (
        one.page.locator("table.sortable").first.locator(f"tbody tr td:nth-child({at + 1})").all_inner_texts()
    )
    assert [float(cost) for cost in costs] == sorted(float(cost) for cost in costs)


def test_all_images_load_and_nothing_from_elsewhere(reader):
    one = reader()
    asked = []
    one.page.on("request", lambda request: asked.append(request.url))
    for name in CASES:
        one.open(f"{name}/index")
        one.page.evaluate("document.querySelectorAll('img').forEach((one) => { one.loading = 'eager'; })")
        one.page.wait_for_function("[...document.images].every((one) => one.complete)")
        assert one.page.evaluate("[...document.images].filter((one) => !one.naturalWidth).length") == 0
    assert [url for url in asked if not url.startswith(("file:", "about:"))] == []


def test_it_is_dark_where_the_reader_is_and_light_on_paper(reader):
    one = reader(color_scheme="dark")
    one.open("full/index")
    look = "getComputedStyle(document.body).backgroundColor"
    assert one.page.evaluate(look) == "rgb(21, 23, 26)"
    one.page.emulate_media(media="print", color_scheme="dark")
    assert one.page.evaluate(look) == "rgb(255, 255, 255)"
    assert one.page.locator(".scroll").first.evaluate("box => getComputedStyle(box).overflowX") == "visible"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation_of_wcag_aa(reader, scheme):
    package = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    axe = (files(package) / "axe.min.js").read_text(encoding="utf-8")
    one = reader(color_scheme=scheme, bypass_csp=True)  # axe is no script of ours
    for name in ("full", "bare", "hostile"):
        one.open(f"{name}/index")
        one.page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        one.page.evaluate(axe)
        violations = one.page.evaluate(f"axe.run(document, {{runOnly: {json.dumps(WCAG)}}})")["violations"]
        assert [(name, v["id"], v["nodes"][0]["html"]) for v in violations] == []
