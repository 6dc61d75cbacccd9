"""What a method may not change for the others is noticed, whatever it is, and in a few milliseconds."""

import builtins
import math
import sys
import time

import numpy as np
import pytest
import torch
from torch.nn import functional

from benchmark.engines.state import GlobalState
from benchmark.engines.worker import unchanged_state
from benchmark.errors import ChangedState
from benchmark.jobs import scoring
from methods import statistics


def replacement(*_, **__):
    return None


@pytest.fixture(autouse=True)
def restored():
    """What settings there were."""
    settings = np.geterr(), torch.get_float32_matmul_precision(), sys.getrecursionlimit()
    yield
    np.seterr(**settings[0])
    torch.set_float32_matmul_precision(settings[1])
    sys.setrecursionlimit(settings[2])
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.set_grad_enabled(True)


SETTINGS = {
    "the default type of tensors became torch.float64": lambda: torch.set_default_dtype(torch.float64),
    "the default device became meta": lambda: torch.set_default_device("meta"),
    "whether gradients are recorded became False": lambda: torch.set_grad_enabled(False),
    "the precision of matrix products became medium": lambda: torch.set_float32_matmul_precision("medium"),
    "the recursion limit became 900": lambda: sys.setrecursionlimit(900),
    "NumPy's handling of floating-point errors became": lambda: np.seterr(divide="ignore", invalid="raise"),
}


@pytest.mark.parametrize(("said", "change"), SETTINGS.items(), ids=SETTINGS)
def test_r12_a_setting_that_is_changed_is_told(said, change):
    before = GlobalState.now()
    change()
    assert any(one.startswith(said) for one in before.changes())


def test_r12_the_working_folder_is_one(tmp_path, monkeypatch):
    before = GlobalState.now()
    monkeypatch.chdir(tmp_path)
    assert before.changes() == [f"the working folder became {tmp_path}"]


def test_r12_so_is_a_hook_of_all_modules():
    before = GlobalState.now()
    handle = torch.nn.modules.module.register_module_forward_hook(replacement)
    try:
        assert any("the hooks of all modules became" in one for one in before.changes())
    finally:
        handle.remove()
    assert before.changes() == []


@pytest.mark.parametrize(
    ("owner", "name", "told"),
    [
        (torch, "softmax", "torch.softmax"),
        (torch, "logsumexp", "torch.logsumexp"),
        (functional, "normalize", "torch.nn.functional.normalize"),
        (torch.linalg, "eigh", "torch.linalg.eigh"),
        (torch.autograd, "grad", "torch.autograd.grad"),
        (torch.Tensor, "topk", "torch.Tensor.topk"),  # which it inherits
        (torch.Tensor, "norm", "torch.Tensor.norm"),
        (torch.nn.Linear, "forward", "torch.nn.modules.linear.Linear.forward"),
        (torch.nn.Module, "__call__", "torch.nn.modules.module.Module.__call__"),
        (np, "argsort", "numpy.argsort"),
        (np.linalg, "pinv", "numpy.linalg.pinv"),
        (math, "log", "math.log"),
        (builtins, "sorted", "builtins.sorted"),
        (scoring, "check_scores", "benchmark.jobs.scoring.check_scores"),
        (statistics, "pooled", "methods.statistics.pooled"),
    ],
)
def test_r12_a_function_that_is_replaced_is_told(monkeypatch, owner, name, told):
    before = GlobalState.now()
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, replacement)
        found = before.changes()
    assert [one for one in found if one.startswith(f"{told} became a function of test_global_state.py:")]
    assert before.changes() == []


def test_r12_what_is_imported_meanwhile_is_no_change(monkeypatch, tmp_path):
    (tmp_path / "oodbench_test_new.py").write_text("def anything(): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = GlobalState.now()
    monkeypatch.setattr(torch, "oodbench_test_new", replacement, raising=False)
    __import__("oodbench_test_new")
    assert before.changes() == []
    del sys.modules["oodbench_test_new"]


def guarded(work):
    with unchanged_state():
        work()


@pytest.mark.parametrize("fails", [False, True])
def test_r12_a_block_that_changes_something_fails_with_that(fails):
    def work():
        torch.set_default_dtype(torch.float64)
        if fails:
            raise ValueError("of its own")

    with pytest.raises(ChangedState, match="it changed what other methods compute with: the default type"):
        guarded(work)


def test_r12_many_changes_are_not_all_listed():
    names = ("softmax", "exp", "log", "cdist", "topk", "sum", "mean")
    real = {name: getattr(torch, name) for name in names}

    def work():
        for name in names:
            setattr(torch, name, replacement)

    try:
        with pytest.raises(ChangedState, match=r"torch\.softmax became .* and 2 more"):
            guarded(work)
    finally:
        for name, function in real.items():
            setattr(torch, name, function)


def test_r12_looking_takes_milliseconds():
    """A job takes tenths of a second; the bound leaves room for a slow and busy machine."""

    def seconds():
        start = time.process_time()
        GlobalState.now().changes()
        return time.process_time() - start

    assert min(seconds() for _ in range(5)) < 0.05
