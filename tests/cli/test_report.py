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
