"""The run itself, begun anew without network and secrets: planning imports the files of methods, too."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from benchmark.engines.isolation.view import ALLOWED

_DONE = "OODBENCH_APART"  # set in the process that was begun anew
_KEPT = {
    *ALLOWED, "CI", "COLORTERM", "COLUMNS", "FORCE_COLOR", "HF_HOME", "HF_HUB_CACHE", "HOME", "LINES",
    "LOGNAME", "NO_COLOR", "PATH", "SHELL", "TERM", "TMPDIR", "USER", "VIRTUAL_ENV",
}  # fmt: skip
_KEPT_BEGINNINGS = ("LC_", "OODBENCH_", "PYTHON", "XDG_")


def begin_apart() -> str | None:  # noqa: RET503 - in the end it does not return
    """Become the same command, as the same process, without network and with few variables.

    Call it before anything of a stranger's is imported. It returns in the process that is so, and where that
    cannot be had: why.
    """
    if os.environ.get(_DONE):
        return None
    if (program := shutil.which("unshare")) is None:
        return "unshare is not installed"
    alone = [program, "--user", "--map-current-user", "--net", "--"]
    tried = subprocess.run([*alone, "true"], capture_output=True, text=True, check=False)  # noqa: S603
    if tried.returncode:
        return (tried.stderr.strip().splitlines() or ["unshare failed"])[-1]
    kept = {k: v for k, v in os.environ.items() if k in _KEPT or k.startswith(_KEPT_BEGINNINGS)}
    sys.stdout.flush()
    sys.stderr.flush()
    command = [*alone, sys.executable, *sys.orig_argv[1:]]
    os.execve(program, command, {**kept, _DONE: "1"})  # noqa: S606 - our own command
