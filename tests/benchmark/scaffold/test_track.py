"""A new track of known datasets: it can be planned at once, its title and its counts are left to a person."""

import runpy

import pytest
from small_checkout import checkout_in
from small_leaderboard import SMALL

from benchmark.datasets import dataset
from benchmark.errors import SpecError, UsageError
from benchmark.plan.make import Selection, make_plan
from benchmark.scaffold.track import new_track
from benchmark.spec.load import load_spec

LABELLED = """\
datasets:
  elsewhere:
    kind: folder
    path: nowhere
    title: t
    source: s
    licence: l
    citation: c
tracks:"""


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    return checkout_in(tmp_path, monkeypatch, SMALL.replace("tracks:", LABELLED, 1))


def test_a_track_and_its_board(checkout):
    addition = new_track(checkout, "toy_new", "digits", ["glyphs"])
    checkout.write(addition)
    assert addition.keys == ("tracks.toy_new", "boards.toy_new")
    assert addition.commands == (
        "$EDITOR leaderboard.yaml tests/benchmark/tracks/test_toy_new.py",
        "oodbench check toy_new",
        "oodbench run --track toy_new --seed 0",
    )
    spec = load_spec(checkout.leaderboard)
    track, like = spec.tracks["toy_new"], spec.tracks["small"]
    assert track.title.startswith("TODO")
    assert (track.id.dataset, track.id_test) == ("digits", None)
    assert ([*track.near], [*track.far]) == (["glyphs"], ["photo_patches"])
    assert (track.training, track.seeds, track.entries) == (like.training, like.seeds, like.entries)
    assert spec.boards["toy_new"].track == "toy_new"
    plan = make_plan(spec, Selection(tracks=("toy_new",)))
    assert len(plan.measured) == 4
    assert plan.broken == {}


def test_splits_of_files(checkout):
    text = new_track(checkout, "toy_new", "cifar10", ["cifar100", "mnist:train"], ["svhn"]).leaderboard
    assert "    id: {dataset: cifar10, split: train}\n    id_test: {dataset: cifar10, split: test}\n" in text
    assert "      cifar100: {dataset: cifar100, split: test}\n" in text
    assert "      mnist: {dataset: mnist, split: train}\n" in text
    named = new_track(checkout, "toy_new", "cifar10:test", ["elsewhere"]).leaderboard
    assert "    id: {dataset: cifar10, split: test}\n    split:" in named
    assert "      elsewhere: {dataset: elsewhere}\n" in named


def test_a_leaderboard_without_boards_gets_some(tmp_path, monkeypatch):
    checkout = checkout_in(tmp_path, monkeypatch, SMALL.partition("boards:")[0])
    checkout.write(new_track(checkout, "toy_new", "digits", ["glyphs"]))
    assert [*load_spec(checkout.leaderboard).boards] == ["toy_new"]


@pytest.mark.parametrize(
    ("of", "near", "complaint"),
    [
        ("digits", [], "--near: expected at least one dataset"),
        ("digts", ["glyphs"], "no dataset 'digts'; did you mean 'digits'"),
        ("digits", ["glyps"], "no dataset 'glyps'; did you mean 'glyphs'"),
        ("photo_patches", ["glyphs"], "--dataset photo_patches: has no classes"),
        ("digits", ["mnist:tset"], "mnist:tset: dataset 'mnist' has no split 'tset'; there are: "),
        ("digits", ["glyphs:test"], "dataset 'glyphs' has no split 'test'; there are: none"),
        ("digits", ["digits"], "an OOD set must have no class of the ID set"),
    ],
)
def test_what_makes_no_track_is_refused(checkout, of, near, complaint):
    with pytest.raises((UsageError, SpecError), match=complaint):
        new_track(checkout, "toy_new", of, near)


@pytest.mark.parametrize("name", ["small", "Toy", "../x"])
def test_a_name_that_cannot_be_taken_is_refused(checkout, name):
    with pytest.raises(UsageError, match=r"is taken, by tracks|expected lower_snake_case"):
        new_track(checkout, name, "digits", ["glyphs"])


def test_its_test_waits_for_the_title_and_the_counts(checkout, monkeypatch):
    addition = new_track(checkout, "toy_new", "digits", ["glyphs"], ["uniform_noise"])
    checkout.write(addition)
    monkeypatch.setattr("places.SHIPPED", checkout.leaderboard)
    ((name, text),) = addition.files.items()
    path = checkout.root / name
    tests = runpy.run_path(str(path))
    with pytest.raises(AssertionError, match=r"fill in tracks\.toy_new\.title and boards\.toy_new\.title"):
        tests["test_the_track_is_described"]()
    with pytest.raises(AssertionError, match=r"fill in IMAGES, .* sets id, glyphs, uniform_noise"):
        tests["test_the_images"]()
    checkout.leaderboard.write_text(checkout.leaderboard.read_text().replace("TODO: ", ""))
    for count in (1797, 1):  # scikit-learn's digits
        counted = {"id": count, **{name: dataset(name).card.size for name in ("glyphs", "uniform_noise")}}
        path.write_text(text.replace("= None", f"= {counted}"))
        tests = runpy.run_path(str(path))
        tests["test_the_track_is_described"]()
        if count == 1797:
            tests["test_the_images"]()
        else:
            with pytest.raises(AssertionError):
                tests["test_the_images"]()
