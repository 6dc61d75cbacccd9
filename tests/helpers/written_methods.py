"""Detectors in files of their own, as a package elsewhere has them: honest but for what a test says."""

import importlib.util
import itertools
import sys

HEAD = """
from dataclasses import dataclass

import torch

from oodbench import Detector, Paper, Signal, register
from methods.base import fitted
"""
DOC = '''    r"""Distance to the nearest class mean (Nobody 2020, eq. 1).

    .. math:: s = -\\\\min_k \\\\lVert h - \\\\mu_k \\\\rVert

    Shapes: features (N, D) → scores (N,). Cost: O(NKD). Deviations from the paper: none.

    Parameters
    ----------
    scale
        Of the distance.
    """
'''.replace("\\\\", "\\")
BODY = {
    "imports": "",
    "globals": "",
    "marks": '@register("{name}")\n@dataclass(frozen=True)',
    "doc": DOC,
    "fields": "scale: float = 1.0",
    "declared": 'paper = Paper("Nothing", "N. Nobody", "ICNN", 2020)',
    "needs": "needs = frozenset({Signal.PENULTIMATE})",
    "fit": "",
    "before": "",
    "score": "distances",
}
FORM = """{imports}
{globals}

{marks}
class Written(Detector):
{doc}
    {fields}
    means: torch.Tensor = fitted()
    {declared}
    {needs}

    def fit(self, train, val, head, rng=None):
        {fit}
        rows = [train.penultimate[train.labels == k].mean(dim=0) for k in train.labels.unique()]
        return self.with_state(means=torch.stack(rows).double())

    def score(self, features):
        h = features.penultimate.double()
        apart = (h[:, None] - self.means).square().sum(dim=2).sqrt()
        distances = -self.scale * apart.amin(dim=1)
        {before}
        return {score}
"""
_NUMBERS = itertools.count()


def source(name="written", **parts):
    """The text of a detector's file, with some parts in place of the honest ones."""
    assert parts.keys() <= BODY.keys()
    parts = BODY | parts
    return HEAD + FORM.format(**{**parts, "marks": parts["marks"].format(name=name)})


def write(folder, monkeypatch, **parts):
    """The class of a detector that is written to a file and imported; its module is forgotten afterwards."""
    module = f"written_{next(_NUMBERS)}"
    path = folder / f"{module}.py"
    path.write_text(source(module, **parts))
    spec = importlib.util.spec_from_file_location(module, path)
    made = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, module, made)
    spec.loader.exec_module(made)
    return made.Written
