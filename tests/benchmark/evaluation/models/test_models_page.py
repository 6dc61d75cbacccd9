"""The code of docs/evaluate_models.md runs, and says what the code does."""

import re

import pytest
from places import ROOT

from benchmark.evaluation.models.open import KINDS
from benchmark.evaluation.models.stored import GROUPS, ID_SETS

PAGE = ROOT / "docs" / "evaluate_models.md"

pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason=f"no checkout: {PAGE} is not there")


def test_the_code_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 3
    names = {}
    for block in blocks:
        exec(block, names)


def test_every_kind_and_every_file_is_on_it():
    text = PAGE.read_text()
    for kind in KINDS:
        assert f"`{kind}:" in text
    for name in (*ID_SETS, *(f"{group}/NAME" for group in GROUPS), "head"):
        assert f"`{name}.npz`" in text
