"""The other steps: which entries a merge asks records of, the issue of a night, and mistakes on the way."""

import json

import gh_stub
import pytest
from proposals import LEADERBOARD, METHOD, WITH_TOY, Repository

import ci
from benchmark.errors import UsageError
from oodbench_ci.github import BOT
from oodbench_ci.objects import Objects
from oodbench_ci.reverify import MARKER
from oodbench_ci.selected import selected


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    made = Repository(tmp_path_factory.mktemp("repository"))
    made.head = made.propose(METHOD)
    return made


def options(repository, commit, *named, computed=("small",)):
    return selected(Objects(repository.folder), commit, computed, named).select


def test_what_is_listed_and_has_no_records_is_computed(repository):
    assert options(repository, repository.base) == "--track small --entry knn"  # msp has records
    assert options(repository, repository.head) == "--track small --entry knn --entry toy"
    both = options(repository, repository.base, computed=("small", "large"))
    assert both == "--track large --track small --entry knn --full"
    made = {f"results/small/{name}.json": "{}" for name in ("knn", "toy")}
    assert options(repository, repository.propose(METHOD | made)) == ""


def test_entries_that_are_named_are_computed_where_they_are_listed(repository):
    assert options(repository, repository.head, "msp", "toy") == "--track small --entry msp --entry toy"
    assert (
        options(repository, repository.head, "toy", computed=("small", "large"))
        == "--track small --entry toy"
    )


@pytest.mark.parametrize("name", ["nothing", "$(id)", "--full"])
def test_other_names_are_refused(repository, name):
    with pytest.raises(UsageError, match="no entry of a track that CI computes"):
        options(repository, repository.head, name)


def test_a_step_tells_the_next_ones_and_ends_with_its_code(repository, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "outputs"))
    there = ["--repository", str(repository.folder), "--base", repository.base, "--computed", "small"]
    tree, told = tmp_path / "tree", tmp_path / "check" / "verdict.json"
    tree.mkdir()
    more = ["--head", repository.head, "--into", str(tree), "--verdict", str(told)]
    assert ci.main(["guard", *there, *more]) == 0
    lines = (tmp_path / "outputs").read_text().splitlines()
    assert lines == [
        "kind=method",
        "names=toy",
        "select=--track small --entry toy",
        "tests=tests/methods/detectors/test_toy.py",
    ]
    assert {path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()} == METHOD.keys()
    assert json.loads(told.read_text())["kind"] == "method"
    bad = repository.propose({**METHOD, "constraints.txt": "torch==1\n"})
    assert ci.main(["guard", *there, "--head", bad]) == 1
    assert "refused: constraints.txt: edits the lock file" in capsys.readouterr().out
    assert ci.main(["guard", *there, "--head", "nothing"]) == 2
    assert "git knows no commit 'nothing'" in capsys.readouterr().err


def verdicts(*lines, stands=None, other_code=()):
    worst = {"path": "near.auroc", "claimed": 0.9, "recomputed": 0.8, "most": 0.0}
    judged = [
        {
            "cell": cell,
            "verdict": word,
            "why": "of the same weights",
            "worst": None if word == "equal" else worst,
        }
        for cell, word in lines
    ]
    fine = all(word != "MISMATCH" for _, word in lines) and not other_code
    said = {"version": 1, "verdicts": judged, "missing": [], "stands": fine if stands is None else stands}
    return said | {"other_code": {"of other code": [*other_code]}, "drawn": [], "cells": 4}


class Night:
    def __init__(self, tmp_path, monkeypatch):
        self.folder, self.state = tmp_path, tmp_path / "state"
        for name, value in gh_stub.install(tmp_path / "bin", self.state).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")

    def __call__(self, told, *issues):
        gh_stub.answer(self.state, {"repos/owner/name/issues": list(issues)})
        (self.folder / "verify.json").write_text(json.dumps(told))
        there = ["--verdicts", str(self.folder / "verify.json")]
        code = ci.main(["issue", "--github", "owner/name", "--run", "7", *there])
        return code, gh_stub.sent(self.state)


@pytest.fixture
def night(tmp_path, monkeypatch):
    return Night(tmp_path, monkeypatch)


def test_a_night_when_all_stands_says_nothing(night):
    assert night(verdicts(("small msp tiny scratch seed 0", "equal"), ("a", "within"))) == (0, [])


def test_what_no_longer_stands_is_told_in_an_issue_and_then_below_it(night):
    fallen = verdicts(("small msp", "MISMATCH"), ("small knn", "equal"), other_code=["small x"])
    code, [first] = night(fallen)
    assert (code, first["path"], first["method"]) == (0, "repos/owner/name/issues", "POST")
    body = first["said"]["body"]
    assert body.startswith(MARKER)
    assert "- `small msp: of the same weights (near.auroc: 0.9 claimed, 0.8)`" in body
    assert "- `small x: of other code`" in body
    assert "small knn" not in body
    foreign = {"number": 3, "body": MARKER, "pull_request": {}}
    _, [_, second] = night(fallen, foreign, {"number": 4, "body": body})
    assert second["path"] == "repos/owner/name/issues/4/comments"
    [asked, *_] = [one for one in gh_stub.asked(night.state) if one["method"] == "GET"]
    assert asked["fields"]["creator"] == BOT


@pytest.mark.parametrize(
    "told",
    [
        {},
        [],
        {"version": 1},
        verdicts(("x", "MISMATCH"), stands=True),
        verdicts(("x", "equal"), stands=False),
        verdicts(("x", "\u202e")),
    ],
)
def test_what_is_no_verdict_fails_the_run_and_is_told_too(night, told, capsys):
    code, [issue] = night(told)
    assert (code, issue["path"]) == (1, "repos/owner/name/issues")
    assert "ended without verdicts" in issue["said"]["body"]
    assert capsys.readouterr().err.startswith(("the verdicts: ", "verify.json: "))


def test_a_cell_with_markup_is_code(night):
    _, [first] = night(verdicts(("`<b>` @all", "MISMATCH")))
    assert "- `` `<b>` @all: of" in first["said"]["body"]


def test_the_leaderboards_of_these_tests_differ_by_the_method_alone():
    assert WITH_TOY.replace("  toy: {detector: toy}\n", "").replace(", toy]", "]") == LEADERBOARD
