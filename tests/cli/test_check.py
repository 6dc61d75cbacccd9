"""`oodbench check`: what is checked, what is said, and with which code it ends."""

import json
import subprocess

import pytest
from small_leaderboard import SMALL

from benchmark.conformance.findings import Finding, Severity

FOLDER = """
datasets:
  mine:
    kind: folder
    path: images
    title: Mine
    source: a garden
    licence: {licence}
    citation: {citation}
"""


@pytest.fixture
def leaderboard(command):
    path = command.folder / "leaderboard.yaml"
    path.write_text(SMALL)
    return path


def test_a_method_that_conforms(command, leaderboard):
    code, out, _ = command("check", "msp", "detectors/knn")
    assert code == 0
    lines = out.splitlines()
    assert [line.partition(": cost: ")[0] for line in lines[:-1]] == [
        "note: detectors/msp",
        "note: detectors/knn",
    ]
    assert lines[-1].startswith("2 checked in ")
    assert lines[-1].endswith(" s: 0 errors, 0 warnings")


def test_as_json(command, leaderboard):
    code, out, _ = command("check", "msp", "--json")
    told = json.loads(out)
    assert code == 0
    assert (told["checked"], told["errors"], told["warnings"]) == (["detectors/msp"], 0, 0)
    assert told["findings"][0]["check"] == "cost"
    assert told["findings"][0].keys() == {"subject", "check", "severity", "message", "advice"}


def test_errors_end_with_1_and_say_what_to_do(command, leaderboard):
    code, out, _ = command("check", "vim")  # which this leaderboard does not have
    assert code == 1
    assert "error: detectors/vim: entry: no entry of leaderboard.yaml has it → add one under `entries`" in out


def test_a_name_that_nothing_bears(command, leaderboard):
    code, _, err = command("check", "knnn")
    assert code == 2
    assert "nothing to check is called 'knnn'; did you mean 'knn'?" in err


def test_names_and_a_base_exclude_each_other(command, leaderboard):
    code, _, err = command("check", "knn", "--base", "main")
    assert code == 2
    assert "--base: what changed is not asked for where names are given" in err


@pytest.mark.parametrize(
    ("licence", "citation", "code", "said"),
    [
        ("MIT", "Me 2020", 0, "0 errors, 0 warnings"),
        ("TODO", "Me 2020", 1, "error: dataset mine: licence: its licence is 'TODO' → fill it in"),
        ("MIT", "TODO name a paper", 1, "error: dataset mine: citation: its citation is"),
        ("none stated", "Me 2020", 0, "warning: dataset mine: licence: no licence is stated"),
    ],
)
def test_a_dataset_needs_licence_and_citation(command, leaderboard, licence, citation, code, said):
    leaderboard.write_text(SMALL + FOLDER.format(licence=licence, citation=citation))
    done, out, _ = command("check", "mine")
    assert (done, said in out) == (code, True), out


def test_a_track_and_its_datasets(command, leaderboard):
    code, out, _ = command("check", "small")
    assert code == 0
    assert "1 checked" in out
    leaderboard.write_text(SMALL.replace("dataset: uniform_noise", "dataset: uniform_nois"))
    code, out, _ = command("check", "small")
    assert code == 1
    assert "error: track small: data: " in out


def test_an_entry_that_cannot_be_made(command, leaderboard):
    leaderboard.write_text(SMALL.replace("{k: 2}", "{k: 2.5}"))
    code, out, _ = command("check", "knn")
    assert code == 1
    assert "error: entry knn: entry: leaderboard.yaml" in out
    assert "expected int | None, got 2.5" in out


# ------------------------------------------------------------------------------------------ what has changed


def git(folder, *arguments):
    who = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True)


@pytest.fixture
def checkout(command, leaderboard):
    git(command.folder, "init", "-q", "-b", "main")
    (command.folder / ".gitignore").write_text("cache\n")
    git(command.folder, "add", ".")
    git(command.folder, "commit", "-q", "-m", "base")
    git(command.folder, "switch", "-q", "-c", "mine")
    return command.folder


@pytest.fixture
def checked(monkeypatch):
    """Methods are named and not run."""
    seen = []
    monkeypatch.setattr(
        "benchmark.conformance.suite.check_named", lambda family, name: seen.append(f"{family}/{name}") or []
    )
    return seen


def test_without_names_it_is_what_differs_from_the_base(command, checkout, checked):
    code, out, err = command("check")
    assert (code, checked) == (0, [])
    assert "Checked is what differs from main" in err
    assert out.startswith("0 checked")
    for name in ("msp", "knn", "gone"):
        path = checkout / "methods" / "detectors" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    git(checkout, "add", "methods/detectors/knn.py", "methods/detectors/gone.py")
    git(checkout, "commit", "-q", "-m", "knn")
    (checkout / "methods" / "detectors" / "gone.py").unlink()
    code, out, _ = command("check", "--base", "main")
    assert (code, checked) == (0, ["detectors/knn", "detectors/msp"])  # committed, and new


def test_what_leaderboard_yaml_says_anew_is_checked(command, checkout, checked):
    text = SMALL.replace("{k: 2}", "{k: 0}") + FOLDER.format(licence="TODO", citation="c")
    (checkout / "leaderboard.yaml").write_text(text)
    code, out, _ = command("check", "--json")
    told = json.loads(out)
    assert code == 1
    assert told["checked"] == ["entry knn", "dataset mine"]
    assert [one["subject"] for one in told["findings"]] == ["entry knn", "dataset mine"]


@pytest.mark.parametrize("base", ["nowhere", "-x", "a b"])
def test_a_base_that_git_does_not_know(command, checkout, base):
    code, _, err = command("check", f"--base={base}")
    assert code == 2
    assert "--base: " in err


def test_without_a_repository_everything_is_checked(command, leaderboard, checked):
    code, _, err = command("check")
    assert code == 1  # most methods are in no entry of this leaderboard
    assert "no git revision origin/main or main here: everything is checked" in err
    assert len(checked) > 100


def test_after_a_change_of_the_process_nothing_more_is_run(command, leaderboard, monkeypatch):
    def spoiling(family, name):
        yield Finding(f"{family}/{name}", "state", Severity.ERROR, "it changed torch.softmax", "do not")

    monkeypatch.setattr("benchmark.conformance.suite.check_named", spoiling)
    code, out, _ = command("check", "msp", "knn")
    assert code == 1
    assert "not checked, because detectors/msp changed this process: detectors/knn" in out
