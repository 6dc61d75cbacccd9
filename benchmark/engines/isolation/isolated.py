"""Doing jobs in sandboxes: a method's jobs of a group in a process of their own, with no say in the rest.

A worker of ours, that runs no code of methods, locks the keys of the jobs, verifies their inputs, makes a
sandbox that sees these and may write the folders of the drafts, and waits. It ends the sandbox whatever
happens, looks at what was left, writes the manifests, and moves all that into the cache under the keys that
the plan has. Nothing that comes out of a sandbox is unpickled.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any

from benchmark.engines.isolation.confined import READY, Request
from benchmark.engines.isolation.confinement import Confinement
from benchmark.engines.isolation.leftovers import check_leftovers
from benchmark.engines.isolation.limits import Limits, end_all
from benchmark.engines.isolation.view import View, view_of
from benchmark.engines.pool import Group, Outcome
from benchmark.engines.processes import DIED
from benchmark.engines.worker import Compute, compute, perform
from benchmark.errors import OodbenchError, ProcessDied, StorageError
from benchmark.jobs.job import Job, Kind
from benchmark.store.artifacts import Artifact, Draft
from benchmark.store.files import delete, storage_errors
from methods.errors import printable

# Arithmetic of ours on files that are checked when they are read: no code of methods runs in it, and none
# may, as it makes the numbers of the records.
OURS = frozenset({Kind.MEASURE, Kind.CLASSIFY, Kind.GATHER})
LIBRARIES = ("torch", "timm")
_LOOK_EVERY = 0.25  # seconds between two looks at what a sandbox takes
_LONGEST = 1 << 16  # bytes that a sandbox may say
_UNITS = {"peak_memory_mb", "least_batch"}  # of what a job took, that it tells itself


@dataclass(frozen=True)
class Isolated:
    """Does groups of jobs as `benchmark.engines.worker.perform` does, what runs methods in sandboxes.

    Parameters
    ----------
    confinement
        What they are.
    limits
        Of each.
    compute
        What is done in one.
    libraries
        That are loaded before a job's seconds are counted, where its kind uses them.
    """

    confinement: Confinement
    limits: Limits
    compute: Compute = compute
    libraries: tuple[str, ...] = LIBRARIES

    def __call__(self, root: Path, group: Group, *, fresh: bool) -> Outcome:
        """See `benchmark.engines.worker.Perform`."""
        return perform(root, group, fresh=fresh, by=self._confined)

    def _confined(
        self, jobs: Sequence[Job], inputs: Mapping[str, Artifact], drafts: Sequence[Draft]
    ) -> dict[str, float]:
        if all(job.kind in OURS and not job.definitions for job in jobs):
            return compute(jobs, inputs, drafts)
        parts: dict[tuple[str, ...], list[tuple[Job, Draft]]] = {}
        for job, draft in zip(jobs, drafts, strict=True):
            parts.setdefault(job.definitions, []).append((job, draft))
        took: dict[str, float] = {"seconds": 0.0}
        for part in parts.values():
            own = tuple(job for job, _ in part)
            needed = {key: inputs[key] for job in own for key in job.needs}
            one = self._sandboxed(own, needed, tuple(draft for _, draft in part))
            took = _together(took, one)
        return took

    def _sandboxed(
        self, jobs: Group, inputs: Mapping[str, Artifact], drafts: tuple[Draft, ...]
    ) -> dict[str, float]:
        with _folders(drafts) as scratch:
            used = {"torch", *importlib.import_module(jobs[0].done_by).LIBRARIES}
            libraries = tuple(name for name in self.libraries if name in used)
            request = Request(jobs, inputs, drafts, self.compute, self.limits, libraries)
            view = self.view(jobs, inputs, drafts, scratch)
            answer, seconds = self._ask(view, request)
        if "storage" in answer:
            raise StorageError(printable(str(answer["storage"])))
        if "failed" in answer:
            raise OodbenchError(printable(str(answer["failed"])))
        for draft in drafts:
            check_leftovers(draft.folder)
        return {"seconds": seconds, **_numbers(answer.get("took"))}

    def view(
        self, jobs: Group, inputs: Mapping[str, Artifact], drafts: tuple[Draft, ...], scratch: Path
    ) -> View:
        """What a sandbox shows these jobs."""
        return view_of(jobs, inputs, drafts, scratch, [self.compute.__module__.partition(".")[0]])

    def _ask(self, view: View, request: Request) -> tuple[dict[str, Any], float]:
        """Have a sandbox do the work: its answer, and the seconds between that and its being ready."""
        command = [*self.confinement.command(view), sys.executable, "-m", Request.__module__]
        with subprocess.Popen(  # noqa: S603 - our own command
            command, env=dict(view.variables), cwd=view.folder,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stderr is not None
            try:
                # It may have ended at once: its silence is dealt with below.
                with (
                    suppress(BrokenPipeError),
                    Connection(os.dup(process.stdin.fileno()), readable=False) as given,
                ):
                    given.send(request)
                lines = self._lines(process, process.stdout)
                ready = next(lines, None)
                start = time.perf_counter()
                answer = next(lines, None) if ready == READY else None
                seconds = time.perf_counter() - start
            finally:
                _end(process)
            if ready != READY:
                why = (ready or {}).get("failed") or _last_line(process.stderr)
                raise StorageError(f"{self.confinement.title} did not start a job: {why}")
        if answer is None:
            raise ProcessDied(DIED)
        return answer, seconds

    def _lines(self, process: subprocess.Popen[bytes], output: IO[bytes]) -> Iterator[dict[str, Any]]:
        """What a sandbox says, until that cannot be understood; its limits are watched meanwhile."""
        said = b""
        while len(said) <= _LONGEST:
            if select.select([output], [], [], _LOOK_EVERY)[0]:
                more = os.read(output.fileno(), _LONGEST)
                if not more:
                    return
                said += more
            if (broken := self.limits.broken(process.pid)) is not None:
                yield {"failed": broken}
            while b"\n" in said:
                line, _, said = said.partition(b"\n")
                try:
                    found = json.loads(line)
                except (ValueError, RecursionError):
                    return
                if not isinstance(found, dict):
                    return
                yield found


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a sandbox, and wait until nothing of it is left."""
    end_all(process.pid)
    try:
        process.wait(timeout=1.0)  # it has waited for the first process of the namespace
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _last_line(errors: IO[bytes]) -> str:
    os.set_blocking(errors.fileno(), False)
    lines = (errors.read() or b"").decode(errors="replace").strip().splitlines()
    return printable(lines[-1]) if lines else "it said nothing"


@contextmanager
def _folders(drafts: Sequence[Draft]) -> Iterator[Path]:
    """Make what a sandbox writes to, beside its first draft, and delete what is not kept."""
    beside = drafts[0].folder
    with storage_errors(beside):
        scratch = Path(tempfile.mkdtemp(prefix=f"{beside.name.rpartition('-')[0]}-", dir=beside.parent))
        for draft in drafts:
            draft.partial.mkdir(parents=True, exist_ok=True)
    try:
        yield scratch
    finally:
        delete(scratch)
        for draft in drafts:
            with suppress(OSError):  # it is not empty: the next attempt goes on from there
                draft.partial.rmdir()


def _numbers(took: object) -> dict[str, float]:
    """Of what a job says that it took, what may be true."""
    said = took if isinstance(took, dict) else {}
    found = {name: said[name] for name in _UNITS if isinstance(said.get(name), int | float)}
    return {name: value for name, value in found.items() if math.isfinite(value) and value >= 0}


def _together(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    """What two parts of a group took, one after the other."""
    found = {**one, **other, "seconds": one["seconds"] + other["seconds"]}
    for name, choose in (("peak_memory_mb", max), ("least_batch", min)):
        if name in one and name in other:
            found[name] = choose(one[name], other[name])
    return found
