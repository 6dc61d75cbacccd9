"""The key of a job follows every function of ours that its computation calls: watched while it runs."""

import sys
from pathlib import Path

import pytest
import small_studies
from small_leaderboard import SMALL

from benchmark.engines import worker
from benchmark.plan.make import Selection, make_plan
from benchmark.run import run_plan
from benchmark.spec.load import load_spec
from benchmark.store import artifacts, fingerprints, syntax, tensors
from benchmark.store.fingerprints import reached
from benchmark.store.syntax import Definition

HOME = Path(fingerprints.__file__).parents[2]
PLUMBING = {artifacts.__name__, tensors.__name__}  # what reads and writes artifacts is handed to every job
DETECTORS = ["mahalanobis", "odin", "vim", "react", "gradnorm", "gram", "ensemble", "rankfeat", "openmax"]
ENTRIES = "".join(f"  {name}: {{detector: {name}}}\n" for name in DETECTORS)
WIDE = (
    SMALL.replace("train_per_class: 4", "train_per_class: 8")
    .replace("[msp, knn]", f"[msp, knn, tuned, {', '.join(DETECTORS)}]")
    .replace("test_efficientnet", "test_resnet")
    .replace("    training:", "    validation:\n      scribbles: {dataset: strokes, n: 12}\n    training:")
    .replace("\nboards:", f"\n  tuned: {{detector: react, tune: {{percentile: [80, 90]}}}}\n{ENTRIES}boards:")
)


def calls(frames, root):
    """What of ours is called below the `run` of a kind of job, but for what neutral code calls."""
    found = set()
    for chain in frames:
        names = []
        for module, qualified in chain:  # innermost first
            if (module, qualified) == (root, "run"):
                break
            names.append((module, qualified))
        else:
            continue
        if any(
            module in PLUMBING or qualified == "<module>" or is_neutral(module, qualified)
            for module, qualified in names
        ):
            continue
        found |= {Definition(module, qualified.partition(".")[0]) for module, qualified in names[:1]}
    return found


def roots(plan, job):
    """Of a job and of those whose artifacts it is given: their keys are part of its own."""
    given = {root for key in job.needs for root in roots(plan, plan.jobs[key])}
    return {f"{job.done_by}:run", *job.definitions, *given}


def is_neutral(module, qualified):
    thing = sys.modules.get(module)
    name, *rest = qualified.split(".")
    if fingerprints._neutral(Definition(module, name)):
        return True
    statements = syntax.parsed(module).definitions.get(name, []) if thing else []
    marked = {
        part.name
        for statement in statements
        for part in getattr(statement, "body", [])
        if any(getattr(mark, "id", "") == "neutral" for mark in getattr(part, "decorator_list", []))
    }
    return bool(rest) and rest[0] in marked


@pytest.fixture
def watched(monkeypatch):
    """Jobs with the chains of our functions that each of their calls stands in."""
    seen = []
    make = worker._make

    def watch(store, todo, environment, by):
        frames = set()

        def note(frame, event, _):
            if event != "call" or not frame.f_code.co_filename.startswith(str(HOME)):
                return
            chain = []
            while frame is not None:
                if frame.f_code.co_filename.startswith(str(HOME)):
                    chain.append((frame.f_globals["__name__"], frame.f_code.co_qualname))
                frame = frame.f_back
            frames.add(tuple(chain))

        sys.setprofile(note)
        try:
            make(store, todo, environment, by)
        finally:
            sys.setprofile(None)
            seen.append((todo, frames))

    monkeypatch.setattr(worker, "_make", watch)
    return seen


EVERY_CELL = (
    WIDE,
    Selection(),
    {"data", "shift", "train", "extract", "classify", "score", "tune", "measure"},
)
EVERY_STUDY = (
    small_studies.LEADERBOARD,
    Selection(studies=small_studies.ALL, seeds=(0,), full=True),
    {"pretrain", "training_set", "attack", "corrupt", "assess"},
)


@pytest.mark.long
@pytest.mark.parametrize(("text", "selection", "kinds"), [EVERY_CELL, EVERY_STUDY], ids=["cells", "studies"])
def test_every_function_that_a_job_calls_is_in_its_key(text, selection, kinds, watched, tmp_path):
    path = tmp_path / "leaderboard.yaml"
    path.write_text(text)
    plan = make_plan(load_spec(path), selection)
    places = {"cache": tmp_path / "cache", "results": tmp_path / "results"}
    run_plan(plan, **places, workers=1, on_event=lambda *_: None)
    assert {job.kind for todo, _ in watched for job in todo} >= kinds
    missing = {}
    for todo, frames in watched:
        known = {one for job in todo for root in roots(plan, job) for one in reached(root)}
        for found in calls(frames, todo[0].done_by) - known:
            missing.setdefault(str(todo[0].kind), set()).add(found)
    assert missing == {}
