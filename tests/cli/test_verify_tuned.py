"""Hyper-parameters that test sets chose: `oodbench verify` chooses again, on the validation sets."""

import shutil

import pytest
from altered_records import change
from command_line import Command
from small_leaderboard import SMALL

from benchmark.records.files import read_records
from benchmark.records.text import record_path

GRID = (2, 1, 4)
TUNED = (
    SMALL.replace("[msp, knn]", f"[knn_tuned, {', '.join(f'knn_{k}' for k in GRID)}]")
    .replace("    shifts:", "    validation:\n      waves: {dataset: strokes, n: 12}\n    shifts:")
    .replace(
        "  msp: {detector: msp}\n  knn: {detector: knn, hyperparameters: {k: 2}}\n",
        f"  knn_tuned: {{detector: knn, tune: {{k: {list(GRID)}}}}}\n"
        + "".join(f"  knn_{k}: {{detector: knn, hyperparameters: {{k: {k}}}}}\n" for k in GRID),
    )
)


@pytest.fixture
def tuned(measured, monkeypatch, capsys, tmp_path):
    """`oodbench verify` of records of a tuned entry, and of each value that it might have taken."""
    (tmp_path / "leaderboard.yaml").write_text(TUNED)
    shutil.copytree(measured.cache, tmp_path / "own")
    command = Command(monkeypatch, capsys, tmp_path)
    monkeypatch.setenv("OODBENCH_CACHE", str(tmp_path / "own"))
    assert command("run", "--all", "--jobs", 1, "--results", "results")[0] == 0
    return lambda *words: command("verify", "--jobs", 1, "--cells", "all", *words), tmp_path / "results"


def of(results, entry, seed=0):
    [found] = [one for one in read_records(record_path(results, "small", entry)).records if one.seed == seed]
    return found


def test_a_value_that_validation_did_not_choose_is_named_with_all_its_numbers_true(tuned):
    verify, results = tuned
    code, out, _ = verify("--entry", "knn_tuned")
    assert (code, out.count("equal: to the bit")) == (0, 2)
    honest = of(results, "knn_tuned")
    chosen = honest.settings["hyperparameters"]["k"]
    others = [of(results, f"knn_{k}") for k in GRID if k != chosen]
    best = max(others, key=lambda one: one.numbers["near.auroc"])
    assert best.numbers["near.auroc"] != honest.numbers["near.auroc"]
    change(
        results,
        "knn_tuned",
        numbers=lambda _: best.numbers,
        series=lambda _: best.series,
        settings=lambda said: {**said, "hyperparameters": best.settings["hyperparameters"]},
    )
    code, out, _ = verify("--entry", "knn_tuned")
    assert code == 1
    assert "MISMATCH" in out
    assert "small knn_tuned tiny scratch seed 0" in out
