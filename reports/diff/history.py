"""What moved between tagged versions of the published records, and since the last of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import OodbenchError
from reports.diff.compare import Diff, compare
from reports.diff.revisions import Revision, tagged_revisions
from reports.diff.sides import read_revision
from reports.diff.snapshot import Snapshot

MOST = 12  # tags that are read; older ones are counted


@dataclass(frozen=True)
class Tagged:
    """The tagged versions of a folder of records, the newest first."""

    repository: Path  # the folder in which leaderboard.yaml lies
    folder: str  # of the records, beside it
    tags: tuple[Revision, ...]

    @property
    def made_of(self) -> list[tuple[str, str, str, str]]:
        """What pages of these versions are made of, besides today's records."""
        return [(one.name, one.date, one.records, one.leaderboard) for one in self.tags]


@dataclass(frozen=True)
class Step:
    """From a tagged version to the next, or to today's records."""

    before: str  # tag
    after: str  # tag; empty: not yet tagged
    date: str  # of the tag; empty as well
    diff: Diff | None  # None: a side cannot be read, and `problem` says why
    problem: str = ""


@dataclass(frozen=True)
class History:
    """The steps, the newest first."""

    steps: tuple[Step, ...]
    older: int = 0  # tags that were not read


def tagged(results: Path) -> Tagged | None:
    """The tagged versions of a folder of published records; None where there are none, or no git.

    It reads names and hashes only, which takes some hundredths of a second.
    """
    found = tagged_revisions(results.parent, results.name)
    return Tagged(results.parent, results.name, tuple(found)) if found else None


def history_of(versions: Tagged, current: Snapshot) -> History:
    """Compare each tagged version with the next, and the last one with what the records show today.

    A version that the cache does not know is read anew, which takes about as long as all pages do.
    """
    tags = versions.tags[:MOST]
    steps = []
    later: Snapshot | str = current
    for i, tag in enumerate(tags):
        shown = _read(tag, versions)
        after, date = ("", "") if i == 0 else (tags[i - 1].name, tags[i - 1].date)
        problem = next((side for side in (shown, later) if isinstance(side, str)), "")
        if isinstance(shown, str) or isinstance(later, str):
            steps.append(Step(tag.name, after, date, None, problem))
        else:
            steps.append(Step(tag.name, after, date, compare(shown, later, (tag.name, after or "today"))))
        later = shown
    return History(tuple(steps), len(versions.tags) - len(tags))


def _read(tag: Revision, versions: Tagged) -> Snapshot | str:
    """What a tagged version shows, or why it cannot be read."""
    try:
        return read_revision(tag, versions.repository, versions.folder)
    except OodbenchError as error:
        return str(error)
