"""The help, and what it does not load."""

import re
import subprocess
import sys

import pytest
from command_line import COMMANDS, ENVIRONMENT

from reports.console.cli import app


def test_help_loads_nothing_heavy(tmp_path):
    script = (
        "import sys, oodbench\nsys.argv = ['oodbench', '--help']\n"
        "try: oodbench.main()\nexcept SystemExit as end: assert not end.code\n"
        "heavy = {'torch', 'timm', 'numpy', 'scipy', 'sklearn', 'matplotlib', 'pydantic', 'ruamel.yaml'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr, done.stdout.splitlines()[-1]) == (0, "", "[]")


def test_help_names_every_command(command):
    code, out, _ = command("--help")
    assert code == 0
    assert all(re.search(rf"^│ {name} ", out, re.MULTILINE) for name in COMMANDS)


def test_nothing_is_answered_with_help(command):
    code, out, _ = command()
    assert code == 2
    assert "Usage: oodbench [OPTIONS] COMMAND" in out


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_command_has_help(command, name, option):
    code, out, _ = command(name, option)
    assert code == 0
    assert f"Usage: oodbench {name} [OPTIONS]" in out


def test_every_command_of_the_app_is_tested_here():
    names = {info.name or info.callback.__name__ for info in app.registered_commands}
    groups = {info.name for info in app.registered_groups}
    assert names | groups == {*COMMANDS, "data", "networks", "new"}
