"""A page as data in both formats: every kind of block and cell, and text that tries to be markup."""

import math
import re
from typing import get_args

import pytest
from markdown_it import MarkdownIt
from page import Page as Parsed

from reports.site.html import html_of
from reports.site.markdown import markdown_of
from reports.site.sections import (
    Block,
    Bullets,
    Column,
    Command,
    Content,
    Count,
    Dots,
    Facts,
    Gallery,
    Labels,
    Link,
    Metric,
    Noted,
    Number,
    Page,
    Paragraph,
    Plot,
    Range,
    Row,
    Scale,
    Section,
    Span,
    Table,
    code,
    plots_of,
    present,
    strong,
)

HOSTILE = '<b>"x"</b> a|b `c` **d** [e](http://evil.example) \\| {{ 1 }}'
SCALE = Scale(-0.01, 0.02, 0.005)
CELLS: dict[type, tuple[Content, str, str]] = {  # content, what HTML says, what Markdown says
    str: ("text", "text", "text"),
    tuple: ((strong("bold"), " not"), "bold not", "**bold** not"),
    int: (7, "7", "7"),
    type(None): (None, "–", "–"),
    Number: (Number(0.9732, half=0.004, best=True), "97.32 ± 0.40", "**97.32** ± 0.40"),
    Range: (Range(-0.01, 0.02), "[−1.00, +2.00]", "−1.00 to +2.00"),
    Count: (Count(7, of=8), "7 of 8", "7 of 8"),
    Labels: (Labels(("msp", "scratch")), "msp · scratch", "msp · scratch"),
    Metric: (Metric("ECE", "lower"), "ECE ↓ (lower is better)", "ECE ↓"),
    Dots: (Dots("Gains", (0.01, 0.0), 0.005, None, SCALE), "Gains: 1.00, 0.00", "+1.00, 0.00"),
    Noted: (Noted("0–3", "without 2"), "0–3without 2", "0–3 (without 2)"),
}
PLOT = Plot("a~b.svg", "A plot", f"shows {HOSTILE}", "<svg/>", 10, 20)
BLOCKS: dict[type, tuple[Block, str]] = {  # block, what both say
    Paragraph: (Paragraph(("See ", Link("the claims", "claims"), ".")), "See the claims."),
    Bullets: (Bullets(("one", ("two ", code("run --all")))), "two run --all"),
    Facts: (Facts((("Seeds", "0–7"),)), "Seeds"),
    Command: (Command("oodbench run --all"), "oodbench run --all"),
    Table: (Table((Column("Head"),), (Row(("cell",)),), about="About it"), "About it"),
    Gallery: (Gallery((PLOT,)), ""),
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
    assert text in spoken(page.text)
    assert text in spoken(rendered(markdown).text)


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
        sections=(Section("two", HOSTILE, (), subtitle=HOSTILE),),
        title=HOSTILE,
        heading=HOSTILE,
        intro=HOSTILE,
        footer=HOSTILE,
    )
    parsed = rendered(markdown)
    for found in (page, parsed):
        assert not {"b", "em", "script"} & {tag for tag, _ in found.elements}
        assert HOSTILE in found.text
        assert not any(name.startswith("on") for _, attributes in found.elements for name in attributes)
        links = {attributes["href"] for attributes in found.all("a")}
        assert links <= {"claims.html", "claims.md", "leaderboard.md"}
        assert [image["src"] for image in found.all("img")] == ["plots/a~b.svg"]
        assert found.all("img")[0]["alt"] == PLOT.alt
    assert len(parsed.all("td")) == len(columns)


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
    nav = (Link("Claims", "claims"), Link("One", anchor="one"))
    page, markdown = both(nav=nav)
    assert [link["href"] for link in page.all("a")] == ["claims.html", "#one", "leaderboard.md"]
    assert re.findall(r"\[(.*?)\]\((.*?)\)", markdown) == [("Claims", "claims.md")]


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
        return Gallery((Plot(name, "", "", "", 1, 1),))

    inner = Section("", "inner", (gallery("b"),))
    sections = present(Section("", "a", (gallery("a"),), (inner,)), None, Section("", "c", (gallery("c"),)))
    assert [plot.file for plot in plots_of(sections)] == ["a", "b", "c"]
