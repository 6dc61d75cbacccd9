"""What the workflows run: `python .ci/ci.py STEP …`. Each step is a function of `oodbench_ci`.

It runs without an installation of oodbench: the code beside this file is used, whatever else is installed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

HOME = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(HOME)]  # before what is installed; this file's own folder comes next

from benchmark.errors import OodbenchError, UsageError  # noqa: E402
from oodbench_ci.objects import Objects  # noqa: E402


def main(arguments: list[str] | None = None) -> int:
    """Do one step; the exit code."""
    parser = argparse.ArgumentParser(prog="ci.py", description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    for name, (_, options) in STEPS.items():
        one = steps.add_parser(name)
        for option in options:
            one.add_argument(f"--{option}", required=option not in OPTIONAL, default="")
    chosen = parser.parse_args(arguments)
    try:
        step, _ = STEPS[chosen.step]
        said, code = step(chosen)
    except OodbenchError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(f"{said}\n")
    return code


def _guard(chosen: argparse.Namespace) -> tuple[str, int]:
    from oodbench_ci.guard import guard
    from oodbench_ci.laid import lay_over
    from oodbench_ci.verdict import SAID

    objects = Objects(Path(chosen.repository))
    found = guard(objects, chosen.base, chosen.head, _words(chosen.computed))
    if chosen.verdict:
        _write(Path(chosen.verdict), found.verdict.model_dump_json(indent=1) + "\n")
    if chosen.into and found.files:
        lay_over(objects, found.files, Path(chosen.into))
    verdict = found.verdict
    tests = " ".join(verdict.tests) if verdict.kind == "method" else ""
    _output(kind=verdict.kind, names=verdict.names, select=verdict.select, tests=tests)
    lines = [f"This pull request {SAID[verdict.kind]}."]
    for one in verdict.findings:
        lines.append(f"{'refused' if one.refused else 'for a maintainer'}: {one.path}: {one.what}")
    return "\n".join(lines), int(verdict.kind == "refused")


def _join(chosen: argparse.Namespace) -> tuple[str, int]:
    from oodbench_ci.records import join

    rows = join(Path(chosen.published), Path(chosen.runs), Path(chosen.into))
    return f"{rows} rows added to a copy of the published records in {chosen.into}", 0


def _tell(chosen: argparse.Namespace) -> tuple[str, int]:
    from oodbench_ci.artifact import MEMBERS
    from oodbench_ci.bounded import read_bounded_json
    from oodbench_ci.comment import differing

    largest = MEMBERS["diff.json"]
    return differing(read_bounded_json(sys.stdin.buffer.read(largest + 1), "diff.json", largest)), 0


def _comment(chosen: argparse.Namespace) -> tuple[str, int]:
    from oodbench_ci.comment import Run, comment
    from oodbench_ci.github import GitHub

    run = Run(_whole(chosen.run), chosen.head, chosen.owner, chosen.branch)
    github = GitHub(chosen.github)
    return comment(github, Objects(Path(chosen.repository)), run, _words(chosen.computed)), 0


def _select(chosen: argparse.Namespace) -> tuple[str, int]:
    from oodbench_ci.selected import selected

    named = _words(chosen.entries)
    objects = Objects(Path(chosen.repository))
    found = selected(objects, chosen.commit, _words(chosen.computed), named)
    entries, tracks = " ".join(found.entries), " ".join(found.tracks)
    _output(select=found.select, entries=entries, tracks=tracks)
    return f"to be computed: {found.select or 'nothing'}", 0


def _take(chosen: argparse.Namespace) -> tuple[str, int]:
    from oodbench_ci.records import take

    taken = take(Path(chosen.offered), Path(chosen.published), _words(chosen.tracks), _words(chosen.entries))
    return "\n".join(["taken over:", *map(str, taken)]) if taken else "nothing has changed", 0


def _issue(chosen: argparse.Namespace) -> tuple[str, int]:
    from oodbench_ci.github import GitHub
    from oodbench_ci.reverify import report

    url = f"https://github.com/{chosen.github}/actions/runs/{_whole(chosen.run)}"
    return report(GitHub(chosen.github), Path(chosen.verdicts), url), 0


OPTIONAL = {"verdict", "into", "entries"}
STEPS: dict[str, tuple[Callable[[argparse.Namespace], tuple[str, int]], tuple[str, ...]]] = {
    "guard": (_guard, ("repository", "base", "head", "computed", "verdict", "into")),
    "join": (_join, ("published", "runs", "into")),
    "tell": (_tell, ()),
    "comment": (_comment, ("repository", "github", "run", "head", "owner", "branch", "computed")),
    "select": (_select, ("repository", "commit", "computed", "entries")),
    "take": (_take, ("offered", "published", "tracks", "entries")),
    "issue": (_issue, ("github", "run", "verdicts")),
}


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise UsageError(f"--run: expected the number of a run, got {text!r:.80}")
    return int(text)


def _write(path: Path, text: str) -> None:
    from benchmark.store.files import write_atomically

    write_atomically(path, text)


def _output(**values: str) -> None:
    """Tell later steps of the job; names alone, which have no line ends."""
    name = os.environ.get("GITHUB_OUTPUT")
    if name:
        with Path(name).open("a", encoding="utf-8") as file:
            file.writelines(f"{key}={value}\n" for key, value in values.items())


if __name__ == "__main__":
    sys.exit(main())
