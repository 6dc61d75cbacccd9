"""Ways to confine a process: sandboxes of the system, the strongest first, and limits of resources alone.

Whether one works is tried, by a process in it that looks for the network and for files (`probe.py`): that a
program is installed says little, as systems forbid unprivileged namespaces in several ways.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmark.engines.isolation.view import View, python_view

_HERE = Path(__file__).parent
_PATIENCE = 30  # seconds that a trial may take


class Confinement(Protocol):
    """Puts a process into a sandbox, or into none."""

    @property
    def title(self) -> str:
        """What people call it."""

    @property
    def sandbox(self) -> bool:
        """Whether it keeps network and files from a process."""

    def command(self, view: View) -> list[str]:
        """The command to put before the one of the process, which is to see `view`."""


@dataclass(frozen=True)
class Bubblewrap:
    """Namespaces of its own for all, by bubblewrap; no capabilities; dies with its parent."""

    nested: bool = (
        False  # whether a process within may make namespaces of its own: old versions cannot forbid it
    )
    title: str = "bubblewrap"
    sandbox: bool = True

    def command(self, view: View) -> list[str]:
        """See `Confinement.command`."""
        made = [_found("bwrap"), "--unshare-all", "--unshare-user", "--die-with-parent", "--new-session"]
        made += ["--cap-drop", "ALL", *([] if self.nested else ["--disable-userns"])]
        made += ["--proc", "/proc", "--dev", "/dev", "--bind", str(view.scratch), "/tmp"]  # noqa: S108
        made += ["--bind", str(view.scratch), "/dev/shm"]  # noqa: S108
        for path, writable in view.binds:
            made += ["--bind" if writable else "--ro-bind", str(path), str(path)]
        made += ["--dir", str(view.folder), "--chdir", str(view.folder)]
        return [*made, "--remount-ro", "/dev", "--remount-ro", "/", "--"]


@dataclass(frozen=True)
class Namespaces:
    """The same by `unshare` of util-linux and `enter.py`, which makes the files of the sandbox."""

    title: str = "namespaces (unshare)"
    sandbox: bool = True

    def command(self, view: View) -> list[str]:
        """See `Confinement.command`."""
        binds = json.dumps([[str(path.resolve()), str(path), writable] for path, writable in view.binds])
        return [
            *(_found("setpriv"), "--pdeathsig", "KILL", "--"),
            *(
                _found("unshare"),
                "--map-root-user",
                "--mount",
                "--net",
                "--pid",
                "--ipc",
                "--uts",
                "--kill-child",
                "--",
            ),
            *(
                sys.executable,
                "-I",
                "-S",
                str(_HERE / "enter.py"),
                str(view.scratch),
                str(view.folder),
                binds,
            ),
        ]


@dataclass(frozen=True)
class LimitsAlone:
    """No sandbox: a process without the variables of this one, whose resources are limited."""

    title: str = "limits of resources alone"
    sandbox: bool = False

    def command(self, view: View) -> list[str]:
        """See `Confinement.command`."""
        return []


SANDBOXES: tuple[Confinement, ...] = (Bubblewrap(), Bubblewrap(nested=True), Namespaces())


def _found(program: str) -> str:
    """The path of a program; its name where it is not installed, which a trial tells."""
    return shutil.which(program) or program


def strongest(sandboxes: Sequence[Confinement] = SANDBOXES) -> tuple[Confinement, list[str]]:
    """The first sandbox that works here, else limits alone; and why each that came before does not."""
    refused: list[str] = []
    for one in sandboxes:
        if (why := why_not(one)) is None:
            return one, refused
        refused.append(f"{one.title}: {why}")
    return LimitsAlone(), list(dict.fromkeys(refused))


def why_not(confinement: Confinement) -> str | None:
    """Try a sandbox: why it does not work here, in a few words; None if it does."""
    with tempfile.TemporaryDirectory() as outside, tempfile.TemporaryDirectory() as scratch:
        view = python_view(Path(scratch).resolve(), [])
        program, *rest = confinement.command(view)
        if (found := shutil.which(program)) is None:
            return f"{program} is not installed"
        with socket.create_server(("127.0.0.1", 0)) as server:
            tried = [
                sys.executable,
                "-I",
                "-S",
                str(_HERE / "probe.py"),
                str(server.getsockname()[1]),
                outside,
            ]
            try:
                done = subprocess.run(  # noqa: S603 - our own command
                    [found, *rest, *tried], env=dict(view.variables), stdin=subprocess.DEVNULL,
                    capture_output=True, timeout=_PATIENCE, check=False,
                )  # fmt: skip
            except (OSError, subprocess.TimeoutExpired) as error:
                return f"{type(error).__name__}"
    if done.returncode == 0 and done.stdout.strip() == b"confined":
        return None
    said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
    return said[-1] if said else f"exit code {done.returncode}"
