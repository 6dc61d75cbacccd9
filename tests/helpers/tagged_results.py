"""Folders of invented records whose rows have the near AUROC that a test wants, and repositories of them."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import synthetic_records as synthetic
from two_sides import file, record

from benchmark.records.results import write_records
from benchmark.records.text import record_path
from reports.claims.register import load_register
from reports.diff.snapshot import take_snapshot

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
ENTRIES = ("msp", "energy", "knn", "gen")
SEEDS = (0, 1, 2)
BEFORE = {"msp": 0.8, "energy": 0.7, "knn": 0.9}
AFTER = {"msp": 0.95, "knn": 0.9, "gen": 0.85}
WHO = ("user.name=Test", "user.email=test@example.org", "commit.gpgsign=false", "tag.gpgsign=false")


def spec():
    return synthetic.make_spec(entries=ENTRIES, inits=["scratch"], backbones=["tiny_cnn"])


def files(near, **changes):
    """A file for each entry: near AUROC of seed 0, and a hundredth more for each seed after it."""
    return [
        file(entry, [record(base + seed / 100, seed=seed, **changes) for seed in SEEDS])
        for entry, base in near.items()
    ]


def snapshot(near, **changes):
    return take_snapshot(spec(), files(near, **changes), load_register())


def leaderboard() -> str:
    """The same leaderboard as a file that can be read: no OOD set has a class of the ID set."""
    tree = spec().model_dump(mode="json", exclude_defaults=True)
    tree["tracks"]["toy"]["id"]["classes"] = [0, 1, 2, 3, 4, 5]
    tree["tracks"]["toy"]["near"]["digits_6_to_9"]["classes"] = [6, 7, 8, 9]
    return json.dumps(tree)


def write(folder: Path, near) -> Path:
    """Replace a folder of records."""
    shutil.rmtree(folder, ignore_errors=True)
    for made in files(near):
        write_records(record_path(folder, "toy", made.row), made)
    return folder


class Repository:
    """A repository of git with a leaderboard and records."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.results = folder / "results"
        self.git("init", "--quiet", "--initial-branch=main")
        (folder / "leaderboard.yaml").write_text(leaderboard())

    def git(self, *arguments: str) -> str:
        options = [part for option in WHO for part in ("-c", option)]
        command = ["git", "-C", str(self.folder), *options, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def commit(self, tag: str = "") -> None:
        self.git("add", "leaderboard.yaml", "results")
        self.git("commit", "--quiet", "--allow-empty", "-m", tag or "records")
        if tag:
            self.git("tag", tag)

    def publish(self, near, tag: str = "") -> None:
        write(self.results, near)
        self.commit(tag)
