"""Doing one job, in whatever process an engine chooses. It imports nothing heavy before the first job."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol

from benchmark.engines.pool import Group, Outcome
from benchmark.engines.state import AT_MOST, GlobalState
from benchmark.errors import ChangedState, DamagedArtifact, OodbenchError, ProcessDied, StorageError
from benchmark.jobs.job import GROUPED, Job, Task
from benchmark.output import guard_output
from benchmark.store.artifacts import Artifact, Draft, Store
from methods.errors import MethodError, printable, said

THREADS = 1  # for every job, however many run at once: sums must not depend on how they were shared out
_UNUSABLE: list[str] = []  # why the device of this process cannot be used


class Perform(Protocol):
    """Does a group of jobs: `perform`, or what a test puts in its place."""

    def __call__(self, root: Path, group: Group, *, fresh: bool) -> Outcome:
        """Return how it ended, and raise nothing."""


class Compute(Protocol):
    """Does what is computed in jobs of one group, or in one alone: `compute`, or another process."""

    def __call__(
        self, jobs: Sequence[Job], inputs: Mapping[str, Artifact], drafts: Sequence[Draft]
    ) -> dict[str, float]:
        """Fill the drafts from the inputs, which are by key; return the seconds, and what else it took."""


@contextmanager
def single_threaded() -> Iterator[None]:
    """Compute with `THREADS` threads and deterministic algorithms only."""
    import torch
    from threadpoolctl import threadpool_limits

    from benchmark.backbones.device import let_accelerators_repeat

    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    let_accelerators_repeat()
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        with threadpool_limits(THREADS):
            yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])


@contextmanager
def unchanged_state() -> Iterator[None]:
    """See to it that what all jobs of a process share is after the block as it was before.

    Raises
    ------
    ChangedState
        If it is not, whether the block failed or not.
    """
    before = GlobalState.now()
    try:
        yield
    finally:
        changes = before.changes()
        if changes:
            more = f" and {len(changes) - AT_MOST} more" if len(changes) > AT_MOST else ""
            raise ChangedState(
                f"it changed what other methods compute with: {'; '.join(changes[:AT_MOST])}{more}"
            )


def start_worker(device: str | None = None) -> None:
    """Prepare a worker process: it ends with its parent, leaves Ctrl-C to it, and may print to nobody.

    Its networks compute on `device`, if it is given one, else on the CPU. It leads a group of processes,
    those that its jobs begin: `end_group` ends them with it.
    """
    with suppress(PermissionError):  # it leads a session
        os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    guard_output()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(THREADS)
    parent = multiprocessing.parent_process()

    def follow_parent() -> None:
        if parent is not None:
            parent.join()
        os.killpg(0, signal.SIGKILL)  # a killed parent cannot use what would be computed here

    threading.Thread(target=follow_parent, daemon=True).start()
    if device is not None:
        from benchmark.backbones.device import compute_on

        try:
            compute_on(device)
        except Exception as error:
            _UNUSABLE.append(f"{device} cannot be used: {said(error)}")


def end_group(worker: BaseProcess) -> None:
    """End a worker process, and those that its jobs have begun also where it has ended itself, at once."""
    if worker.pid is not None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(worker.pid, signal.SIGKILL)
        worker.kill()  # it leads no group before it has come to `start_worker`


def perform(root: Path, group: Group, *, fresh: bool, by: Compute | None = None) -> Outcome:
    """Do jobs of one group, or one alone, by `compute` unless told, and put their artifacts into the cache.

    What another process has done meanwhile is not done again. The artifacts' manifests say where they were
    made: here, as this process finds it.
    """
    if _UNUSABLE:
        return Outcome("storage", _UNUSABLE[0])
    store = Store(root)
    try:
        with ExitStack() as stack:
            for key in sorted(job.key for job in group):  # in this order everywhere, so that nobody deadlocks
                stack.enter_context(store.lock(key))
            todo = [job for job in group if fresh or not store.has(job.key)]
            if todo:
                from benchmark.engines.environment import environment  # it loads torch

                _make(store, todo, environment().model_dump(), by or compute)
    except DamagedArtifact as error:
        return Outcome("damaged", error.key)
    except StorageError as error:
        return Outcome("storage", said(error))
    except ProcessDied as error:
        return Outcome("died", said(error))
    except ChangedState as error:
        return Outcome("failed", describe(error), spoiled=True)
    except BaseException as error:  # one cell's failure must not end the others, nor may its `sys.exit()`
        return Outcome("failed", describe(error), spoiled=_may_have_broken_the_device(error))
    return Outcome("done")


def _may_have_broken_the_device(error: BaseException) -> bool:
    """Whether an accelerator may do nothing more in this process: some errors end its context for good."""
    if not isinstance(error, RuntimeError) or "torch" not in sys.modules:
        return False
    from benchmark.backbones.device import CPU, here, ran_out

    return here().type != CPU and not ran_out(error)


def _make(store: Store, todo: Sequence[Job], environment: dict[str, Any], by: Compute) -> None:
    inputs = {key: store.open(key) for job in todo for key in job.needs}
    made: list[dict[str, Any]] = [
        {"kind": job.kind, "label": job.label, "code": job.code, "environment": environment} for job in todo
    ]
    with ExitStack() as stack:
        drafts = [stack.enter_context(store.create(job.key, m)) for job, m in zip(todo, made, strict=True)]
        took = by(todo, inputs, drafts)
        for manifest, draft in zip(made, drafts, strict=True):
            manifest |= {
                **took,
                "seconds": took["seconds"] / len(todo) + draft.earlier,
                "date": datetime.now(UTC).isoformat(timespec="seconds"),
            }


def compute(jobs: Sequence[Job], inputs: Mapping[str, Artifact], drafts: Sequence[Draft]) -> dict[str, float]:
    """Do what is computed in jobs of one group, or in one alone, in this process; see `Compute`."""
    from benchmark.backbones.device import accounted

    start = time.perf_counter()
    tasks = [
        Task(job.config, job.opened(inputs.__getitem__), draft)
        for job, draft in zip(jobs, drafts, strict=True)
    ]
    methods = dict.fromkeys(d.partition(":")[0] for job in jobs for d in job.definitions)
    # Ours alone changes nothing.
    with single_threaded(), accounted() as took, unchanged_state() if methods else nullcontext():
        # Else the registry would load every contributed file to find one: only what is asked for is run.
        for module in methods:
            importlib.import_module(module)
        if jobs[0].kind in GROUPED:
            jobs[0].run(tasks)
        else:
            jobs[0].run(tasks[0])
    return {"seconds": time.perf_counter() - start, "peak_memory_mb": _peak_memory_mb(), **took}


def describe(error: BaseException) -> str:
    """One line for people: what went wrong and, where the error does not say it itself, in which line."""
    if isinstance(error, OodbenchError):
        return said(error)
    kind = printable(type(error).__name__)
    if isinstance(error, MethodError):
        return f"{kind}: {said(error)}"
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if Path(f.filename).parent.name in {"detectors", "objectives"}] or frames
    where = f" ({printable(Path(ours[-1].filename).name)}:{ours[-1].lineno})" if ours else ""
    return f"{kind}: {' '.join(said(error).split())}{where}"


def _peak_memory_mb() -> float:
    """Largest resident memory of this process so far; ru_maxrss counts KiB on Linux, bytes on macOS."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
