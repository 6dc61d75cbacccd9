"""What an evaluation leaves: whole, the same from the same, true to the outcome, and safe with any name."""

import base64
import csv
import hashlib
import json
import re
import subprocess
import xml.etree.ElementTree as ET

import outcomes
import pytest
from markdown_it import MarkdownIt
from page import Page, broken_links, words

from benchmark.errors import DataError
from benchmark.evaluation.outcome import Outcome
from reports.evaluation.about import use_section
from reports.evaluation.figures import histograms
from reports.evaluation.report import json_of, write_report
from reports.evaluation.words import readable
from reports.site.sections import Command

CASES = {
    "plain": {},
    "full": {"corrupted": True, "near": 2, "far": 3, "warnings": ("Too few images.",)},
    "unlabelled": {"labels": False, "corrupted": True},
    "far only": {"near": 0, "far": 1},
    "one image": {"ood_images": 1, "near": 1, "far": 0, "detectors": 1},
    "many": {"detectors": 45, "near": 4, "far": 8, "corrupted": True},
    "hostile": {"hostile": True, "corrupted": True, "far": 9},
}
SECTIONS = (
    "Why this one", "Thresholds", "All detectors", "Scores, ROC and cost",
    "Errors and confidence of the classifier", "Under corruptions", "The images that fool it most",
    "How to use it", "The data", "The model", "How the numbers are made",
)  # fmt: skip
VOID = {"meta", "img", "br", "wbr", "link"}


def written(folder, **case):
    outcome = outcomes.outcome(**case)
    files = write_report(outcome, folder, outcomes.thumbnails(outcome), outcomes.scored(outcome))
    return outcome, files


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """Every case, written once: the outcome, its folder, its page."""
    found = {}
    for name, case in CASES.items():
        folder = tmp_path_factory.mktemp("report") / "report"
        outcome, _ = written(folder, **case)
        found[name] = outcome, folder, Page((folder / "index.html").read_text(encoding="utf-8"))
    return found


@pytest.fixture(params=CASES)
def report(request, reports):
    return reports[request.param]


class Nested(Page):
    """Keeps what is open, so that an element that is not closed is found."""

    def __init__(self, text):
        self.open = []
        super().__init__(text)

    def handle_starttag(self, tag, attrs):
        super().handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        super().handle_starttag(tag, attrs)

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


def headings(folder):
    return re.findall(r"<h2[^>]*>(.*?)</h2>", (folder / "index.html").read_text(encoding="utf-8"))


def test_every_section_shows_in_html_and_markdown(reports):
    _, folder, _ = reports["full"]
    assert tuple(headings(folder)) == SECTIONS
    markdown = (folder / "report.md").read_text(encoding="utf-8")
    assert tuple(re.findall(r"^## (.*)$", markdown, re.MULTILINE)) == SECTIONS


def test_without_labels_nothing_is_said_of_accuracy(reports):
    _, folder, page = reports["unlabelled"]
    assert "Errors and confidence of the classifier" not in headings(folder)
    assert "have no labels" in words(page.text)
    assert "AURC" not in page.text
    assert "Accuracy of kept" not in page.text
    assert not (folder / "plots" / "reliability.svg").exists()
    assert "Under corruptions" in headings(folder)


def test_pages_are_well_formed_with_ids_that_are_their_own(report):
    _, folder, page = report
    assert Nested((folder / "index.html").read_text(encoding="utf-8")).open == []
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    labels = [
        attributes["aria-labelledby"] for _, attributes in page.elements if "aria-labelledby" in attributes
    ]
    assert set(labels) <= set(ids)


def test_figures_are_xml_and_say_what_they_show(report):
    _, folder, page = report
    figures = sorted((folder / "plots").glob("*.svg"))
    assert {f"plots/{path.name}" for path in figures} == {
        image["src"] for image in page.all("img") if image["src"].startswith("plots/")
    }
    for path in figures:
        root = ET.fromstring(path.read_text(encoding="utf-8"))
        (title,) = root.findall("{http://www.w3.org/2000/svg}title")
        shown = next(image for image in page.all("img") if image["src"] == f"plots/{path.name}")
        assert shown["alt"] == title.text
        assert re.search(r"\d", title.text)
        assert path.with_suffix(".csv").is_file()


def test_numbers_drawn_lie_within_their_figure(report):
    for path in (report[1] / "plots").glob("*.svg"):
        root = ET.fromstring(path.read_text(encoding="utf-8"))
        width, height = float(root.get("width")), float(root.get("height"))
        for mark in root.iter("{http://www.w3.org/2000/svg}circle"):
            assert 0 <= float(mark.get("cx")) <= width
            assert 0 <= float(mark.get("cy")) <= height
        for text in root.iter("{http://www.w3.org/2000/svg}text"):
            assert 0 <= float(text.get("x")) <= width
            assert 0 <= float(text.get("y")) <= height


def test_links_lead_somewhere_and_nothing_is_from_elsewhere(report):
    _, folder, page = report
    assert broken_links(folder) == []
    for tag, attributes in page.elements:
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        for name in ("src", "href", "data", "action"):
            if attributes.get(name):
                assert not re.match(r"(?i)(?:[a-z]+:|//)", attributes[name]), (tag, attributes)


def test_the_content_policy_names_our_style_and_scripts_alone(report):
    text = (report[1] / "index.html").read_text(encoding="utf-8")
    policy = next(m["content"] for m in report[2].all("meta") if m.get("http-equiv"))
    inline = re.findall(r"<(?:style|script)>(.*?)</(?:style|script)>", text, re.DOTALL)
    named = {f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in inline}
    assert named == set(re.findall(r"'sha256-[^']+'", policy))
    assert policy.startswith("default-src 'none'")


def test_equal_outcomes_give_equal_bytes_and_so_does_the_json_read_again(report, tmp_path):
    outcome, folder, _ = report
    again = Outcome.model_validate_json((folder / "report.json").read_bytes())
    assert again == outcome
    write_report(again, tmp_path / "again", outcomes.thumbnails(again), outcomes.scored(again))
    files = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert files == {
        path.relative_to(tmp_path / "again"): path.read_bytes()
        for path in (tmp_path / "again").rglob("*")
        if path.is_file()
    }


def test_json_is_one_text_whatever_the_order_of_mappings(reports):
    outcome = reports["plain"][0]
    turned = json.loads(json_of(outcome), object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    assert list(turned) != list(outcome.model_dump())
    assert json_of(Outcome.model_validate(turned)) == json_of(outcome)


def test_the_answer_is_of_the_recommended_detector_and_the_first_threshold(reports):
    outcome, _, page = reports["plain"]
    best = next(one for one in outcome.detectors if one.name == outcome.recommended.name)
    cut, text = outcome.thresholds[0], words(page.text)
    lookalikes = cut.passed["lookalikes"]
    assert f"Use {best.name} at {cut.threshold:.4g}: it keeps {100 * cut.kept.value:.1f} %" in text
    assert (
        f"lets {100 * lookalikes.value:.1f} % ({100 * lookalikes.low:.1f}–{100 * lookalikes.high:.1f})"
        in text
    )
    assert f"AUROC {100 * best.near.value:.1f} ({100 * best.near.low:.1f}–" in text
    assert f"it costs {best.cost:.2f} forward passes." in text


def test_a_group_without_sets_is_not_spoken_of(reports):
    page = words(reports["far only"][2].text)
    answer = page[page.index("Use ") : page.index("forward passes.")]
    assert "near" not in answer
    assert "of the far OOD images through" in answer
    assert "Near AUROC" not in page


def test_warnings_stand_before_all_sections(reports):
    text = words(reports["full"][2].text)
    assert text.index("Use ") < text.index("Too few images.") < text.index("Why this one")
    assert 'class="warnings"' not in (reports["plain"][1] / "index.html").read_text()


def test_every_detector_stands_on_the_board_and_the_others_with_their_reasons(reports):
    outcome, folder, page = reports["many"]
    text = (folder / "index.html").read_text(encoding="utf-8")
    board = text[text.index('id="all-detectors"') : text.index('id="by-set"')]
    names = re.findall(r'<th scope="row" data-value="([^"]*)"', board)
    shown = [name.removesuffix(" recommended") for name in names]
    assert shown == [one.name for one in outcome.detectors]
    assert all(one.why in page.text for one in outcome.not_applicable)


def test_the_threshold_is_drawn_where_it_is(reports):
    """At 0.39 of [−1, 1], on an axis from 50 to 344."""
    outcome, folder, _ = reports["plain"]
    cut = outcome.thresholds[0].threshold
    svg = (folder / "plots" / "scores-1.svg").read_text()
    x = float(re.search(r'd="M([\d.]+) \d+V[\d.]+" stroke="#A63A00"', svg)[1])
    assert x == pytest.approx(50 + 294 * (cut + 1) / 2, abs=0.1)


def test_pictures_are_shown_in_order_with_captions(reports):
    outcome, folder, page = reports["full"]
    shown = [image for image in page.all("img") if image["src"].startswith("thumbnails/")]
    assert len(shown) == len(outcome.fooling)
    for image, one in zip(shown, outcome.fooling, strict=True):
        assert image["alt"] == f"{one.image} of {one.set}"
        assert max(int(image["width"]), int(image["height"])) == 128
        assert (folder / image["src"]).is_file()
    found = outcomes.thumbnails(outcome)
    first = outcome.fooling[0]
    assert (folder / shown[0]["src"]).read_bytes() == found[first.set, first.image]


def test_images_without_a_picture_stand_in_the_table(tmp_path):
    outcome = outcomes.outcome()
    write_report(outcome, tmp_path, {}, ())
    page = Page((tmp_path / "index.html").read_text())
    assert not (tmp_path / "thumbnails").exists()
    assert all(one.image in page.text for one in outcome.fooling)


@pytest.mark.parametrize(
    "data", [b"", b"<svg onload=alert(1)>", b"GIF89a\x01\x00\x01\x00", b"\x89PNG\r\n\x1a\n"]
)
def test_a_picture_that_is_none_is_refused(tmp_path, data):
    outcome = outcomes.outcome()
    first = outcome.fooling[0]
    with pytest.raises(DataError, match="expected PNG or JPEG"):
        write_report(outcome, tmp_path, {(first.set, first.image): data}, ())


def test_what_an_earlier_report_left_goes_and_files_of_others_stay(tmp_path):
    written(tmp_path, near=2, far=3, corrupted=True)
    (tmp_path / "detector").mkdir()
    for name in ("detector/detector.json", "plots/mine.svg", "thumbnails/mine.png", "notes.txt"):
        (tmp_path / name).write_text("mine")
    _, files = written(tmp_path, near=0, far=1, labels=False)
    left = {path for path in tmp_path.rglob("*") if path.is_file()}
    mine = {
        tmp_path / n for n in ("detector/detector.json", "plots/mine.svg", "thumbnails/mine.png", "notes.txt")
    }
    assert left == {*files, *mine}


def test_hostile_names_are_no_markup(reports):
    _, folder, page = reports["hostile"]
    tags = {tag for tag, _ in page.elements}
    assert tags == {tag for tag, _ in reports["full"][2].elements}
    markdown = (folder / "report.md").read_text(encoding="utf-8")
    rendered = Page(MarkdownIt("commonmark").enable("table").render(markdown))
    known = {tag for tag, _ in Page(MarkdownIt("commonmark").enable("table").render(
        (reports["full"][1] / "report.md").read_text(encoding="utf-8"))).elements}  # fmt: skip
    assert {tag for tag, _ in rendered.elements} <= known
    for text in (page.text, rendered.text):
        assert outcomes.SCRIPT in text
        assert "http://evil.example" in text


def test_no_text_turns_the_direction_or_controls_a_terminal(reports):
    for path in reports["hostile"][1].rglob("*"):
        if path.suffix in (".html", ".md", ".svg"):
            text = path.read_text(encoding="utf-8")
            assert [c for c in text if not c.isprintable() and c != "\n"] == [], path.name
    assert "שלום.png" in reports["hostile"][2].text  # letters of other scripts are letters


def test_rows_of_markdown_tables_have_the_cells_of_their_heads(report):
    tokens = (
        MarkdownIt("commonmark").enable("table").parse((report[1] / "report.md").read_text(encoding="utf-8"))
    )
    tables, sizes = 0, []
    for token in tokens:
        if token.type == "tr_open":
            sizes.append(0)
        elif token.type in ("td_open", "th_open"):
            sizes[-1] += 1
        elif token.type == "table_close":
            assert len(set(sizes)) == 1
            tables, sizes = tables + 1, []
    html = (report[1] / "index.html").read_text(encoding="utf-8")
    assert tables == html.count("<table")


def test_two_names_that_look_alike_stay_two():
    outcome = outcomes.outcome(far=1, near=1)
    names = {"lookalikes": "a\u202eb", "textures": "a\\u202eb"}
    text = json_of(outcome)
    for name, other in names.items():
        text = text.replace(json.dumps(name), json.dumps(other))
    found = readable(Outcome.model_validate_json(text))
    shown = [one.name for one in found.sets if one.role in ("near", "far")]
    assert len(set(shown)) == 2
    assert set(found.drawn.tpr) == set(shown)


@pytest.mark.parametrize(
    "title", ["x'; echo hit #\n", "$(echo hit)", "`echo hit`", "it's $(echo hit)", '"; echo hit; "', "a b"]
)
def test_a_command_to_copy_hands_the_model_over_as_it_is(title):
    evil = outcomes.outcome().model_copy(update={"model": {"title": title}})
    blocks = use_section(readable(evil)).body
    (command,) = (one.text for one in blocks if isinstance(one, Command) and "--model" in one.text)
    said = command.replace("oodbench score", "printf '%s\\n'", 1)
    done = subprocess.run(["sh", "-c", said], capture_output=True, text=True, check=True)
    given = title.replace("\n", " ")
    assert done.stdout.splitlines() == ["--detector", "report/detector", "--model", given, "images/"]


def test_scores_that_are_all_equal_are_drawn():
    outcome = outcomes.outcome()
    drawn = outcome.drawn.model_copy(update={"edges": [1.5] * len(outcome.drawn.edges)})
    for plot in histograms(outcome.model_copy(update={"drawn": drawn})):
        text = [one.text for one in ET.fromstring(plot.svg).iter("{http://www.w3.org/2000/svg}text")]
        assert {"1", "1.4", "1.6", "2"} <= set(text)


def test_a_single_detector_is_compared_with_none(reports):
    _, folder, _ = reports["one image"]
    assert not (folder / "plots" / "costs.svg").exists()
    assert (reports["plain"][1] / "plots" / "costs.svg").exists()


def test_no_csv_of_a_figure_holds_a_formula(reports):
    read = 0
    for path in (reports["hostile"][1] / "plots").glob("*.csv"):
        for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines()):
            assert not row["series"].startswith(("=", "+", "-", "@")), path.name
            read += row["series"] == f"'{outcomes.FORMULA}"
    assert read > 2
