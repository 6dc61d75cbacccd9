"""What uses a method whose file is broken is left out of a plan, with the reason; everything else goes on."""

import importlib
import shutil
import sys
from importlib.metadata import EntryPoint

import pytest
from command_line import Command
from typer.testing import CliRunner

from benchmark.errors import MethodLeftOut
from benchmark.plan.make import Selection, make_plan
from benchmark.spec.load import load_spec
from methods import families, registry
from reports.console.catalog import cards, listings
from reports.console.cli import app

BROKEN = "1 / 0\n"
WHY = "could not be loaded: ZeroDivisionError: division by zero"


@pytest.fixture
def broken_file(tmp_path, monkeypatch):
    """Add a file that does not import to a family's folder."""
    assert registry.broken() == {}
    monkeypatch.setattr(families, "_broken", {})
    before = set(sys.modules)

    def add(family, name, text=BROKEN):
        package = importlib.import_module(f"methods.{family}")
        folder = tmp_path / family
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.py").write_text(text)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])

    yield add
    for name in set(sys.modules) - before:
        if name.startswith("methods."):
            del sys.modules[name]


@pytest.fixture
def spec(small):
    """The small leaderboard with an entry `toy`, and others that hang on other methods of that name."""
    text = small.read_text()
    text = text.replace("entries: [msp, knn]", "entries: [msp, knn, toy, toy_trained]")
    text = text.replace("inits: [scratch]", "inits: [scratch, toy_init]")
    text = text.replace(
        "entries:\n  msp: ",
        "entries:\n  toy: {detector: toy}\n  toy_trained: {detector: msp, objective: toy}\n  msp: ",
    )
    text = text.replace(
        "inits:\n  scratch",
        "inits:\n  toy_init:\n    source: adversarial\n    objective: toy\n"
        "    of: {source: fractaldb, preset: fractaldb_tiny,"
        " training: {epochs: 1, batch_size: 6, lr: 0.003, weight_decay: 0.01}}\n  scratch",
    )
    study = (
        "    studies:\n      corruptions:\n        networks: {cross_entropy: [scratch], toy: [scratch]}\n"
        "        kinds: [contrast]\n        scale: cifar_c\n        images_per_class: 1\n"
        "        detectors: [msp]\n"
        "      adversarial:\n        networks: {cross_entropy: [scratch]}\n        images_per_class: 1\n"
        "        attacks: {toy: {method: toy}}\n        curves: toy\n        epsilons: [0.1]\n"
        "        steps: [1]\n        detectors: [msp]\n"
    )
    small.write_text(text.replace("backbones:\n  tiny", f"{study}backbones:\n  tiny"))
    return load_spec(small)


@pytest.fixture
def all_broken(broken_file):
    for family in ("detectors", "objectives", "attacks"):
        broken_file(family, "toy")


def test_r25_what_uses_a_broken_method_is_left_out_and_the_others_are_planned(spec, all_broken):
    plan = make_plan(spec, Selection())
    assert {(planned.cell.entry, planned.cell.init) for planned in plan.cells} == {
        ("msp", "scratch"),
        ("knn", "scratch"),
    }
    assert {(planned.place.study, planned.place.row) for planned in plan.studies} == {
        ("corruptions", "cross_entropy")
    }
    assert plan.broken.keys() == {
        "entry toy of track small",
        "entry toy_trained of track small",
        "init toy_init of track small",
        "toy of study corruptions of track small",
        "study adversarial of track small",
    }
    assert all(why.endswith(WHY) for why in plan.broken.values())
    path, _ = spec._origin
    line = path.read_text().partition("  toy: {detector")[0].count("\n") + 1
    assert (
        plan.broken["entry toy of track small"]
        == f"{path}:{line}: entries.toy.detector: detector 'toy' {WHY}"
    )


@pytest.mark.parametrize(
    "selection",
    [
        Selection(entries=("toy",)),
        Selection(entries=("toy",), studies=("corruptions",)),
        Selection(entries=("toy", "msp")),
        Selection(inits=("toy_init",)),
        Selection(inits=("toy_init", "scratch")),
        Selection(studies=("adversarial",)),
    ],
)
def test_r25_what_is_asked_for_by_name_and_broken_is_an_error(spec, all_broken, selection):
    with pytest.raises(MethodLeftOut, match=WHY):
        make_plan(spec, selection)


def test_r25_a_broken_row_that_is_not_selected_is_nothing_to_a_plan(spec, all_broken):
    path, _ = spec._origin
    path.write_text(path.read_text().replace("toy: [scratch]}", "toy: [toy_init]}"))
    plan = make_plan(load_spec(path), Selection(studies=("corruptions",), inits=("scratch",)))
    assert {planned.place.row for planned in plan.studies} == {"cross_entropy"}
    assert plan.broken == {}


def test_r25_a_leaderboard_of_broken_methods_only_is_an_error(small, broken_file):
    broken_file("detectors", "toy")
    text = (
        small.read_text()
        .replace("msp: {detector: msp}", "msp: {detector: toy}")
        .replace("[msp, knn]", "[msp]")
    )
    small.write_text(text)
    with pytest.raises(MethodLeftOut, match=WHY):
        make_plan(load_spec(small), Selection())


def test_r25_a_broken_file_that_nothing_uses_is_nothing_to_a_plan(small, broken_file):
    broken_file("detectors", "toy")
    assert make_plan(load_spec(small), Selection()).broken == {}


@pytest.mark.parametrize("command", ["plan", "run --all --dry-run"])
def test_r25_commands_say_what_is_left_out(spec, all_broken, tmp_path, command):
    path, _ = spec._origin
    options = ["--leaderboard", str(path), "--cache", str(tmp_path / "cache")]
    done = CliRunner().invoke(app, [*command.split(), *options], catch_exceptions=False)
    assert done.exit_code == 0
    assert f"left out: entry toy of track small: {path}:" in done.stderr
    assert f"detector 'toy' {WHY}" in done.stderr
    assert done.stdout.startswith("cells\tsmall\t4\t2\n")  # msp and knn, of two seeds; a study of one row


def test_r25_a_run_without_what_is_broken_finishes_the_others_and_fails(
    ran, small, broken_file, tmp_path, monkeypatch, capsys
):
    shutil.copytree(ran.folder / "cache", tmp_path / "cache")  # of msp and knn: nothing is left to compute
    command = Command(monkeypatch, capsys, tmp_path)
    asked = ["run", "--all", "--jobs", "1", "--leaderboard", small]
    assert command(*asked)[0] == 0
    broken_file("detectors", "toy")
    text = small.read_text().replace("entries: [msp, knn]", "entries: [msp, knn, toy]")
    small.write_text(text.replace("entries:\n  msp: ", "entries:\n  toy: {detector: toy}\n  msp: "))
    code, out, err = command(*asked, "--results", "others")
    assert code == 1
    assert f"left out: entry toy of track small: {small}:" in err
    assert f"entries.toy.detector: detector 'toy' {WHY}" in err
    assert "cells failed" not in err
    assert sorted(path.name for path in tmp_path.glob("others/small/*.json")) == ["knn.json", "msp.json"]
    assert "Leaderboard: site/index.html" in out


def test_r25_listings_and_cards_name_it(spec, all_broken):
    (listing,) = listings("attacks", spec)
    rows = {name: summary for name, summary, _ in listing.rows}
    assert rows["toy"] == "cannot be loaded: ZeroDivisionError: division by zero"
    assert "pgd" in rows
    found = cards("toy", spec)
    assert "methods.attacks.toy cannot be loaded: ZeroDivisionError: division by zero" in str(found)
    assert len(found) == 4  # an entry, and a file of each of three families


def test_r25_an_entry_point_that_is_broken_is_named_in_the_listings(small, monkeypatch, broken_file):
    point = EntryPoint("x", "not_installed_anywhere", families.GROUP)
    monkeypatch.setattr(families, "entry_points", lambda *, group: [point])
    (listing,) = listings("samplers", load_spec(small))
    rows = {name: summary for name, summary, _ in listing.rows}
    assert rows["not_installed_anywhere"].startswith("cannot be loaded: ModuleNotFoundError")
    assert "cannot be loaded" in str(cards("not_installed_anywhere", load_spec(small)))
