"""Plots that an earlier build drew are taken from the site, where they would come out the same."""

import json

import pytest
import synthetic_records as synthetic
from matplotlib.figure import Figure

from reports.plots.memo import DRAWN
from reports.site.build import build_site

ENTRIES = ["msp", "energy"]


def other(files, entry: str):
    """The files, with another ROC curve in the records of an entry."""
    for file in files:
        for record in file.records:
            if file.row == entry:
                record.series["histogram_far"] = record.series["histogram_far"][::-1]
    return files


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are drawn."""
    found = []

    def draw(figure, renderer, plain=Figure.draw):
        found.append(figure)
        plain(figure, renderer)

    monkeypatch.setattr(Figure, "draw", draw)
    return found


@pytest.fixture
def build(tmp_path):
    """Build a site into a folder; its files by name, but for what is said of the plots."""
    spec = synthetic.make_spec(ENTRIES, backbones=["tiny_cnn"])

    def built(folder="site", changed=None, **how):
        files = synthetic.make_results(spec, seeds=[0, 1])
        files = files if changed is None else other(files, changed)
        build_site(spec, files, tmp_path / folder, generated=synthetic.NOW, **how)
        there = (path for path in (tmp_path / folder).rglob("*") if path.is_file() and path.name != DRAWN)
        return {path.relative_to(tmp_path / folder).as_posix(): path.read_bytes() for path in there}

    return built


def test_what_is_drawn_is_not_drawn_again_and_the_site_has_the_same_bytes(build, drawn):
    anew = build("anew")
    assert build(incremental=True) == anew
    kept = len(drawn)
    assert build(incremental=True) == anew
    assert len(drawn) == kept, "nothing was drawn"
    assert build() == anew
    assert len(drawn) > kept, "drawn anew where that is not asked for"


def test_another_record_draws_what_shows_it_and_nothing_else(build, drawn):
    build(incremental=True)
    kept, count = [*drawn], len(drawn)
    after = build(changed="energy", incremental=True)
    assert 0 < len(drawn) - len(kept) <= count
    assert after == build("anew", changed="energy")


@pytest.mark.parametrize("damage", ["svg", "gone", "memo", "no memo", "odd memo"])
def test_what_was_changed_or_deleted_is_drawn_again(build, drawn, tmp_path, damage):
    before = build(incremental=True)
    plot = next((tmp_path / "site" / "plots").glob("roc*.svg"))
    memo = tmp_path / "site" / DRAWN
    if damage == "svg":
        plot.write_text("<svg/>")
    elif damage == "gone":
        plot.unlink()
    elif damage == "memo":
        memo.write_text(memo.read_text()[:-20])
    elif damage == "no memo":
        memo.unlink()
    else:
        memo.write_text(json.dumps({key: [1] for key in json.loads(memo.read_text())}))
    kept = len(drawn)
    assert build(incremental=True) == before
    assert len(drawn) > kept
