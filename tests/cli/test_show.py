"""`oodbench show`."""

import re

import pytest
from command_line import squeezed
from places import SHIPPED

from benchmark.records.results import read_all


def test_show_a_track_with_its_sets_and_their_fingerprints(command):
    code, out, _ = command("show", "small")
    assert code == 0
    rows = [line.split("\t") for line in out.splitlines()]
    assert [row[:4] for row in rows if len(row) == 5] == [
        ["id", "ID", "digits, classes 0, 1, 2", "537"],
        ["threes", "near OOD", "digits, classes 3", "183"],
        ["noise", "far OOD", "uniform_noise", "12"],
    ]
    assert len(re.findall(r"\b[0-9a-f]{16}\b", out)) == 3
    assert "cifar_c severities 1 to 5" in out


def test_the_fingerprints_shown_are_those_of_the_records(command, ran):
    _, out, _ = command("show", "small")
    [record, *_] = read_all(ran.folder / "runs")[0].records
    for name in ("id", "threes", "noise"):
        assert record.provenance.data[name][:16] in out


@pytest.mark.skipif(not SHIPPED.is_file(), reason="no checkout: no leaderboard.yaml")
def test_show_everything_of_a_name(command):
    """`digits` is a track and a dataset."""
    code, out, _ = command("show", "digits", "--leaderboard", SHIPPED)
    assert code == 0
    assert re.findall(r"^(Track|Dataset|Entry) digits$", out, re.MULTILINE) == ["Track", "Dataset"]
    assert len(re.findall(r"\b[0-9a-f]{16}\b", out)) >= 6


def test_show_a_detector_with_paper_settings_and_source(command):
    code, out, _ = command("show", "energy")
    text = squeezed(out)
    assert code == 0
    assert "Paper: " in text
    assert "https://arxiv.org/abs/2010.03759" in text
    assert "Hyper-parameters: temperature 1.0" in text
    assert "Needs: logits" in text
    assert "energy.py" in text


def test_show_an_entry_a_backbone_and_an_init(command):
    assert re.findall(r"^(\w+) knn$", command("show", "knn")[1], re.MULTILINE) == ["Detector", "Entry"]
    assert "Architecture: test_efficientnet" in command("show", "tiny")[1]
    assert "Source: scratch" in command("show", "scratch")[1]
