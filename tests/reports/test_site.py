import base64
import hashlib
import re
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from importlib import resources

import pytest
import synthetic_records as synthetic
from markdown_it import MarkdownIt
from page import Page, pages_of, words
from undrawn import draw_nothing

from benchmark.records.results import write_records
from benchmark.records.text import record_path
from reports.site.build import build_site
from reports.site.markdown import escape_markdown
from reports.site.publish import publish

SCRIPT = "<script>alert(1)</script>"
IMAGE = '"><img src=x onerror=alert(1)>'
TABLE = "a|b `c` **d** [e](http://evil.example) <b>f</b>"


def small_spec(**board):
    """The leaderboard of a track, and a board of its own, without a difference in rows."""
    boards = {"b": synthetic.board(), "c": synthetic.board(rows=["entry"], **board)}
    return synthetic.make_spec(["msp"], inits=["scratch"], backbones=["tiny_cnn"], boards=boards)


def rendered(markdown: str) -> Page:
    return Page(MarkdownIt("commonmark").enable("table").render(markdown))


@pytest.fixture(scope="module")
def pages(full_site):
    return pages_of(full_site[0])


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
    with pytest.MonkeyPatch.context() as patch:
        draw_nothing(patch)
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
    single = {
        "index",
        "boards",
        "methods",
        "compare",
        "pretraining",
        "calibration",
        "claims",
        "datasets",
        "about",
    }
    folders = {
        "boards",
        "methods",
        "compare",
        "pretraining",
        "claims",
        "datasets",
        "data",
        "plots",
        "samples",
    }
    of_pages = {f"{name}.{suffix}" for name in single for suffix in ("html", "md")}
    assert tops == {"leaderboard.md", "site.json", *of_pages, *folders}
    for path in out.rglob("*.html"):
        assert path.with_suffix(".md").is_file()


def test_every_board_has_a_page_and_is_in_the_text(pages, markdown):
    assert len(rendered(markdown).all("table")) == 2 + 2 + 2 + 1  # boards, comparison, not measured, entries
    for title in ("OOD detection", "Each backbone"):
        assert f"## {title}\n" in markdown
    rows = {f"{entry} · {init}" for entry in synthetic.ENTRIES for init in synthetic.INITS}
    for page in ("boards/toy", "boards/toy~tiny_cnn", "boards/toy~tiny_vit"):
        assert len(pages[page].all("table")) == 1
        assert {row for row in rows if row in words(pages[page].text)} == rows
    each = words(pages["boards/toy/by_backbone"].text)
    assert "Each backbone" in each
    assert "knn · tiny_cnn · fractaldb" in each
    assert "boards/toy.html" in [a["href"] for a in pages["boards"].all("a")]
    links = [a["href"] for a in pages["boards/toy"].all("a")]
    for page in ("toy~tiny_cnn", "toy~tiny_vit", "toy/by_backbone"):
        assert f"../boards/{page}.html" in links


def test_links_within_a_page_lead_somewhere(pages):
    for page in pages.values():
        targets = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
        links = [attributes["href"] for attributes in page.all("a")]
        assert len(links) > 8
        assert {link.removeprefix("#") for link in links if link.startswith("#")} <= targets
        references = {a["aria-labelledby"] for _, a in page.elements if "aria-labelledby" in a}
        assert references <= targets


def test_ids_are_unique(pages):
    for page in pages.values():
        ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
        assert len(ids) == len(set(ids))


def test_numbers_are_mean_and_interval(pages, markdown):
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
    placed = r"\d \\\[\d–\d\\\](?: ●)?"
    assert re.search(rf"^\| msp · scratch \| {placed} \| {mean:.2f} ± {half:.2f} \|", markdown, re.MULTILINE)
    row = rf"msp · scratch \d \[\d–\d\](?: ●)? {mean:.2f} ± {half:.2f} "
    assert re.search(row, words(pages["boards/toy"].text))


def test_missing_seeds_and_reasons_are_said(pages, markdown):
    everything = rendered(markdown).text
    for text in (pages["boards/toy"].text, everything):
        assert "without seed 3" in text
        assert "7 of 8" in text or "7 (without seed 3)" in text
    for text in (pages["about"].text, everything):
        assert "scores are not finite" in text


def test_the_caveat_on_checkpoints_is_said(pages, markdown):
    for text in (pages["pretraining/toy"].text, markdown):
        assert "conditional on that checkpoint" in text


def test_l16_the_pages_say_which_area_aupr_is(full_site):
    for name in ("about.html", "leaderboard.md"):
        text = " ".join((full_site[0] / name).read_text().split())
        assert "AUPR is average precision" in text
        assert "OpenOOD and pytorch-ood" in text


def test_images_exist_and_have_alternative_texts(full_site, pages):
    out, _ = full_site
    shown = set()
    for name, page in pages.items():
        for image in page.all("img"):
            shown.add(((out / name).parent / image["src"]).resolve())
            assert len(image["alt"]) > (60 if "/plots/" in f"/{image['src']}" else 20)
            assert image["loading"] == "lazy"
    there = (*(out / "plots").glob("*.svg"), *(out / "samples").iterdir())
    assert shown == {path.resolve() for path in there}


def test_the_data_of_plots_is_linked_beside_them(full_site, pages):
    out, _ = full_site
    linked = {
        ((out / name).parent / link["href"]).resolve()
        for name, page in pages.items()
        for link in page.all("a")
        if link.get("class") == "data"
    }
    there = {path.resolve() for path in (out / "plots").glob("*.csv")}
    assert linked == there
    assert {path.stem for path in there} <= {path.stem for path in (out / "plots").glob("*.svg")}


def test_nothing_is_loaded_from_elsewhere(full_site, pages):
    outward = re.compile(r"(?i)\s*([a-z]+:|//)")
    for name, page in pages.items():
        for tag, attributes in page.elements:
            for key in ("src", "href", "srcset", "data", "action", "poster"):
                if outward.match(attributes.get(key) or ""):  # a paper, which the reader may ask for
                    assert (tag, key, attributes.get("rel")) == ("a", "href", "noreferrer")
                    assert attributes["href"].startswith("https://")
        assert not page.all("link")
        html = (full_site[0] / f"{name}.html").read_text()
        assert "@import" not in html
        assert "url(" not in html
        ours = re.sub(r'<a href="https://[^"]*" rel="noreferrer">|"http://www\.w3\.org/2000/svg"', "", html)
        assert not re.search(r"https?://", ours)


def scripts(html: str) -> list[str]:
    """The scripts of a page that are run."""
    return re.findall(r"<script>(.*?)</script>", html, re.DOTALL)


def test_the_policy_allows_only_our_own_style_and_script(full_site, pages):
    static = resources.files("reports") / "site" / "static"
    ours = {path.read_text(encoding="utf-8") for path in static.iterdir() if path.name.endswith(".js")}
    for name, page in pages.items():
        (policy,) = [
            a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"
        ]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert not any("style" in attributes for _, attributes in page.elements)  # it would be refused
        run = scripts((full_site[0] / f"{name}.html").read_text())
        assert set(run) <= ours
        hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in run]
        (allowed,) = re.findall("script-src ([^;]*)", policy)
        assert allowed == " ".join(f"'sha256-{digest}'" for digest in hashes) or (allowed, run) == (
            "'none'",
            [],
        )
    assert scripts((full_site[0] / "boards" / "toy.html").read_text())


def test_tables_are_accessible(pages):
    for page in pages.values():
        assert len(page.all("caption")) == len(page.all("table"))
        assert {head.get("scope") for head in page.all("th")} == (
            {"col", "row"} if page.all("table") else set()
        )
        assert any(a.get("name") == "viewport" for a in page.all("meta"))
        assert page.all("html") == [{"lang": "en"}]


def test_hostile_text_stays_text_in_html(hostile_site):
    pages = pages_of(hostile_site)
    for name, page in pages.items():
        html = (hostile_site / f"{name}.html").read_text()
        data = [script for script in page.all("script") if script.get("type") == "application/json"]
        assert len(page.all("script")) == len(scripts(html)) + len(data)
        assert SCRIPT not in html
        sources = [image["src"].replace("../", "") for image in page.all("img")]
        assert all(source.startswith(("plots/", "samples/")) for source in sources)
        assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
        assert "b" not in {tag for tag, _ in page.elements}
        assert "evil.example" not in "".join(str(link["href"]) for link in page.all("a"))
    for name, texts in (
        ("boards/toy/c", (SCRIPT, IMAGE, TABLE)),
        ("boards/toy", (SCRIPT, TABLE)),
        ("boards", (TABLE,)),
    ):
        for text in texts:
            assert text in pages[name].text
    for text in (SCRIPT, IMAGE, TABLE, f"track {SCRIPT!r} is not in leaderboard.yaml"):
        assert text in pages["about"].text


def test_hostile_text_stays_text_in_every_markdown_page(hostile_site):
    found = list(hostile_site.rglob("*.md"))
    assert len(found) > 50
    for path in found:
        page = rendered(path.read_text())
        assert not {"script", "b", "em"} & {tag for tag, _ in page.elements}
        for link in page.all("a"):
            assert link["href"].startswith("https://arxiv.org/") or (path.parent / link["href"]).is_file()
        assert all((path.parent / image["src"]).is_file() for image in page.all("img"))


def test_hostile_text_stays_text_in_markdown(hostile_site):
    markdown = (hostile_site / "leaderboard.md").read_text()
    page = rendered(markdown)
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
    markdown = MarkdownIt("commonmark").enable("table")
    of_text = markdown.render((hostile_site / "leaderboard.md").read_text())
    assert len(re.findall(r"<table>.*?</table>", of_text, re.DOTALL)) == 2 + 2 + 1
    tables = [
        table
        for path in hostile_site.rglob("*.md")
        for table in re.findall(r"<table>.*?</table>", markdown.render(path.read_text()), re.DOTALL)
    ]
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
    assert {path.name for path in written} == {"index.html", "index.md", "leaderboard.md", "site.json"}
    for path in written[:3]:
        assert "There are no records yet." in path.read_text()
        assert "oodbench run --all" in path.read_text()


@pytest.mark.usefixtures("undrawn")
def test_failures_alone_make_a_page(tmp_path):
    spec = small_spec()
    files = synthetic.make_results(spec, lambda *_: False, seeds=[0])
    build_site(spec, files, tmp_path, generated=synthetic.NOW)
    everything = (tmp_path / "leaderboard.md").read_text()
    assert "Nothing of this board has been measured yet." in everything
    assert "scores are not finite" in everything
    pages = pages_of(tmp_path)
    assert "scores are not finite" in pages["about"].text
    assert not [name for name in pages if name.startswith("boards/")]


@pytest.mark.usefixtures("undrawn")
def test_one_seed_has_no_interval(tmp_path):
    spec = small_spec()
    build_site(spec, synthetic.make_results(spec, seeds=[0]), tmp_path, generated=synthetic.NOW)
    markdown = (tmp_path / "leaderboard.md").read_text()
    (row,) = re.findall(r"^\| msp · scratch \| – \|.*$", markdown, re.MULTILINE)
    assert "±" not in row
    assert "nan" not in markdown
    pages = pages_of(tmp_path)
    assert "msp · scratch – " in words(pages["boards/toy"].text)
    for page in pages.values():
        assert "nan" not in page.text.split()


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
