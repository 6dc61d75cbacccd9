"""The command line in this process and in others."""

import io
import os
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest
from places import ROOT
from small_leaderboard import SMALL

import benchmark.run
import oodbench
from benchmark.engines.processes import Processes

COMMANDS = (
    "run",
    "plan",
    "report",
    "publish",
    "compare",
    "check",
    "diff",
    "evaluate",
    "score",
    "verify",
    "list",
    "show",
    "schema",
    "cache",
)


ENVIRONMENT = {
    **{k: v for k, v in os.environ.items() if not k.startswith(("OODBENCH", "PYTHON", "COLUMNS"))},
    "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", "TERM": "xterm", "PYTHONUTF8": "1",
}  # fmt: skip


class Command:
    """Runs the command line in this process, in a folder of its own."""

    def __init__(self, monkeypatch, capsys, folder):
        self.monkeypatch, self.capsys, self.folder = monkeypatch, capsys, folder
        monkeypatch.chdir(folder)
        monkeypatch.setenv("OODBENCH_CACHE", str(folder / "cache"))
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setattr(oodbench.signal, "signal", lambda *_: None)  # the handlers are pytest's

    def __call__(self, *arguments):
        """Return exit code, standard output, standard error."""
        self.monkeypatch.setattr(sys, "argv", ["oodbench", *map(str, arguments)])
        with pytest.raises(SystemExit) as done:
            oodbench.main()
        out, err = self.capsys.readouterr()
        assert "Traceback" not in err
        return done.value.code or 0, out, err


def process(*arguments, cwd, **options):
    return subprocess.run(
        [sys.executable, "-m", "oodbench", *map(str, arguments)],
        cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, check=False, **options,
    )  # fmt: skip


class Ran(NamedTuple):
    """A folder where the small leaderboard has been run, and what that printed."""

    folder: Path
    out: str
    err: str


def run_all(folder: Path) -> None:
    """Run the small leaderboard in a folder, in a worker, and keep what that prints there too."""
    (folder / "leaderboard.yaml").write_text(SMALL)
    out, err = io.StringIO(), io.StringIO()
    places = ["--cache", "cache", "--results", "runs", "--site", "site"]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["oodbench", "run", "--all", "--jobs", "1", *places])
        patch.setattr(oodbench.signal, "signal", lambda *_: None)
        patch.setattr(benchmark.run, "default_pool", Processes)
        with pytest.raises(SystemExit) as done:
            oodbench.main()
    assert not done.value.code, err.getvalue()
    (folder / "stdout").write_text(out.getvalue())
    (folder / "stderr").write_text(err.getvalue())


def squeezed(text):
    """Words without the frames and line ends of a panel."""
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", text).split())
