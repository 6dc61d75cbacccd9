"""From a stranger's clone to a verified row: every workflow is run here, step by step, as its file says.

The repository is ours with a small leaderboard. Commands and scripts are the real ones, each in a process of
its own; only what needs GitHub or a package index is replaced (`workflow_runs`).
"""

import io
import json
import shutil
import zipfile
from contextlib import suppress

import gh_stub
import pytest
from places import ROOT
from small_leaderboard import SMALL
from workflow_runs import Machine, git

from benchmark.engines.isolation.confinement import strongest
from benchmark.errors import DataError
from benchmark.networks.export import export
from benchmark.plan.make import Selection, make_plan
from benchmark.records.files import read_records
from benchmark.records.results import read_all
from benchmark.spec.load import load_spec
from benchmark.store.artifacts import Store
from benchmark.verify.ledger import read_ledger

WORKFLOWS = ROOT / ".github" / "workflows"
TOY = '''"""A toy."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from methods.base import Detector, Features, Paper, Signal
from methods.registry import register


@register("toy")
@dataclass(frozen=True)
class Toy(Detector):
    r"""Largest logit less the smallest.

    .. math:: s = \\max_k z_k - \\min_k z_k

    Shapes: logits (N, K) → scores (N,). Cost: O(NK). Deviations from the paper: none; there is no paper.

    Differs from: none: nobody else has it.
    """

    paper = Paper(title="Toy", authors="A. Stranger", venue="none", year=2026)
    needs = frozenset({Signal.LOGITS})

    def score(self, features: Features) -> Tensor:
        """Score logits (N, K): (N,) float64."""
        z = features.logits.double()
        return z.amax(dim=1) - z.amin(dim=1)
'''
TEST = '''"""By hand: the largest of (1, 4, 2) less the smallest is 3."""

import torch

from methods.base import Features
from methods.detectors.toy import Toy


def test_by_hand():
    assert Toy().score(Features(logits=torch.tensor([[1.0, 4.0, 2.0]]))).tolist() == [3.0]
'''
NETWORKS = "owner/networks"
LEADERBOARD = SMALL.replace(
    "    title: A few digits\n",
    f"    title: A few digits\n    trained: {{repository: {NETWORKS}, revision: {'a' * 40}}}\n",
)
WITH_TOY = LEADERBOARD.replace("[msp, knn]", "[msp, knn, toy]").replace(
    "  msp: {detector: msp}\n", "  msp: {detector: msp}\n  toy: {detector: toy}\n"
)
METHOD = {
    "methods/detectors/toy.py": TOY,
    "tests/methods/detectors/test_toy.py": TEST,
    "leaderboard.yaml": WITH_TOY,
}
REPLACED = {
    r"^pip install .*$": ":",
    r"^bash .*/sandbox$": ":",
    **({} if strongest()[0].sandbox else {" --require-sandbox": ""}),
}
pytestmark = pytest.mark.long


def write(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    git("add", "--all", "--force", cwd=folder)
    git("commit", "--quiet", "--message", "change", cwd=folder)
    return git("rev-parse", "HEAD", cwd=folder)


class World:
    """A repository on a server, a fork of it, the machines that run workflows, and a GitHub that answers."""

    def __init__(self, folder, ran):
        self.folder, self.state = folder, folder / "state"
        self.server, self.fork, self.ours = (folder / name for name in ("server.git", "fork.git", "ours"))
        self.ours.mkdir()
        for name in git("ls-files", cwd=ROOT).splitlines():
            if not name.startswith(("tests/", "results/")) and (ROOT / name).is_file():
                (self.ours / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, self.ours / name)
        shutil.copytree(ran / "runs", self.ours / "results")
        (self.ours / "results" / ".lock").unlink(missing_ok=True)
        git("init", "--quiet", "--initial-branch", "main", self.ours)
        texts = {
            path.relative_to(ROOT).as_posix(): path.read_text().replace("COMPUTED: digits", "COMPUTED: small")
            for path in WORKFLOWS.glob("*.yml")
        }
        write(self.ours, {"leaderboard.yaml": LEADERBOARD, **texts})
        spec = load_spec(self.ours / "leaderboard.yaml")
        plan = make_plan(spec, Selection())
        export(plan, spec, Store(ran / "cache"), folder / "mirror" / NETWORKS, "mit")
        git("clone", "--quiet", "--bare", self.ours, self.server)
        git("clone", "--quiet", "--bare", self.ours, self.fork)
        environment = gh_stub.install(folder / "bin", self.state)
        environment["OODBENCH_MIRROR"] = str(folder / "mirror")
        origin = {"": self.server, "stranger/oodbench": self.fork}
        self.machine = Machine(folder, origin, REPLACED, environment)

    @property
    def main(self):
        return git("rev-parse", "main", cwd=self.server)

    def propose(self, number, files):
        """A stranger's pull request: clone, change, push to the fork; the event that GitHub makes of it."""
        clone = self.folder / f"clone{number}"
        git("clone", "--quiet", self.fork, clone)
        head = write(clone, files)
        git("push", "--quiet", "origin", f"HEAD:refs/heads/change{number}", cwd=clone)
        git("fetch", "--quiet", self.fork, f"{head}:refs/pull/{number}/head", cwd=self.server)
        repository = {"full_name": "stranger/oodbench"}
        pull = {"number": number, "base": {"sha": self.main}, "head": {"sha": head, "repo": repository}}
        return {"event": {"pull_request": pull}, "repository": "owner/oodbench"}

    def check(self, event):
        """Run check.yml as GitHub does: as the pull request has it."""
        head = event["event"]["pull_request"]["head"]["sha"]
        text = git("show", f"{head}:.github/workflows/check.yml", cwd=self.server)
        path = self.folder / f"check-{head}.yml"
        path.write_text(text)
        return self.machine.run(path, event)

    def comment(self, event, ran):
        """Run comment.yml of the base branch on the end of a check; what was written."""
        pull = event["event"]["pull_request"]
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for path in sorted(ran.artifacts["check"].iterdir()):
                archive.write(path, path.name)
        (self.state / "zip").write_bytes(packed.getvalue())
        listed = {"id": 3, "name": "check", "expired": False, "size_in_bytes": len(packed.getvalue())}
        there = "repos/owner/oodbench"
        answers = {
            f"{there}/pulls": [pull],
            f"{there}/issues/{pull['number']}/comments": [],
            f"{there}/actions/runs/7/artifacts": {"artifacts": [listed]},
            f"{there}/actions/artifacts/3/zip": {"file": "zip"},
        }
        gh_stub.answer(self.state, answers)
        repository = {"full_name": "stranger/oodbench", "owner": {"login": "stranger"}}
        run = {"id": 7, "event": "pull_request", "conclusion": "success", "head_sha": pull["head"]["sha"]}
        run |= {"head_branch": "change", "head_repository": repository}
        done = self.run("comment", event={"workflow_run": run})
        assert not done.failed, done.failed
        return gh_stub.sent(self.state)[-1]

    def run(self, workflow, event=None, **more):
        plain = {
            "repository": "owner/oodbench",
            "run_id": 8,
            "sha": self.main,
            "ref_name": "main",
            "event": event or {},
        }
        return self.machine.run(self.ours / ".github" / "workflows" / f"{workflow}.yml", plain | more)


@pytest.fixture
def world(tmp_path, ran):
    return World(tmp_path, ran.folder)


def nothing_failed(ran):
    assert not ran.failed, [(step.command, step.output) for step in ran.failed]


def test_from_a_clone_to_a_verified_row_and_the_night_that_finds_it_forged(world):
    event = world.propose(1, METHOD)
    seen = checked(world, event)
    commented(world, event, seen)
    git("update-ref", "refs/heads/main", event["event"]["pull_request"]["head"]["sha"], cwd=world.server)
    recorded(world, seen)
    published(world)
    found_forged(world)


def checked(world, event):
    """The pull request is measured, and leaves records, a difference and a preview; the records."""
    ran = world.check(event)
    nothing_failed(ran)
    assert ran.said == {"check": {"contents": "read"}}
    skipped = [step.name for steps in ran.steps.values() for step in steps if step.outcome == "skipped"]
    assert skipped == ["whether all is well"]
    assert "1 passed" in ran.step("its tests").output
    assert "2 networks put into the cache" in ran.step("the published networks").output
    diff = json.loads((ran.artifacts["check"] / "diff.json").read_text())
    assert [row["row"] for row in diff["boards"][0]["added"]] == [["toy"]]
    assert (diff["boards"][0]["removed"], diff["boards"][0]["changed"]) == ([], [])
    assert "| toy | " in (ran.artifacts["check"] / "diff.md").read_text()
    pages = [*(ran.artifacts["preview"] / "preview").rglob("*.html")]
    assert len(pages) > 10
    said = f"pull request 1 at {event['event']['pull_request']['head']['sha']}, an unmerged change"
    assert [page.name for page in pages if said not in page.read_text()] == []
    assert "toy" in (ran.artifacts["preview"] / "preview" / "leaderboard.md").read_text()
    return ran


def commented(world, event, ran):
    written = world.comment(event, ran)
    assert (written["method"], written["path"]) == ("POST", "repos/owner/oodbench/issues/1/comments")
    for part in ("New methods: `detectors/toy`", "Entries to be computed: `toy`", "| toy | "):
        assert part in written["said"]["body"]


def recorded(world, seen):
    """What is merged is computed anew, verified and committed; only the job that runs no method may write."""
    merged = world.main
    ran = world.run("record")
    nothing_failed(ran)
    changed = git("diff", "--name-only", merged, "main", cwd=world.server).splitlines()
    assert changed == ["results/small/toy.json", "results/verified.json"]
    out = world.folder / "recorded"
    git("clone", "--quiet", world.server, out)
    [toy] = [file for file in read_all(out / "results") if file.row == "toy"]
    [before] = read_all(seen.artifacts["preview"] / "runs")
    assert [one.numbers for one in toy.records] == [one.numbers for one in before.records]  # of one machine
    [verification] = read_ledger(out / "results").verifications
    assert verification.by == "record.yml, run 8"
    assert len(verification.records) == len(toy.records) == 2
    dispatched = [one["path"] for one in gh_stub.sent(world.state)][-2:]
    assert dispatched == ["workflow run pages.yml --ref main", "workflow run ci.yml --ref main"]
    assert ran.said["compute"] == ran.said["verify"] == {"contents": "read"}
    commands = " ".join(step.command for step in ran.steps["commit"])
    assert "oodbench " not in commands


def published(world):
    ran = world.run("pages")
    nothing_failed(ran)
    text = (ran.artifacts["github-pages"] / "leaderboard.md").read_text()
    assert "| toy |" in text
    assert "Preview" not in text


def found_forged(world):
    """One number of one record is altered on main; the night computes it again and opens an issue."""
    before = len(gh_stub.sent(world.state))
    gh_stub.answer(world.state, {"repos/owner/oodbench/issues": []})
    clone = world.folder / "forger"
    git("clone", "--quiet", world.server, clone)
    path = clone / "results" / "small" / "msp.json"
    path.write_text(forged(path))
    git("commit", "--quiet", "--all", "--message", "better", cwd=clone)
    git("push", "--quiet", "origin", "HEAD:main", cwd=clone)
    ran = world.run("reverify")
    nothing_failed(ran)
    [issue] = gh_stub.sent(world.state)[before:]
    assert issue["path"] == "repos/owner/oodbench/issues"
    assert "small msp tiny scratch" in issue["said"]["body"]
    assert "toy" not in issue["said"]["body"]


def forged(path):
    """A file of records with one number altered so that the file is still sound."""
    text = path.read_text()
    numbers = json.loads(text)["records"][0]["numbers"]
    for i, number in enumerate(numbers):
        told = json.loads(text)
        told["records"][0]["numbers"][i] = round(number * 0.999, 6)
        path.write_text(json.dumps(told))
        with suppress(DataError):
            read_records(path)
            if 0 < number < 1:
                return json.dumps(told)
    raise AssertionError("every number follows from others")


FORGED = """
on: {pull_request: {}}
jobs:
  check:
    permissions: {contents: read}
    steps:
      - run: |
          mkdir check && echo '{"kind": "method", "findings": []}' > check/check.json
      - uses: actions/upload-artifact@ea165f8d65b6e75b540449e92b4886f43607fa02
        with: {name: check, path: check}
"""


def test_a_pull_request_is_refused_whatever_its_own_check_says_and_what_is_refused_never_runs(world):
    """GitHub runs check.yml as the pull request has it; the comment comes from the base branch."""
    event = world.propose(2, METHOD | {".github/workflows/check.yml": FORGED, ".ci/ci.py": "print('fine')"})
    ran = world.check(event)
    nothing_failed(ran)
    written = world.comment(event, ran)
    assert written["path"] == "repos/owner/oodbench/issues/2/comments"
    body = written["said"]["body"]
    assert "this pull request is refused" in body
    assert "`.github/workflows/check.yml`: `edits a workflow" in body
    assert "`.ci/ci.py`: `edits the checker" in body
    assert "finds nothing" not in body

    trace = world.folder / "trace"
    code = f"open({str(trace)!r}, 'w')\n" + TOY
    event = world.propose(3, METHOD | {"methods/detectors/toy.py": code, "constraints.txt": "torch==1\n"})
    ran = world.check(event)
    assert [step.name for step in ran.failed] == ["which files it may touch"]
    assert "refused: constraints.txt: edits the lock file" in ran.failed[0].output
    assert sorted(path.name for path in ran.artifacts["check"].iterdir()) == ["verdict.json"]
    assert not trace.exists()
