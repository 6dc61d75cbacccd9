"""Which methods changed files belong to."""

import pytest

from benchmark.conformance.changed import methods_in
from benchmark.conformance.sources import named


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "methods" / "detectors"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "_low.py").write_text("x = 1\n")
    (folder / "_high.py").write_text("from methods.detectors._low import x\n")
    (folder / "uses_high.py").write_text("from methods.detectors import _high\n")
    (folder / "uses_low.py").write_text("import methods.detectors._low as low\n")
    (folder / "alone.py").write_text("import torch\n")
    return tmp_path


@pytest.mark.parametrize(
    ("file", "names"),
    [
        ("alone.py", ["alone"]),
        ("_high.py", ["uses_high"]),
        ("_low.py", ["uses_high", "uses_low"]),
        ("gone.py", []),
        ("__init__.py", []),
    ],
)
def test_a_file_counts_for_itself_or_for_who_shares_it(root, file, names):
    expected = [("detectors", name) for name in names]
    assert methods_in([f"methods/detectors/{file}"], root) == expected


def test_files_elsewhere_belong_to_no_method(root):
    (root / "methods" / "base.py").write_text("")
    assert methods_in(["methods/base.py", "README.md", "/methods/detectors/alone.py"], root) == []


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("import os\nx = os.environ", "environment"),
        ("import os as o\nx = o.getenv('x')", "environment"),
        ("from os import environ as e", "environment"),
        ("from time import time", "time"),
        ("import datetime\nx = datetime.datetime.now()", "time"),
        ("import benchmark.datasets as d", "reach"),
        ("from reports import select", "reach"),
        ("import oodbench\nx = oodbench.read_all", "reach"),
        ("import torch\nx = torch.load('x')", "files"),
        ("from pathlib import Path", "files"),
        ("x = open('x')", "files"),
        ("import socket\nx = socket.socket()", "system"),
    ],
)
def test_what_no_method_needs_is_read_in_its_file(tmp_path, text, kind):
    path = tmp_path / "method.py"
    path.write_text(text)
    assert {one.kind for one in named(path)} == {kind}


def test_what_methods_need_is_not(tmp_path):
    path = tmp_path / "method.py"
    path.write_text("import math\nimport torch\nfrom oodbench import Detector\nx = torch.exp(math.pi)\n")
    assert list(named(path)) == []
