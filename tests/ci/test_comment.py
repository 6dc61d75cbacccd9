"""The comment: the right pull request, one comment, and a hostile artifact that is data."""

import io
import json
import subprocess
import sys
import zipfile

import gh_stub
import pytest
from places import ROOT
from proposals import COMPUTED, METHOD, Repository
from tagged_results import AFTER, BEFORE, snapshot
from workflow_runs import git, load

from benchmark.errors import DataError
from oodbench_ci.artifact import LARGEST, MEMBERS, MOST_MEMBERS, read_artifact
from oodbench_ci.comment import LIMIT, MARKER, Run, comment, differing
from oodbench_ci.github import BOT, GitHub, GitHubFailed
from oodbench_ci.objects import GitFailed, Objects
from reports.diff.compare import compare

R = "repos/owner/name"
RUN = 77


def archive(members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members:
            made.writestr(name, content)
    return out.getvalue()


@pytest.fixture(scope="module")
def diff():
    return compare(snapshot(BEFORE), snapshot(AFTER), ("results", "../after")).model_dump(mode="json")


def proposed(folder, files):
    """A clone of a repository whose pull request 5 has these files; its base, and the head."""
    origin = Repository(folder / "origin")
    head = origin.propose(files)
    git("update-ref", "refs/pull/5/head", head, cwd=origin.folder)
    git("checkout", "--quiet", "main", cwd=origin.folder)
    git("clone", "--quiet", origin.folder, folder / "clone")
    return folder / "clone", origin.base, head


@pytest.fixture(scope="module")
def method(tmp_path_factory):
    return proposed(tmp_path_factory.mktemp("method"), METHOD)


class World:
    """A repository on this machine, its pull request 5, and a GitHub that answers."""

    def __init__(self, tmp_path, monkeypatch, repository):
        self.state = tmp_path / "state"
        environment = gh_stub.install(tmp_path / "bin", self.state)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
        clone, base, self.head = repository
        self.objects = Objects(clone)
        self.pull = {"number": 5, "base": {"sha": base}, "head": {"sha": self.head}}
        self.comments, self.artifact = [], None

    def comment(self, **changes):
        answers = {
            f"{R}/pulls": [self.pull],
            f"{R}/issues/5/comments": self.comments,
            f"{R}/actions/runs/{RUN}/artifacts": {"artifacts": []},
        }
        if self.artifact is not None:
            (self.state / "zip").write_bytes(self.artifact)
            one = {"id": 3, "name": "check", "expired": False, "size_in_bytes": len(self.artifact)}
            answers[f"{R}/actions/runs/{RUN}/artifacts"] = {"artifacts": [one]}
            answers[f"{R}/actions/artifacts/3/zip"] = {"file": "zip"}
        gh_stub.answer(self.state, answers)
        run = Run(**{"id": RUN, "sha": self.head, "owner": "stranger", "branch": "toy", **changes})
        return comment(GitHub("owner/name"), self.objects, run, COMPUTED)

    @property
    def sent(self):
        return gh_stub.sent(self.state)

    @property
    def body(self):
        [one] = self.sent
        return one["said"]["body"]


@pytest.fixture
def world(tmp_path, monkeypatch, method):
    return World(tmp_path, monkeypatch, method)


def test_a_comment_is_written_once_and_edited_then(world, diff):
    world.artifact = archive([("diff.json", json.dumps(diff)), ("check.json", '{"findings": []}')])
    assert world.comment() == "pull request 5: commented (method)"
    [first] = world.sent
    assert (first["method"], first["path"]) == ("POST", f"{R}/issues/5/comments")
    assert world.body.startswith(MARKER)
    shown = ("`detectors/toy`", "adds methods or entries", "finds nothing to mend", "| msp · scratch | 81.00")
    for part in shown:
        assert part in world.body
    world.comments = [{"id": 9, "user": {"login": BOT}, "body": world.body}]
    assert world.comment() == "pull request 5: comment edited (method)"
    assert (world.sent[1]["method"], world.sent[1]["path"]) == ("PATCH", f"{R}/issues/comments/9")


def test_a_comment_of_somebody_else_with_our_marker_is_left_alone(world):
    world.comments = [{"id": 8, "user": {"login": "stranger"}, "body": MARKER}]
    world.comments += [{"id": i, "user": {"login": "x"}, "body": "talk"} for i in range(100, 330)]
    assert world.comment().endswith("commented (method)")
    assert world.sent[0]["method"] == "POST"


def test_the_number_is_githubs_and_not_the_artifacts(world):
    world.artifact = archive([("verdict.json", '{"number": 1, "kind": "maintainer"}'), ("number", "1")])
    world.comment()
    assert world.sent[0]["path"] == f"{R}/issues/5/comments"
    assert "adds methods or entries" in world.body
    asked = next(one for one in gh_stub.asked(world.state) if one["path"] == f"{R}/pulls")
    assert asked["fields"]["head"] == "stranger:toy"


def test_a_newer_commit_has_a_run_of_its_own(world):
    assert world.comment(sha="0" * 40).startswith("no open pull request has the head")
    assert world.sent == []


def test_a_commit_that_moved_meanwhile_is_not_judged(world):
    world.pull["head"]["sha"] = "1" * 40
    with pytest.raises(GitFailed, match="leads to"):
        world.comment(sha="1" * 40)
    assert world.sent == []


def test_what_is_refused_is_named_and_no_number_of_it_is_shown(tmp_path, monkeypatch, diff):
    hostile = {"methods/detectors/<img src=x>@all.py": "x = 1\n", "results/spread.json": "{ }"}
    world = World(tmp_path, monkeypatch, proposed(tmp_path, METHOD | hostile))
    world.artifact = archive([("diff.json", json.dumps(diff))])
    assert world.comment() == "pull request 5: commented (refused)"
    assert "`results/spread.json`: `edits the tolerance" in world.body
    assert "`methods/detectors/<img src=x>@all.py`" in world.body  # as code
    assert "81.00" not in world.body
    assert "whether" not in world.body


def hostile(diff):
    """A difference whose every text is hostile."""
    bad = "<script>alert(1)</script> @someone [x](http://a.example) ![i](http://a.example/i) #1 `|`\n\n# H"

    def spoilt(value, key=""):
        if isinstance(value, str) and key not in ("metric",):
            return bad
        if isinstance(value, dict):
            return {name: spoilt(inner, name) for name, inner in value.items()}
        return [spoilt(inner, key) for inner in value] if isinstance(value, list) else value

    return spoilt(diff)


def test_what_a_difference_says_becomes_no_markup(world, diff):
    world.artifact = archive([("diff.json", json.dumps(hostile(diff)))])
    world.comment()
    shown = world.body.partition("<details>")[2]
    assert "script" in shown
    for bad in ("<script", "@someone", "](http:", "http://", "#1 ", "\n# H"):
        assert bad not in shown


def finding(**changes):
    plain = {"subject": "detectors/toy", "check": "batch", "severity": "error", "message": "m", "advice": ""}
    return plain | changes


def test_findings_are_code(world):
    said = [finding(message="`</details>` @someone <b>"), finding(advice="x" * 5_000), finding()]
    world.artifact = archive([("check.json", json.dumps({"findings": said * 30, "errors": 90}))])
    world.comment()
    assert "- error: `` detectors/toy: batch: `</details>` @someone <b> ``\n" in world.body
    assert "… and 50 more" in world.body
    assert len(world.body) < LIMIT


@pytest.mark.parametrize(
    "told", [[], {"findings": "none"}, {"findings": [finding(severity="@all")]}, {"findings": [{"x": "<b>"}]}]
)
def test_findings_of_another_form_are_not_shown(world, told):
    world.artifact = archive([("check.json", json.dumps(told))])
    world.comment()
    assert "What `oodbench check` said is not shown: `" in world.body
    for bad in (" @all", "<b>", "nothing to mend"):
        assert bad not in world.body


ARTIFACTS = {
    "no archive": b"PK",
    "not JSON": archive([("diff.json", "{")]),
    "another form": archive([("diff.json", "{}")]),
    "a number for a text": archive([("diff.json", '{"version": 1, "before": 5}')]),
    "NaN": archive([("diff.json", '{"version": NaN}')]),
    "deep": archive([("diff.json", "[" * 100_000)]),
    "twice": archive([("diff.json", "{}"), ("diff.jsoX", "{}")]).replace(b"jsoX", b"json"),
    "too many": archive([(f"{i}.json", "{}") for i in range(MOST_MEMBERS + 1)]),
    "a bomb": archive([("diff.json", b" " * (MEMBERS["diff.json"] + 1))]),
    "huge": b"\0" * (LARGEST + 1),
    "hidden": archive([("check.json", '["\\u202e"]')]),
}


@pytest.mark.parametrize("which", ARTIFACTS)
def test_a_hostile_artifact_is_refused(which):
    with pytest.raises(DataError, match=r"^(the archive|diff.json|check.json): "):
        differing(read_artifact(ARTIFACTS[which])["diff.json"])


def test_of_a_hostile_artifact_nothing_is_shown_but_why(world):
    world.artifact = ARTIFACTS["deep"]
    world.comment()
    assert "is not shown: `diff.json: nested 100000 deep" in world.body
    assert len(world.body) < 2_000


def test_members_with_paths_are_never_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_artifact(archive([("../diff.json", "{}"), ("/etc/x", "{}"), ("a/check.json", "{}")])) == {}
    assert list(tmp_path.iterdir()) == []


def test_a_long_difference_fits(world, diff):
    [board] = diff["boards"]
    board["changed"] *= 1_000
    diff["boards"] = [board]
    world.artifact = archive([("diff.json", json.dumps(diff))])
    world.comment()
    assert len(world.body) < LIMIT
    assert "more rows" in world.body


def test_github_refuses_loudly(world):
    with pytest.raises(GitHubFailed, match="Not Found"):
        GitHub("owner/name").get("nothing")


ALONE = """
import sys
from importlib.machinery import PathFinder

class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        found = super().find_spec(name, path, target)
        outside = found and found.origin and "site-packages" in found.origin
        if path is None and outside and name not in allowed:
            raise ModuleNotFoundError(name)
        return found

sys.meta_path[:] = [one for one in sys.meta_path if "editable" not in repr(one)]
sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
import ci, oodbench_ci.comment, oodbench_ci.records, oodbench_ci.reverify
assert "torch" not in sys.modules
"""
THEIRS = ["pydantic_core", "annotated_types", "typing_extensions", "typing_inspection", "_cyutility"]


def test_what_the_jobs_that_write_install_is_all_that_they_need():
    """A few libraries and no torch: here every other one is hidden from them."""
    jobs = [
        job for path in (ROOT / ".github" / "workflows").glob("*.yml") for job in load(path)["jobs"].values()
    ]
    steps = [step for job in jobs for step in job["steps"] if "without torch" in step.get("name", "")]
    assert len(steps) == 3
    [line] = {step["run"] for step in steps}
    named = line.partition("constraints.txt ")[2].replace(".yaml", "").split()
    first = f"import sys\nallowed = {named + THEIRS}\nsys.path[:0] = ['{ROOT}', '{ROOT}/.ci']\n"
    done = subprocess.run([sys.executable, "-c", first + ALONE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
