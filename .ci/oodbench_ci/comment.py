"""The one comment on a pull request: what its files are, and what its own check run said of its numbers.

It is written with a token, so nothing that the pull request brings is run or believed here. Its number comes
from GitHub by the commit that was checked; what it touches is read from git anew, by the guard of the base
branch; the artifact, which a stranger's code may have written, is data with bounds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from benchmark.conformance.findings import Severity
from benchmark.errors import DataError
from benchmark.records.numbers import StrictModel
from benchmark.store.files import first_error
from oodbench_ci.artifact import LARGEST, NAME, read_artifact
from oodbench_ci.bounded import as_code, shown, tamed
from oodbench_ci.github import BOT, GitHub
from oodbench_ci.guard import guard
from oodbench_ci.objects import Objects
from oodbench_ci.verdict import SAID, Finding, Verdict
from reports.diff.compare import VERSION, Diff
from reports.diff.page import markdown_of_diff

MARKER = "<!-- oodbench: the comment of check.yml -->"
LIMIT = 60_000  # characters; GitHub takes 65,536
MOST_SHOWN = 40  # findings
DIFF_LIMIT = 40_000  # characters


@dataclass(frozen=True)
class Run:
    """The run of check.yml that has ended, as the event says: of whose commit, from where."""

    id: int
    sha: str
    owner: str  # of the repository that the branch is in
    branch: str


def comment(github: GitHub, objects: Objects, run: Run, computed: Collection[str]) -> str:
    """Write the comment, or edit the one that is there; a line that says what was done.

    Raises
    ------
    GitHubFailed
        If GitHub refuses.
    GitFailed
        If the commits cannot be read.
    """
    pull = _pull_of(github, run)
    if pull is None:
        return f"no open pull request has the head {run.sha}: nothing to say"
    number, base = int(pull["number"]), str(pull["base"]["sha"])
    objects.fetch(f"refs/pull/{number}/head", run.sha)
    verdict = guard(objects, base, run.sha, computed).verdict
    body = _body(github, run, verdict)
    there = _own_comment(github, number)
    if there is None:
        github.send("POST", f"issues/{number}/comments", {"body": body})
        return f"pull request {number}: commented ({verdict.kind})"
    github.send("PATCH", f"issues/comments/{there}", {"body": body})
    return f"pull request {number}: comment edited ({verdict.kind})"


def _pull_of(github: GitHub, run: Run) -> Mapping[str, Any] | None:
    """The open pull request whose head is the commit that was checked: one that is newer has its own run."""
    listed = github.every("pulls", {"state": "open", "head": f"{run.owner}:{run.branch}"})
    fitting = [pull for pull in listed if pull["head"]["sha"] == run.sha]
    return fitting[0] if len(fitting) == 1 else None


def _own_comment(github: GitHub, number: int) -> int | None:
    """The comment that we wrote before: anyone may write our marker, so its author counts too."""
    for one in github.every(f"issues/{number}/comments"):
        if one["user"]["login"] == BOT and str(one["body"]).startswith(MARKER):
            return int(one["id"])
    return None


def _body(github: GitHub, run: Run, verdict: Verdict) -> str:
    url = f"https://github.com/{github.repository}/actions/runs/{run.id}"
    parts = [
        MARKER,
        f"### {run.sha[:10]}: this pull request {SAID[verdict.kind]}",
        *_guarded(verdict),
    ]
    if verdict.kind == "method":
        parts += [
            "---",
            f"What follows was computed by [its own check run]({url}), with its own code, on a machine that "
            "holds no secrets. None of it is published: after the merge everything is computed anew, and "
            "verified on drawn cells. The pages as they would be, and the records, are artifacts of it; "
            "each page says that it is a preview.",
            *_reported(github, run),
        ]
    else:
        parts.append(f"[The check run]({url}).")
    body = "\n\n".join(parts)
    return body if len(body) <= LIMIT else f"{body[:LIMIT]}\n\n… cut: a comment takes no more"


def _guarded(verdict: Verdict) -> Iterator[str]:
    """What the guard says; names are code, in which Markdown finds nothing."""
    if verdict.methods:
        names = ", ".join(as_code(f"{one.family}/{one.name}") for one in verdict.methods)
        yield f"New methods: {names}"
    if verdict.entries:
        yield f"Entries to be computed: {', '.join(map(as_code, verdict.entries))}"
    if verdict.records:
        yield f"Self-reported until somebody verifies them: {', '.join(map(as_code, verdict.records))}"
    if verdict.findings:
        yield "\n".join(_lines(verdict.findings))


def _lines(findings: Collection[Finding]) -> Iterator[str]:
    for finding in [*findings][:MOST_SHOWN]:
        mark = "refused" if finding.refused else "for a maintainer"
        path = f"{as_code(finding.path)}: " if finding.path else ""
        yield f"- {mark}: {path}{as_code(finding.what, 400)}"
    if len(findings) > MOST_SHOWN:
        yield f"- … and {len(findings) - MOST_SHOWN} more"


def _reported(github: GitHub, run: Run) -> Iterator[str]:
    """What the artifact says, or why it is not shown."""
    try:
        told = _artifact(github, run)
    except DataError as error:
        yield f"The artifact of the run is not shown: {as_code(str(error), 400)}"
        return
    if "check.json" in told:
        yield from checked(told["check.json"])
    if "diff.json" in told:
        try:
            yield differing(told["diff.json"])
        except DataError as error:
            yield f"The difference is not shown: {as_code(str(error), 400)}"
    if not told:
        yield "The run left nothing to show: it ended before it had measured anything. Its log says why."


def _artifact(github: GitHub, run: Run) -> Mapping[str, Any]:
    listed = github.get(f"actions/runs/{run.id}/artifacts", {"per_page": "100"})["artifacts"]
    ours = [one for one in listed if one["name"] == NAME and not one["expired"]]
    if not ours:
        return {}
    newest = max(ours, key=lambda one: int(one["id"]))
    if int(newest["size_in_bytes"]) > LARGEST:
        raise DataError(f"the archive: {int(newest['size_in_bytes']):,} bytes; expected at most {LARGEST:,}")
    return read_artifact(github.raw(f"actions/artifacts/{int(newest['id'])}/zip"))


class Checked(BaseModel):
    """What `oodbench check --json` prints; of it only the findings are shown."""

    class Finding(StrictModel):
        """One line of it."""

        subject: str
        check: str
        severity: Severity
        message: str
        advice: str

    findings: tuple[Finding, ...]


def checked(told: Any) -> Iterator[str]:
    """The findings of `oodbench check`, each on a line, as code."""
    try:
        findings = Checked.model_validate(told).findings
    except ValidationError as error:
        yield f"What `oodbench check` said is not shown: {as_code(first_error(error), 300)}"
        return
    if not findings:
        yield "`oodbench check` finds nothing to mend."
        return
    lines = []
    for one in findings[:MOST_SHOWN]:
        said = as_code(": ".join((one.subject, one.check, one.message)), 400)
        advice = f" → {as_code(one.advice)}" if one.advice else ""
        lines.append(f"- {one.severity}: {said}{advice}")
    if len(findings) > MOST_SHOWN:
        lines.append(f"- … and {len(findings) - MOST_SHOWN} more")
    yield "\n".join(["`oodbench check` finds:", *lines])


def differing(told: Any) -> str:
    """A difference of the boards as Markdown, written anew from its numbers.

    Raises
    ------
    DataError
        If it is none that `oodbench diff --json` could have written.
    """
    try:
        diff = Diff.model_validate(told, strict=False)
    except (ValidationError, RecursionError) as error:
        said = first_error(error) if isinstance(error, ValidationError) else "nested too deeply"
        raise DataError(f"diff.json: {shown(said, 300)}") from error
    if diff.version != VERSION:
        raise DataError(f"diff.json: version {diff.version}; expected {VERSION}")
    text = tamed(markdown_of_diff(diff, DIFF_LIMIT).partition("\n")[2])
    return f"<details><summary>What it would do to the boards</summary>\n\n{text}\n\n</details>"
