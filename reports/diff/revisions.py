"""Records and leaderboards of earlier revisions, read from git into a temporary folder.

The working tree is never touched, and no name reaches a shell. This module must not know what records say.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from benchmark.errors import DataError, UsageError
from benchmark.spec.shipped import RESULTS
from benchmark.store.files import storage_errors

LEADERBOARD = "leaderboard.yaml"
SECONDS = 120  # after which git is given up
_NOT_IN_NAMES = re.compile(r"[\x00-\x20\x7f:?*\[\\]")  # what git allows in no name of a revision
_TAG = "results-*"  # tags of published results


class NoGit(UsageError):  # noqa: N818
    """There is no git, or no repository of git here."""


@dataclass(frozen=True)
class Revision:
    """A revision that has records."""

    name: str
    commit: str
    records: str  # git's hash of the folder of the records
    leaderboard: str  # and of leaderboard.yaml beside it
    date: str  # of the tag or the commit


def revision(name: str, repository: Path, folder: str = RESULTS) -> Revision:
    """The revision of that name: a commit, a branch, a tag, or what git says leads to one.

    Parameters
    ----------
    repository : a folder of a working tree, in which leaderboard.yaml lies.
    folder : the name of the folder of the records beside it.

    Raises
    ------
    UsageError
        If git knows no such revision, or it has no records; `NoGit` if git itself is missing.
    """
    expected = "expected a folder of records or a git revision, such as main, HEAD~3 or results-2026.12"
    if not name or name.startswith("-") or _NOT_IN_NAMES.search(name) or not name.isprintable():
        raise UsageError(f"{name!r:.80}: cannot be the name of a git revision; {expected}")
    commit = _git(repository, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    if commit is None:
        raise UsageError(f"{name:.80}: neither a folder nor a revision that git knows; {expected}")
    return _revision(name, commit.decode().strip(), repository, folder)


def tagged_revisions(repository: Path, folder: str = RESULTS) -> list[Revision]:
    """The tags of published results that lead to today's commit, the newest first.

    None without git, outside a repository, or where the folder of the records is not in it.
    """
    if not repository.is_dir():
        return []
    try:
        if not _git(repository, "ls-tree", "HEAD", "--", folder):
            return []
        form = "--format=%(refname:strip=2)"
        listed = _git(
            repository, "for-each-ref", form, "--merged=HEAD", "--sort=-version:refname", f"refs/tags/{_TAG}"
        )
        names = (listed or b"").decode().split()
        return [found for name in names if (found := _tag(name, repository, folder)) is not None]
    except NoGit:
        return []


def changed_since(name: str, repository: Path) -> list[str]:
    """Files below a folder that differ from where a revision and today's commit part, new ones included.

    Raises
    ------
    UsageError
        If git knows no such revision, or it has nothing in common with today's; `NoGit` if git is missing.
    """
    start = _parting(name, repository)
    changed = _git(repository, "diff", "--name-only", "-z", "--relative", start, "--", ".") or b""
    new = _git(repository, "ls-files", "--others", "--exclude-standard", "-z", "--", ".") or b""
    return sorted({path.decode(errors="surrogateescape") for path in (changed + new).split(b"\0") if path})


def file_since(name: str, file: str, repository: Path) -> bytes | None:
    """A file as it was where a revision and today's commit part; None if it was not. Errors as above."""
    return _git(repository, "show", f"{_parting(name, repository)}:./{file}")


def _parting(name: str, repository: Path) -> str:
    """The commit where a revision and today's part."""
    if not name or name.startswith("-") or _NOT_IN_NAMES.search(name) or not name.isprintable():
        raise UsageError(
            f"--base: {name!r:.80} cannot be the name of a git revision; expected one, such as main"
        )
    found = _git(repository, "merge-base", f"{name}^{{commit}}", "HEAD")
    if found is None:
        raise UsageError(
            f"--base: {name:.80} is no revision that today's commit comes from; expected a branch"
        )
    return found.decode().strip()


def _tag(name: str, repository: Path, folder: str) -> Revision | None:
    commit = _git(repository, "rev-parse", "--verify", "--quiet", f"refs/tags/{name}^{{commit}}")
    if commit is None:  # a tag of something else
        return None
    try:
        return _revision(name, commit.decode().strip(), repository, folder)
    except UsageError:  # one without records
        return None


@contextmanager
def checked_out(one: Revision, repository: Path, folder: str = RESULTS) -> Iterator[Path]:
    """A temporary folder with the records and the leaderboard of a revision.

    Raises
    ------
    DataError
        If git cannot give them, or there is something among them that is neither a file nor a folder.
    StorageError
        If they cannot be written.
    """
    archive = _git(repository, "archive", "--format=tar", one.commit, "--", folder, LEADERBOARD)
    if archive is None:
        raise DataError(f"{one.name}: git cannot read {folder}/ and {LEADERBOARD} of commit {one.commit}")
    with tempfile.TemporaryDirectory(prefix="oodbench-") as name:
        out = Path(name)
        with storage_errors(out), tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            for member in tar:
                _extract(tar, member, out, one.name)
        yield out


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, out: Path, revision: str) -> None:
    """Write a file of an archive below a folder, and nowhere else."""
    path = PurePosixPath(member.name)
    file = tar.extractfile(member) if member.isreg() else None
    if path.is_absolute() or ".." in path.parts or (file is None and not member.isdir()):
        raise DataError(f"{revision}: {member.name}: neither a file nor a folder; expected a file of records")
    target = out.joinpath(*path.parts)
    if file is None:
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read())


def _revision(name: str, commit: str, repository: Path, folder: str) -> Revision:
    listed = _git(repository, "ls-tree", "-z", commit, "--", folder, LEADERBOARD) or b""
    found: dict[str, str] = {}
    for entry in listed.decode().split("\0"):
        about, _, path = entry.partition("\t")
        if path:
            found[path] = about.split()[2]
    for path in (folder, LEADERBOARD):
        if path not in found:
            raise UsageError(
                f"{name}: has no {path} where this folder is; expected a revision that has {LEADERBOARD} and "
                f"{folder}/, in the folder where they lie"
            )
    date = _git(repository, "show", "--no-patch", "--format=%cs", commit) or b""
    return Revision(name, commit, found[folder], found[LEADERBOARD], date.decode().strip())


def _git(repository: Path, *arguments: str) -> bytes | None:
    """What git prints; None where it refuses.

    Raises
    ------
    NoGit
        If there is no git, or no repository.
    """
    said = os.environ | {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(  # noqa: S603 - no shell; names of revisions are checked
            ["git", "--literal-pathspecs", "-C", str(repository), *arguments],  # noqa: S607
            capture_output=True, timeout=SECONDS, check=False, env=said, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except OSError as error:
        raise NoGit("git cannot be run; expected folders of records, or git to read a revision") from error
    except subprocess.TimeoutExpired as error:
        raise DataError(f"git {arguments[0]}: no answer within {SECONDS} s") from error
    if done.returncode == 0:
        return done.stdout
    told = done.stderr.decode(errors="replace").strip().partition("\n")[0]
    if "not a git repository" in told or "dubious ownership" in told:
        raise NoGit(f"{repository.resolve()}: {told}; expected folders of records, or a repository of git")
    return None
