"""A site with a page of every kind: its links lead somewhere, and its pages say what they should."""

import csv
import io
import re

import pytest
import synthetic_records as synthetic
import synthetic_studies as studied
from board_worlds import files_of
from markdown_it import MarkdownIt
from page import Page, broken_links, pages_of, words
from undrawn import draw_nothing

from benchmark.spec.leaderboard import Spec
from reports.boards import overall, recommend
from reports.site.build import build_site

NEAR = {"msp": 0.7, "energy": 0.8, "knn": 0.9}
PASSES = {"msp": 1.01, "energy": 1.05, "knn": 3.0}
HOSTILE = '<b>"x"</b> a|b `c` **d** [e](http://evil.example) <img src=x onerror=alert(1)>'
NAMES = ("x-_.y", "a.b.html", "constructor")  # of entries: all that a name may have


def spec_of() -> Spec:
    tree = studied.make_spec().model_dump(mode="json")
    entries = {**{name: name for name in NEAR}, **dict(zip(NAMES, NEAR, strict=True))}
    tree["entries"] = {name: {"detector": detector} for name, detector in entries.items()}
    tree["tracks"]["toy"] |= {
        "entries": list(entries),
        "title": HOSTILE,
        "backbones": [studied.BACKBONE, "b-_.x"],
    }
    tree["backbones"]["b-_.x"] = tree["backbones"][studied.BACKBONE]
    tree["boards"]["constructor"] = synthetic.board(title=HOSTILE, about=HOSTILE, rows=["entry"])
    tree["boards"]["networks"] = synthetic.board(title=HOSTILE, rows=["backbone", "init"])
    return Spec.model_validate(tree)


def auroc(of):
    entry, _, init, seed = of
    near = NEAR.get(entry, 0.6 + 0.01 * (entry == "constructor"))
    return {"near": near - 0.2 * (init == "fractaldb") + seed / 1000, "far": 0.9 - near / 10}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out, spec = tmp_path_factory.mktemp("whole"), spec_of()
    cost = {
        entry: {"extract_seconds": 1.0, "score_seconds": PASSES.get(entry, 2.0) - 1} for entry in spec.entries
    }
    files = files_of(spec, auroc, seeds=(0, 1), cost=lambda of: cost[of[0]])
    with pytest.MonkeyPatch.context() as patch:
        draw_nothing(patch)
        for module in (overall, recommend):
            patch.setattr(module, "FEWEST", 3)
        build_site(spec, [*files, *studied.make_studies((0, 1))], out, generated=synthetic.NOW)
    return out


@pytest.fixture(scope="module")
def pages(site):
    return pages_of(site)


def test_there_is_a_page_of_every_kind(pages):
    single = {"index", "boards", "overall", "methods", "compare", "pretraining", "calibration", "studies"}
    assert single | {"claims", "datasets", "about"} <= pages.keys()
    folders = {"boards", "compare", "methods", "pretraining", "studies", "claims", "datasets"}
    assert {name.split("/")[0] for name in pages if "/" in name} == folders
    assert {"boards/toy", "boards/toy~b-_.x", "boards/toy/constructor"} <= pages.keys()


def test_every_link_and_anchor_leads_somewhere(site):
    assert broken_links(site) == []


def test_the_walk_finds_what_is_broken(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "index.html").write_text(
        '<a href="a/b.html#x">1</a><a href="#y">2</a><a href="gone.html">3</a>'
    )
    script = '<script type="application/json">{"of": [{"page": "../index.html"}, {"page": "gone"}]}</script>'
    (tmp_path / "a" / "b.html").write_text(f'<p id="x"></p><a href="../../etc">4</a>{script}')
    (tmp_path / "index.md").write_text("[1](a/b.html) [2](gone.md) ![3](gone.svg)")
    assert broken_links(tmp_path) == [
        "a/b.html: ../../etc",
        "a/b.html: gone",
        "index.html: #y",
        "index.html: gone.html",
        "index.md: gone.md",
        "index.md: gone.svg",
    ]


def test_the_menu_is_on_every_page_and_every_page_is_reached_from_the_start(site, pages):
    menu = [link["href"] for link in pages["index"].all("a")[1:12]]
    reached, todo = set(), ["index"]
    while todo:
        name = todo.pop()
        if name in reached:
            continue
        reached.add(name)
        links = [str(link["href"]).partition("#")[0] for link in pages[name].all("a")]
        inward = [link for link in links if link.endswith(".html") and not link.startswith("https:")]
        up = "../" * name.count("/")
        assert [f"{up}{link}" for link in menu] == links[1:12]
        paths = [((site / name).parent / link).resolve().relative_to(site) for link in inward]
        todo += [path.with_suffix("").as_posix() for path in paths]
    assert pages.keys() - reached == set()


def test_hostile_titles_stay_text_on_every_page(site, pages):
    for name, page in pages.items():
        markdown = (site / f"{name}.md").read_text()
        for one in (page, Page(MarkdownIt("commonmark").enable("table").render(markdown))):
            assert not {"b", "em"} & {tag for tag, _ in one.elements}
            assert not any(key.startswith("on") for _, attributes in one.elements for key in attributes)
            assert all(image["src"] != "x" for image in one.all("img"))
            assert "evil.example" not in "".join(str(link["href"]) for link in one.all("a"))
    for name in (
        "index",
        "boards",
        "boards/toy",
        "boards/toy/constructor",
        "compare",
        "pretraining",
        "calibration",
    ):
        assert HOSTILE in pages[name].text, name


def test_the_start_page_says_which_detector_to_take_and_which_is_best(pages):
    text = words(pages["index"].text)
    said = (
        "energy 79.95 ± 0.45 1.05" if False else r"scratch energy 80\.05 ± \S+ 1\.05 knn 90\.05 ± \S+ 3\.00"
    )
    assert re.search(said, text)
    assert re.search(r"fractaldb energy 60\.05 ± \S+ 1\.05 knn 70\.05 ± \S+ 3\.00", text)
    assert "knn has the best mean rank by near AUROC: 1.0 of 6" in text
    links = [link["href"] for link in pages["index"].all("a")]
    for link in (
        "boards/toy.html",
        "methods/detectors/knn.html",
        "overall.html",
        "pretraining.html",
        "claims.html",
    ):
        assert link in links


def test_the_overall_page_has_ranks_the_heat_map_and_who_beats_whom(site, pages):
    page = pages["overall"]
    assert len(page.all("table")) == 3
    text = words(page.text)
    assert re.search(r"knn 1 1\.0 1\.0–1\.0 6\.0 6\.0–6\.0", text)  # first by near OOD, last by far OOD
    assert re.search(r"energy 2 2\.0 2\.0–2\.0 5\.0", text)
    assert re.search(r"knn – 100 100 100", text)
    shades = [cell["class"] for cell in page.all("td") if str(cell.get("class")).startswith("shade")]
    assert {"shade0", "shade7"} <= set(shades)
    assert set(shades) <= {f"shade{n}" for n in range(8)}
    ranks = list(csv.DictReader(io.StringIO((site / "data" / "overall.csv").read_text())))
    assert [row["entry"] for row in ranks][:3] == ["knn", "energy", "msp"]
    assert (ranks[0]["near.rank"], ranks[0]["far.rank"]) == ("1", "6")
    beats = list(csv.reader(io.StringIO((site / "data" / "overall_beats.csv").read_text())))
    assert beats[0] == ["entry", *(row["entry"] for row in ranks)]
    assert [float(x) for x in beats[1][1:]] == [0.5, 1, 1, 1, 1, 1]


def test_no_page_has_a_number_that_is_none(site):
    pages = [path for path in site.rglob("*.md") if "methods" not in path.parts]  # their prose may say None
    for path in (*pages, *site.glob("data/**/*.csv"), *site.glob("data/**/*.json")):
        assert not re.search(r"(?<![\w.-])(nan|NaN|inf|None)(?![\w.-])", path.read_text()), path
