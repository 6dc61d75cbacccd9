"""What holds of every workflow, whoever changes it; `.ci/workflows` says what zizmor and actionlint find."""

import re
import shutil
import subprocess

import pytest
from places import ROOT
from workflow_runs import load

FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TOLD = {path.stem: load(path) for path in FILES}
JOBS = {(name, job): told["jobs"][job] for name, told in TOLD.items() for job in told["jobs"]}
UNTRUSTED = ("check", "ci")  # that run what a pull request brings


def steps():
    return [(place, step) for place, job in JOBS.items() for step in job["steps"]]


def writes(job):
    return sorted(name for name, allowed in job["permissions"].items() if allowed == "write")


def test_the_workflows_are_found():
    assert TOLD.keys() == {"check", "ci", "comment", "pages", "record", "reverify"}


def test_every_action_is_pinned_by_its_commit_with_its_version_beside_it():
    lines = [line for path in FILES for line in path.read_text().splitlines() if "uses:" in line]
    assert len(lines) > 20
    pinned = re.compile(r"\s*(- )?uses: actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
    assert [line for line in lines if not pinned.fullmatch(line)] == []
    commits = {line.split("uses: ")[1] for line in lines}
    assert len(commits) == len({commit.partition("@")[0] for commit in commits})  # one of each


def test_a_step_is_a_line_or_two_and_takes_values_through_the_environment():
    for place, step in steps():
        assert "${{" not in step.get("run", ""), place
        assert len(step.get("run", "").strip().splitlines()) <= 2, (place, step)


def test_a_job_has_what_it_needs_and_ends():
    for (name, job), told in JOBS.items():
        assert TOLD[name]["permissions"] == {}, name
        assert "permissions" in told, (name, job)
        assert told["timeout-minutes"] <= 120, (name, job)


def test_no_checkout_leaves_its_token():
    for place, step in steps():
        if "actions/checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False, place


def test_what_strangers_bring_runs_where_nothing_can_be_written_or_read():
    assert TOLD["check"]["on"].keys() == {"pull_request"}
    assert "pull_request_target" not in {event for told in TOLD.values() for event in told["on"]}
    for (name, job), told in JOBS.items():
        if name in UNTRUSTED:
            assert told["permissions"] == {"contents": "read"}, (name, job)
            assert "environment" not in told
    text = (ROOT / ".github" / "workflows" / "check.yml").read_text()
    assert "secrets." not in text
    assert "github.token" not in text
    assert "cache" not in re.sub(r"#.*", "", text)


def test_a_job_that_may_write_runs_no_method_and_reads_no_cache():
    may_write = {place for place, job in JOBS.items() if writes(job)}
    assert may_write == {
        ("comment", "comment"),
        ("record", "commit"),
        ("reverify", "issue"),
        ("pages", "deploy"),
    }
    for place in may_write:
        for step in JOBS[place]["steps"]:
            assert not re.search(r"-m (oodbench|pytest)|-e \.", step.get("run", "")), place
            assert "cache" not in step.get("with", {}), place


def test_a_token_is_given_to_the_step_that_needs_it_alone():
    for place, step in steps():
        given = {name for name, value in step.get("env", {}).items() if "token" in str(value)}
        assert not given or writes(JOBS[place]), (place, step)
    for place, job in JOBS.items():
        assert "token" not in str(job.get("env", {})) + str(TOLD[place[0]].get("env", {})), place


def test_the_harness_of_a_check_is_that_of_the_base_branch():
    base, head = [
        step["with"] for step in TOLD["check"]["jobs"]["check"]["steps"] if "checkout" in step.get("uses", "")
    ]
    assert (base["ref"], base["path"]) == ("${{ github.event.pull_request.base.sha }}", "base")
    assert head["path"] == "head"
    commands = [step["run"] for step in TOLD["check"]["jobs"]["check"]["steps"] if "run" in step]
    for command in commands:
        for path in re.findall(r"\S*(?:constraints\.txt|\.ci/\S+)", command):
            assert path.startswith(("base/", "../base/")), command
    assert [command for command in commands if "head" in command] == [commands[2]]  # to fetch it, as data


def test_the_tracks_that_ci_computes_are_the_same_everywhere_and_on_the_leaderboard():
    said = {told["env"]["COMPUTED"] for told in TOLD.values() if "COMPUTED" in told.get("env", {})}
    assert len(said) == 1
    assert set(said.pop().split()) <= load(ROOT / "leaderboard.yaml")["tracks"].keys()


def test_steps_of_ours_exist():
    import ci

    for place, step in steps():
        for name in re.findall(r"ci\.py (\w+)", step.get("run", "")):
            assert name in ci.STEPS, place
        for path in re.findall(r"bash (?:base/)?(\.ci/\w+)", step.get("run", "")):
            assert (ROOT / path).is_file(), place


@pytest.mark.skipif(shutil.which("zizmor") is None, reason="zizmor is not installed")
def test_zizmor_finds_nothing():
    done = subprocess.run(
        ["zizmor", "--offline", "--quiet", "--format", "plain", str(ROOT / ".github" / "workflows")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
