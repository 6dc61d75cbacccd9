"""The checkout that something is added to: found by leaderboard.yaml, written to as a whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmark.errors import UsageError
from benchmark.spec.leaderboard import Spec
from benchmark.spec.load import load_spec, spec_of
from benchmark.spec.shipped import find_leaderboard
from benchmark.spec.yaml_edit import Editor
from benchmark.store.files import require_writable, storage_errors, write_atomically

HOME = Path(__file__).resolve().parents[2]  # of the packages that run
FILE = "leaderboard.yaml"
TODO = "TODO"  # in whatever a person must fill in


@dataclass(frozen=True)
class Addition:
    """What is added to a checkout, and what to do then."""

    files: Mapping[str, str]  # new ones: path below the root, and text
    leaderboard: str  # its text with what was added
    keys: tuple[str, ...]  # of leaderboard.yaml, that were added, dotted
    commands: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Checkout:
    """The sources of the suite, with a leaderboard file."""

    leaderboard: Path

    @property
    def root(self) -> Path:
        """The folder of the leaderboard file."""
        return self.leaderboard.parent

    @cached_property
    def text(self) -> str:
        """What the leaderboard file says, as it is when it is first asked for."""
        with storage_errors(self.leaderboard), self.leaderboard.open(encoding="utf-8", newline="") as file:
            return file.read()

    @cached_property
    def spec(self) -> Spec:
        """The leaderboard; raises `SpecError` if it is wrong."""
        return load_spec(self.leaderboard)

    def editor(self) -> Editor:
        """For what is to be added to the leaderboard file."""
        return Editor(self.leaderboard, self.text)

    def checked(self, edited: Editor) -> Spec:
        """The leaderboard as an edit leaves it; raises `SpecError` if that is none."""
        return spec_of(self.leaderboard, edited.tree)

    def write(self, addition: Addition) -> None:
        """Write all of an addition; nothing is overwritten, and after a failure all is as it was.

        Raises
        ------
        UsageError
            If a file of that name is there already, or the leaderboard file was changed meanwhile.
        StorageError
            If a folder cannot be written to.
        """
        for name in addition.files:
            if os.path.lexists(self.root / name):
                raise UsageError(f"{self.root / name}: is there already; nothing is overwritten")
        made: list[Path] = []
        try:
            for name, text in addition.files.items():
                self._make(self.root / name, text, made)
            if Checkout(self.leaderboard).text != self.text:
                raise UsageError(f"{self.leaderboard}: was changed meanwhile; run the command again")
            write_atomically(self.leaderboard, addition.leaderboard)
        except BaseException:
            for path in reversed(made):
                with suppress(OSError):
                    path.rmdir() if path.is_dir() else path.unlink()
            raise

    def _make(self, path: Path, text: str, made: list[Path]) -> None:
        """Make a file that is not there yet, and the folders that it needs."""
        with storage_errors(path):
            for folder in reversed([f for f in path.parents if self.root in f.parents and not f.is_dir()]):
                folder.mkdir()
                made.append(folder)
            with path.open("x", encoding="utf-8") as file:
                made.append(path)
                file.write(text)


def find_checkout(named: Path | None) -> Checkout:
    """The checkout of a leaderboard file: the one named, else that of this folder or one above, else ours.

    Raises
    ------
    UsageError
        If there is none, it is not the one whose code runs, or has no sources.
    StorageError
        If it cannot be written to.
    """
    here = Path.cwd()
    above = (folder / FILE for folder in (here, *here.parents))
    found = named or next((path for path in above if path.is_file()), None) or find_leaderboard(None)
    leaderboard = found.resolve()
    root = leaderboard.parent
    if not (root / "methods" / "base.py").is_file() or not (root / "tests" / "methods").is_dir():
        raise UsageError(
            f"{root}: has a leaderboard and not the sources of oodbench (methods/, tests/); it runs from "
            f"{HOME}. Methods are added to a checkout: clone the repository, run "
            "`pip install -e '.[dev]'` there, then this command in it"
        )
    if root != HOME:
        raise UsageError(
            f"{root}: is a checkout, but oodbench runs from {HOME}, which would not find what is added here; "
            f"run `pip install -e '.[dev]'` in {root}, or this command in the other"
        )
    require_writable(root)
    return Checkout(leaderboard)
