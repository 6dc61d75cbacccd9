"""Records that a run left beside the published ones: joined for a look, and taken over as data."""

import json
import shutil
from pathlib import Path

import pytest
from own_runs import fill
from small_leaderboard import SMALL

from benchmark.engines.environment import environment
from benchmark.errors import DataError, StorageError
from benchmark.plan.make import Selection, make_plan
from benchmark.records.files import read_records
from benchmark.records.results import read_all
from benchmark.records.text import record_path
from benchmark.spec.load import load_spec
from benchmark.verify.ledger import LEDGER, Verification, add, digest_of
from oodbench_ci.laid import lay_over
from oodbench_ci.objects import Change
from oodbench_ci.records import join, take


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    path = tmp_path_factory.mktemp("spec") / "leaderboard.yaml"
    path.write_text(SMALL)
    return make_plan(load_spec(path), Selection(full=True))


@pytest.fixture
def folders(tmp_path, plan):
    """What is published, msp alone; and the same with knn beside it, as a run would offer it."""
    published = fill(tmp_path / "published", plan, "ours", entries=["msp"])
    offered = fill(tmp_path / "offered", plan, "ours")
    return published, offered


def edit(path, change):
    told = json.loads(path.read_text())
    change(told)
    path.write_text(json.dumps(told))


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.json")}


def verified(folder, plan, *entries, **changes):
    """Verify the records of entries, as a job says that it did."""
    all_of = [file for file in read_all(folder) if file.row in entries]
    names = [digest_of(file, one) for file in all_of for one in file.records]
    say = {
        "by": "record.yml",
        "date": "2026-12-01",
        "seed_of_draw": 1,
        "cells": 4,
        "environment": environment(),
    }
    add(folder, Verification(**{**say, "environment": environment(), "records": names, **changes}))


def test_what_was_asked_for_is_taken_over(folders):
    published, offered = folders
    before = files(published)
    taken = take(offered, published, ["small"], ["knn"])
    assert [path.name for path in taken] == ["knn.json"]
    assert files(published) == before | {"small/knn.json": (offered / "small" / "knn.json").read_bytes()}
    assert take(offered, published, ["small"], ["knn"]) == []


def alter(path, *keys, value):
    def change(told):
        for key in keys[:-1]:
            told = told[key]
        told[keys[-1]] = value

    edit(path, change)


FRAUDS = {
    "one cell of another entry altered": (
        lambda o: alter(o / "small" / "msp.json", "records", 0, "numbers", 0, value=0.99),
        "small/msp.json: ",
    ),
    "a record deleted": (lambda o: (o / "small" / "msp.json").unlink(), "small/msp.json: is not"),
    "another track": (lambda o: shutil.copytree(o / "small", o / "large"), "large/knn.json: "),
    "another entry": (
        lambda o: shutil.copy(o / "small" / "knn.json", o / "small" / "new.json"),
        "small/new.json: ",
    ),
    "another study": (
        lambda o: shutil.copytree(o / "small" / "trainings", o / "small" / "corruptions"),
        "small/corruptions/cross_entropy.json: ",
    ),
    "the tolerance": (lambda o: (o / "spread.json").write_text("{}"), "spread.json: of another track"),
    "a program": (lambda o: (o / "small" / "x.py").write_text("x"), "small/x.py: no JSON"),
    "a hidden file": (lambda o: (o / ".github.json").symlink_to("/etc/passwd"), ".github.json: a link"),
    "a link": (lambda o: (o / "small" / "x.json").symlink_to("/etc/passwd"), "small/x.json: a link"),
    "a linked folder": (lambda o: (o / "more").symlink_to("/etc"), "more: a link"),
    "a deep folder": (lambda o: (o / "a" / "b" / "c").mkdir(parents=True) or (o / "a/b/c/d.json").touch(),
                      "a/b/c/d.json: a link, or a name that no record has"),
    "a name with markup": (lambda o: (o / "small" / "<b>.json").touch(), "small/<b>.json: a link, or a name"),
    "NaN": (lambda o: (o / "small" / "knn.json").write_text('{"x": NaN}'), "small/knn.json: not JSON"),
    "no record": (lambda o: (o / "small" / "knn.json").write_text("{}"), "knn.json: "),
    "a network altered": (
        lambda o: edit(o / "small" / "networks" / "cross_entropy.json", lambda t: t["networks"].popitem()),
        "network: expected one of the folder",
    ),
    "a training altered": (
        lambda o: alter(o / "small" / "trainings" / "cross_entropy.json", "records", 0, "seed", value=9),
        "small/trainings/cross_entropy.json",
    ),
}  # fmt: skip


@pytest.mark.parametrize("which", FRAUDS)
def test_all_else_is_refused_by_name_and_nothing_is_written(folders, which):
    published, offered = folders
    change, said = FRAUDS[which]
    change(offered)
    before = files(published)
    with pytest.raises(DataError) as refused:
        take(offered, published, ["small"], ["knn"])
    assert said in str(refused.value)
    assert files(published) == before


def test_verifications_of_what_is_taken_over_come_with_it(folders, plan):
    published, offered = folders
    for folder in folders:
        verified(folder, plan, "msp", by="before")
    verified(offered, plan, "knn")
    assert {path.name for path in take(offered, published, ["small"], ["knn"])} == {"knn.json", LEDGER}


@pytest.mark.parametrize("fraud", ["msp verified too", "msp verified by another", "msp verified no more"])
def test_verifications_of_others_are_refused(folders, plan, fraud):
    published, offered = folders
    if fraud != "msp verified too":
        verified(published, plan, "msp", by="before")
    if fraud == "msp verified by another":
        verified(offered, plan, "msp", by="before", seed_of_draw=2)
    verified(offered, plan, *(["knn"] if "no more" in fraud else ["knn", "msp"]))
    with pytest.raises(DataError, match=f"^{LEDGER}: .*of a record of another entry"):
        take(offered, published, ["small"], ["knn"])


def test_a_run_is_joined_to_a_copy_and_the_published_records_stay(folders, tmp_path, plan):
    published, _ = folders
    runs = fill(tmp_path / "runs", plan, "theirs", near=0.9, entries=["knn"])
    before = files(published)
    assert join(published, runs, tmp_path / "after") == 1
    assert files(published) == before
    rows = {file.row: file for file in read_all(tmp_path / "after")}
    assert rows.keys() == {"msp", "knn"}
    assert rows["msp"] == read_all(published)[0]
    trainings = record_path(tmp_path / "after", "small", "cross_entropy", "trainings")
    assert read_records(trainings) == read_records(
        record_path(published, "small", "cross_entropy", "trainings")
    )
    with pytest.raises(StorageError):
        join(published, runs, tmp_path / "after")


def test_files_are_laid_below_a_folder_and_nowhere_else(tmp_path):
    class Blobs:
        def blob(self, name):
            return name.encode()

    tree = tmp_path / "tree"
    (tree / "methods").mkdir(parents=True)
    (tree / "out").symlink_to(tmp_path)
    (tree / "methods" / "link.py").symlink_to(tmp_path / "target")
    fine = Change("methods/detectors/toy.py", "A", "100644", "toy", 3)
    assert [path.read_text() for path in lay_over(Blobs(), [fine], tree)] == ["toy"]
    for path in ("../x.py", "/x.py", "out/x.py", "methods/link.py", ".git/config"):
        with pytest.raises(StorageError, match="leads out of"):
            lay_over(Blobs(), [Change(path, "A", "100644", "x", 1)], tree)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tree"]
    assert Path(tree / "methods" / "detectors" / "toy.py").read_text() == "toy"
