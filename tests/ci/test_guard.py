"""What a pull request is, by its files: each planted fraud is refused, and the file is named."""

from pathlib import Path

import pytest
from proposals import BASE, LEADERBOARD, METHOD, TOY, TOY_TEST, WITH_TOY, Repository, refused, told
from workflow_runs import git

from benchmark.errors import OodbenchError
from oodbench_ci.guard import LARGEST_RECORDS, LARGEST_SOURCE, MOST_OF_A_METHOD, guard
from oodbench_ci.objects import Objects


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return Repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture
def repository(made):
    first = made.base
    yield made
    made.base = first


def test_a_method_with_its_test_and_its_lines_is_one(repository):
    guarded = repository.guarded(METHOD)
    verdict = guarded.verdict
    assert (verdict.kind, verdict.findings) == ("method", ())
    assert [(one.family, one.name) for one in verdict.methods] == [("detectors", "toy")]
    assert verdict.select == "--track small --entry toy"
    assert (verdict.names, verdict.tests) == ("toy", (TOY_TEST,))
    assert {change.path for change in guarded.files} == METHOD.keys()


def test_what_methods_share_an_objective_and_entries_of_full_runs_are_fine(repository):
    text = WITH_TOY.replace("full: {entries: [knn]}", "full: {entries: [knn, toy]}")
    text += "objectives:\n  toy_50: {method: toy, epochs: 50}\n"
    files = METHOD | {"methods/detectors/_toys.py": "x = 1\n", "leaderboard.yaml": text}
    verdict = repository.verdict(files, computed=("small", "large"))
    assert (verdict.kind, verdict.findings) == ("method", ())
    assert verdict.select == "--track large --track small --entry toy --full"


def test_an_entry_of_a_method_that_is_there_is_computed(repository):
    text = LEADERBOARD.replace("entries: [msp, knn]", "entries: [msp, knn9, knn]")
    text = text.replace("  knn: {det", "  knn9: {detector: knn, hyperparameters: {k: 9}}\n  knn: {det")
    verdict = repository.verdict({"leaderboard.yaml": text})
    assert (verdict.kind, verdict.select, verdict.names) == ("method", "--track small --entry knn9", "")


def test_a_branch_that_lags_behind_is_judged_by_what_a_merge_would_do(repository):
    head = repository.propose(METHOD)
    repository.base = repository.propose({"docs/names.md": "other names\n"})
    verdict = guard(Objects(repository.folder), repository.base, head, ("small",)).verdict
    assert (verdict.kind, verdict.findings) == ("method", ())
    repository.base = repository.propose({"leaderboard.yaml": WITH_TOY.replace("toy", "other")})
    verdict = guard(Objects(repository.folder), repository.base, head, ("small",)).verdict
    assert refused(verdict) == {"leaderboard.yaml": "conflicts with the base branch: merge that into yours"}


FRAUDS = {  # a file that a method's pull request touches as well, and what is said of it
    ".ci/run": "edits the checker",
    ".github/workflows/check.yml": "edits a workflow",
    "benchmark/run.py": "edits the harness",
    "benchmark/records/spread.py": "edits the checker: how records are read and compared",
    "constraints.txt": "edits the lock file",
    "pyproject.toml": "edits the lock file: what is installed",
    "methods/base.py": "edits the contract of methods",
    "methods/detectors/msp.py": "edits the file of another method",
    "methods/detectors/__init__.py": "edits a family of methods",
    "oodbench.py": "edits the command line",
    "reports/claims/claims.yaml": "edits a declared claim",
    "reports/select.py": "edits the pages",
    "results/spread.json": "edits the tolerance",
    "results/verified.json": "adds to the ledger of what was verified",
    "results/small/msp.json": "changes a published record: these change by recomputation alone",
    "results/large/msp.json": "changes a published record: these change by recomputation alone",
    "tests/conftest.py": "edits the checker: what tests share",
    "tests/helpers/places.py": "edits the checker: what tests share",
    "tests/methods/detectors/test_msp.py": "edits the checker: a test of another thing",
    "tests/methods/detectors/conftest.py": "adds to the checker: a test of another thing",
    "tests/test_architecture.py": "edits the checker: a test of another thing",
    ".gitattributes": "adds to what git does with files",
    "methods/detectors/Toy2.py": "adds to a family of methods",
    "methods/inventions/toy.py": "adds to the file of another method",
    "sitecustomize.py": "adds to a file of the house",
}


def test_a_method_touches_nothing_that_decides_about_it(repository):
    verdict = repository.verdict(METHOD | dict.fromkeys(FRAUDS, "changed = True\n"))
    assert verdict.kind == "refused"
    assert refused(verdict).keys() == FRAUDS.keys()
    for path, what in FRAUDS.items():
        assert refused(verdict)[path].startswith(what)
    assert (verdict.select, verdict.names) == ("", "")


@pytest.mark.parametrize("path", [".ci/run", "results/spread.json", "constraints.txt"])
def test_one_such_file_is_enough(repository, path):
    verdict = repository.verdict(METHOD | {path: "changed = True\n"})
    assert (verdict.kind, refused(verdict).keys()) == ("refused", {path})


def test_nothing_of_what_is_refused_is_laid_over(repository):
    assert repository.guarded(METHOD | {"constraints.txt": "torch==1\n"}).files == ()


def test_deleting_is_named_as_well(repository):
    gone = ["methods/detectors/msp.py", "benchmark/run.py", "tests/test_architecture.py"]
    found = refused(repository.verdict(METHOD | dict.fromkeys(gone)))
    assert {path: what.split()[0] for path, what in found.items()} == dict.fromkeys(gone, "deletes")


def test_a_renamed_file_is_one_deleted_and_one_added(repository):
    verdict = repository.verdict({"methods/detectors/msp.py": None, TOY: BASE["methods/detectors/msp.py"]})
    assert refused(verdict).keys() == {"methods/detectors/msp.py"}


def test_without_a_method_it_is_for_a_maintainer_and_nothing_is_computed(repository):
    touched = [".ci/run", "methods/detectors/msp.py", "docs/names.md", "benchmark/run.py"]
    verdict = repository.verdict(dict.fromkeys(touched, "changed\n"))
    assert (verdict.kind, verdict.select) == ("maintainer", "")
    assert sorted(told(verdict)) == sorted(touched)


def test_a_hostile_leaderboard_is_refused(repository):
    for text, said in (("a: &a [*a]\n", "alias of a value that holds it"), (None, "is not there")):
        verdict = repository.verdict(METHOD | {"leaderboard.yaml": text})
        assert said in refused(verdict)["leaderboard.yaml"]


def test_other_changes_of_the_leaderboard_are_refused_by_their_keys(repository):
    verdict = repository.verdict(
        METHOD | {"leaderboard.yaml": WITH_TOY.replace("seeds: [0, 1]", "seeds: [0]")}
    )
    assert verdict.kind == "refused"
    keys = [one.what.split()[0] for one in verdict.findings]
    assert keys == ["tracks.small.seeds", "tracks.large.seeds"]


def test_settings_of_a_way_of_training_that_others_use_are_no_addition(repository):
    text = WITH_TOY + "objectives:\n  cross_entropy: {epochs: 50}\n"
    what = refused(repository.verdict(METHOD | {"leaderboard.yaml": text}))["leaderboard.yaml"]
    assert what.startswith("cross_entropy is a name in use already")


def test_a_new_attack_in_a_study_is_for_a_maintainer(repository):
    text = LEADERBOARD.replace("    entries: [msp]\n", "    studies: {adversarial: {}}\n    entries: [msp]\n")
    repository.base = repository.propose({"leaderboard.yaml": text})
    text = text.replace("adversarial: {}", "adversarial: {attacks: {toy: {method: toy}}}")
    verdict = repository.verdict({TOY: "x = 1\n", "leaderboard.yaml": text})
    assert verdict.kind == "maintainer"
    assert told(verdict)["leaderboard.yaml"].startswith("tracks.large.studies.adversarial.attacks is added")


# Sources that are not what they look like


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("x = 1  # \u202e\u2066 if admin\u2069", "hidden character U+202E"),
        (b"x = 1\0", "hidden character U+0000"),
        (b"\xff\xfe", "not UTF-8 text"),
        ("#" * (LARGEST_SOURCE + 1), f"{LARGEST_SOURCE + 1:,} bytes"),
    ],
)
def test_source_that_hides_something_or_is_huge_is_refused(repository, content, said):
    [(path, what)] = refused(repository.verdict(METHOD | {TOY: content})).items()
    assert path.startswith(TOY)
    assert said in what


def test_links_and_other_repositories_are_refused(repository, tmp_path):
    verdict = repository.verdict(METHOD | {TOY: Path("/etc/passwd")})
    assert refused(verdict)[TOY] == "a link or another repository; expected a file"
    head = repository.propose(METHOD)
    entry = f"160000,{head},methods/detectors/sub"
    git("update-index", "--add", "--cacheinfo", entry, cwd=repository.folder)
    git("commit", "--quiet", "--message", "a submodule", cwd=repository.folder)
    verdict = guard(Objects(repository.folder), repository.base, "HEAD", ("small",)).verdict
    assert refused(verdict)["methods/detectors/sub"] == "a link or another repository; expected a file"


def test_a_method_that_may_be_executed_is_refused(repository):
    repository.propose(METHOD)
    git("update-index", "--chmod=+x", TOY, cwd=repository.folder)
    git("commit", "--quiet", "--message", "executable", cwd=repository.folder)
    verdict = guard(Objects(repository.folder), repository.base, "HEAD", ("small",)).verdict
    assert "may be executed" in refused(verdict)[TOY]


def test_names_with_markup_are_refused_and_told_in_plain_characters(repository):
    names = [
        "<img src=x onerror=alert(1)>",
        "a\nb",
        "a`b`",
        "[a](http:x)",
        "\u202egpj",
        "a b",
        "-rf\\",
        "@a|x",
    ]
    verdict = repository.verdict(METHOD | {f"methods/detectors/{name}.py": "x = 1\n" for name in names})
    assert len(refused(verdict)) == len(names)
    for path, what in refused(verdict).items():
        assert what.startswith("a name of other characters")
        assert path.isascii()
        assert path.isprintable()


def test_a_flood_of_files_is_refused(repository):
    files = {f"methods/detectors/toy{i}.py": "x = 1\n" for i in range(MOST_OF_A_METHOD + 1)}
    assert f"{len(files)} files" in refused(repository.verdict(files))[""]


# Records put in by hand


def test_records_of_what_ci_computes_are_not_taken(repository):
    paths = ["small/toy.json", "small/networks/x.json", "other/x.json", "x.json", "large/a/b/c.json"]
    files = {f"results/{path}": "{}" for path in paths}
    for more in ({}, METHOD):
        verdict = repository.verdict(files | more)
        assert verdict.kind == "refused"
        assert refused(verdict).keys() == files.keys()
        assert {what.partition(":")[0] for what in refused(verdict).values()} == {"a record put in by hand"}


def test_records_of_a_larger_track_are_taken_as_self_reported(repository):
    verdict = repository.verdict({"results/large/toy.json": '{"numbers": [0.5]}'})
    assert (verdict.kind, verdict.records) == ("records", ("results/large/toy.json",))
    both = repository.verdict(METHOD | {"results/large/toy.json": "{}"})
    assert (both.kind, both.records) == ("method", ("results/large/toy.json",))


def test_hostile_records_are_refused(repository):
    hostile = {
        "nan": ('{"auroc": NaN}', "got NaN"),
        "deep": ("[" * 100_000, "nested 100000 deep"),
        "large": (" " * (LARGEST_RECORDS + 1), f"{LARGEST_RECORDS + 1:,} bytes"),
        "verified": ('{"records": [{"x": {"verified": true}}]}', "says of itself that it is verified"),
    }
    files = {f"results/large/{name}.json": content for name, (content, _) in hostile.items()}
    found = refused(repository.verdict(files))
    assert found.keys() == files.keys()
    for name, (_, said) in hostile.items():
        assert said in found[f"results/large/{name}.json"]


def test_records_that_are_published_are_neither_changed_nor_deleted(repository):
    for content, verb in (("{ }\n", "changes"), (None, "deletes")):
        verdict = repository.verdict({"results/large/msp.json": content})
        assert refused(verdict)["results/large/msp.json"].startswith(f"{verb} a published record")


def test_histories_that_have_nothing_in_common_are_told(repository):
    git("checkout", "--quiet", "--orphan", "other", cwd=repository.folder)
    repository.commit(METHOD)
    with pytest.raises(OodbenchError, match="cannot be merged"):
        guard(Objects(repository.folder), repository.base, "other", ("small",))
    for name in ("--upload-pack=x", "nothing"):
        with pytest.raises(OodbenchError):
            guard(Objects(repository.folder), repository.base, name, ("small",))
