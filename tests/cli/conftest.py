import shutil

import pytest
from command_line import Command
from small_leaderboard import SMALL
from small_runs import Place


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    (tmp_path / "leaderboard.yaml").write_text(SMALL)
    return Command(monkeypatch, capsys, tmp_path)


@pytest.fixture
def measured(ran):
    """A run of the small leaderboard: two networks, four cells; never changed."""
    return Place(ran.folder / "cache", ran.folder / "runs")


@pytest.fixture
def verify(measured, monkeypatch, capsys, tmp_path):
    """`oodbench verify` on a copy of its records, with its networks at hand."""
    (tmp_path / "leaderboard.yaml").write_text(SMALL)
    shutil.copytree(measured.results, tmp_path / "results")
    command = Command(monkeypatch, capsys, tmp_path)
    monkeypatch.setenv("OODBENCH_CACHE", str(measured.cache))

    def call(*words, cells="all"):
        return command("verify", "--jobs", 1, "--cells", cells, *words)

    call.results = tmp_path / "results"
    return call
