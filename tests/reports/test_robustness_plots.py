"""Plots of the studies and of what pre-training gives, and the site that shows them."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping

import numpy as np
import pytest
import synthetic_records as synthetic
import synthetic_studies as made
from markdown_it import MarkdownIt
from page import Page, pages_of
from undrawn import draw_nothing

from benchmark.records.record import Provenance
from benchmark.records.results import write_records
from benchmark.records.text import record_path
from benchmark.studies.corruptions.settings import CORRUPTIONS
from reports.boards.summary import all_gains, gain_plots, studied_gains
from reports.plots.figures import Plot
from reports.select import Counted, select
from reports.site.build import build_site
from reports.site.publish import publish
from reports.studies.adversarial.plots import adversarial_plots, warnings
from reports.studies.corruptions.plots import FIFTEEN, types_sentence
from reports.studies.imbalance.plots import imbalance_plots
from reports.studies.label_noise.plots import noise_plots
from reports.studies.sections import study_sections

SPEC = made.make_spec()
SCRIPT = "<script>alert(1)</script>"
FEW = (0, 1, 2)


def draw(seeds=FEW) -> dict[str, list[Plot]]:
    counted = select(SPEC, [*synthetic.make_results(SPEC, seeds=seeds), *made.make_studies(seeds)])
    track = SPEC.tracks["toy"]
    plots = {kind.id: kind.plots("toy", track, counted) for kind in study_sections(SPEC).values()}
    assert list(plots) == list(study_sections(SPEC))
    return plots | {"summary": gain_plots("toy", studied_gains(all_gains(SPEC, counted), counted))}


@pytest.fixture(scope="module")
def plots() -> Mapping[str, list[Plot]]:
    return draw()


@pytest.fixture(scope="module")
def counted() -> Counted:
    return select(SPEC, made.make_studies(FEW))


def plot(plots: Mapping[str, list[Plot]], kind: str, last: str) -> Plot:
    (found,) = [p for p in plots[kind] if p.file.endswith(f"~{last}.svg")]
    return found


def texts(plot: Plot) -> list[str]:
    """The words of a plot: matplotlib writes each, drawn as paths, into a comment."""
    return [text.strip() for text in re.findall(r"<!--(.*?)-->", plot.svg, re.DOTALL)]


def test_each_study_has_its_plots(plots):
    parts = {
        kind: [p.file.removesuffix(".svg").split("~")[3:] for p in found] for kind, found in plots.items()
    }
    assert parts == {
        "adversarial": [["epsilon"], ["steps"], ["detectors"], ["masks"]],
        "corruptions": [["mean"], ["accuracy"], ["ece"], ["msp_near_auroc"]],
        "label_noise": [["strength"], ["epochs"]],
        "imbalance": [[]],
        "summary": [[]],
    }
    files = [p.file for found in plots.values() for p in found]
    assert len(set(files)) == len(files)
    assert all(f"~toy~{made.BACKBONE}" in file for file in files)


def test_svg_is_xml_without_outside_references(plots):
    for one in (p for found in plots.values() for p in found):
        root = ET.fromstring(one.svg)
        links = [v for node in root.iter() for k, v in node.attrib.items() if k.endswith("href")]
        assert all(link.startswith(("#", "data:image/png;base64,")) for link in links)
        assert "<text" not in one.svg


@pytest.mark.parametrize(
    ("kind", "last", "words"),
    [
        ("adversarial", "epsilon", ["ε × 255", "accuracy (%)", "scratch", "adversarial", "pgd at fsr"]),
        ("adversarial", "steps", ["steps", "loss", "accuracy (%)", "fractaldb"]),
        ("adversarial", "detectors", ["unmoved", "OOD moved", "energy, far OOD", "pgd at, adversarial"]),
        ("adversarial", "masks", ["channel", "mean mask", "pgd at fsr, scratch, seed 0"]),
        ("corruptions", "mean", ["ECE (%)", "near AUROC of msp (%)", "severity", "cross entropy, fractaldb"]),
        ("corruptions", "accuracy", [kind.replace("_", " ") for kind in made.KINDS]),
        ("label_noise", "strength", ["uniform, scratch", "flip, fractaldb", "glc 5", "error (%)"]),
        ("label_noise", "epochs", ["uniform noise, strength 0.5", "epoch", "none, fractaldb"]),
        ("imbalance", made.BACKBONE, ["exp: total error", "step: minority error", "oversample", "fractaldb"]),
        ("summary", made.BACKBONE, ["3 seeds", "adversarial", "Near AUROC", "pgd_at"]),
    ],
)  # fmt: skip
def test_labels_are_drawn(plots, kind, last, words):
    drawn = " | ".join(texts(plot(plots, kind, last)))
    assert [word for word in words if word not in drawn] == []


def cells(counted: Counted, study: str, row: str, init: str = "scratch") -> list:
    return [f for c, f in counted.of_study(study).items() if (c.entry, c.init) == (row, init)]


def test_alternative_texts_give_the_numbers(plots, counted):
    def mean(found, of):
        return 100 * np.mean([of(item) for item in found])

    pgd = cells(counted, "adversarial", "pgd_at")
    ends = (
        mean(pgd, lambda f: f.numbers["clean.accuracy"]),
        mean(pgd, lambda f: f.records[""].series["accuracy_by_epsilon"][-1]),
    )
    alt = plot(plots, "adversarial", "epsilon").alt
    assert f"accuracy (%) of pgd_at from scratch (3): {ends[0]:.3g} to {ends[1]:.3g}" in alt
    assert "loss of pgd_at from adversarial (3): 1 to 1.36" in plot(plots, "adversarial", "steps").alt
    moved = mean(pgd, lambda f: f.numbers["detector.msp.near.auroc_ood_attacked"])
    both = mean(pgd, lambda f: f.numbers["detector.msp.near.auroc_attacked"])
    alt = plot(plots, "adversarial", "detectors").alt
    (line,) = [part for part in alt.split("; ") if "msp, near, pgd_at from scratch" in part]
    assert f"{moved:.1f} OOD moved" in line
    assert f"{both:.1f} both moved" in line
    plain = cells(counted, "corruptions", "cross_entropy")
    worst = mean(plain, lambda f: np.mean([f.records[""].series[f"{k}.accuracy"][5] for k in made.KINDS]))
    assert re.search(
        rf"accuracy \(%\): cross_entropy from scratch 9\d\.\d to {worst:.1f},",
        plot(plots, "corruptions", "mean").alt,
    )
    noisy = cells(counted, "label_noise", "none", "fractaldb")
    at = mean(noisy, lambda f: f.numbers["flip@0.75.error"])
    (part,) = [
        p for p in plot(plots, "label_noise", "strength").alt.split("; ") if "flip, none from fractaldb" in p
    ]
    assert f"{at:.1f} at 0.75" in part
    least = mean(noisy, lambda f: f.records["uniform@0.5"].series["test_error"][2])
    assert (
        f"uniform@0.5, none from fractaldb: at least {least:.1f}" in plot(plots, "label_noise", "epochs").alt
    )
    total = mean(cells(counted, "imbalance", "oversample"), lambda f: f.numbers["step.total.error"])
    assert f"step, total, oversample from scratch: {total:.1f}" in plots["imbalance"][0].alt


def test_the_summary_says_gains_in_points_with_their_n(plots):
    counted = select(SPEC, [*synthetic.make_results(SPEC, seeds=FEW), *made.make_studies(FEW)])
    (fractal, _) = studied_gains(all_gains(SPEC, counted), counted)
    row = next(row for row in fractal.rows if row.metric.title == "Corruption error")
    low, high = 100 * row.gain.low, 100 * row.gain.high
    said = f"Corruption error, fractaldb: {100 * row.gain.mean:+.2f} ({low:+.2f} to {high:+.2f}), 3 seeds"
    assert row.gain.mean > 0  # a lower error is a gain
    assert said in plots["summary"][0].alt


def tails(shapes: Mapping[str, Mapping[str, float]], keep=lambda *_: True) -> list[Plot]:
    """Plots of class imbalance with more shapes of one profile, of tenths of its error."""
    profiles = {name: {"method": "exp", "hyperparameters": dict(given)} for name, given in shapes.items()}
    more = {"full": {"profiles": {"step": {"method": "step"}, **profiles}}}
    spec = made.make_spec(made.STUDIES | {"imbalance": made.STUDIES["imbalance"] | more})
    files = [file for file in made.make_studies(FEW) if file.study == "imbalance"]
    for file in files:
        for record in [r for r in file.records if r.condition == "exp"]:
            for i, (name, given) in enumerate(shapes.items(), start=1):
                shaped = {"method": "exp", "hyperparameters": {"mu": 0.1, **given}}
                training = record.training.model_copy(update={"training_set": {"profile": shaped}})
                numbers = record.numbers | {"total.error": i * record.numbers["total.error"] / 10}
                changed = {"condition": name, "training": training, "numbers": numbers}
                file.records.append(record.model_copy(update=changed))
    there = [f.model_copy(update={"records": [r for r in f.records if keep(f.row, r)]}) for f in files]
    return imbalance_plots("toy", spec.tracks["toy"], select(spec, there))


def test_a_seed_without_the_shapes_takes_no_curve_away():
    shapes = {"late": {"mu": 0.5}, "early": {"mu": 0.05}}
    _, curves = tails(shapes, lambda row, r: r.seed == 0 or r.condition == "step")
    assert len(re.findall(r"from \w+ \(1\): [\d.]+ at 0.05, [\d.]+ at 0.1, [\d.]+ at 0.5", curves.alt)) == 8
    _, curves = tails(shapes, lambda row, r: (row, r.seed, r.condition) != ("none", 2, "late"))
    assert len(re.findall(r"none from \w+ \(3\): [\d.]+ at 0.05, [\d.]+ at 0.1[;.]", curves.alt)) == 4
    assert len(re.findall(r"oversample from \w+ \(3\): .*? at 0.5[;.]", curves.alt)) == 4


def test_shapes_that_no_seed_shares_are_no_empty_figure():
    shapes = {"late": {"mu": 0.5}, "early": {"mu": 0.05}}
    of = dict(enumerate(("exp", "late", "early")))
    assert len(tails(shapes, lambda _, r: r.condition in ("step", of[r.seed]))) == 1


def test_a_profile_in_three_shapes_is_a_curve():
    dots, curves = tails({"late": {"mu": 0.5}, "early": {"mu": 0.05}})
    assert curves.file.endswith("~exp.svg")
    drawn = " | ".join(texts(curves))
    for word in ("mu", "total, scratch", "minority, fractaldb", "oversample", "error (%)"):
        assert word in drawn
    assert "step: total error" in texts(dots)
    assert "exp: total error" not in texts(dots)  # a curve's profiles are not drawn twice
    (line,) = [part for part in curves.alt.split("; ") if "total, oversample from fractaldb" in part]
    values = {mu: float(e) for e, mu in re.findall(r"([\d.]+) at ([\d.]+)", line)}
    assert list(values) == ["0.05", "0.1", "0.5"]  # in the order of the number, not of the leaderboard
    assert values["0.05"] == pytest.approx(0.2 * values["0.1"], abs=0.1)
    assert values["0.5"] == pytest.approx(0.1 * values["0.1"], abs=0.1)


@pytest.mark.parametrize(
    "shapes", [{"late": {"mu": 0.5}}, {"late": {"mu": 0.5}, "odd": {"mu": 0.05, "other": 1.0}}]
)
def test_two_shapes_or_two_numbers_are_no_curve(shapes):
    (dots,) = tails(shapes)
    assert {f"{name}: total error" for name in ("exp", "step", *shapes)} <= set(texts(dots))


@pytest.mark.filterwarnings("error")
def test_one_seed_is_drawn_without_bands(plots):
    alone = draw((0,))
    assert [len(found) for found in alone.values()] == [len(found) for found in plots.values()]
    for kind in ("adversarial", "corruptions", "label_noise"):
        assert all("FillBetween" not in one.svg for one in alone[kind])
        assert "FillBetween" in plots[kind][0].svg
    assert "1 seeds" in alone["summary"][0].alt


def test_the_same_records_give_the_same_bytes(plots, counted):
    assert noise_plots("toy", SPEC.tracks["toy"], counted) == plots["label_noise"]


def test_masks_with_height_and_width_are_tiled():
    (file,) = [f for f in made.make_studies([0]) if f.row == "pgd_at_fsr"]
    (record,) = file.records
    mask = np.zeros((30, 2, 3))
    mask[:6] = 1  # a fifth of the channels
    series = record.series | {"fsr.mask": mask.ravel().tolist(), "fsr.mask_shape": [30, 2, 3]}
    files = [file.model_copy(update={"records": [record.model_copy(update={"series": series})]})]
    chosen = select(SPEC, files)
    found = adversarial_plots("toy", SPEC.tracks["toy"], chosen)
    (shown,) = [p for p in found if p.file.endswith("~masks.svg")]
    assert "mean 0.20, 20% of the elements above one half" in shown.alt
    assert "channels side by side" in shown.alt


def test_warnings_are_said_once_with_their_networks(counted):
    (said,) = warnings("toy", counted)
    assert said == (
        "square leaves 0.5%, apgd_t2 7%: the gradient may be masked, and the like with other numbers "
        "(cross_entropy on tiny_cnn from scratch, seeds 0, 1; cross_entropy on tiny_cnn from fractaldb, "
        "seeds 0, 1)"
    )


def test_warnings_of_other_attacks_are_others():
    (file, *_) = made.make_studies((0, 1))
    texts = ["pgd: loss falls to 1.5", "pgd2: loss falls to 1.5"]
    records = [
        record.model_copy(update={"warnings": [text]})
        for record, text in zip(file.records[:2], texts, strict=True)
    ]
    chosen = select(SPEC, [file.model_copy(update={"records": records})])
    network = "cross_entropy on tiny_cnn from scratch"
    assert warnings("toy", chosen) == [f"{t} ({network}, seed {s})" for s, t in enumerate(texts)]


def remarks(counted: Counted) -> dict[str, list[str]]:
    kinds = study_sections(SPEC).items()
    return {study: kind.remarks("toy", SPEC.tracks["toy"], counted) for study, kind in kinds}


def test_sections_say_how_they_were_measured(counted):
    said = remarks(counted)
    title = SPEC.tracks["toy"].title
    assert said["adversarial"][0].startswith(
        f"{title}: 5 images of each class; fgsm, pgd (steps = 20), apgd_ce, square; published settings"
    )
    assert said["label_noise"] == [
        f"{title}: areas and means are over uniform, flip at strengths 0, 0.25, 0.5, 0.75, 1."
    ]
    assert said["imbalance"] == [f"{title}: means are over the long tails exp, step."]


def test_corruption_types_are_counted(counted):
    assert len(FIFTEEN) == 15
    track = SPEC.tracks["toy"]
    assert remarks(counted)["corruptions"] == [f"{track.title}: {types_sentence(track)}."]
    assert remarks(select(SPEC, []))["corruptions"] == []
    studies = made.STUDIES | {"corruptions": made.STUDIES["corruptions"] | {"kinds": list(CORRUPTIONS)}}
    said = types_sentence(made.make_spec(studies).tracks["toy"])
    assert said.startswith("14 of the 15 types of Hendrycks & Dietterich 2019; without frost; ")
    assert said.endswith("; severity constants for images of 32 × 32 (CIFAR-10-C)")
    assert types_sentence(synthetic.make_spec().tracks["toy"]) == ""


# The site


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    studies = made.make_studies((0, 1))
    first = studies[0].records[0].model_copy(update={"warnings": [SCRIPT]})
    studies[0] = studies[0].model_copy(update={"records": [first, *studies[0].records[1:]]})
    spec = made.make_spec()
    with pytest.MonkeyPatch.context() as patch:  # the pictures are tested above
        draw_nothing(patch)
        files = [*synthetic.make_results(spec, seeds=(0, 1)), *studies]
        build_site(spec, files, out, generated=synthetic.NOW)
    return out


STUDIES = ("adversarial", "corruptions", "label_noise", "imbalance")


def test_boards_gains_and_plots_are_on_pages_of_their_own(site):
    pages = pages_of(site)
    for page, id in (*((f"studies/{name}", name) for name in STUDIES), ("pretraining", "summary")):
        assert ("a", {"href": f"#{id}"}) in pages[page].elements
        assert any(a.get("id") == id for _, a in pages[page].elements)
    links = {a["href"] for a in pages["studies"].all("a")}
    assert links >= {f"studies/{name}.html" for name in STUDIES}
    for page, text in (
        ("studies/adversarial", "Adversarial robustness"),
        ("studies/adversarial", "pgd_at_fsr · scratch"),  # a row of the board
        ("pretraining", "What pre-training gives"),
        ("studies/corruptions", "3 of the 15 types"),
        ("studies/corruptions", "mCE"),
    ):
        assert text in pages[page].text
    everything = (site / "leaderboard.md").read_text()
    for title in ("Adversarial robustness", "Corruptions", "Label noise", "Class imbalance"):
        assert re.search(rf"^## {title}", everything, re.MULTILINE)


def test_markdown_has_the_same_tables(site):
    rendered = MarkdownIt("commonmark").enable("table").render((site / "leaderboard.md").read_text())
    html = Page((site / "pretraining.html").read_text())
    markdown = Page(rendered)
    for text in ("Class imbalance: total error", "Exploratory:", "Adversarial accuracy (pgd)"):
        assert text in html.text
        assert text in markdown.text
    for name in ("leaderboard.md", "pretraining.md"):
        gained = re.search(
            r"tiny\\?_cnn · none \| Class imbalance: total error ↓ \|[^\n]*", (site / name).read_text()
        )
        assert gained is not None
        for number in re.findall(r"[+−]?\d+\.\d+", gained[0]):
            assert number in html.text


def test_warnings_stay_text(site):
    told = {"leaderboard.md", "studies/adversarial.html", "studies/adversarial.md"}
    for path in (*site.rglob("*.html"), *site.rglob("*.md")):
        text = path.read_text()
        assert SCRIPT not in text
        assert ("&lt;script&gt;" in text) == (path.relative_to(site).as_posix() in told)


@pytest.mark.usefixtures("undrawn")
def test_without_studies_the_site_says_nothing_of_them(tmp_path):
    spec = synthetic.make_spec(["msp"], backbones=[made.BACKBONE])
    build_site(spec, synthetic.make_results(spec, seeds=(0, 1)), tmp_path, generated=synthetic.NOW)
    pages = pages_of(tmp_path)
    assert not [name for name in pages if name.startswith("studies")]
    of_results = [page.text for name, page in pages.items() if not name.startswith(("methods", "claims"))]
    text = " ".join(of_results) + (tmp_path / "leaderboard.md").read_text()
    for word in ("What pre-training gives", "Adversarial", "Corruption", "Label noise", "imbalance"):
        assert word not in text
    names = {path.name.split("~")[0] for path in (tmp_path / "plots").iterdir()}
    assert names == {"reliability", "histograms", "roc", "robustness", "robustness_detection", "scores"}


@pytest.mark.usefixtures("undrawn")
def test_other_studies_rebuild_the_site(tmp_path):
    spec = made.make_spec(boards={})
    noise = [file for file in made.make_studies((0,)) if file.study == "imbalance"]
    results, site = tmp_path / "results", tmp_path / "site"
    paths = [record_path(results, file.track, file.row, file.study) for file in noise]
    for path, file in zip(paths, noise, strict=True):
        of = Provenance(checkpoint="0" * 64, measured_in="here")
        records = [r.model_copy(update={"provenance": of}) for r in file.records]
        places = {
            "here": next(
                iter(synthetic.make_results(synthetic.make_spec(), seeds=[0])[0].environments.values())
            )
        }
        write_records(path, file.model_copy(update={"records": records, "environments": places}))
    assert publish(spec, results, site)
    assert publish(spec, results, site) == []
    paths[-1].unlink()
    assert publish(spec, results, site)
