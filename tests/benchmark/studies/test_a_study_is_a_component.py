"""A study is a folder for the harness, a folder for the pages, and YAML: nothing else learns its name."""

import importlib
import sys

import pytest
from page import Page
from small_studies import LEADERBOARD, planned, run, written

import benchmark.studies
import reports.studies
from benchmark.census import Selection
from benchmark.errors import SpecError, UsageError
from benchmark.plan.freshness import freshness
from benchmark.plan.make import make_plan
from benchmark.records.files import read_records
from benchmark.records.text import record_path
from benchmark.spec.load import load_spec
from benchmark.store.fingerprints import forget
from benchmark.studies.registry import study_names
from reports.console.progress import summaries
from reports.site.publish import publish

SETTINGS = '''\
"""What leaderboard.yaml says of margins."""

from typing import ClassVar

from benchmark.spec.base import Count
from benchmark.studies.settings import OfNetworks


class Margins(OfNetworks):
    """How far the first logit is ahead of another."""

    groups: ClassVar = ("near",)
    told: ClassVar = frozenset({"place"})
    place: Count = 2


SETTINGS = Margins
'''
STUDY = '''\
"""Planning the study of margins."""

from benchmark.studies.margins import job
from benchmark.studies.study import Asked, NetworkStudy


def ask(study, place, planning):
    return Asked({"place": study.place}, features=list(planning.track.near))


def check(study, planning):
    if study.place > planning.classes:
        raise planning.wrong(f"got {study.place}; expected at most {planning.classes}", "place")


STUDY = NetworkStudy(job, ask, check)
'''
JOB = '''\
"""Measuring margins."""

from dataclasses import dataclass

from benchmark.studies.config import SubjectConfig

LIBRARIES = ("torch",)


@dataclass(frozen=True)
class Config(SubjectConfig):
    """Which logit the first is compared with."""

    place: int


def run(task):
    from benchmark.studies.subject import Subject

    subject = Subject(task.config, task.inputs)

    def margin(part):
        ordered = subject.extracted.features(part).logits.sort(dim=1, descending=True).values
        return float((ordered[:, 0] - ordered[:, task.config.place - 1]).mean())

    near = {name: margin(name) for name in task.config.groups["near"]}
    numbers = {"id.margin": margin("test"), "near.margin": sum(near.values()) / len(near)}
    task.draft.json("measured", {"numbers": numbers, "series": {}, "warnings": []})
'''
NUMBERS = '''\
"""Numbers of the study `margins`."""

from benchmark.records.comparison import Metric
from reports.studies.numbers import StudyNumbers, own_numbers


def derived(row):
    own = own_numbers(row.records[""])
    return {**own, "gap": own["id.margin"] - own["near.margin"]}, {}


NUMBERS = StudyNumbers({"Margin": Metric("id.margin", "Margin", percent=False)}, derived)
'''
PLOTS = '''\
"""Plots of the study `margins`."""

from reports.plots.figures import draw_interval, file_name, finish, house_style, panel_grid
from reports.plots.sections import PlotSection
from reports.studies.plots import of_backbones

from benchmark.studies.margins.settings import Margins


def plots(name, track, counted):
    drawn = []
    for backbone, study, lines in of_backbones(name, track, "margins", Margins, counted):
        with house_style():
            figure, axes = panel_grid(1, 1, 2.0)
            for y, ((row, _), found) in enumerate(lines.items()):
                draw_interval(axes[0], y, [f.numbers["gap"] for f in found], row, {"color": "black"})
            title = f"{backbone}: margins"
            drawn.append(finish(figure, file_name("margins", name, backbone), title, "Margins of each row."))
    return drawn


SECTION = PlotSection("margins", "Margins", "How far the first logit is ahead.", plots)
'''
FILES = {
    "benchmark": {"__init__": "", "settings": SETTINGS, "study": STUDY, "job": JOB},
    "reports": {"__init__": "", "numbers": NUMBERS, "plots": PLOTS},
}
MARGINS = "      margins: {networks: {cross_entropy: [scratch], robust: [scratch]}}\n"
BOARD = """\
boards:
  margins:
    title: How sure the networks are
    track: small
    study: margins
    rows: [entry]
    columns:
      - {metric: id.margin, title: ID, better: higher, percent: false}
      - {metric: gap, title: Gap, better: higher, percent: false}
    rank_by: gap
"""
TEXT = LEADERBOARD.replace("    studies:\n", f"    studies:\n{MARGINS}") + BOARD


@pytest.fixture
def margins(tmp_path, monkeypatch):
    """The study `margins` in a folder outside of the house."""
    for room, files in FILES.items():
        folder = tmp_path / "elsewhere" / room / "studies" / "margins"
        folder.mkdir(parents=True)
        for name, text in files.items():
            (folder / f"{name}.py").write_text(text)
    for package in (benchmark.studies, reports.studies):
        room = importlib.import_module(package.__name__.partition(".")[0])
        outside = tmp_path / "elsewhere" / room.__name__
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(outside / "studies")])
        found = [*room.__spec__.submodule_search_locations, str(outside)]  # where source is looked for
        monkeypatch.setattr(room.__spec__, "submodule_search_locations", found)
    forget()
    yield
    for module in [name for name in sys.modules if ".studies.margins" in name]:
        del sys.modules[module]
    for package in (benchmark.studies, reports.studies):
        vars(package).pop("margins", None)
    forget()


def test_a_study_from_a_folder_is_measured_and_its_board_and_plot_are_on_the_page(margins, tmp_path):
    plan, done, events = run(tmp_path, TEXT, studies=("margins",))
    assert done.failed == 0
    assert {(study.place.row, study.place.seed) for study in plan.studies} == {
        (row, seed) for row in ("cross_entropy", "robust") for seed in (0, 1)
    }
    assert ("done", "study") in events
    results = tmp_path / "results"
    records = read_records(record_path(results, "small", "cross_entropy", "margins")).records
    assert [record.settings for record in records] == [{"place": 2, "groups": {"near": ["nines"]}}] * 2
    assert freshness(plan, results)["small, margins"] == {"current": 4}
    (listing,) = summaries(done.records)
    assert listing.columns == ("Row", "Init", "Margin", "Measured")

    def publish_again():
        return publish(load_spec(written(tmp_path, TEXT)), results, tmp_path / "site")

    publish_again()
    page = Page((tmp_path / "site" / "studies" / "margins.html").read_text())
    links = Page((tmp_path / "site" / "studies.html").read_text()).all("a")
    assert "studies/margins.html" in [link["href"] for link in links]
    mean = sum(r.numbers["id.margin"] - r.numbers["near.margin"] for r in records) / 2
    assert "How sure the networks are" in page.text
    assert f"{mean:.3f}" in page.text
    assert "How far the first logit is ahead." in page.text
    (plot,) = (tmp_path / "site" / "plots").glob("margins*.svg")
    assert plot.read_text().startswith("<?xml")
    assert publish_again() == []
    for room, file in (("benchmark", "settings"), ("reports", "numbers"), ("reports", "plots")):
        with (tmp_path / "elsewhere" / room / "studies" / "margins" / f"{file}.py").open("a") as text:
            text.write("MORE = 1\n")
        forget()
        assert publish_again() != []  # pages are made of it


def test_its_code_is_in_the_key_of_what_it_measures_and_in_no_other(margins, tmp_path):
    before = planned(tmp_path, TEXT)
    job = tmp_path / "elsewhere" / "benchmark" / "studies" / "margins" / "job.py"
    job.write_text(JOB.replace("place - 1", "place - 2"))
    forget()
    after = planned(tmp_path, TEXT)
    changed = {before.jobs[key].module for key in before.jobs.keys() - after.jobs.keys()}
    assert changed == {"benchmark.studies.margins.job"}


def test_what_it_refuses_is_told_with_file_line_and_key(margins, tmp_path):
    line = 1 + TEXT.splitlines().index(MARGINS.rstrip())
    for wrong, complaint in {
        "place: 9, networks": rf"yaml:{line}: tracks.small.studies.margins.place: got 9; expected at most 4",
        "plaice: 2, networks": rf"yaml:{line}: tracks.small.studies.margins.plaice: unknown key 'plaice'",
        "place: none, networks": rf"yaml:{line}: tracks.small.studies.margins.place: Input should be a valid",
    }.items():
        with pytest.raises(SpecError, match=complaint):
            planned(tmp_path, TEXT.replace("margins: {networks", f"margins: {{{wrong}"))


def test_without_its_folder_nobody_knows_it(tmp_path):
    assert "margins" not in study_names()
    line = 1 + TEXT.splitlines().index(MARGINS.rstrip())
    with pytest.raises(SpecError, match=rf"yaml:{line}: tracks.small.studies.margins: unknown key 'margins'"):
        load_spec(written(tmp_path, TEXT))
    with pytest.raises(SpecError, match=r"boards.margins.study: no study 'margins'; there are: adv"):
        load_spec(written(tmp_path, LEADERBOARD + BOARD))
    with pytest.raises(UsageError, match="no study 'margins'"):
        make_plan(load_spec(written(tmp_path)), Selection(studies=("margins",)))
