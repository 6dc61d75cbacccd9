"""The pages of claims: numbers, dots, links, and hostile text."""

import re
from pathlib import Path

import pytest
import synthetic_records as synthetic
from claim_examples import NOISE, arms, register, results, shown_test, spec
from markdown_it import MarkdownIt
from page import Page, words

from reports.claims.page import claims_page
from reports.claims.register import Untested
from reports.claims.shown import dots_of, scale_of
from reports.select import select
from reports.site.build import build_site
from reports.site.strips import strip_of
from reports.site.text import plain

pytestmark = pytest.mark.usefixtures("undrawn")

SCRIPT = "<script>alert(1)</script>"


TABLE = "a|b `c` **d** [e](http://evil.example) <b>f</b>"


ALL, FAMILY = "claims", "claims/a"  # the page of all claims, and that of a family with its tests


def site_of(path: Path, values, claims, **rest) -> dict[str, tuple[Page, str]]:
    """By name, the pages of claims in HTML, taken apart, and in Markdown."""
    where = spec(tuple(values))
    build_site(where, results(values, **rest), path, generated=synthetic.NOW, register=claims)
    found = {
        name: (Page((path / f"{name}.html").read_text()), (path / f"{name}.md").read_text())
        for name in (ALL, FAMILY)
    }
    assert [page.name for page in (path / "claims").iterdir() if page.suffix == ".md"] == ["a.md"]
    return found


def rendered(markdown: str) -> Page:
    return Page(MarkdownIt("commonmark").enable("table").render(markdown))


def test_the_page_has_the_verdict_with_its_numbers(tmp_path):
    published = [{"figure": "AUROC 1.23 → 4.56", "tag": "V"}]
    site = site_of(tmp_path, arms(0.02), register(published=published))
    page, markdown = site[FAMILY]
    half = 100 * 2.364624 * NOISE.std(ddof=1) / 8**0.5  # t(.975, 7)
    for one, as_text in site.values():
        for text in (one.text, rendered(as_text).text):
            assert re.search("C-A1.*Energy is better.*supported", words(text))
    for text in (page.text, rendered(markdown).text):
        assert "AUROC 1.23 → 4.56 (read in the authors' release [V])" in text
        assert "AUROC: energy is higher than msp, by 0.50 points or more." in text
        assert f"+{2 - half:.2f}" in text
        assert f"+{2 + half:.2f}" in text
        assert "0.004" in text  # 1/256
        assert "Both arms score the same networks" in text
        assert "nan" not in text.split()
    for number in 2 + 100 * NOISE:
        assert f"+{number:.2f}" in markdown
    seeds = [a for tag, a in page.elements if tag == "circle"]
    assert len(seeds) == 8
    assert all(0 <= float(dot["cx"]) <= 220 for dot in seeds)


def test_claims_that_no_record_can_decide_are_listed_where_there_are_any():
    where = spec()
    counted = select(where, results(arms(0.02)))

    def titles(untested):
        claims = register().model_copy(update={"untested": untested})
        return [plain(one.title) for one in claims_page(claims, where, counted, []).sections]

    assert "Not tested yet" not in titles([])
    assert "Not tested yet" in titles([Untested(ids=["C-A99"], reason="Needs what is not here.")])


def test_dots_lie_on_the_scale():
    where = spec()
    finding = shown_test(register(), where, select(where, results(arms(0.02)))).finding
    (outcome,) = finding.outcomes
    dots = dots_of(outcome, scale_of(finding))
    strip = strip_of(dots)
    zero = strip.axis.zero
    per_unit = (strip.mean - zero) / outcome.answer.gain.mean
    assert strip.dots == pytest.approx([zero + per_unit * g for g in outcome.gains], abs=0.2)
    assert strip.axis.band[1] - zero == pytest.approx(per_unit * 0.005, abs=0.2)
    assert "0" in {text for _, text in strip.axis.ticks}
    assert len(strip.axis.ticks) >= 2
    assert "Gains of the seeds: 1.60, 2.30" in dots.alt


def test_one_seed_has_no_interval_on_the_page(tmp_path):
    page, markdown = site_of(tmp_path, arms(0.02, seeds=1), register())[FAMILY]
    assert "exploratory" in page.text
    assert not re.search(r"\bnan\b", page.text + markdown)


def test_pretraining_is_said_to_be_conditional_on_its_checkpoint():
    where = spec(inits=("scratch", "fractaldb"))
    found = select(where, results(arms(0.02), init="fractaldb"))
    shown = shown_test(register(inits=["fractaldb"]), where, found)
    assert any("conditional on one checkpoint" in factor for factor in shown.factors)


def test_hostile_text_stays_text(tmp_path):
    claims = register(
        {"about": SCRIPT},
        statement=f"{SCRIPT} {TABLE}",
        source=TABLE,
        about=SCRIPT,
        published=[{"figure": TABLE, "tag": "R"}],
    )
    claims = claims.model_copy(
        update={"metrics": {k: m.model_copy(update={"title": TABLE}) for k, m in claims.metrics.items()}}
    )
    for name, (page, markdown) in site_of(tmp_path, arms(0.02), claims).items():
        for one in (page, rendered(markdown)):
            assert not {tag for tag, _ in one.elements} & {"script", "img", "b"}
            assert not any(name.startswith("on") for _, attributes in one.elements for name in attributes)
            assert SCRIPT in one.text
            assert TABLE in one.text
        links = [link["href"] for link in rendered(markdown).all("a")]
        assert links == {ALL: ["index.md", "claims/a.md"], FAMILY: ["../claims.md"]}[name]
        tables = re.findall(
            r"<table>.*?</table>", MarkdownIt("commonmark").enable("table").render(markdown), re.S
        )
        assert len(tables) == 1
        for table in tables:
            rows = re.findall(r"<tr>.*?</tr>", table, re.S)
            assert len({len(re.findall(r"<t[hd]\b", row)) for row in rows}) == 1


def test_the_pages_are_sound(tmp_path):
    site = site_of(tmp_path, arms(0.02), register({}, {"role": "secondary"}, {"a": "absent"}))
    for name, (page, _) in site.items():
        ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
        assert len(ids) == len(set(ids))
        for _, attributes in page.elements:
            assert "style" not in attributes
            if "aria-labelledby" in attributes:
                assert attributes["aria-labelledby"] in ids
            link = attributes.get("href") or ""
            assert not re.match(r"[a-z]+:|//", link)
            path, _, anchor = link.partition("#")
            if path:
                assert ((tmp_path / name).parent / path).exists()
            elif anchor:
                assert anchor in ids
        tables = sum(tag == "table" for tag, _ in page.elements)
        assert tables == sum(tag == "caption" for tag, _ in page.elements)
    assert {name: len(page.all("table")) for name, (page, _) in site.items()} == {ALL: 1, FAMILY: 2}


def test_the_pages_are_linked_and_rebuilt_with_the_claims(tmp_path):
    values, where = arms(0.02), spec()
    files = results(values)
    assert build_site(where, files, tmp_path, generated=synthetic.NOW, register=register())
    assert 'href="claims.html"' in (tmp_path / "index.html").read_text()
    assert 'href="claims/a.html#C-A1"' in (tmp_path / "claims.html").read_text()
    assert "(claims.md)" in (tmp_path / "leaderboard.md").read_text()
    other = register(statement="Something else.")
    assert build_site(where, files, tmp_path, generated=synthetic.NOW, register=other)
    for page in ("claims.html", "claims/a.html", "index.html"):
        assert "Something else." in (tmp_path / page).read_text()
    (tmp_path / "claims.html").write_text("edited")
    assert build_site(where, files, tmp_path, generated=synthetic.NOW, register=other)
