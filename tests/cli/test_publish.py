"""`oodbench publish`, and which folder `run`, `report` and `plan` write and read."""

import json
import shutil

import pytest
from own_runs import fill
from places import ROOT

from benchmark.plan.make import Selection, make_plan
from benchmark.records.files import read_records
from benchmark.records.results import read_all, write_records
from benchmark.records.text import record_path
from benchmark.spec.load import load_spec


@pytest.fixture
def plan(command):
    return make_plan(load_spec(command.folder / "leaderboard.yaml"), Selection(full=True))


def files(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.json"))


def test_publish_takes_what_is_finished_to_results(command, plan):
    fill(command.folder / "runs", plan, "own")
    code, out, err = command("publish")
    assert (code, err) == (0, "")
    assert out == (
        "published: 4 new, 0 changed, 0 as they are already; refused: 0\n4 files written below results\n"
    )
    assert files(command.folder / "results") == [
        "small/knn.json",
        "small/msp.json",
        "small/networks/cross_entropy.json",
        "small/trainings/cross_entropy.json",
    ]
    assert read_all(command.folder / "results") == read_all(command.folder / "runs")


def test_a_dry_run_says_what_would_change_and_writes_nothing(command, plan):
    fill(command.folder / "runs", plan, "own", near=0.8)
    fill(command.folder / "results", plan, "published", near=0.75)
    before = files(command.folder)
    code, out, _ = command("publish", "--dry-run")
    assert code == 0
    assert "would be published: 0 new, 4 changed, 0 as they are already; refused: 0\n" in out
    assert "  small knn tiny scratch seed 0: Near AUROC 75.00 → 80.00\n" in out
    assert [line.split() for line in out.splitlines() if line.startswith(" Near AUROC")] == [
        ["Near", "AUROC", "4", "0", "5.00", "5.00", "5.00", "5.00"]
    ]
    assert files(command.folder) == before
    assert read_all(command.folder / "results") != read_all(command.folder / "runs")


def test_refused_cells_are_named_with_their_reason_and_the_rest_is_published(command, plan):
    fill(command.folder / "runs", plan, "own")
    path = record_path(command.folder / "runs", "small", "knn")
    made = read_records(path)
    odd = [r.model_copy(update={"key": "of yesterday"}) if r.seed == 1 else r for r in made.records]
    write_records(path, made.model_copy(update={"records": odd}))
    code, out, _ = command("publish")
    assert code == 1
    assert "refused: outdated: of other code, settings or libraries than today's; run it again\n" in out
    assert "  small knn: tiny scratch seed 1\n" in out
    assert "published: 3 new, 0 changed, 0 as they are already; refused: 1\n" in out


def test_u10_a_contributors_row_is_refused_and_the_rows_are_named(command, plan):
    fill(command.folder / "results", plan, "published")
    fill(command.folder / "runs", plan, "own", near=0.9, entries=["knn"])
    before = read_all(command.folder / "results")
    code, out, _ = command("publish", "--entry", "knn")
    assert code == 1
    assert "refused: its network is not that of the published rows of the same place" in out
    assert "does not replace: small msp; publish all of them from one set of networks\n" in out
    assert "  small knn: tiny scratch seeds 0, 1\n" in out
    assert read_all(command.folder / "results") == before


def test_publish_takes_only_what_is_chosen(command, plan):
    fill(command.folder / "runs", plan, "own")
    code, out, _ = command("publish", "--seed", "1", "--entry", "msp", "--published", "reviewed")
    assert code == 0
    assert "published: 1 new" in out
    assert [(f.row, r.seed) for f in read_all(command.folder / "reviewed") for r in f.records] == [("msp", 1)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "runs: has no records that are selected"),
        (["--results", "results"], "results: the folder of the published records itself"),
        (["--entry", "mps"], "no entry 'mps'; did you mean 'msp'?"),
    ],
)
def test_nothing_to_publish_is_a_mistake(command, arguments, message):
    code, out, err = command("publish", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"oodbench: {message}")


# Which folder


def test_own_runs_are_ignored_by_git():
    assert "/runs/" in (ROOT / ".gitignore").read_text().splitlines()


def test_a_run_leaves_the_published_records_and_is_compared_with_them(ran, command, plan):
    """The published records of the folder are invented: not those of any that are measured."""
    folder = command.folder
    shutil.copytree(ran.folder / "cache", folder / "cache")
    fill(folder / "results", plan, "published", near=0.4)
    for path in (folder / "results").rglob("*.json"):
        path.chmod(0o444)
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in (folder / "results").rglob("*.json")}
    code, out, _ = command("run", "--all", "--jobs", "1")
    assert code == 0
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in (folder / "results").rglob("*.json")} == before
    assert files(folder / "runs") == files(ran.folder / "runs")
    assert "records (results/): 0 of these records" in out  # of other images, as the invented ones say
    report = json.loads((folder / "site" / "reproduction.json").read_text())
    assert report["published"] == "results"
    assert "from the records in `runs/`" in (folder / "site" / "leaderboard.md").read_text()


def test_a_run_where_nothing_is_published_says_so_in_one_line(ran):
    assert "Not compared with published numbers: there are no published records in results/\n" in ran.out


def test_report_and_plan_read_what_is_published_and_say_so(command, plan):
    folder = command.folder
    fill(folder / "results", plan, "published")
    fill(folder / "runs", plan, "own", entries=["msp"])
    code, _, err = command("plan")
    assert (code, err) == (0, "These are the records in results/; your own are in runs/: --results runs\n")
    code, out, err = command("plan", "--results", "runs")
    assert (code, err) == (0, "These are the records in runs/\n")
    assert "small" in out


def test_report_and_plan_read_own_runs_where_nothing_is_published(command, plan):
    fill(command.folder / "runs", plan, "own")
    code, _, err = command("plan")
    assert (code, err) == (0, "These are the records in runs/\n")


def test_published_lies_beside_the_leaderboard_in_use(command, plan):
    elsewhere = command.folder / "elsewhere"
    elsewhere.mkdir()
    (command.folder / "leaderboard.yaml").rename(elsewhere / "leaderboard.yaml")
    fill(elsewhere / "results", plan, "published")
    code, _, err = command("plan", "--leaderboard", "elsewhere/leaderboard.yaml")
    assert (code, err) == (0, "These are the records in elsewhere/results/\n")


def test_spread_json_is_no_record(command, plan):
    """What `compare` writes may lie among the published records: nothing reads it as one."""
    fill(command.folder / "results", plan, "published")
    fill(command.folder / "runs", plan, "own")
    code, _, _ = command("compare", "runs", "results", "--json", "results/spread.json")
    assert code == 0
    before = (command.folder / "results" / "spread.json").read_bytes()
    for arguments in (["plan"], ["publish"]):
        code, _, _ = command(*arguments)
        assert code == 0
    assert (command.folder / "results" / "spread.json").read_bytes() == before
