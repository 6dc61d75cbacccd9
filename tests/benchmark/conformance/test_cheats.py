"""Detectors that cheat, or lack something: each is caught, and by which check. An honest one passes."""

from functools import partial

import pytest
import torch
from kept_registry import keep_registry
from written_methods import DOC, write

from benchmark.conformance.detectors import CHECKS
from benchmark.conformance.findings import Severity
from benchmark.conformance.subject import Subject
from benchmark.conformance.suite import check_class
from methods.features import Features

HELD = "HELD = {}"
CHEATS = {
    # ------------------------------------------------------------------------ labels, and which set it is
    "labels of the caller": ({"imports": "import sys", "before": "told = sys._getframe(1)"}, "reach"),
    "labels of the caller, disguised": (
        {"before": "told = getattr(__import__('s' + 'ys'), '_get' + 'frame')(2).f_locals"}, "reach",
    ),
    "labels by the stack": ({"imports": "import inspect as i", "before": "told = i.stack()[1]"}, "reach"),
    "labels of all objects": (
        {"imports": "from gc import get_objects as o", "before": "told = len(o())"}, "reach",
    ),
    "labels of the datasets": ({"imports": "from benchmark.datasets import dataset"}, "reach"),
    "labels of the harness": ({"fit": "import benchmark.jobs.scoring as harness"}, "reach"),
    "labels of the records": ({"before": "from oodbench import read_all"}, "reach"),
    "labels by a replaced function": (
        {
            "imports": "from oodbench import Features",
            "globals": "PLAIN, TOLD = Features.without, []",
            "fit": "Features.without = lambda f, *n: (TOLD.append(f), PLAIN(f, *n))[1]",
        },
        "state",
    ),
    "labels of a file": ({"before": "open(__file__).close()"}, "files"),
    "the set, by the harness's variables": (
        {
            "imports": "import sys",
            "before": "f = sys._getframe()\n        while f and f.f_locals.get('part') != 'test':\n"
            "            f = f.f_back",
            "score": "distances + 9.0 * (f is not None)",
        },
        "sets",
    ),
    "the set, by the order of calls": (
        {"globals": HELD, "before": "HELD[len(HELD)] = 1", "score": "distances / len(HELD)"}, "sets",
    ),
    "the set, by its images": ({"score": "distances + 0.1 * h.mean()"}, "batch"),
    # ---------------------------------------------------------------------------------- other test images
    "the batch": ({"score": "distances - distances.mean()"}, "batch"),
    "large batches": ({"score": "distances * (1 + 0.01 * (len(h) > 7))"}, "batch"),
    "the order": ({"score": "distances + 0.01 * torch.arange(len(h))"}, "order"),
    "calls before": (
        {"globals": HELD, "before": "HELD.setdefault('h', h.mean())", "score": "distances + HELD['h']"},
        "globals",
    ),
    "calls before, in the object": (
        {"before": "object.__setattr__(self, 'n', getattr(self, '__dict__').get('n', 0) + 1)"}, "history",
    ),
    "calls before, in the class": (
        {"before": "Written.n = 1 + getattr(Written, 'n', 0)", "score": "distances - Written.n"}, "history",
    ),
    # ----------------------------------------------------------------------------------------- surroundings
    "the environment": ({"imports": "import os", "before": "told = os.environ.get('CI')"}, "environment"),
    "the environment, on import": (
        {"imports": "from os import getenv as g", "globals": "CI = g('CI')", "score": "distances + bool(CI)"},
        "environment",
    ),
    "the environment, disguised": (
        {"before": "told = [*getattr(__import__('o' + 's'), 'envi' + 'ron')]"}, "environment",
    ),
    "the time": ({"imports": "import time", "score": "distances + 1e-9 * time.time()"}, "time"),
    "the time, disguised": (
        {"fit": "now = __import__('ti' + 'me').perf_counter()"}, "time",
    ),
    "the day": ({"imports": "from datetime import datetime as d", "before": "told = d.now().year"}, "time"),
    "the machine": ({"imports": "import os", "before": "told = os.getpid()"}, "system"),
    "chance": ({"score": "distances + 1e-3 * torch.rand(1, dtype=torch.float64)"}, "repeats"),
    "chance, drawn and thrown away": ({"before": "told = torch.rand(1)"}, "state"),
    "Python's chance": ({"imports": "import random", "before": "told = random.random()"}, "random"),
    "patched torch": ({"before": "torch.softmax = lambda *a, **k: None"}, "state"),
    "another default type": ({"fit": "torch.set_default_dtype(torch.float64)"}, "state"),
    "another number of threads": ({"fit": "torch.set_num_threads(2)"}, "state"),
    # ------------------------------------------------------------------------------- inputs, state, outputs
    "changed features": ({"before": "features.penultimate.mul_(2)"}, "inputs"),
    "undeclared signals": ({"score": "distances + features.logits.amax(dim=1)"}, "signals"),
    "fit in place": ({"fit": "object.__setattr__(self, 'means', train.penultimate)"}, "unfitted"),
    "float32": ({"score": "distances.float()"}, "scores"),
    "a score too few": ({"score": "distances[1:]"}, "scores"),
    "not finite": ({"score": "distances.log()"}, "scores"),
    "not finite where features are zero": ({"score": "distances / (h.amax(dim=1) != 0)"}, "finite"),
    "another device": ({"score": "distances.cpu()"}, "device"),
    "the wrong way round": ({"score": "-distances"}, "direction"),
    "no better than chance": ({"score": "(1e6 * distances).sin()"}, "direction"),
    "a failing fit": ({"fit": "raise KeyError('x')"}, "runs"),
    "other scores of float32": (
        {"score": "distances + (features.penultimate.dtype == torch.float32)"}, "float32",
    ),
    "state that is not declared": ({"fit": "self = self.with_state(more=1)"}, "saved"),
    "state of another type": (
        {"fields": "scale: float = 1.0; n: str = fitted()", "fit": "self = self.with_state(n=max)"}, "saved",
    ),
    # ------------------------------------------------------------------------------------------ what it says
    "not frozen": ({"marks": '@register("{name}")\n@dataclass'}, "frozen"),
    "not registered": ({"marks": "@dataclass(frozen=True)"}, "name"),
    "a hyper-parameter that no record holds": (
        {"fields": "scale: float = 1.0; levels: tuple[int, ...] = (1, 2)"}, "record",
    ),
    "a dead hyper-parameter": (
        {"fields": "scale: float = 1.0; p: int = 2", "doc": DOC.replace("    scale\n", "    scale, p\n")},
        "effect",
    ),
    "no paper": ({"declared": ""}, "complete"),
    "a paper without authors": ({"declared": "paper = Paper('t', '', 'v', 2020)"}, "paper"),
    "no arXiv number": ({"declared": "paper = Paper('t', 'a', 'v', 2020, 'x/1')"}, "paper"),
    "no docstring": ({"doc": ""}, "docstring"),
    "no formula": ({"doc": DOC.replace(".. math::", "")}, "docstring"),
    "no shapes": ({"doc": DOC.replace("Shapes", "Sizes")}, "docstring"),
    "no cost": ({"doc": DOC.replace("Cost", "It takes")}, "docstring"),
    "no deviations": ({"doc": DOC.replace("Deviations from the paper", "Note")}, "docstring"),
    "an untold hyper-parameter": ({"doc": DOC.replace("    scale\n", "    scal\n")}, "docstring"),
    "something to be filled in": ({"globals": "# TODO"}, "todo"),
    "needs that are no signals": ({"needs": "needs = frozenset({'penultimates'})"}, "needs"),
}  # fmt: skip


BY_NAME = {check.name: check for check in CHECKS}


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Detectors that are written to files; what they change of torch and of this suite is set back."""
    keep_registry(monkeypatch)
    monkeypatch.setattr(torch, "softmax", torch.softmax)
    monkeypatch.setattr(Features, "without", Features.without)
    threads, dtype, seeds = torch.get_num_threads(), torch.get_default_dtype(), torch.get_rng_state()
    yield partial(write, tmp_path, monkeypatch)
    torch.set_num_threads(threads)
    torch.set_default_dtype(dtype)
    torch.set_rng_state(seeds)


def found(cls):
    """What the whole suite finds, by check; notes left out."""
    return {one.check: one for one in check_class(cls) if one.severity is not Severity.NOTE}


@pytest.mark.parametrize(("parts", "by"), CHEATS.values(), ids=CHEATS)
def test_a_cheat_is_caught(written, parts, by):
    finding = BY_NAME[by](Subject(written(**parts)))[0]
    assert finding.check == by
    assert finding.message
    assert finding.advice


def test_an_honest_one_passes_every_check(written):
    assert found(written()) == {}


def test_every_check_of_the_suite_catches_something():
    """But for those that hold for some kinds of detectors only, tested beside their like."""
    apart = {"transductive", "labels", "network", "head", "not collected", "unfit", "closed form", "loss"}
    apart |= {"network itself", "network elsewhere", "cost", "dear"}
    assert BY_NAME.keys() - {by for _, by in CHEATS.values()} == apart


def test_state_that_was_there_before_the_first_check_is_seen(written):
    errors = found(written(globals="HELD = {}", before="HELD.setdefault('first', h.mean())"))
    assert errors.keys() == {"globals"}


def test_after_a_change_of_what_all_share_nothing_more_is_run(written):
    errors = found(written(fit="torch.softmax = max", score="-distances"))
    assert errors.keys() == {"state"}
    assert "torch.softmax became" in errors["state"].message


def test_a_declared_transductive_detector_may_look_at_other_images(written):
    declared = 'paper = Paper("Nothing", "N. Nobody", "ICNN", 2020)\n    transductive = True'
    assert found(written(declared=declared, score="distances + 0.1 * distances.mean()")) == {}
    (needless,) = found(written(declared=declared)).values()
    assert (needless.check, needless.severity) == ("transductive", Severity.WARNING)
