"""What a contributed method does to its process, its network or its messages is no harm to another's numbers.

All of them stand in one leaderboard, which is run in real worker processes, one job at a time.
"""

import sys
from pathlib import Path

import pytest
from kept_registry import keep_registry
from small_runs import cells, said

from benchmark.engines.processes import Processes
from benchmark.engines.state import GlobalState
from benchmark.jobs.job import Kind
from benchmark.plan.make import Selection, make_plan
from benchmark.records.results import read_all
from benchmark.run import run_plan
from benchmark.spec.load import load_spec
from benchmark.store import fingerprints
from benchmark.store.artifacts import Store
from methods.errors import LONGEST

HONEST = ("msp", "knn", "odin")
METHOD = """
import multiprocessing, os, sys
from dataclasses import dataclass
import torch
from methods.base import Detector, GradientDetector, Paper, Signal
from methods.registry import register

IN_A_WORKER = multiprocessing.parent_process() is not None
{top}

@register("{name}")
@dataclass(frozen=True)
class Method({base}):
    epsilon: float = 0.01
    paper = Paper(title="t", authors="a", venue="v", year=2000)
    needs = frozenset({{Signal.LOGITS}})
    step_name = "epsilon"

    def loss(self, features):
        return features.logits.sum(dim=1)

    def fit(self, train, val, head, rng=None):
        {fit}
        return self

    def score(self, features):
        {score}
        return features.logits[:, 0].double()

    def score_images(self, network, images, direction=None):
        {images}
        return self.raw_score(network(images))
"""
REPLACE = "torch.softmax = torch.Tensor.softmax = lambda x, *a, **k: torch.zeros_like(x)"
HALVE = "for p in network.network.parameters(): p.data.mul_(0.5)"
SPEAKS = "class Odd(Exception):\n    def __str__(self): raise ValueError"

# What each does where, and what is said of it.
PLAIN = {
    "replaces_softmax": ({"score": REPLACE}, r"torch.softmax became a function of replaces_softmax.py:"),
    "hides_a_method": (
        {"score": "torch.Tensor.topk = lambda *a, **k: None"},
        r"torch.Tensor.topk became a function of hides_a_method.py:",
    ),
    "sets_the_type": (
        {"score": "torch.set_default_dtype(torch.float64)"},
        "the default type of tensors became torch.float64",
    ),
    "lowers_the_limit": (
        {"score": "sys.setrecursionlimit(90); (f := lambda n: f(n))(0)"},
        "the recursion limit became 90",
    ),
    "turns_off_gradients": (
        {"score": "torch.set_grad_enabled(False)"},
        "whether gradients are recorded became False",
    ),
    "takes_threads": ({"score": "torch.set_num_threads(2)"}, "the number of threads became 2"),
    "is_not_deterministic": (
        {"score": "torch.use_deterministic_algorithms(False)"},
        "the use of deterministic algorithms became False",
    ),
    "replaces_when_loaded": (
        {"top": f"if IN_A_WORKER: {REPLACE}"},
        r"torch.softmax became a function of replaces_when_loaded.py:",
    ),
    "exits": ({"score": "sys.exit(0)"}, "SystemExit: 0 (exits.py:"),
    "interrupts": ({"score": "raise KeyboardInterrupt"}, "KeyboardInterrupt:  (interrupts.py:"),
    "ends_python": ({"score": "os._exit(0)"}, "its process ended without an answer"),
    "exits_when_loaded": (
        {"top": "if IN_A_WORKER: sys.exit(0)"},
        "",
    ),
    "says_nothing": ({"top": SPEAKS, "score": "raise Odd"}, "Odd: what it says cannot be read (ValueError)"),
    "says_much": ({"score": "raise ValueError('x' * 30_000_000)"}, "ValueError: xxx"),
    "says_halves": (
        {"score": r"raise ValueError('\ud800 \x1b[31m red \x00 \u202e')"},
        r"ValueError: \ud800 \x1b[31m red \x00 \u202e (says_halves.py:",
    ),
    "does_not_apply": (
        {
            "top": "from methods.base import NotApplicable",
            "fit": r"raise NotApplicable('\ud800\x1b[31m')",
        },
        r"\ud800\x1b[31m",
    ),
}
GRADIENT = {
    "halves_weights": (
        {"images": HALVE},
        "ChangedInputs: halves_weights: it changed the network that it was given: ",
    ),
    "paints_images": (
        {"images": "images.zero_()"},
        "ChangedInputs: paints_images: it changed the images that it was given",
    ),
    "hooks": (
        {"images": "network.network.register_forward_hook(lambda *_: None)"},
        "ChangedInputs: hooks: it changed the network that it was given: hooks of the network",
    ),
    "dies": ({"images": "os._exit(1)"}, "its process ended without an answer"),
}
METHODS = PLAIN | GRADIENT


def contribute(folder: Path) -> None:
    """Files of methods, installed so that every process finds them."""
    for name, (parts, _) in METHODS.items():
        base = "GradientDetector" if name in GRADIENT else "Detector"
        text = {"top": "", "fit": "pass", "score": "pass", "images": "pass"} | parts
        (folder / f"{name}.py").write_text(METHOD.format(name=name, base=base, **text))
    about = folder / "hostile-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: hostile\nVersion: 1\n")
    points = "\n".join(f"{name} = {name}" for name in METHODS)
    (about / "entry_points.txt").write_text(f"[oodbench.methods]\n{points}\n")


def leaderboard(small: str, entries: tuple[str, ...]) -> str:
    text = small.replace("entries: [msp, knn]", f"entries: [{', '.join(entries)}]")
    text = text.replace("seeds: [0, 1]", "seeds: [0]")
    more = "".join(f"  {name}: {{detector: {name}}}\n" for name in ("odin", *METHODS))
    return text.replace("  msp: {detector: msp}\n", f"  msp: {{detector: msp}}\n{more}")


def run(path: Path, folder: Path, entries: tuple[str, ...]):
    plan = make_plan(load_spec(path), Selection(entries=entries))
    summary = run_plan(
        plan, cache=folder / "cache", results=folder / "results", pool=Processes(1), on_event=lambda *_: None
    )
    return plan, {place.row: record for place, record in cells(summary).items()}


class Ran:
    def __init__(self, plan, records, folder, alone):
        self.plan, self.records, self.folder, self.alone = plan, records, folder, alone


@pytest.fixture(scope="module")
def only_run():
    return {}


@pytest.fixture
def ran(only_run, small, tmp_path_factory, monkeypatch):
    """One run of all of them, and one of the honest ones by themselves."""
    if not only_run:
        folder = tmp_path_factory.mktemp("hostile")
        path = folder / "leaderboard.yaml"
        path.write_text(leaderboard(small.read_text(), (*METHODS, *HONEST)))
        contribute(folder)
        with monkeypatch.context() as patched:
            keep_registry(patched)
            patched.syspath_prepend(folder)
            fingerprints.forget()
            plan, records = run(path, folder / "all", ())
            _, alone = run(path, folder / "honest", HONEST)
        for name in METHODS:
            sys.modules.pop(name, None)
        fingerprints.forget()
        only_run["ran"] = Ran(plan, records, folder / "all", {k: said(v) for k, v in alone.items()})
    return only_run["ran"]


def assert_failed(ran, name):
    record = ran.records[name]
    assert record.status == "failed"
    assert METHODS[name][1] in record.reason
    assert "\n" not in record.reason
    assert len(record.reason) < LONGEST + 200
    store = Store(ran.folder / "cache")
    (planned,) = [cell for cell in ran.plan.cells if cell.cell.entry == name]
    assert not store.has(planned.chain[Kind.SCORE])


def test_r12_others_are_measured_as_if_they_were_by_themselves(ran):
    for name in HONEST:
        assert ran.records[name].status == "measured"
        assert said(ran.records[name]) == ran.alone[name]


@pytest.mark.parametrize(
    "name",
    [
        "replaces_softmax",
        "hides_a_method",
        "sets_the_type",
        "lowers_the_limit",
        "turns_off_gradients",
        "takes_threads",
        "is_not_deterministic",
        "replaces_when_loaded",
    ],
)
def test_r12_a_method_that_changes_what_all_share_fails(ran, name):
    assert_failed(ran, name)


@pytest.mark.parametrize("name", ["halves_weights", "paints_images", "hooks"])
def test_r16_a_method_that_changes_the_network_or_the_images_fails(ran, name):
    """Odin shares the network with it, and is measured as it should be: see the first test."""
    assert_failed(ran, name)


@pytest.mark.parametrize("name", ["exits", "interrupts", "ends_python", "exits_when_loaded"])
def test_r17_a_method_that_ends_python_is_one_failed_cell(ran, name):
    assert_failed(ran, name)


@pytest.mark.parametrize("name", ["says_nothing", "says_much", "says_halves"])
def test_r18_whatever_a_method_says_is_recorded_printably(ran, name):
    assert_failed(ran, name)


def test_r18_so_is_why_it_does_not_apply(ran):
    record = ran.records["does_not_apply"]
    assert (record.status, record.reason) == ("not_applicable", METHODS["does_not_apply"][1])


def test_r18_every_record_can_be_read(ran):
    read = {file.row: file.records[0].reason for file in read_all(ran.folder / "results")}
    assert read == {name: record.reason for name, record in ran.records.items()}


def test_r19_a_method_whose_process_dies_takes_none_of_its_group_with_it(ran):
    """Four of the group fail, each for a reason of its own; the fifth is measured."""
    assert_failed(ran, "dies")
    groups = {
        ran.plan.jobs[cell.chain[Kind.SCORE]].group
        for cell in ran.plan.cells
        if cell.cell.entry in ("odin", *GRADIENT)
    }
    assert len(groups) == 1
    assert groups != {""}


def test_r12_this_process_is_as_it_was(ran):
    """What is asked here of the workers would tell of this one, too."""
    before = GlobalState.now()
    assert before.changes() == []
