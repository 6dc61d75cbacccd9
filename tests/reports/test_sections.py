"""A page as data in both formats: every kind of block and cell, and text that tries to be markup."""

import json
import math
import re
from typing import get_args

import pytest
from markdown_it import MarkdownIt
from page import Page as Parsed

from reports.site.cells import (
    Content,
    Count,
    Dots,
    Estimate,
    Labels,
    Metric,
    Noted,
    Number,
    Position,
    Range,
    Scale,
)
from reports.site.html import html_of
from reports.site.markdown import markdown_of
from reports.site.sections import (
    Block,
    Bullets,
    Column,
    Command,
    Facts,
    Fold,
    Gallery,
    Live,
    Maths,
    Page,
    Paragraph,
    Picture,
    Pictures,
    Plot,
    Row,
    Section,
    Table,
    Warnings,
    blocks_of,
    pictures_of,
    plots_of,
    present,
)
from reports.site.text import Formula, Link, Span, code, strong

HOSTILE = '<b>"x"</b> a|b `c` **d** [e](http://evil.example) \\| {{ 1 }}'
SCALE = Scale(-0.01, 0.02, 0.005)
CELLS: dict[type, tuple[Content, str, str]] = {  # content, what HTML says, what Markdown says
    str: ("text", "text", "text"),
    tuple: ((strong("bold"), " not"), "bold not", "**bold** not"),
    int: (7, "7", "7"),
    type(None): (None, "–", "–"),
    Number: (Number(0.9732, half=0.004, best=True), "97.32 ± 0.40", "**97.32** ± 0.40"),
    Estimate: (Estimate(0.9, 0.81, 0.955), "90.00 [81.00, 95.50]", r"90.00 \[81.00, 95.50\]"),
    Range: (Range(-0.01, 0.02), "[−1.00, +2.00]", "−1.00 to +2.00"),
    Count: (Count(7, of=8), "7 of 8", "7 of 8"),
    Position: (Position(3, 1, 17, leads=True), "3 [1–17] ●", r"3 \[1–17\] ●"),
    Labels: (Labels(("msp", "scratch")), "msp · scratch", "msp · scratch"),
    Metric: (Metric("ECE", "lower"), "ECE ↓ (lower is better)", "ECE ↓"),
    Dots: (Dots("Gains", (0.01, 0.0), 0.005, None, SCALE), "Gains: 1.00, 0.00", "+1.00, 0.00"),
    Noted: (Noted("0–3", "without 2"), "0–3without 2", "0–3 (without 2)"),
}
PLOT = Plot("a~b.svg", "A plot", f"shows {HOSTILE}", "<svg/>", 10, 20, "x,y\n1,2\n")
PICTURE = Picture("samples/a.png", f"pixels of {HOSTILE}", b"", 10, 20)
BLOCKS: dict[type, tuple[Block, str]] = {  # block, what both say
    Paragraph: (Paragraph(("See ", Link("the claims", "claims"), ".")), "See the claims."),
    Bullets: (Bullets(("one", ("two ", code("run --all")))), "two run --all"),
    Facts: (Facts((("Seeds", "0–7"),)), "Seeds"),
    Command: (Command("oodbench run --all"), "oodbench run --all"),
    Table: (Table((Column("Head"),), (Row(("cell",)),), about="About it"), "About it"),
    Gallery: (Gallery((PLOT,)), ""),
    Picture: (Picture("samples/a.png", "pixels", b"", 10, 20), ""),
    Pictures: (Pictures(((PICTURE, ("taken for ", strong("a cat"))),)), "taken for a cat"),
    Warnings: (Warnings(("few images",)), "Warning. few images"),
    Maths: (Maths("x = 1"), "x = 1"),
    Fold: (Fold("The other 2", (Paragraph("one"), Paragraph("two"))), "The other 2 one two"),
    Live: (Live("board", {"of": "data"}, (Paragraph("without a script"),)), "without a script"),
}


def both(*blocks: Block, sections=(), **changes) -> tuple[Parsed, str]:
    """A page of one section in HTML, taken apart, and in Markdown."""
    made = Page(
        **{
            "name": "leaderboard",
            "title": "A title",
            "heading": "A heading?",
            "intro": "Intro.",
            "nav": (),
            "body": (),
            "sections": (Section("one", "One", blocks, sections),),
            "footer": "Made.",
            **changes,
        }
    )
    return Parsed(html_of(made)), markdown_of(made)


def rendered(markdown: str) -> Parsed:
    return Parsed(MarkdownIt("commonmark").enable("table").render(markdown))


def spoken(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("kind", get_args(Content))
def test_every_kind_of_cell_in_both_formats(kind):
    kind = getattr(kind, "__origin__", kind)
    content, in_html, in_markdown = CELLS[kind]
    page, markdown = both(Table((Column("Row"), Column("Cell")), (Row(("first", content)),)))
    assert in_html in spoken(page.text)
    assert f"| first | {in_markdown} |" in markdown


@pytest.mark.parametrize("kind", get_args(Block))
def test_every_kind_of_block_in_both_formats(kind):
    block, text = BLOCKS[kind]
    page, markdown = both(block)
    for found in (page.text, rendered(markdown).text):
        # within a formula white space means nothing
        said = "".join(found.split()) if kind is Maths else spoken(found)
        assert (text.replace(" ", "") if kind is Maths else text) in said


def test_pictures_and_plots_are_found_from_the_page_that_shows_them():
    for folder, up in (("", ""), ("boards/", "../"), ("a/b/", "../../")):
        several = Pictures(((PICTURE, "one"),))
        page, markdown = both(Gallery((PLOT,)), PICTURE, several, name=f"{folder}leaderboard")
        picture = (f"{up}samples/a.png", PICTURE.alt)
        for found in (page, rendered(markdown)):
            sources = [(image["src"], image["alt"]) for image in found.all("img")]
            assert sources == [(f"{up}plots/a~b.svg", PLOT.alt), picture, picture]


def test_what_is_folded_is_shown_when_the_reader_asks_for_it():
    page, _ = both(Fold("More", (Paragraph("hidden"), Table((Column("Head"),), (Row(("cell",)),)))))
    tags = [tag for tag, _ in page.elements]
    assert tags.index("details") < tags.index("summary") < tags.index("table")
    assert not page.all("details")[0]


def test_data_of_a_script_cannot_end_its_element():
    data = {"hostile": f"</script><!--{HOSTILE}&amp;", "numbers": [1.5, None, True]}
    page, markdown = both(Live("board", data, (Paragraph("the same"),)))
    scripts = page.all("script")
    assert [script.get("type") for script in scripts] == ["application/json", None, None]  # and our own
    (text,) = re.findall(
        r'<script type="application/json">(.*?)</script>', html_of(page_with(data)), re.DOTALL
    )
    assert json.loads(text) == data
    assert page.all("div")[0].get("data-script") == "board"
    assert "hostile" not in markdown
    with pytest.raises(ValueError, match="not JSON compliant"):
        html_of(page_with({"number": math.nan}))


def page_with(data) -> Page:
    body = (Live("board", data, ()),)
    return Page("leaderboard", "T", "H", "", (), body, (), "")


def test_a_page_has_the_scripts_that_its_blocks_need_wherever_they_stand():
    table = Table((Column("Row"),), (Row(("a",)),), sortable=True)
    live = Live("compare", {}, (Fold("More", (table,)),))
    for blocks, scripts in (
        ((), 0),
        ((table,), 1),
        ((live,), 4),
    ):  # its data is an element, and what scripts share
        page, _ = both(*blocks)
        assert len(page.all("script")) == scripts


def test_hostile_text_stays_text_wherever_it_stands():
    cells = (HOSTILE, (Span(HOSTILE, "strong"), code(HOSTILE)), Labels((HOSTILE, HOSTILE)))
    noted, dots = Noted(HOSTILE, HOSTILE), Dots(HOSTILE, (0.0,), 0.0, None, SCALE)
    columns = tuple(Column(HOSTILE) for _ in range(6))
    table = Table(
        columns, (Row((*cells, noted, dots, Metric(HOSTILE, "higher"))),), "t", HOSTILE, HOSTILE, HOSTILE
    )
    page, markdown = both(
        table,
        Paragraph((Link(HOSTILE, "claims"), HOSTILE)),
        Facts(((HOSTILE, HOSTILE),)),
        Bullets((HOSTILE,)),
        Gallery((PLOT,)),
        PICTURE,
        Fold(HOSTILE, (Paragraph(HOSTILE),)),
        Live("board", {HOSTILE: [HOSTILE]}, (Paragraph(HOSTILE),)),
        sections=(Section("two", HOSTILE, (), subtitle=HOSTILE),),
        title=HOSTILE,
        heading=HOSTILE,
        intro=HOSTILE,
        footer=HOSTILE,
    )
    parsed = rendered(markdown)
    for found in (page, parsed):
        assert not {"b", "em"} & {tag for tag, _ in found.elements}
        assert HOSTILE in found.text
        assert not any(name.startswith("on") for _, attributes in found.elements for name in attributes)
        links = {attributes["href"] for attributes in found.all("a")}
        assert links <= {"#main", "claims.html", "claims.md", "leaderboard.md", "plots/a~b.csv"}
        assert [image["src"] for image in found.all("img")] == ["plots/a~b.svg", "samples/a.png"]
        assert [image["alt"] for image in found.all("img")] == [PLOT.alt, PICTURE.alt]
    assert [script.get("type") for script in page.all("script")] == [
        "application/json",
        None,
        None,
    ]  # our own
    assert not parsed.all("script")
    assert len(parsed.all("td")) == len(columns)


@pytest.mark.parametrize(
    "path", ["../a", "a/../b", "/a", "a//b", "a b", "a.html#x", HOSTILE, "a~", "javascript:x"]
)
def test_a_path_that_leaves_the_site_or_is_markup_is_refused(path):
    for make in (
        lambda: Link("text", path),
        lambda: Link("text", file=path),
        lambda: Picture(path, "", b"", 1, 1),
    ):
        with pytest.raises(ValueError, match="cannot be a path of the site"):
            make()


@pytest.mark.parametrize(
    "url", ["http://a.org", "javascript:alert(1)", "https://a.org/ x", 'https://a"b', "//a"]
)
def test_an_address_that_is_not_https_is_refused(url):
    with pytest.raises(ValueError, match="expected an address that starts with https://"):
        Link("text", url=url)


def test_sections_nest_and_their_headings_go_down():
    inner = Section("", "Inner", (), (Section("deep", "Deepest", ()),))
    page, markdown = both(sections=(inner,))
    assert [tag for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)] == ["h1", "h2", "h3", "h4"]
    assert re.findall(r"^#+ .*", markdown, re.MULTILINE) == [
        "# A title",
        "## One",
        "### Inner",
        "#### Deepest",
    ]


def test_a_gallery_is_named_by_the_section_that_can_be_linked_to():
    page, _ = both(sections=(Section("", "Toy track", (Gallery((PLOT,)),)),))
    assert "One: A plot" in {attributes.get("aria-label") for _, attributes in page.elements}


def test_links_lead_to_the_page_of_the_same_format():
    outward = (Link("Claims", "claims"), Link("A1", "claims/a", "C-A1"), Link("CSV", file="data/a.csv"))
    nav = (*outward, Link("Paper", url="https://a.org/b(c)"), Link("One", anchor="one"))
    skip, same = "#main", "leaderboard.md"
    for folder, up in (("", ""), ("boards/", "../")):
        page, markdown = both(nav=nav, name=f"{folder}leaderboard")
        assert [link["href"] for link in page.all("a")] == [
            skip,
            f"{up}claims.html",
            f"{up}claims/a.html#C-A1",
            f"{up}data/a.csv",
            "https://a.org/b(c)",
            "#one",
            f"{up}{folder}{same}",
        ]
        assert [(link["href"]) for link in rendered(markdown).all("a")] == [
            f"{up}claims.md",
            f"{up}claims/a.md",
            f"{up}data/a.csv",
            "https://a.org/b%28c%29",
        ]
    assert [link.get("rel") for link in page.all("a")].count("noreferrer") == 1


def test_the_menu_marks_its_own_page():
    menu = (Link("Start", "index"), Link("Claims", "claims"))
    made = Page("claims", "T", "H", "", (), (), (), "")
    page = Parsed(html_of(made, menu))
    assert [(a["href"], a.get("aria-current")) for a in page.all("a")[1:3]] == [
        ("index.html", None),
        ("claims.html", "page"),
    ]


def test_formulas_are_mathml_in_html_and_unicode_in_markdown():
    page, markdown = both(Paragraph(("The sum ", Formula(r"\alpha^2"), ".")))
    assert len(page.all("math")) == 1
    assert "The sum α²." in markdown


def test_only_a_page_that_can_be_sorted_has_a_script_and_keys_to_sort_by():
    columns = (Column("Row", "text"), Column("Rank"), Column("AUROC", better="higher"))
    rows = (
        Row((Noted(Labels(("msp", "a")), "note"), None, Number(0.5))),
        Row((Labels(("knn",)), 1, Number(0.6))),
    )
    still, _ = both(Table(columns, rows))
    assert not still.all("script")
    assert not any("data-value" in attributes for _, attributes in still.elements)
    page, _ = both(Table(columns, rows, sortable=True))
    assert len(page.all("script")) == 1
    keys = [attributes["data-value"] for _, attributes in page.elements if "data-value" in attributes]
    assert keys == ["msp a", "1000000", "0.5", "knn", "1", "0.6"]
    assert [head.get("data-first") for head in page.all("th") if head["scope"] == "col"] == [
        None,
        None,
        "descending",
    ]


def test_code_keeps_its_backticks():
    for text in ("a `b` c", "`", "```x``"):
        _, markdown = both(Paragraph(("run ", code(text))))
        assert f"run {text}" in rendered(markdown).text


def test_a_line_starts_no_block():
    for text in ("# title", "- item", "1. item", "+ item", "= x"):
        _, markdown = both(Paragraph(text))
        assert rendered(markdown).text.count(text) == 1


def test_numbers_in_the_unit_of_the_pages():
    assert Number(0.5).text == "50.00"
    assert Number(0.5, percent=False).text == "0.500"
    assert Number(-0.00001).text == "0.00"
    assert Number(-0.00001, signed=True).text == "0.00"
    assert Number(0.01, signed=True).text == "+1.00"
    assert Number(-0.01, signed=True).text == "−1.00"
    assert (Number(0.5, half=math.nan).spread, Number(0.5, half=0.0).spread) == ("", "0.00")


def test_a_row_with_too_few_cells_is_refused():
    with pytest.raises(ValueError, match=r"a row has 1 cells, expected 2 \(\['a', 'b'\]\)"):
        Table((Column("a"), Column("b")), (Row(("x",)),))


def test_plots_of_nested_sections_are_found_in_order():
    def gallery(name):
        return Gallery((Plot(name, "", "", "", 1, 1, ""),))

    inner = Section("", "inner", (gallery("b"),))
    sections = present(Section("", "a", (gallery("a"),), (inner,)), None, Section("", "c", (gallery("c"),)))
    assert [plot.file for plot in plots_of(sections)] == ["a", "b", "c"]
    hidden = Section("", "d", (Fold("d", (Live("board", {}, (gallery("d"),)),)), gallery("e")))
    assert [plot.file for plot in plots_of([hidden])] == ["d", "e"]


def test_pictures_of_a_page_are_found_wherever_they_stand():
    def picture(name):
        return Picture(name, "", b"", 1, 1)

    inner = Section("", "inner", (Live("board", {}, (picture("c"),)),))
    sections = (Section("", "a", (picture("b"),), (inner,)),)
    page = Page("p", "T", "H", "", (), (Fold("more", (picture("a"),)),), sections, "")
    assert [one.file for one in pictures_of(page)] == ["a", "b", "c"]
    assert [type(one) for one in blocks_of(sections)] == [Picture, Live, Picture]
