"""Runs that write the same results at once, each with a cache of its own, lose nothing."""

import multiprocessing
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for the processes that are spawned below

from invented_records import failed, file, record

from benchmark.records.results import read_all, update_records
from benchmark.records.text import LOCK

ENTRIES = ("knn", "msp")
SEEDS = 6


def one_run(results, seed, start):
    """Put one seed of every entry into `results`, as the end of a run does."""
    start.wait()
    made = record(seed, x=round(0.1 + seed / 20, 3))
    for entry in ENTRIES:
        update_records(results, [file(made, row=entry)])


def test_r1_runs_at_once_lose_no_cell(tmp_path):
    """Without a lock in the folder of the results, 2 of 12 rounds of two processes lost cells."""
    fork = multiprocessing.get_context("spawn")
    start = fork.Barrier(SEEDS)
    runs = [fork.Process(target=one_run, args=(tmp_path, seed, start)) for seed in range(SEEDS)]
    for process in runs:
        process.start()
    for process in runs:
        process.join(120)
        assert process.exitcode == 0
    files = {found.row: found for found in read_all(tmp_path)}
    assert sorted(files) == sorted(ENTRIES)
    assert all([r.seed for r in found.records] == list(range(SEEDS)) for found in files.values())
    assert sorted(path.name for path in tmp_path.iterdir()) == [LOCK, "t"]


def test_r1_reading_and_writing_is_one_step(tmp_path, monkeypatch):
    """While a run has read a file and not yet written it, another waits: nothing comes between."""
    from filelock import FileLock, Timeout

    from benchmark.records import results as module

    def while_written(files, write=module.write_files):
        with pytest.raises(Timeout):
            FileLock(tmp_path / LOCK).acquire(timeout=0)
        return write(files)

    monkeypatch.setattr(module, "write_files", while_written)
    assert update_records(tmp_path, [file(record(0))]).written
    with FileLock(tmp_path / LOCK).acquire(timeout=0):
        pass  # and it is free again


def test_r21_an_update_says_which_records_a_failure_replaced(tmp_path):
    update_records(tmp_path, [file(record(0), record(1))])
    updated = update_records(tmp_path, [file(failed(0, reason="division by zero"))])
    assert updated.withdrawn == ["t knn b scratch 0"]
    (found,) = read_all(tmp_path)
    assert [r.status for r in found.records] == ["failed", "measured"]
    assert update_records(tmp_path, [file(failed(0, reason="division by zero"))]) == ([], [])
