"""What CONTRIBUTING.md tells people to run does what it says."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = ROOT / "CONTRIBUTING.md"


@pytest.mark.long
@pytest.mark.skipif(not TEXT.is_file(), reason=f"no checkout: {TEXT} is not there")
def test_u11_the_command_for_one_method_runs_its_tests_and_few_others():
    (line,) = re.findall(r"`\.venv/bin/python (-m pytest [^`]*-k <name>)`", TEXT.read_text())
    command = [sys.executable, *shlex.split(line.replace("<name>", "vim")), "--collect-only", "-q"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    tests = [row for row in done.stdout.splitlines() if "::" in row]
    assert any("test_conformance.py" in row and "[vim" in row for row in tests)
    assert any("detectors/test_vim.py" in row for row in tests)
    assert len(tests) < 150  # of thousands
