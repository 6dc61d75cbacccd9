"""The command line as a process of its own: in a pipe, and in a pseudo-terminal of a given width."""

import fcntl
import os
import pty
import re
import runpy
import struct
import subprocess
import sys
import termios
from pathlib import Path

ROOT = Path(__file__).parents[2]
SMALL = runpy.run_path(str(ROOT / "tests" / "conftest.py"))["SMALL"]
_OURS = ("OODBENCH", "PYTHON", "COLUMNS", "LC_", "LANG")
ENVIRONMENT = {
    **{k: v for k, v in os.environ.items() if not k.startswith(_OURS)},
    "PYTHONPATH": str(ROOT), "TERM": "xterm", "LC_ALL": "C.UTF-8",
}  # fmt: skip


def start(*arguments, cwd, environment=None, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "oodbench", *arguments],
        cwd=cwd, env=ENVIRONMENT | (environment or {}), **options,
    )  # fmt: skip


def piped(*arguments, cwd, **options):
    """Exit code, standard output, standard error."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    running = start(*arguments, cwd=cwd, **(pipes | options))
    out, err = running.communicate(timeout=300)
    return (
        running.returncode,
        (out or b"").decode("utf-8", "replace"),
        (err or b"").decode("utf-8", "replace"),
    )


def in_terminal(*arguments, cwd, width):
    """Exit code, and the lines of the terminal without colours."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    running = start(*arguments, cwd=cwd, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other side has been closed
            break
        if not part:
            break
        seen += part
    os.close(ours)
    text = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", seen.decode())
    return running.wait(timeout=30), [line.rstrip() for line in text.splitlines()]
