"""`oodbench plan`: nothing is computed."""

import re
import shutil

import pytest
from small_leaderboard import SMALL


@pytest.mark.parametrize("name", [["plan"], ["run", "--all", "--dry-run"]])
def test_planning_computes_nothing(command, name):
    code, out, _ = command(*name)
    assert code == 0
    assert "cells\tsmall\t4\t0\n" in out
    assert "jobs\tall\t24\t0\t24\n" in out
    assert sorted(p.name for p in command.folder.iterdir()) == ["leaderboard.yaml"]


def test_a_plan_of_a_part(command):
    code, out, _ = command("plan", "--entry", "knn", "--seed", "1")
    assert code == 0
    assert "cells\tsmall\t1\t0\n" in out


def test_a_plan_says_which_records_a_run_would_write_just_so(ran, command):
    folder = command.folder
    shutil.copytree(ran.folder / "runs", folder / "results")

    def counted(text=SMALL):
        """Current, failed, outdated, missing."""
        (folder / "leaderboard.yaml").write_text(text)
        code, out, _ = command("plan")
        assert code == 0
        return tuple(map(int, re.search(r"records\tsmall" + r"\t(\d+)" * 4, out).groups()))

    assert counted() == (4, 0, 0, 0)
    assert counted(SMALL.replace("seeds: [0, 1]", "seeds: [1, 2]")) == (2, 0, 0, 2)
    assert counted(SMALL.replace("train_per_class: 4", "train_per_class: 5")) == (0, 0, 4, 0)
    (folder / "results" / "small" / "msp.json").unlink()
    assert counted() == (2, 0, 0, 2)
    (folder / "results" / "small" / "knn.json").write_text("{")
    code, _, err = command("plan")
    assert code == 1
    assert err.startswith("oodbench: results/small/knn.json: ")
