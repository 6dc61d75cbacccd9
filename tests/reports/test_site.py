import re
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import pytest
import synthetic_records as synthetic
from markdown_it import MarkdownIt
from page import Page

from benchmark.records.results import write_records
from benchmark.records.text import record_path
from reports.site.build import build_site
from reports.site.markdown import escape_markdown
from reports.site.publish import publish

SCRIPT = "<script>alert(1)</script>"
IMAGE = '"><img src=x onerror=alert(1)>'
TABLE = "a|b `c` **d** [e](http://evil.example) <b>f</b>"


def small_spec(**board):
    return synthetic.make_spec(
        ["msp"], inits=["scratch"], backbones=["tiny_cnn"], boards={"b": synthetic.board(**board)}
    )


@pytest.fixture(scope="module")
def page(full_site):
    return Page((full_site[0] / "index.html").read_text())


@pytest.fixture(scope="module")
def markdown(full_site):
    return (full_site[0] / "leaderboard.md").read_text()


@pytest.fixture(scope="module")
def hostile_site(tmp_path_factory):
    """Everything that a record or leaderboard.yaml can say freely is hostile."""
    out = tmp_path_factory.mktemp("hostile")
    columns = [{"metric": "near.auroc", "title": SCRIPT, "better": "higher"}]
    spec = small_spec(title=SCRIPT, about=IMAGE, columns=columns)
    track = spec.tracks["toy"].model_copy(update={"title": TABLE})
    foreign = "of_another_package"  # which may have any hyper-parameters
    entries = {"msp": spec.entries["msp"].model_copy(update={"detector": foreign})}
    spec = spec.model_copy(update={"tracks": {"toy": track}, "entries": entries})
    (file,) = synthetic.make_results(spec, seeds=[0])
    hostile = {"detector": foreign, "hyperparameters": {SCRIPT: IMAGE, "b|c": TABLE}}
    measured = synthetic.set_up(file.records[0], **hostile)
    reason = f"{SCRIPT}\n{IMAGE} {TABLE}"
    failed = synthetic.make_record("tiny_cnn", "scratch", 1, None, reason=reason, detector=foreign)
    environment = file.environments["e1"].model_copy(
        update={"libraries": {SCRIPT: IMAGE}, "processor": TABLE, "commit": SCRIPT}
    )
    files = [
        file.model_copy(update={"records": [measured, failed], "environments": {"e1": environment}}),
        file.model_copy(update={"track": SCRIPT}),
        file.model_copy(update={"row": IMAGE}),
    ]
    build_site(spec, files, out, generated=synthetic.NOW)
    return out


def test_reports_need_neither_torch_nor_pyplot():
    code = (
        "import sys, reports.site.build, reports.site.publish, reports.console.results; "
        "print([m for m in ('torch', 'timm', 'matplotlib.pyplot') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_everything_asked_for_is_written(full_site):
    out, written = full_site
    assert sorted(path for path in out.rglob("*") if path.is_file()) == sorted(written)
    tops = {path.relative_to(out).parts[0] for path in written}
    assert tops == {"index.html", "leaderboard.md", "claims.html", "claims.md", "plots", "site.json"}


def test_every_board_is_on_the_page(page, markdown):
    assert len(page.all("table")) == 2 + 2 + 2 + 1  # boards, comparison, not measured, entries
    for title in ("OOD detection", "Each backbone"):
        assert title in page.text
        assert f"## {title}\n" in markdown


def test_links_within_the_page_lead_somewhere(page):
    targets = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    links = [attributes["href"] for attributes in page.all("a")]
    assert len(links) > 8
    assert {link.removeprefix("#") for link in links if link.startswith("#")} <= targets
    references = {a["aria-labelledby"] for _, a in page.elements if "aria-labelledby" in a}
    assert references <= targets


def test_ids_are_unique(page):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_numbers_are_mean_and_interval(markdown):
    # msp from scratch by hand: mean over backbones within the seed, then a t interval over the 8 seeds
    spec = synthetic.make_spec()
    msp = next(f for f in synthetic.make_results(spec) if f.row == "msp")
    by_seed = [
        sum(100 * r.numbers["near.auroc"] for r in msp.records if (r.init, r.seed) == ("scratch", seed)) / 2
        for seed in range(8)
    ]
    mean = sum(by_seed) / 8
    sd = (sum((x - mean) ** 2 for x in by_seed) / 7) ** 0.5
    half = 2.364624 * sd / 8**0.5  # t(0.975, 7) from the table
    assert re.search(rf"^\| msp · scratch \| \d+ \| {mean:.2f} ± {half:.2f} \|", markdown, re.MULTILINE)


def test_missing_seeds_and_reasons_are_said(page, markdown):
    for text in (page.text, MarkdownIt("commonmark").enable("table").render(markdown)):
        assert "without seed 3" in text
        assert "scores are not finite" in text
        assert "7 of 8" in text or "7 (without seed 3)" in text


def test_the_caveat_on_checkpoints_is_said(page, markdown):
    for text in (page.text, markdown):
        assert "conditional on that checkpoint" in text


def test_l16_the_pages_say_which_area_aupr_is(full_site):
    for name in ("index.html", "leaderboard.md"):
        text = " ".join((full_site[0] / name).read_text().split())
        assert "AUPR is average precision" in text
        assert "OpenOOD and pytorch-ood" in text


def test_images_exist_and_have_alternative_texts(full_site, page):
    images = page.all("img")
    assert {image["src"] for image in images} == {
        f"plots/{p.name}" for p in (full_site[0] / "plots").iterdir()
    }
    assert all(len(image["alt"]) > 60 and image["loading"] == "lazy" for image in images)


def test_nothing_is_loaded_from_elsewhere(full_site, page):
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            assert not re.match(r"(?i)\s*([a-z]+:|//)", attributes.get(name) or ""), (tag, attributes)
    assert not page.all("link")
    html = (full_site[0] / "index.html").read_text()
    assert "@import" not in html
    assert "url(" not in html
    assert not re.search(r"https?://", html)


def test_the_policy_allows_only_our_own_style_and_script(page):
    (policy,) = [a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not any("style" in attributes for _, attributes in page.elements)  # it would be refused


def test_tables_are_accessible(page):
    assert len(page.all("caption")) == len(page.all("table"))
    assert {head.get("scope") for head in page.all("th")} == {"col", "row"}
    assert any(a.get("name") == "viewport" for a in page.all("meta"))
    assert page.all("html") == [{"lang": "en"}]


def test_hostile_text_stays_text_in_html(hostile_site):
    page = Page((hostile_site / "index.html").read_text())
    assert len(page.all("script")) == 1  # our own
    assert all(image["src"].startswith("plots/") for image in page.all("img"))
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert "b" not in {tag for tag, _ in page.elements}
    for text in (SCRIPT, IMAGE, TABLE):
        assert text in page.text
    assert f"track {SCRIPT!r} is not in leaderboard.yaml" in page.text


def test_hostile_text_stays_text_in_markdown(hostile_site):
    markdown = (hostile_site / "leaderboard.md").read_text()
    page = Page(MarkdownIt("commonmark").enable("table").render(markdown))
    assert [attributes["href"] for attributes in page.all("a")] == ["claims.md"]  # our own
    assert all(image["src"].startswith("plots/") for image in page.all("img"))
    tags = {tag for tag, _ in page.elements}
    assert tags <= {
        "a",
        "h1",
        "h2",
        "h3",
        "img",
        "p",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "ul",
        "li",
        "strong",
        "code",
    }
    for text in (SCRIPT, IMAGE, TABLE):
        assert text in page.text


def test_markdown_tables_keep_their_columns(hostile_site):
    rendered = MarkdownIt("commonmark").enable("table").render((hostile_site / "leaderboard.md").read_text())
    tables = re.findall(r"<table>.*?</table>", rendered, re.DOTALL)
    assert len(tables) == 4
    for table in tables:
        widths = {len(re.findall(r"<t[hd]\b", row)) for row in re.findall(r"<tr>.*?</tr>", table, re.DOTALL)}
        assert len(widths) == 1
        assert re.search(r"<td", table)


@pytest.mark.parametrize(
    ("value", "escaped"),
    [
        ("test_resnet", "test_resnet"),
        ("_emphasis_", r"\_emphasis\_"),
        ("a|b", r"a\|b"),
        ("`x`", r"\`x\`"),
        ("<b>&", "&lt;b&gt;&amp;"),
        ("two\nlines", "two lines"),
        ("# title", r"\# title"),
        ("- item", r"\- item"),
        ("1. item", r"1\. item"),
        ("97.32", "97.32"),
        ("+1.20", "+1.20"),
        ("0.1.0", "0.1.0"),
    ],
)
def test_markdown_escapes(value, escaped):
    assert escape_markdown(value) == escaped
    assert Page(MarkdownIt("commonmark").render(escaped)).text.strip() == " ".join(value.split())


def test_without_records_the_page_says_what_to_run(tmp_path):
    written = build_site(synthetic.make_spec(), [], tmp_path, generated=synthetic.NOW)
    pages = {"index.html", "leaderboard.md", "claims.html", "claims.md"}
    assert {path.name for path in written} == {*pages, "site.json"}
    for path in written[:4]:
        assert "There are no records yet." in path.read_text()
        assert "oodbench run --all" in path.read_text()


@pytest.mark.usefixtures("undrawn")
def test_failures_alone_make_a_page(tmp_path):
    spec = small_spec()
    files = synthetic.make_results(spec, lambda *_: False, seeds=[0])
    build_site(spec, files, tmp_path, generated=synthetic.NOW)
    text = Page((tmp_path / "index.html").read_text()).text
    assert "Nothing of this board has been measured yet." in text
    assert "scores are not finite" in text


@pytest.mark.usefixtures("undrawn")
def test_one_seed_has_no_interval(tmp_path):
    spec = small_spec()
    build_site(spec, synthetic.make_results(spec, seeds=[0]), tmp_path, generated=synthetic.NOW)
    markdown = (tmp_path / "leaderboard.md").read_text()
    (row,) = re.findall(r"^\| msp · scratch \| – \|.*$", markdown, re.MULTILINE)
    assert "±" not in row
    assert "nan" not in markdown
    assert "nan" not in Page((tmp_path / "index.html").read_text()).text.split()


@pytest.mark.usefixtures("undrawn")
def test_records_of_an_unknown_track_are_noted(tmp_path):
    spec = small_spec()
    files = [file.model_copy(update={"track": "moon"}) for file in synthetic.make_results(spec, seeds=[0])]
    build_site(spec, files, tmp_path, generated=synthetic.NOW)
    for name in ("index.html", "leaderboard.md"):
        assert "1 record left out: track 'moon'" in Page((tmp_path / name).read_text()).text


def test_the_same_input_gives_the_same_bytes_and_nothing_else_is_touched(tmp_path):
    spec = small_spec()
    files = synthetic.make_results(spec, seeds=[0, 1])
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "mine.svg").write_text("mine")
    written = build_site(spec, files, tmp_path, generated=synthetic.NOW)
    before = {path: path.read_bytes() for path in written}
    elsewhere = synthetic.NOW.astimezone(timezone(timedelta(hours=9)))  # the same moment
    (tmp_path / "site.json").unlink()
    assert build_site(spec, files, tmp_path, generated=elsewhere) == written
    assert {path: path.read_bytes() for path in written} == before
    assert (tmp_path / "plots" / "mine.svg").read_text() == "mine"


def make_other(spec):
    track = spec.tracks["toy"].model_copy(update={"title": "Another"})
    return spec.model_copy(update={"tracks": {"toy": track}})


@pytest.mark.usefixtures("undrawn")
def test_pages_that_are_up_to_date_stay_as_they_are(tmp_path):
    spec = small_spec()
    site, results = tmp_path / "site", tmp_path / "results"
    for seeds in ([0, 1], [0]):
        for file in synthetic.make_results(spec, seeds=seeds):
            write_records(record_path(results, "toy", file.row), file)
        assert publish(spec, results, site), "other records"
        assert publish(spec, results, site) == []
    (site / "index.html").write_text("edited")
    assert publish(spec, results, site), "a page was changed"
    (site / "site.json").write_text("{}")
    assert publish(spec, results, site), "not known what made them"
    assert publish(make_other(spec), results, site), "another leaderboard"


def test_the_moment_is_printed_in_utc(tmp_path):
    moment = datetime(2025, 7, 1, 18, 30, tzinfo=timezone(timedelta(hours=9)))
    build_site(synthetic.make_spec(), [], tmp_path, generated=moment)
    assert "2025-07-01 09:30 UTC" in (tmp_path / "index.html").read_text()
