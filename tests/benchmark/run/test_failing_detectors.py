"""Detectors that fail are recorded so, and the others are measured."""

import errno
import importlib
import shutil
import sys

import pytest
from kept_registry import keep_registry
from small_runs import artifacts, cells, lose, run, said

from benchmark.records.files import read_records
from benchmark.records.text import record_path
from benchmark.store import fingerprints


@pytest.fixture
def features(place):
    """A copy of the finished run up to the features: nothing is scored yet."""
    lose(place, *(key for key, kind in artifacts(place).items() if kind in ("score", "measure")))
    shutil.rmtree(place.results)
    return place


PLUGIN = """
from dataclasses import dataclass
import torch
from methods.base import Detector, NotApplicable, Paper, Signal
from methods.registry import register


@register("odd")
@dataclass(frozen=True)
class Odd(Detector):
    paper = Paper(title="t", authors="a", venue="v", year=2000)
    needs = frozenset({{Signal.LOGITS}})

    def fit(self, train, val, head, rng=None):
        {fit}
        return self

    def score(self, features):
        {score}
        return features.logits[:, 0].double()
"""


@pytest.fixture
def odd(small, tmp_path, monkeypatch):
    """Writes, and writes anew, a detector that somebody contributed; the leaderboard has an entry for it."""
    folder = tmp_path / "contributed"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    keep_registry(monkeypatch)
    text = small.read_text().replace("entries: [msp, knn]", "entries: [msp, odd, knn]")
    small.write_text(
        text.replace("  msp: {detector: msp}\n", "  msp: {detector: msp}\n  odd: {detector: odd}\n")
    )

    def forget():
        sys.modules.pop("oodbench_test_odd", None)
        fingerprints.forget()

    def write(fit="pass", score="pass"):
        (folder / "oodbench_test_odd.py").write_text(PLUGIN.format(fit=fit, score=score))
        forget()
        importlib.import_module("oodbench_test_odd")

    yield write
    forget()


FAULTS = {
    "score raises": (
        {"score": "raise ZeroDivisionError('by nothing')"},
        r"ZeroDivisionError: by nothing (oodbench_test_odd.py:19)",
    ),
    "fit raises": (
        {"fit": "raise RuntimeError('no fit')"},
        r"RuntimeError: no fit (oodbench_test_odd.py:15)",
    ),
    "NaN": (
        {"score": "return features.logits[:, 0].double() * float('nan')"},
        "ScoreError: noise: 12 of 12 scores are NaN or infinite; every score must be finite",
    ),
    "wrong shape": (
        {"score": "return features.logits.double()"},
        "ScoreError: noise: expected scores of shape (12,), got (12, 3)",
    ),
    "no tensor": (
        {"score": "return None"},
        "ScoreError: noise: expected scores of shape (12,), got NoneType",
    ),
}


@pytest.mark.parametrize(
    ("fault", "reason"),
    list(FAULTS.values()),
    ids=list(FAULTS),
)
def test_a_detector_that_fails_is_recorded_so_and_the_others_are_measured(
    features, reference, small, odd, fault, reason
):
    odd(**fault)
    _, summary = run(small, features)
    failed = {str(place): record for place, record in cells(summary).items() if record.status == "failed"}
    assert failed.keys() == {f"small odd tiny scratch seed {seed}" for seed in (0, 1)}
    assert {record.reason for record in failed.values()} == {reason}
    assert all(not record.numbers and record.provenance is None for record in failed.values())
    recorded = read_records(record_path(features.results, "small", "odd"))
    assert [record.reason for record in recorded.records] == [reason, reason]
    others = {cell: said(r) for cell, r in features.records().items() if cell[1] != "odd"}
    assert others == reference.measurements()
    before = features.state()
    again, _ = run(small, features)  # a failure is not cached, and nothing new is said of it
    assert again == []
    assert features.state() == before
    odd()
    mended, _ = run(small, features)
    assert mended == sorted(
        f"small tiny scratch seed {seed}: {what} odd" for seed in (0, 1) for what in ("scores of", "measure")
    )
    assert all(record.status == "measured" for record in features.records().values())


def test_a_failure_that_goes_away_by_itself_is_tried_again(place, small, monkeypatch):
    """The key stays the same: the code did not change."""
    lose(place, *(key for key, kind in artifacts(place).items() if kind == "measure"))
    files = place.state()
    shutil.rmtree(place.results)

    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr("benchmark.jobs.measure.run", fail)
        _, summary = run(small, place)
    assert {record.status for record in cells(summary).values()} == {"failed"}
    keys = {cell: record.key for cell, record in place.records().items()}
    run(small, place)
    assert {record.status for record in place.records().values()} == {"measured"}
    assert {cell: record.key for cell, record in place.records().items()} == keys
    assert len(place.state()) == len(files)


def test_what_does_not_apply_is_recorded_with_the_reason_and_is_no_failure(features, small, odd, cli):
    odd(fit="raise NotApplicable('the head is not linear')")
    code, said = cli(features)
    assert code == 0
    assert "failed" not in said
    recorded = read_records(record_path(features.results, "small", "odd"))
    assert [(r.status, r.reason) for r in recorded.records] == [
        ("not_applicable", "the head is not linear")
    ] * 2
    assert all(not record.numbers and record.provenance is not None for record in recorded.records)
    assert run(small, features)[0] == []


def test_the_command_line_exits_with_1_if_a_cell_failed(features, odd, cli):
    odd(score="raise ZeroDivisionError('by nothing')")
    code, said = cli(features)
    assert code == 1
    assert "2 of 6 cells failed; the others are finished" in said
    assert "failed small tiny scratch seed 0: scores of odd: ZeroDivisionError: by nothing" in said
    odd()
    assert cli(features)[0] == 0


def test_r21_what_cannot_be_made_again_is_replaced_by_the_failure_and_named(place, small, monkeypatch):
    measured = [f"small {entry} tiny scratch {seed}" for entry in ("msp", "knn") for seed in (0, 1)]
    lose(place, *(key for key, kind in artifacts(place).items() if kind == "measure"))

    def fail(*_):
        raise RuntimeError("today it does not work")

    monkeypatch.setattr("benchmark.jobs.measure.run", fail)
    _, summary = run(small, place)
    assert {record.status for record in cells(summary).values()} == {"failed"}
    assert {record.status for record in place.records().values()} == {"failed"}
    assert sorted(summary.withdrawn) == sorted(measured)
    assert run(small, place)[1].withdrawn == []  # told once
