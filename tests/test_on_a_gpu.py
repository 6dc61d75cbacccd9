"""The script for a machine with a GPU, on one without: it says so, and can be rehearsed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*arguments):
    command = [sys.executable, "tests/bench/on_a_gpu.py", *arguments]
    hidden = {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, env=os.environ | hidden, capture_output=True, text=True)


def test_without_a_gpu_it_measures_nothing():
    done = run()
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "no GPU here: nothing is measured\n")


@pytest.mark.long
@pytest.mark.parametrize("arguments", [["features", "attack", "--images", "40"], ["detectors"]])
def test_it_can_be_rehearsed(arguments):
    done = run("--rehearse", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("a rehearsal on a pretended device: no figure below is one of a GPU\n")
    assert "FAILS" not in done.stdout
