"""A page for each dataset: its card, samples where they may be shown, uses, and what was measured on it."""

import io
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import synthetic_records as synthetic
from hub_files import encode, write_split
from page import Page as Parsed
from PIL import Image
from places import ROOT

from benchmark.datasets import dataset
from benchmark.datasets.declared import datasets_of
from benchmark.metrics.statistics import mean_interval
from benchmark.records.record import Cell
from benchmark.spec.leaderboard import Spec
from reports.pages import dataset_samples
from reports.pages.dataset_samples import (
    COLUMNS,
    NOT_ALLOWED,
    NOT_HERE,
    ROWS,
    SIDE,
    UNREADABLE,
    Samples,
    may_show,
    sample_files,
    samples_of,
)
from reports.pages.dataset_uses import by_role, uses_of
from reports.pages.datasets import dataset_pages, linked
from reports.pages.method_results import results_of
from reports.select import select
from reports.site.cells import Noted
from reports.site.html import html_of
from reports.site.markdown import markdown_of
from reports.site.sections import Facts, Fold, Paragraph, Picture, Table, blocks_of, pictures_of
from reports.site.text import Link, pieces, plain

MORE = {"train": 9, "test": 6}
INSECTS = {
    "kind": "hub",
    "repository": "local/insects",
    "splits": MORE,
    "label_column": "label",
    "class_names": ["ant", "bee", "cat"],
    "title": "Insects",
    "source": "https://insects.example/set (a copy)",
    "licence": "CC BY 4.0",
    "citation": "A. Nobody, 2020",
}
HOSTILE = "<script>alert(1)</script>"


def make_spec(change=lambda spec: None, **insects):
    """The toy track with outliers: strokes in a mix, and insects without one of their classes."""
    made = synthetic.make_spec(backbones=["tiny_cnn"]).model_dump()
    made["datasets"] = {"insects": {**INSECTS, **insects}}
    made["tracks"]["toy"]["validation"] = {"strokes_val": {"dataset": "strokes", "n": 50}}
    made["tracks"]["toy"]["outliers"] = {
        "mixed": {"dataset": "strokes", "n": 20, "blend": 0.5},
        "bugs": {"dataset": "insects", "split": "test", "without": ["cat"]},
    }
    change(made)
    return Spec.model_validate(made)


def built(spec):
    counted = select(
        spec, synthetic.make_results(synthetic.make_spec(backbones=["tiny_cnn"]), seeds=(0, 1, 2))
    )
    return {page.name: page for page in dataset_pages(spec, counted, results_of(spec, counted))}, counted


@pytest.fixture(autouse=True)
def mirror(monkeypatch, tmp_path):
    """A mirror in which nothing is."""
    monkeypatch.setenv("OODBENCH_MIRROR", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The pages, and what they are made of, where no mirror is at hand."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OODBENCH_MIRROR", str(tmp_path_factory.mktemp("none") / "mirror"))
        return built(make_spec())


@pytest.fixture(scope="module")
def pages(made):
    return made[0]


def write_insects(mirror, labels=(2, 0, 1, 1, 0, 2), **options):
    images = [np.full((40, 40, 3), 40 * label + 20, dtype=np.uint8) for label in labels]
    return write_split(mirror / "local" / "insects" / "test.parquet", map(encode, images), labels, **options)


def paragraphs(page):
    return [plain(block.text) for block in page.body if isinstance(block, Paragraph)]


def facts(page):
    return {name: text for block in page.body if isinstance(block, Facts) for name, text in block.items}


def table(page, id):
    (section,) = (section for section in page.sections if section.id == id)
    return next(block for block in section.body if isinstance(block, Table))


def rows(found):
    titles = [plain(column.title) for column in found.columns]
    return [dict(zip(titles, row.cells, strict=True)) for row in found.rows]


def pixels(picture):
    with Image.open(io.BytesIO(picture.data)) as image:
        return np.asarray(image.convert("RGB"))


# What may be shown


@pytest.mark.parametrize(
    "licence",
    [
        "CC BY 4.0", "CC-BY-SA-4.0", "cc0", "CC0 1.0 Universal", "MIT", "The MIT License", "BSD-3-Clause",
        "BSD 3-Clause License", "Apache-2.0", "Apache License, Version 2.0", "public domain",
        "CC BY 2.0 (Open Images)",
        "Creative Commons Attribution 4.0 International",
    ],
)  # fmt: skip
def test_licences_that_let_anybody_pass_images_on(licence):
    assert may_show(licence)


@pytest.mark.parametrize(
    "licence",
    [
        "", "none stated", "unknown", "public, for research", "CC BY-NC 4.0", "CC BY-ND 2.0", "CC-BY-NC-SA",
        "CC BY 4.0, non-commercial use", "MIT, for research only", "MITRE terms", "not in the public domain",
        "ImageNet terms of access: non-commercial research and education", "Creative Commons",
        "sources disagree: MIT (the Hub), CC BY-SA 3.0 (Keras)", "MIT-like", "Apache tribe's own",
        "CC BY, each image its own photographer's",
        "each photographer's own, most of them Creative Commons without commercial use",
    ],
)  # fmt: skip
def test_any_other_licence_allows_nothing(licence):
    assert not may_show(licence)


# Samples


@pytest.mark.parametrize("name", ["digits", "glyphs", "gaussian_noise"])
def test_an_embedded_set_is_shown_and_equal_every_time(name):
    known = dataset(name)
    found = samples_of(name, known, "A title", "any licence")
    assert found == samples_of(name, known, "A title", "any licence")
    assert isinstance(found, Samples)
    assert (found.picture.file, found.split) == (f"samples/{name}.png", None)
    assert len(found.picture.data) < 40_000
    assert pixels(found.picture).shape == (ROWS * (SIDE + 2) - 2, COLUMNS * (SIDE + 2) - 2, 3)
    assert found.picture.alt.startswith("32 images of A title")


def test_classes_are_in_order_and_named():
    picture = samples_of("digits", dataset("digits"), "Digits", "").picture
    assert picture.alt == f"32 images of Digits: {', '.join('0123456789')}"
    sheet, all_digits = pixels(picture), dataset("digits").build(SIDE, None, 0)
    tiles = [
        sheet[top : top + SIDE, left : left + SIDE].transpose(2, 0, 1)
        for top in range(0, len(sheet), SIDE + 2)
        for left in range(0, sheet.shape[1], SIDE + 2)
    ]
    labels = [
        all_digits.labels[np.flatnonzero((all_digits.images == tile).all(axis=(1, 2, 3)))[0]]
        for tile in tiles
    ]
    assert labels == sorted(labels)
    assert set(np.bincount(labels)) == {3, 4}


def test_noise_is_brought_down_to_fewer_colours_and_a_page_says_so(pages):
    assert not samples_of("digits", dataset("digits"), "", "").reduced
    assert samples_of("uniform_noise", dataset("uniform_noise"), "", "").reduced
    assert any("256 colours" in text for text in paragraphs(pages["datasets/uniform_noise"]))
    assert not any("colours" in text for text in paragraphs(pages["datasets/digits"]))


def test_images_of_the_mirror_are_shown_from_the_first_split_that_is_here(mirror):
    write_insects(mirror)
    known = datasets_of(make_spec())["insects"]
    found = samples_of("insects", known, "Insects", "CC0")
    assert (found.split, found.picture.alt) == ("test", "6 images of Insects: ant, bee, cat")
    middles = pixels(found.picture)[SIDE // 2, SIDE // 2 :: SIDE + 2, 0]
    assert middles.tolist() == [20, 20, 60, 60, 100, 100]
    assert found == samples_of("insects", known, "Insects", "CC0")


def test_a_large_file_is_neither_read_to_its_end_nor_decoded(mirror, monkeypatch):
    write_insects(mirror, labels=(0, 1, 2) * 40)
    monkeypatch.setattr(dataset_samples, "_REACH", 50)
    decoded = []
    decode = dataset_samples.decode_images
    monkeypatch.setattr(
        dataset_samples, "decode_images", lambda e, *a, **k: decoded.extend(k["names"]) or decode(e, *a, **k)
    )
    samples_of("insects", datasets_of(make_spec())["insects"], "Insects", "MIT")
    assert len(decoded) == COLUMNS * ROWS
    assert max(int(name.rpartition(" ")[2]) for name in decoded) < 50


def test_without_files_or_licence_a_page_says_why_there_are_no_samples(pages, mirror):
    assert NOT_HERE in paragraphs(pages["datasets/insects"])
    assert not list(pictures_of(pages["datasets/insects"]))
    write_insects(mirror)
    spec = make_spec(licence="none stated")
    assert samples_of("insects", datasets_of(spec)["insects"], "", "none stated") == NOT_ALLOWED
    assert samples_of("insects", None, "", "MIT") == NOT_HERE
    assert samples_of("insects", None, "", "") == NOT_ALLOWED


def test_a_file_that_cannot_be_read_is_no_error_of_the_site(mirror):
    known = datasets_of(make_spec())["insects"]
    path = write_insects(mirror, labels=(0, 1, 3), names=("ant", "bee", "cat", "dog"))
    assert samples_of("insects", known, "", "MIT") == UNREADABLE
    path.write_bytes(b"PAR1 and no more")
    assert samples_of("insects", known, "", "MIT") == UNREADABLE


def test_what_samples_are_made_of_changes_when_files_come(mirror):
    spec = make_spec()
    assert sample_files(spec) == {}
    path = write_insects(mirror)
    assert sample_files(spec) == {"insects": f"test {path.stat().st_size}"}
    assert sample_files(make_spec(licence="for research")) == {}


def test_a_picture_lies_below_the_site():
    for file in ("../x.png", "/x.png", "samples/../../x.png", "samples/a b.png"):
        with pytest.raises(ValueError, match="cannot be a path of the site"):
            Picture(file, "", b"", 1, 1)


# Pages


def test_a_page_for_every_dataset_that_a_track_uses_and_one_that_leads_to_them(pages):
    names = ["digits", "glyphs", "uniform_noise", "strokes", "insects"]
    assert [*pages] == ["datasets", *(f"datasets/{name}" for name in names)]
    listed = rows(table(pages["datasets"], "all"))
    assert [row["Name"] for row in listed] == [(Link(name, f"datasets/{name}"),) for name in names]
    assert [row["Kind"] for row in listed] == ["embedded"] * 4 + ["file in the mirror"]
    assert [row["Images"] for row in listed] == [1797, None, None, None, 15]
    assert [row["Classes"] for row in listed] == [10, 33, None, None, 3]
    assert [plain(row["Tracks, by role"]) for row in listed] == [
        "ID: toy; near: toy", "far: toy", "far: toy", "validation: toy; outliers: toy", "outliers: toy",
    ]  # fmt: skip
    assert pages["datasets"].intro.startswith(
        "5 datasets are used on 1 track: 1 as ID sets, 3 as OOD sets (1 near, 2 far, 0 apart), 1 for "
        "validation, 2 as outliers in training, and first weights come from 0. 4 are embedded"
    )


def test_a_set_of_a_group_apart_is_neither_near_nor_far():
    def change(spec):
        spec["tracks"]["toy"]["apart"] = {"small": {"bees": {"dataset": "insects", "n": 2}}}
        spec["tracks"]["toy"]["id_test"] = {"dataset": "digits"}

    uses = uses_of(make_spec(change))
    assert by_role(uses["insects"]) == {"apart": ["toy"], "outliers": ["toy"]}
    assert [use.says for use in uses["insects"]] == ["small OOD (apart)", "outliers"]
    assert [use.role for use in uses["digits"]] == ["ID", "ID", "near"]


def test_pages_can_be_shown(pages):
    for page in pages.values():
        parsed = Parsed(html_of(page))
        ids = [attributes["id"] for _, attributes in parsed.elements if attributes.get("id")]
        assert len(ids) == len(set(ids))
        assert markdown_of(page).startswith("# ")
        for image in parsed.all("img"):
            assert image["src"] == f"../samples/{page.name.rpartition('/')[2]}.png"
            assert f"]({image['src']})" in markdown_of(page)


def test_uses_say_which_images_and_which_fingerprints(pages):
    (use,) = rows(table(pages["datasets/insects"], "uses"))
    assert (use["Role"], use["Set or init"]) == ("outliers", "bugs")
    assert (use["Which images"], use["Images"]) == ("split test, without 1 of 3 classes", None)
    assert use["Fingerprint"] is None
    folds = [b for b in blocks_of(pages["datasets/insects"].sections) if isinstance(b, Fold)]
    assert [(fold.title, fold.blocks[0].text) for fold in folds] == [("Classes left out on toy (1)", "cat")]
    validation, outliers = rows(table(pages["datasets/strokes"], "uses"))
    assert validation["Which images"] == "50 drawn anew"
    assert outliers["Which images"].endswith("mixed with ID images, 50% of each image from this set")
    of_id, near = rows(table(pages["datasets/digits"], "uses"))
    assert (of_id["Role"], near["Role"]) == ("ID", "near OOD")
    assert of_id["Track"] == (Link("toy", "boards/toy"),)
    assert near["Images"] == 400  # of the records


def test_fingerprints_are_those_of_the_records():
    def same_name(spec):
        spec["tracks"]["toy"]["near"] = {"digits": {"dataset": "digits"}}

    spec = make_spec(same_name)
    measured = SimpleNamespace(record=SimpleNamespace(provenance=SimpleNamespace(data={"digits": "ab" * 32})))
    counted = SimpleNamespace(measured={Cell("toy", "tiny_cnn", "scratch", 0, "msp"): measured})
    (page,) = (p for p in dataset_pages(spec, counted, []) if p.name == "datasets/digits")
    assert [plain(row["Fingerprint"] or "") for row in rows(table(page, "uses"))] == ["", "abababababababab"]


def test_the_answer_and_the_table_are_of_the_records(made):
    found, counted = made
    page = found["datasets/glyphs"]
    values = {}
    for cell, one in counted.measured.items():
        values.setdefault((cell.init, cell.entry), []).append(one.numbers["detection.glyphs.auroc"])
    means = {key: np.mean(of) for key, of in values.items()}
    shown = rows(table(page, "auroc"))
    assert [row["Track · backbone · init"].parts[2] for row in shown] == ["scratch", "fractaldb"]
    best = []
    for row in shown:
        init = row["Track · backbone · init"].parts[2]
        entry = max(synthetic.ENTRIES, key=lambda name: means[init, name])
        interval = mean_interval(values[init, entry])
        best.append(interval.mean)
        assert (row["Set"], row["Of entries"], row["Seeds"].text) == ("far: glyphs", 3, "3")
        assert row["Best entry"] == (Link(entry, f"methods/detectors/{entry}"),)
        assert row["its AUROC"].value == pytest.approx(interval.mean)
        assert row["its AUROC"].half == pytest.approx(interval.high - interval.mean)
        assert row["msp"].value == pytest.approx(means[init, "msp"])
    assert f"with an AUROC of {100 * min(best):.2f} (toy · tiny_cnn · " in page.intro
    assert f" to {100 * max(best):.2f} (" in page.intro


def test_an_id_set_shows_how_well_networks_learn_it(pages):
    page = pages["datasets/digits"]
    assert len(rows(table(page, "accuracy"))) == len(synthetic.INITS)
    assert re.search(r"Networks learn its classes with an accuracy of 9\d\.\d\d to 9\d\.\d\d\.", page.intro)


def test_what_is_not_tested_on_says_what_it_is_for(pages):
    assert pages["datasets/strokes"].intro == (
        "Hyper-parameters are tuned on its images on 1 track, and networks are shown them as outliers in "
        "training on 1 track; no track tests on it."
    )
    assert [section.id for section in pages["datasets/strokes"].sections] == ["uses"]


def test_weights_that_saw_images_or_classes_are_marked():
    spec = make_spec(synthetic.weights_that_saw_glyphs)
    assert by_role(uses_of(spec)["glyphs"]) == {"far": ["toy"], "pre-training": ["toy"]}
    found, _ = built(spec)
    for name, note in (("glyphs", "saw its images; saw ID classes"), ("uniform_noise", "saw ID classes")):
        page = found[f"datasets/{name}"]
        labels = [row["Track · backbone · init"] for row in rows(table(page, "auroc"))]
        assert [label.note for label in labels if isinstance(label, Noted)] == [note]
        assert len(labels) == 2
        said = [plain(b.text) for b in blocks_of(page.sections) if isinstance(b, Paragraph)]
        assert "Saw ID classes: the first weights were trained on the letter O (toy)." in said
    assert found["datasets/glyphs"].intro.endswith("First weights on 1 track were trained on it.")
    use = rows(table(found["datasets/glyphs"], "uses"))[-1]
    assert (use["Role"], use["Set or init"]) == ("pre-training", "fractaldb")
    assert use["Which images"] == "first weights of tiny_cnn"


def test_no_text_of_a_card_becomes_markup(mirror):
    write_insects(mirror)
    hostile = dict.fromkeys(("title", "description", "source", "citation", "notes"), HOSTILE)
    found, _ = built(make_spec(class_names=["ant", HOSTILE, '" onload="x'], **hostile))
    for name in ("datasets", "datasets/insects"):
        html = html_of(found[name])
        assert HOSTILE not in html
        assert not any("onload" in attributes for _, attributes in Parsed(html).elements)
        assert HOSTILE not in markdown_of(found[name])
    (picture,) = pictures_of(found["datasets/insects"])
    assert Parsed(html_of(found["datasets/insects"])).all("img")[0]["alt"] == picture.alt
    assert HOSTILE in picture.alt


def test_addresses_in_cards_are_links(pages):
    text = facts(pages["datasets/insects"])["Source"]
    assert pieces(text) == (Link(INSECTS["source"].split()[0], url=INSECTS["source"].split()[0]), " (a copy)")
    assert linked("http://plain.example") == ("http://plain.example",)
    assert linked("") == ""


def test_a_dataset_of_which_nothing_is_known_has_a_page_without_inventions():
    def change(spec):
        spec["tracks"]["toy"]["far"]["gone"] = {"dataset": "gone", "classes": [1]}

    page = built(make_spec(change))[0]["datasets/gone"]
    assert page.heading == "gone"
    assert [*facts(page)] == ["Name", "Kind", "Images", "As tracks take them"]
    html_of(page)


def test_a_folder_that_is_not_here_is_told_by_its_declaration(tmp_path):
    card = {key: INSECTS[key] for key in ("title", "source", "licence", "citation")}

    def change(spec):
        spec["datasets"]["moths"] = {"kind": "folder", "path": str(tmp_path / "none"), **card}
        spec["tracks"]["toy"]["far"]["moths"] = {"dataset": "moths"}

    page = built(make_spec(change))[0]["datasets/moths"]
    assert facts(page)["Kind"] == "folder"
    assert NOT_HERE in paragraphs(page)


def test_pages_need_no_torch_and_no_mirror():
    code = (
        "import sys, reports.pages.datasets as d; from reports.pages.dataset_samples import samples_of; "
        "from benchmark.datasets import dataset; samples_of('digits', dataset('digits'), '', ''); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"
