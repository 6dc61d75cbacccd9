"""`oodbench check`: what can be said of a contribution within a minute, without training.

Nothing heavy is imported before it is used: `--help` and completion import this module.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from benchmark.conformance.findings import Finding
    from benchmark.spec.leaderboard import Spec

BASES = ("origin/main", "main")  # that a contribution is held against, the first that there is
STYLES = {"error": "red", "warning": "yellow", "note": "dim"}
_SPOILS = ("state", "import")  # checks after which nothing that this process computes counts


@dataclass(frozen=True)
class Target:
    """Something that is checked."""

    kind: Literal["method", "entry", "track", "dataset"]
    name: str
    family: str = ""  # of a method

    def __str__(self) -> str:
        return f"{self.family}/{self.name}" if self.family else f"{self.kind} {self.name}"


def check(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME...]", help="Methods, datasets or tracks; else what this checkout changes."
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option("--base", help="Revision that changes are held against; else origin/main, or main."),
    ] = None,
    leaderboard: Annotated[
        Path | None,
        typer.Option("--leaderboard", help="Leaderboard file; else ./leaderboard.yaml, else our own."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what is wrong with a method, a dataset or a track, a line each; exits with 1 if any is an error.

    Nothing is trained on a track, and no test image is looked at.
    """
    from benchmark.errors import UsageError
    from benchmark.spec.shipped import find_leaderboard
    from reports.console.commands import spec_of
    from reports.console.terminal import answer, console, say
    from reports.console.terminal import as_json as written

    if names and base is not None:
        raise UsageError("--base: what changed is not asked for where names are given; leave one out")
    begun = time.monotonic()
    spec, root = spec_of(leaderboard), find_leaderboard(leaderboard).resolve().parent
    targets = _named(names, spec) if names else _changed(base, spec, root)
    found = []
    for finding in _findings(targets, spec, root):
        found.append(finding)
        if not as_json:
            say(console(), str(finding), style=STYLES[finding.severity])
    errors, warnings = (sum(one.severity == kind for one in found) for kind in ("error", "warning"))
    if as_json:
        told = {"checked": list(map(str, targets)), "errors": errors, "warnings": warnings}
        answer(written({**told, "findings": [asdict(one) for one in found]}))
    else:
        seconds = time.monotonic() - begun
        say(console(), f"{len(targets)} checked in {seconds:.0f} s: {errors} errors, {warnings} warnings")
    if errors:
        raise typer.Exit(1)


def _findings(targets: list[Target], spec: Spec, root: Path) -> Iterator[Finding]:
    from benchmark.conformance import leaderboard
    from benchmark.conformance.findings import Finding, Severity
    from benchmark.conformance.suite import check_named
    from reports.console.contribution import check_formulas, check_numbers, check_place
    from reports.uses import entries_of

    of_spec = {
        "entry": leaderboard.check_entry,
        "track": leaderboard.check_track,
        "dataset": leaderboard.check_dataset,
    }
    for at, target in enumerate(targets):
        if target.kind != "method":
            yield from of_spec[target.kind](target.name, spec)
            continue
        family, name = target.family, target.name
        yield from check_place(family, name, spec)
        for entry in entries_of(family, name, spec):
            yield from leaderboard.check_entry(entry, spec)
        yield from check_numbers(family, name, root)
        yield from check_formulas(family, name)
        for finding in check_named(family, name):
            yield finding
            if finding.check in _SPOILS and finding.severity is Severity.ERROR:
                if left := targets[at + 1 :]:
                    said = f"not checked, because {target} changed this process: {', '.join(map(str, left))}"
                    yield Finding("oodbench", "left out", Severity.ERROR, said, "mend it first")
                return


def _named(names: list[str], spec: Spec) -> list[Target]:
    """What bears the names; a method may be given as ``family/name``."""
    from benchmark.conformance.suite import every_method, methods_called
    from benchmark.datasets.declared import datasets_of
    from benchmark.errors import UsageError
    from methods.names import did_you_mean

    found: list[Target] = []
    datasets = datasets_of(spec).names
    for name in names:
        folder, slash, last = name.partition("/")
        of_methods = [
            Target("method", own, family) for family, own in methods_called(last if slash else name)
        ]
        here = [one for one in of_methods if not slash or one.family == folder]
        here += [Target("track", name)] if name in spec.tracks else []
        here += [Target("dataset", name)] if name in datasets else []
        if not here:
            known = [own for _, own in every_method()]
            hint = did_you_mean(name, [*known, *spec.tracks, *datasets], "oodbench list")
            raise UsageError(f"nothing to check is called {name!r}; {hint}")
        found += here
    return list(dict.fromkeys(found))


def _changed(base: str | None, spec: Spec, root: Path) -> list[Target]:
    """What differs from a base; everything where there is no base."""
    from benchmark.conformance.changed import methods_in
    from benchmark.conformance.suite import every_method
    from benchmark.errors import UsageError
    from benchmark.spec.load import load_spec
    from reports.console.terminal import console, say
    from reports.diff.revisions import LEADERBOARD, changed_since, file_since

    for one in (base,) if base is not None else BASES:
        try:
            files, before = changed_since(one, root), file_since(one, LEADERBOARD, root)
            break
        except UsageError:
            if base is not None:
                raise
    else:
        say(console(stderr=True), f"no git revision {' or '.join(BASES)} here: everything is checked")
        methods = [Target("method", name, family) for family, name in every_method()]
        return [*methods, *(Target("track", name) for name in spec.tracks)]
    say(console(stderr=True), f"Checked is what differs from {one}")
    found = [Target("method", name, family) for family, name in methods_in(files, root)]
    old = None
    if before is not None and LEADERBOARD in files:
        with tempfile.TemporaryDirectory(prefix="oodbench-") as folder:
            path = Path(folder) / LEADERBOARD
            path.write_bytes(before)
            try:
                old = load_spec(path)
            except UsageError as error:
                say(
                    console(stderr=True),
                    f"{LEADERBOARD} of {one} cannot be read: all of it is checked: {error}",
                )
    if LEADERBOARD in files:
        for kind, part in (("entry", "entries"), ("track", "tracks"), ("dataset", "datasets")):
            now, then = getattr(spec, part), getattr(old, part, {})
            found += [Target(kind, name) for name, value in now.items() if value != then.get(name)]  # type: ignore[arg-type]
    return found
