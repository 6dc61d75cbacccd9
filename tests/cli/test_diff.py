"""`oodbench diff`: its answer, how mistakes end, and names that no revision can have."""

import json

import pytest
from command_line import squeezed
from tagged_results import AFTER, BEFORE, Repository, leaderboard, needs_git, write


@pytest.fixture
def folders(command):
    (command.folder / "leaderboard.yaml").write_text(leaderboard())
    write(command.folder / "a", BEFORE)
    write(command.folder / "b", AFTER)
    return command


@pytest.fixture
def repository(command):
    made = Repository(command.folder)
    made.publish(BEFORE, "results-2026.11")
    made.publish(AFTER)
    return made


def test_folders_are_compared_in_markdown(folders):
    code, out, err = folders("diff", "a", "b")
    assert (code, err) == (0, "")
    assert out.startswith("# Results: a → b\n\n0 boards show the same as before, 1 do not.\n")
    assert "| msp · scratch | 81.00 | 96.00 | +15.00 | 2 " in out


def test_the_same_in_json(folders):
    code, out, _ = folders("diff", "a", "b", "--json")
    found = json.loads(out)
    assert (code, found["version"], found["before"], found["after"]) == (0, 1, "a", "b")
    assert found["boards"][0]["changed"][0]["ranked"]["difference"] == 15.0


def test_no_difference_ends_with_0_as_well(folders):
    code, out, _ = folders("diff", "a", "a")
    assert code == 0
    assert "No board and no verdict of a claim shows anything else than before." in out


@needs_git
def test_revisions_are_compared_and_the_working_tree_is_left_alone(command, repository):
    (repository.results / "toy" / "msp.json").write_text("being written")
    before = {path: path.read_bytes() for path in command.folder.rglob("*.json")}
    for base in ("results-2026.11", "HEAD~1", "main^"):
        code, out, err = command("diff", base, "HEAD")
        assert (code, err) == (0, "")
        assert "| msp · scratch | 81.00 | 96.00 | +15.00 | 2 " in out
    now = {path: path.read_bytes() for path in command.folder.rglob("*.json") if path in before}
    assert now == before
    assert repository.git("status", "--porcelain", "results").strip() == "M results/toy/msp.json"
    assert repository.git("branch", "--show-current") == "main\n"


@needs_git
def test_a_revision_against_a_folder(command, repository):
    write(command.folder / "mine", BEFORE)
    code, out, _ = command("diff", "results-2026.11", "mine")
    assert code == 0
    assert "No board and no verdict" in out


HOSTILE = (
    "-o", "--output=x", "--upload-pack=touch x", "HEAD; touch x", "$(touch x)", "`touch x`", "HEAD\ntouch x",
    "HEAD:results", ":/records", "a b", "*", "HEAD?", "[", "\\", "", " ", "x" * 5000, "é\u202e", "../../etc",
)  # fmt: skip


@needs_git
def test_a_name_that_no_revision_has_exits_2(command, repository):
    for name in HOSTILE:
        code, out, err = command("diff", "--", name, "HEAD")
        assert (code, out) == (2, ""), name
        assert "expected a folder of records or a git revision" in err, name
        assert not (command.folder / "x").exists(), name


@needs_git
def test_a_revision_that_git_does_not_know_is_named(command, repository):
    for name in ("mian", "results-2026.10", "HEAD..main", "HEAD^{tree}", "0" * 40):
        code, out, err = command("diff", name, "HEAD")
        assert (code, out) == (2, "")
        assert err.startswith(f"oodbench: {name}: neither a folder nor a revision that git knows; expected ")


def test_without_a_repository_a_revision_exits_2(folders, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(folders.folder.parent))
    code, _, err = folders("diff", "a", "main")
    assert code == 2
    assert "git" in err


def test_without_git_a_revision_exits_2_and_folders_are_compared(folders, monkeypatch):
    monkeypatch.setenv("PATH", str(folders.folder))
    code, out, err = folders("diff", "a", "main")
    assert (code, out) == (2, "")
    assert err == "oodbench: git cannot be run; expected folders of records, or git to read a revision\n"
    assert folders("diff", "a", "b")[0] == 0


def test_what_is_no_folder_of_records_is_named(folders):
    (folders.folder / "empty").mkdir()
    for name, message in (
        ("empty", "empty: has no records; expected a folder that `oodbench run` wrote"),
        ("leaderboard.yaml", "leaderboard.yaml: a file; expected a folder of records or a git revision"),
    ):
        code, out, err = folders("diff", "a", name)
        assert (code, out, err) == (2, "", f"oodbench: {message}\n")


def test_a_broken_record_exits_1_and_is_named(folders):
    (folders.folder / "b" / "toy" / "msp.json").write_text("{")
    code, out, err = folders("diff", "a", "b")
    assert (code, out) == (1, "")
    assert err.startswith("oodbench: b/toy/msp.json: ")
    assert len(err.splitlines()) == 1


@needs_git
def test_a_revision_of_another_schema_exits_1(command, repository):
    (repository.results / "toy" / "msp.json").write_text('{"schema_version": 2}')
    repository.commit()
    code, _, err = command("diff", "HEAD~1", "HEAD")
    assert code == 1
    assert err.startswith(
        "oodbench: HEAD: cannot be read by this version: results/toy/msp.json: schema_version: got 2"
    )


def test_both_sides_must_be_named(command):
    code, _, err = command("diff", "a")
    assert code == 2
    assert "Missing argument 'HEAD'" in squeezed(err)
