import shutil
import signal
import sys

import pytest
from small_runs import Place, command

import oodbench


@pytest.fixture
def reference(ran):
    """An uninterrupted run by one process: made once, never changed."""
    return Place(ran.folder / "cache", ran.folder / "runs")


@pytest.fixture
def empty(tmp_path):
    return Place(tmp_path / "cache", tmp_path / "results")


@pytest.fixture
def place(reference, empty):
    """A copy of the finished run."""
    shutil.copytree(reference.cache, empty.cache)
    shutil.copytree(reference.results, empty.results)
    return empty


@pytest.fixture
def cli(small, tmp_path, monkeypatch, capsys):
    """The command line in this process, without its workers: exit code and what it said on standard error."""
    before = signal.getsignal(signal.SIGTERM)

    def call(place, *arguments):
        monkeypatch.setattr(sys, "argv", ["oodbench", *command(small, place, tmp_path, *arguments)])
        monkeypatch.setenv("COLUMNS", "300")
        with pytest.raises(SystemExit) as ended:
            oodbench.main()
        return ended.value.code or 0, capsys.readouterr().err

    yield call
    signal.signal(signal.SIGTERM, before)
