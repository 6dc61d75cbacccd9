"""Files of git revisions as data: read from the objects of a repository, never from a working tree.

So no link, filter, hook or name of a file can lead anywhere, and what differs is decided by git alone.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import OodbenchError, UsageError

SECONDS = 300  # after which git is given up
FILE = "100644"  # the mode of a plain file; the others are executable files, links and submodules
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


class GitFailed(OodbenchError):  # noqa: N818
    """Git refused what was asked of it."""


@dataclass(frozen=True)
class Change:
    """A file that a pull request adds, changes or deletes."""

    path: str
    status: str  # as git says: A added, M modified, D deleted, T of another type
    mode: str  # afterwards
    blob: str  # git's name of what is in it afterwards
    size: int  # bytes, afterwards


@dataclass(frozen=True)
class Objects:
    """The objects of a repository."""

    folder: Path

    def commit(self, name: str) -> str:
        """The full hash of a commit that is named by a hash, a branch or a tag.

        Raises
        ------
        UsageError
            If there is none.
        """
        if name.startswith("-"):
            raise UsageError(f"{name!r:.80}: cannot be the name of a commit")
        done = self._run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        if done.returncode:
            raise UsageError(f"{self.folder}: git knows no commit {name!r:.80}")
        return done.stdout.decode().strip()

    def merged(self, base: str, head: str) -> tuple[str, tuple[str, ...]]:
        """The tree that merging `head` into `base` gives, and the files that conflict.

        Nothing is checked out.

        Raises
        ------
        GitFailed
            If the two have no history in common.
        """
        done = self._run("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", base, head)
        parts = done.stdout.decode("utf-8", "surrogateescape").split("\0")
        if done.returncode not in (0, 1) or not _COMMIT.fullmatch(parts[0]):
            raise GitFailed(f"cannot be merged: {_said(done)}")
        return parts[0], tuple(sorted({path for path in parts[1:] if path}))

    def fetch(self, reference: str, commit: str) -> None:
        """Fetch what a reference of the remote `origin` leads to, if that is the commit that is expected.

        Raises
        ------
        GitFailed
            If it cannot be fetched, or leads elsewhere now.
        """
        self._checked("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "origin", reference)
        seen = self._checked("rev-parse", "FETCH_HEAD").decode().strip()
        if seen != commit:
            raise GitFailed(f"{reference}: leads to {seen}; expected {commit}")

    def changes(self, before: str, after: str) -> list[Change]:
        """The files that differ between two commits or trees, by path; a renamed one is two."""
        raw = self._checked("diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", before, after)
        fields = raw.decode("utf-8", "surrogateescape").split("\0")
        found = []
        for about, path in zip(fields[0::2], fields[1::2], strict=False):
            _, mode, _, blob, status = about.lstrip(":").split(" ")
            found.append((path, status[0], mode, blob))
        sizes = self._sizes([blob for _, _, _, blob in found])
        return [Change(path, status, mode, blob, sizes[blob]) for path, status, mode, blob in found]

    def files(self, tree: str, folder: str) -> list[str]:
        """The paths of all files of a commit or tree below a folder."""
        listed = self._checked("ls-tree", "-r", "-z", "--name-only", tree, "--", f"{folder}/")
        return [path for path in listed.decode("utf-8", "surrogateescape").split("\0") if path]

    def read(self, tree: str, path: str) -> bytes | None:
        """What a file of a commit or tree has in it; None where there is no plain file of that name."""
        listed = self._checked("ls-tree", "-z", tree, "--", path).decode("utf-8", "surrogateescape")
        about, _, name = listed.rstrip("\0").partition("\t")
        if name != path or not about.startswith(FILE):
            return None
        return self.blob(about.split(" ")[2])

    def blob(self, name: str) -> bytes:
        """What a file has in it, by git's name of that."""
        return self._checked("cat-file", "blob", name)

    def _sizes(self, blobs: list[str]) -> dict[str, int]:
        """Sizes without reading what is in them; 0 of what is deleted, or of another repository."""
        done = self._run(
            "cat-file",
            "--batch-check=%(objectname) %(objectsize)",
            given="".join(f"{blob}\n" for blob in blobs).encode(),
        )
        found = dict.fromkeys(blobs, 0)
        for line in done.stdout.decode().splitlines():
            name, _, size = line.partition(" ")
            if size.isdecimal():
                found[name] = int(size)
        return found

    def _checked(self, *arguments: str) -> bytes:
        done = self._run(*arguments)
        if done.returncode:
            raise GitFailed(f"git {arguments[0]}: {_said(done)}")
        return done.stdout

    def _run(self, *arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        said = os.environ | {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_REPLACE_OBJECTS": "1"}
        try:
            return subprocess.run(  # noqa: S603 - no shell
                ["git", "--literal-pathspecs", "-C", str(self.folder), *arguments],  # noqa: S607
                capture_output=True, timeout=SECONDS, check=False, env=said, input=given,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise GitFailed(f"git {arguments[0]}: {error}") from error


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    return done.stderr.decode(errors="replace").strip().partition("\n")[0] or f"exit code {done.returncode}"
