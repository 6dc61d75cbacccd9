"""Limits of resources: set by a process before it does a stranger's work, and watched from outside."""

from __future__ import annotations

import os
import re
import resource
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import UsageError

PROCESSES = 64  # that a job may have at once
_BACKSTOP = 4096  # processes and threads of one user; the system refuses more, unless that is root
_UNITS = {"M": 2**20, "G": 2**30, "T": 2**40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([MGT])B?")
_PAGE = resource.getpagesize()


@dataclass(frozen=True)
class Limits:
    """What a job may have: bytes of memory, and processes."""

    memory: int
    processes: int = PROCESSES

    def broken(self, process: int) -> str | None:
        """Which limit a process breaks, with all those below it; None if none, or if nobody can tell."""
        pids = [process, *descendants(process)]
        if len(pids) > self.processes:
            return f"stopped: it began more than {self.processes} processes"
        if sum(map(_own_memory, pids)) > self.memory:
            return f"stopped: it took more than {size_said(self.memory)} of memory (--memory)"
        return None

    def accept(self) -> None:
        """Keep to them in this process, for good; where memory runs out it is the first to be ended."""
        lower(resource.RLIMIT_DATA, self.memory)
        lower(resource.RLIMIT_CORE, 0)
        if hasattr(resource, "RLIMIT_NPROC"):
            lower(resource.RLIMIT_NPROC, _BACKSTOP)
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")


def lower(limit: int, value: int) -> None:
    """Set a limit, soft and hard, unless it is lower already."""
    _, hard = resource.getrlimit(limit)
    if hard == resource.RLIM_INFINITY or value < hard:
        resource.setrlimit(limit, (value, value))


def memory_of_machine() -> int:
    """Bytes of the memory that there is."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def parse_size(said: str) -> int:
    """Read a size such as ``4G``.

    Raises
    ------
    UsageError
        If it is none.
    """
    match = _SIZE.fullmatch(said)
    if match is None or float(match[1]) == 0:
        raise UsageError(f"--memory: got {said!r}; expected a size such as 900M or 4G")
    return int(float(match[1]) * _UNITS[match[2]])


def size_said(size: int) -> str:
    """A number of bytes as people say it."""
    return f"{size / 2**30:.3g} GiB" if size >= 2**30 else f"{size / 2**20:.3g} MiB"


def children(process: int) -> list[int]:
    """Processes that a process has begun and not waited for; none where nobody can tell."""
    found: list[int] = []
    for place in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):
            found += map(int, place.read_text().split())
    return found


def descendants(process: int) -> list[int]:
    """Those that these have begun, too."""
    found = children(process)
    for one in found:
        found += children(one)
    return found


def end_all(process: int) -> None:
    """End a process's descendants: the first of a namespace takes all others of it with it."""
    for one in descendants(process):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(one, signal.SIGKILL)


def _own_memory(process: int) -> int:
    """Bytes that a process holds in memory and shares with no file."""
    try:
        _, resident, shared, *_ = Path(f"/proc/{process}/statm").read_text().split()
    except OSError:  # it has just ended
        return 0
    return (int(resident) - int(shared)) * _PAGE
