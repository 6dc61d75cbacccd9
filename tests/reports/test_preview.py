"""A site that is not published says so on every page, in both formats; what it says is text and no markup."""

import re

import pytest
import synthetic_records as synthetic

from reports.site.build import build_site
from reports.site.publish import publish

SAID = "Pull request 7 at 0a1b2c3: an unmerged change, whose numbers nobody has verified."
SPEC = synthetic.make_spec(
    ["msp"], inits=["scratch"], backbones=["tiny_cnn"], boards={"b": synthetic.board()}
)


@pytest.fixture(scope="module")
def records():
    return synthetic.make_results(SPEC, seeds=[0, 1])


@pytest.mark.usefixtures("undrawn")
def test_every_page_of_a_preview_says_so_first_and_names_no_other_place(records, tmp_path):
    build_site(SPEC, records, tmp_path, generated=synthetic.NOW, preview=SAID)
    html, texts = sorted(tmp_path.rglob("*.html")), sorted(tmp_path.rglob("*.md"))
    assert len(html) > 10
    assert len(texts) == len(html) + 1
    for path in html:
        page = path.read_text()
        before_content = page.partition("<h1>")[0]
        assert f'<p class="mark" role="note"><strong>Preview.</strong> {SAID}</p>' in before_content, path
        assert "<title>Preview: " in page
        assert '<meta name="robots" content="noindex">' in page
        assert not re.search(r'(?:src|<link[^>]*href)="(?:https?:)?//', page), path  # it opens offline
    for path in texts:
        assert path.read_text().startswith(f"**Preview.** {SAID}\n\n# "), path


def test_an_empty_preview_says_so_too(tmp_path):
    build_site(SPEC, [], tmp_path, generated=synthetic.NOW, preview=SAID)
    assert SAID in (tmp_path / "index.html").read_text()


@pytest.mark.usefixtures("undrawn")
def test_published_pages_say_nothing_of_the_kind(records, tmp_path):
    build_site(SPEC, records, tmp_path, generated=synthetic.NOW)
    for path in [*tmp_path.rglob("*.html"), *tmp_path.rglob("*.md")]:
        text = path.read_text()
        assert "Preview" not in text
        assert "noindex" not in text


def test_what_a_preview_says_is_escaped(tmp_path):
    hostile = '<img src=x onerror="alert(1)"> **bold** [link](http://evil.example)'
    build_site(SPEC, [], tmp_path, generated=synthetic.NOW, preview=hostile)
    page = (tmp_path / "index.html").read_text()
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page
    first = (tmp_path / "index.md").read_text().splitlines()[0]
    assert "<img" not in first
    assert "\\[link\\](http" in first  # no link
    assert "**bold**" not in first


def test_a_site_is_made_anew_when_it_becomes_a_preview_or_is_none_any_more(tmp_path):
    (tmp_path / "results").mkdir()
    for preview in (SAID, "", "Another."):
        assert publish(SPEC, tmp_path / "results", tmp_path / "site", preview=preview)
        assert (SAID in (tmp_path / "site" / "index.html").read_text()) == (preview == SAID)
    assert publish(SPEC, tmp_path / "results", tmp_path / "site", preview="Another.") == []
