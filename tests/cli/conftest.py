import io
import sys
from contextlib import redirect_stderr, redirect_stdout

import pytest
from command_line import Command, Ran
from small_leaderboard import SMALL

import oodbench


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    (tmp_path / "leaderboard.yaml").write_text(SMALL)
    return Command(monkeypatch, capsys, tmp_path)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ran")
    (folder / "leaderboard.yaml").write_text(SMALL)
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["oodbench", "run", "--all", "--jobs", "1", "--cache", "cache"])
        patch.setattr(oodbench.signal, "signal", lambda *_: None)
        with pytest.raises(SystemExit) as done:
            oodbench.main()
    assert not done.value.code, err.getvalue()
    return Ran(folder, out.getvalue(), err.getvalue())
