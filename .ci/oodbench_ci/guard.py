"""What a pull request is, by the files that it touches: of a method, of records, or one for a maintainer.

A pull request of a method adds files of methods and their tests, and names to leaderboard.yaml. One that also
touches what checks, computes or compares it is refused, and each such file is named. This module reads git's
objects alone; it runs nothing of what it reads.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from benchmark.errors import OodbenchError
from benchmark.spec.limits import LONGEST_NAME
from benchmark.spec.yaml_tree import LinedDict
from benchmark.verify.ledger import LEDGER
from oodbench_ci.additions import ADDED, FILE, Additions, additions, read_leaderboard
from oodbench_ci.bounded import HIDDEN, plain_path, read_bounded_json, shown
from oodbench_ci.kept import SHARED, check_kept
from oodbench_ci.objects import FILE as PLAIN_FILE
from oodbench_ci.objects import Change, Objects
from oodbench_ci.verdict import Added, Finding, Kind, Verdict

MOST_FILES = 1_000  # that any pull request may touch
MOST_OF_A_METHOD = 30  # and one of methods: theirs, what they share, and tests
LARGEST_SOURCE = 200_000  # bytes; ours has 15,000
LARGEST_RECORDS = 5_000_000  # bytes; ours have 200,000
_NAME = rf"[a-z][a-z0-9_]{{0,{LONGEST_NAME - 1}}}"
_METHOD = re.compile(rf"methods/(?P<family>[a-z_]+)/(?P<name>_?{_NAME})\.py")
_TEST = re.compile(rf"tests/methods/(?P<family>[a-z_]+)/test_(?P<name>{_NAME})\.py")
_PART = r"[A-Za-z0-9_.+-]+"
_RECORDS = re.compile(rf"results/(?P<track>{_PART})/(?:(?P<study>{_PART})/)?{_PART}\.json")
BESIDE = ("results/spread.json", f"results/{LEDGER}")  # that are no records
_OF_A_STUDY = re.compile(r"tracks\.[^.]+\.studies\..+")  # keys of leaderboard.yaml
_WHAT = (  # what a file is, by the beginning of its path: the first that fits
    (".github/", "a workflow"),
    (".ci/", "the checker"),
    ("tests/helpers/", "the checker: what tests share"),
    ("tests/conftest.py", "the checker: what tests share"),
    ("constraints.txt", "the lock file"),
    ("pyproject.toml", "the lock file: what is installed"),
    ("results/spread.json", "the tolerance"),
    ("results/verified.json", "the ledger of what was verified"),
    ("results/", "a published record"),
    ("benchmark/records/", "the checker: how records are read and compared"),
    ("benchmark/", "the harness"),
    ("reports/claims/", "a declared claim"),
    ("reports/", "the pages"),
    ("oodbench.py", "the command line"),
    (".git", "what git does with files"),
)


@dataclass
class _Found:
    """What was seen so far."""

    methods: list[Added] = field(default_factory=list)
    shared: list[str] = field(default_factory=list)  # files that new methods share
    tests: list[tuple[str, str, str]] = field(default_factory=list)  # path, family, name
    records: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def refuse(self, path: str, what: str) -> None:
        self.findings.append(Finding(path=shown(path), what=what, refused=True))

    def tell(self, path: str, what: str) -> None:
        self.findings.append(Finding(path=shown(path), what=what, refused=False))


@dataclass(frozen=True)
class Guarded:
    """A verdict, and what a pull request of a method brings: each file with what is in it."""

    verdict: Verdict
    files: tuple[Change, ...]


def guard(objects: Objects, base: str, head: str, computed: Collection[str]) -> Guarded:
    """Say what merging `head` into `base` does, by the files that differ.

    Parameters
    ----------
    computed : the tracks whose records CI computes itself: none is taken by hand.

    Raises
    ------
    UsageError
        If git knows one of the two not.
    GitFailed
        If git cannot merge or read them.
    """
    base, head = objects.commit(base), objects.commit(head)
    tree, conflicts = objects.merged(base, head)
    found = _Found()
    for path in conflicts[:MOST_FILES]:
        found.refuse(path, "conflicts with the base branch: merge that into yours")
    changes = [] if conflicts else objects.changes(base, tree)
    if len(changes) > MOST_FILES:
        found.refuse("", f"{len(changes):,} files; expected at most {MOST_FILES:,}")
        changes = []
    families = {path.split("/")[1] for path in objects.files(base, "methods") if path.count("/") == 2}
    before = read_leaderboard(objects.read(base, FILE))
    tracks = before.get("tracks")
    known = {*tracks} if isinstance(tracks, dict) else set()
    for change in changes:
        _look_at(objects, base, change, families, known - {*computed}, found)
    added = _leaderboard(objects, base, tree, changes, before, found)
    own = bool(found.methods or found.shared or found.records or added.entries or added.tracks)
    _judge_others(changes, own, found)
    named = {(method.family, method.name) for method in found.methods}
    for path, family, name in found.tests:
        if (family, name) not in named:
            found.tell(path, "is a test of no method that this pull request adds")
    entries, full = _to_compute(added, computed)
    if own and len(changes) > MOST_OF_A_METHOD:
        found.refuse("", f"{len(changes)} files; expected at most {MOST_OF_A_METHOD} of a method")
    verdict = Verdict(
        kind=_kind(found, added),
        base=base,
        head=head,
        methods=tuple(found.methods),
        tests=tuple(path for path, _, _ in found.tests),
        entries=tuple(entries),
        tracks=tuple(sorted({*added.tracks, *added.full} & {*computed})),
        full=full,
        records=tuple(found.records),
        findings=tuple(found.findings),
    )
    return Guarded(verdict, tuple(changes) if verdict.kind in ("method", "records") else ())


def _look_at(
    objects: Objects,
    base: str,
    change: Change,
    families: Collection[str],
    by_hand: Collection[str],
    found: _Found,
) -> None:
    """Sort a file in: what it is, and what is wrong with it whatever the pull request is."""
    path, deleted = change.path, change.status == "D"
    if not plain_path(path):
        found.refuse(path, "a name of other characters than letters, digits and _.+~@-, or that leads up")
        return
    if change.mode not in (PLAIN_FILE, "100755", "000000"):
        found.refuse(path, "a link or another repository; expected a file")
        return
    if path == FILE:
        return
    if path.startswith("results/"):
        _look_at_record(objects, base, change, by_hand, found)
        return
    method, test = _METHOD.fullmatch(path), _TEST.fullmatch(path)
    if (fits := method or test) is None or deleted or change.status != "A":
        return
    if fits["family"] not in families:
        return
    _check_source(objects, change, found)
    if test is not None:
        found.tests.append((path, test["family"], test["name"]))
    elif fits["name"].startswith("_"):
        found.shared.append(path)
    else:
        found.methods.append(Added(family=fits["family"], name=fits["name"]))


def _check_source(objects: Objects, change: Change, found: _Found) -> None:
    """Refuse source that is huge, no text, or not what it looks like."""
    if change.mode != PLAIN_FILE:
        found.refuse(change.path, "may be executed; expected a plain file (chmod 644)")
    if change.size > LARGEST_SOURCE:
        found.refuse(change.path, f"{change.size:,} bytes; expected at most {LARGEST_SOURCE:,}")
        return
    try:
        text = objects.blob(change.blob).decode()
    except UnicodeDecodeError:
        found.refuse(change.path, "not UTF-8 text")
        return
    if (bad := HIDDEN.search(text)) is not None:
        line = text.count("\n", 0, bad.start()) + 1
        found.refuse(f"{change.path}:{line}", f"the hidden character U+{ord(bad[0]):04X}: write it as \\u…")


def _look_at_record(
    objects: Objects, base: str, change: Change, by_hand: Collection[str], found: _Found
) -> None:
    """Take a new file of records of a track that CI does not compute; refuse all others."""
    path, fits = change.path, _RECORDS.fullmatch(change.path)
    if path in BESIDE:
        return  # judged with the other files
    own = fits is not None and fits["track"] in by_hand
    grows = own and fits is not None and fits["study"] in SHARED and change.status == "M"
    if change.status != "A" and not grows:
        done = "deletes" if change.status == "D" else "changes"
        found.refuse(path, f"{done} a published record: these change by recomputation alone")
        return
    if not own:
        found.refuse(path, "a record put in by hand: CI computes and commits those of its track")
        return
    if change.size > LARGEST_RECORDS:
        found.refuse(path, f"{change.size:,} bytes; expected at most {LARGEST_RECORDS:,}")
        return
    try:
        data = objects.blob(change.blob)
        told = read_bounded_json(data, path, LARGEST_RECORDS)
        if grows:
            check_kept(path, objects.read(base, path) or b"", data)
    except OodbenchError as error:
        found.refuse(path, str(error).removeprefix(f"{path}: "))
        return
    if _has_key(told, "verified"):
        found.refuse(path, "says of itself that it is verified; only `oodbench verify` of a maintainer does")
    found.records.append(path)


def _has_key(value: object, name: str) -> bool:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if name in one:
                return True
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return False


def _leaderboard(
    objects: Objects, base: str, tree: str, changes: list[Change], before: LinedDict, found: _Found
) -> Additions:
    """What is added to leaderboard.yaml; what else changes there goes to the findings."""
    if FILE not in {change.path for change in changes}:
        return Additions()
    try:
        added = additions(before, read_leaderboard(objects.read(tree, FILE)))
    except OodbenchError as error:
        found.refuse(FILE, str(error).removeprefix(f"{FILE}: "))
        return Additions()
    there = {
        path.removeprefix("methods/objectives/")[:-3] for path in objects.files(base, "methods/objectives")
    }
    taken = there | {*_listed(before)}
    for name in (*added.objectives, *added.entries):
        if name in taken:
            added.others.append((name, "is a name in use already: it would change other rows"))
    for key, what in added.others:
        of_a_study = _OF_A_STUDY.fullmatch(key) and what == ADDED
        if of_a_study:
            found.tell(FILE, f"{key} {what}: CI does not compute studies")
        elif added.entries or added.tracks or added.full or found.methods or found.records:
            found.refuse(FILE, f"{key} {what}: a method adds entries, and changes nothing else")
        else:
            found.tell(FILE, f"{key} {what}")
    return added


def _listed(leaderboard: LinedDict) -> Iterator[str]:
    """The entries that tracks list without a key of their own."""
    tracks, keys = leaderboard.get("tracks"), leaderboard.get("entries")
    for track in tracks.values() if isinstance(tracks, dict) else ():
        listed = track.get("entries") if isinstance(track, dict) else None
        for name in listed if isinstance(listed, list) else ():
            if isinstance(name, str) and not (isinstance(keys, dict) and name in keys):
                yield name


def _judge_others(changes: list[Change], own: bool, found: _Found) -> None:
    """Name every file that is none of a new method: refused beside one, else for a maintainer."""
    fine = {*found.shared, *found.records, FILE, *(path for path, _, _ in found.tests)}
    fine |= {f"methods/{method.family}/{method.name}.py" for method in found.methods}
    told = {finding.path for finding in found.findings}
    for change in changes:
        if change.path in fine or shown(change.path) in told:
            continue
        verb = {"A": "adds to", "D": "deletes"}.get(change.status, "edits")
        what = f"{verb} {_is(change.path)}"
        if own:
            found.refuse(change.path, f"{what}: a method adds files of its own and touches no others")
        elif change.path in BESIDE:
            found.refuse(change.path, f"{what}: `oodbench` writes it, on the machine of a maintainer")
        else:
            found.tell(change.path, what)


def _is(path: str) -> str:
    """What a file is."""
    for beginning, what in _WHAT:
        if path.startswith(beginning):
            return what
    if _METHOD.fullmatch(path):
        return "the file of another method"
    if path.startswith("methods/"):
        return "the contract of methods" if path.count("/") == 1 else "a family of methods"
    if path.startswith("tests/"):
        return "the checker: a test of another thing"
    return "a file of the house"


def _to_compute(added: Additions, computed: Collection[str]) -> tuple[list[str], bool]:
    """The entries that CI's tracks list now, and whether some are measured in full runs only."""
    plain = [name for track, names in added.tracks.items() if track in computed for name in names]
    full = [name for track, names in added.full.items() if track in computed for name in names]
    return list(dict.fromkeys([*plain, *full])), bool(full)


def _kind(found: _Found, added: Additions) -> Kind:
    if any(finding.refused for finding in found.findings):
        return "refused"
    if found.findings:
        return "maintainer"
    if found.methods or found.shared or added.entries or added.objectives or added.tracks or added.full:
        return "method"
    return "records" if found.records else "maintainer"
