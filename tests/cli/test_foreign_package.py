"""A foreign package of our name is refused."""

import subprocess
import sys

import pytest
from command_line import ENVIRONMENT, process
from places import ROOT


@pytest.mark.parametrize("room", ["benchmark", "methods", "reports"])
def test_a_foreign_package_of_our_name_is_refused(tmp_path, room):
    (tmp_path / room).mkdir()
    (tmp_path / room / "__init__.py").write_text("raise SystemExit('must not be imported')\n")
    done = process("list", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        f"oodbench: oodbench needs its own package {room!r} in {ROOT}, but Python finds "
    )
    assert str(tmp_path / room / "__init__.py") in done.stderr
    assert "Run from another folder" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_foreign_package_is_refused_in_the_library_too(tmp_path):
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "__init__.py").touch()
    done = subprocess.run(
        [sys.executable, "-c", "from oodbench import detector"],
        cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "oodbench needs its own package 'methods'" in done.stderr
