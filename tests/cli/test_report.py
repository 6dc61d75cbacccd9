"""`oodbench report`."""

import re

import pytest


def test_report_without_records_makes_a_page_that_says_so(command):
    code, out, _ = command("report", "--site", "pages")
    assert (code, out) == (0, "Leaderboard: pages/index.html\n")
    assert "oodbench run --all" in (command.folder / "pages" / "leaderboard.md").read_text()
    assert "no records" in (command.folder / "pages" / "index.html").read_text()


@pytest.mark.parametrize("content", ["{", "[]", "{}", "\0"])
def test_a_broken_record_file_is_named(command, content):
    path = command.folder / "results" / "small" / "msp.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    code, out, err = command("report")
    assert (code, out) == (1, "")
    assert err.startswith("oodbench: results/small/msp.json: ")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("option", ["--results", "--site", "--cache"])
def test_a_folder_that_cannot_be_made_is_named(command, option):
    (command.folder / "file").touch()
    code, _, err = command("run", "--all", "--jobs", "1", option, "file/folder")
    assert code == 1
    assert re.search(r"^oodbench: file/folder.*: Not a directory; ", err, re.MULTILINE)


def test_every_page_of_a_preview_says_what_it_is_told_to(command):
    code, _, _ = command("report", "--preview", "Pull request 7: <unmerged>")
    assert code == 0
    assert "Pull request 7: &lt;unmerged&gt;" in (command.folder / "site" / "index.html").read_text()


@pytest.mark.parametrize("preview", ["", "  ", "two\nlines", "x" * 301, "\u202e"])
def test_a_preview_says_one_line_of_text(command, preview):
    code, out, err = command("report", "--preview", preview)
    assert (code, out) == (2, "")
    assert err.startswith("oodbench: --preview: expected a line of 1 to 300 characters for every page, got ")
    assert not (command.folder / "site").exists()
