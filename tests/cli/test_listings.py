"""Listings as data: lines in a pipe, JSON, tables in a terminal; and what is near a mistyped name."""

import io
import json
import re
import sys

import pytest
from as_process import ROOT, in_terminal
from rich.console import Console
from small_leaderboard import SMALL

import oodbench
from methods.names import did_you_mean
from reports.console import listings
from reports.console.docstrings import Block
from reports.console.listings import Card, Cell, Listing, present


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "leaderboard.yaml").write_text(SMALL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OODBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def command(folder, monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["oodbench", *arguments])
        with pytest.raises(SystemExit) as done:
            oodbench.main()
        out, err = capsys.readouterr()
        return done.value.code or 0, out, err

    return run


LISTINGS = [
    ["list"], ["list", "methods"], ["list", "objectives"], ["list", "entries"], ["list", "tracks"],
    ["list", "datasets"], ["list", "backbones"], ["list", "inits"], ["data", "list"], ["plan"],
]  # fmt: skip


@pytest.mark.parametrize("arguments", LISTINGS, ids=" ".join)
def test_u1_a_pipe_gets_an_item_a_line(command, arguments):
    code, out, _ = command(*arguments)
    assert code == 0
    lines = out.splitlines()
    widths = {}
    for line in lines:
        assert not re.search(r"[│─┃━…]|  ", line)
        widths.setdefault(line.split("\t")[0], set()).add(line.count("\t"))
    several = arguments in (["list"], ["list", "methods"], ["data", "list"], ["plan"])
    counts = list(widths.values()) if several else [set.union(*widths.values())]
    assert all((len(count) == 1 and count > {0}) or min(count) > 0 for count in counts)


def test_u1_names_are_whole_in_a_pipe(command):
    _, out, _ = command("list", "objectives")
    (line,) = [line for line in out.splitlines() if "deep_generative_classifier" in line]
    assert line.split("\t")[0] == "deep_generative_classifier"
    assert line.split("\t")[2] == "KDD 2020"


SHOWN = [["show", name] for name in ("msp", "small", "tiny", "digits")]


@pytest.mark.parametrize("arguments", [*LISTINGS, *SHOWN], ids=" ".join)
def test_u1_everything_listed_is_json_too(command, arguments):
    code, out, _ = command(*arguments, "--json")
    assert code == 0
    found = json.loads(out)
    assert found
    assert out.isascii()
    if arguments[0] != "show":
        assert all(
            isinstance(rows, list) and all(isinstance(row, dict) for row in rows) for rows in found.values()
        )


def test_u1_json_has_numbers_and_lists(command):
    (track,) = json.loads(command("list", "tracks", "--json")[1])["tracks"]
    assert track == {
        "name": "small", "title": "A few digits", "id": "digits", "near_ood": ["threes"],
        "far_ood": ["noise"], "networks": 2,
    }  # fmt: skip
    plan = json.loads(command("plan", "--json")[1])
    assert plan["cells"] == [{"track": "small", "cells": 4, "measurements_of_studies": 0}]
    assert plan["jobs"][-1] == {"job": "all", "needed": 24, "in_the_cache": 0, "to_run": 24}
    none = {"current": 0, "failed": 0, "outdated": 0}
    assert plan["records"] == [
        {"of": "small", **none, "missing": 4},
        {"of": "small, trainings", **none, "missing": 2},
    ]
    card = json.loads(command("show", "knn", "--json")[1])
    assert set(card) == {"detector", "entry"}
    assert card["entry"]["hyperparameters"] == {"k": 2}
    assert card["detector"]["hyperparameters"][0]["default"] is None


def test_u1_one_listing_in_three_ways(monkeypatch, capsys):
    rows = [("a\tb", 1234, None, ["x", "y"]), ("[red]", 5, Cell(0.5, "50 %"), [])]
    listing = Listing("things", ("Name", "Size", "Share", "Parts"), rows, "Things", ["A note."])
    present([listing])
    assert capsys.readouterr().out == "a\\tb\t1234\t\tx, y\n[red]\t5\t0.5\t\n"
    present([listing, listing])
    assert capsys.readouterr().out.splitlines()[0] == "things\ta\\tb\t1234\t\tx, y"
    present([listing], as_json=True)
    assert json.loads(capsys.readouterr().out)["things"][1] == {
        "name": "[red]", "size": 5, "share": 0.5, "parts": []
    }  # fmt: skip
    terminal = io.StringIO()
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(listings, "console", lambda: Console(file=terminal, width=60))
    present([listing])
    shown = terminal.getvalue().splitlines()
    assert [re.split(r"  +", line.strip()) for line in shown if "1,234" in line or "50 %" in line] == [
        ["a\\tb", "1,234", "–", "x, y"], ["[red]", "5", "50 %"]
    ]  # fmt: skip
    assert "Things" in shown[0]
    assert "A note." in "".join(shown)


def test_u1_an_empty_listing_is_no_line(capsys):
    present([Listing("things", ("Name",), [])])
    assert capsys.readouterr().out == ""


def test_u4_a_card_in_a_pipe(capsys):
    blocks = [Block("What."), Block("s = x", formula=True), Block("Then.")]
    table = Listing("settings", ("Name", "Default"), [("k", Cell(None, "None"))], "Settings")
    present([Card("Detector", "knn", blocks, {"Link": "https://x", "Empty": None}, [table])])
    assert capsys.readouterr().out.splitlines() == [
        "Detector knn", "", "What.", "", "    s = x", "", "Then.", "", "Link: https://x", "", "Settings:",
        "k\tNone", "",
    ]  # fmt: skip


@pytest.mark.parametrize("width", [60, 120])
def test_u1_a_terminal_shows_tables_with_whole_names(folder, width):
    code, lines = in_terminal("list", "objectives", cwd=folder, width=width)
    assert code == 0
    assert max(map(len, lines)) <= width
    assert lines[0] == "Objectives"
    assert any(line.startswith(" deep_generative_classifier  ") for line in lines)


def test_u4_a_terminal_shows_a_card_that_fits(folder):
    code, lines = in_terminal("show", "ash", cwd=folder, width=60)
    assert code == 0
    assert max(map(len, lines)) <= 60
    assert lines[0] == "Detector ash"
    assert "      s₁ = ∑_d h_d" in lines
    assert "  Link: https://arxiv.org/abs/2209.09858" in lines


def test_u3_the_nearest_three_and_how_to_list(command):
    code, out, err = command("show", "enrgy", "--leaderboard", str(ROOT / "leaderboard.yaml"))
    assert (code, out) == (2, "")
    assert err.startswith("oodbench: nothing is called 'enrgy'; did you mean 'energy'? or '")
    assert len(re.findall(r"'[\w+]+'", err)) == 4  # what was typed, and three
    assert "`oodbench list` shows all " in err
    assert len(err) < 200


@pytest.mark.parametrize(
    ("arguments", "how"),
    [
        (["plan", "--entry", "mps"], "`oodbench list entries` shows all "),
        (["data", "get", "cifar"], "`oodbench data list` shows all "),
    ],
)
def test_u3_no_mistyped_name_is_answered_with_all_there_are(command, arguments, how):
    code, _, err = command(*arguments, "--leaderboard", str(ROOT / "leaderboard.yaml"))
    assert code == 2
    assert how in err
    assert len(err) < 220


def test_u3_what_is_near():
    many = [f"name_{i}" for i in range(30)]
    assert did_you_mean("maha", ["logit_mahalanobis", "mahalanobis", "knn"]) == (
        "did you mean 'mahalanobis'? or 'logit_mahalanobis'? there are: logit_mahalanobis, mahalanobis, knn"
    )
    assert did_you_mean("zzz", many, "oodbench list") == "`oodbench list` shows all 30"
    assert did_you_mean("zzz", many).endswith("name_19, … (30 in all)")
    assert did_you_mean("zzz", ["a"], "oodbench list") == "there are: a"
    assert did_you_mean("", []) == "there are: none"
