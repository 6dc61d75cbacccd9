"""What a job in a sandbox sees: the interpreter, the code that it runs, its own inputs, where it writes."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.datasets.mirror import mirror_folder
from benchmark.engines.environment import FORCED
from benchmark.engines.worker import THREADS
from benchmark.jobs.job import Job, Kind
from benchmark.store.artifacts import Artifact, Draft

# Of a system: programs, libraries and fonts, and what decides which kernels of libraries are taken.
SYSTEM = tuple(map(Path, (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store", "/gnu/store", "/etc/alternatives",
    "/etc/fonts", "/etc/ld.so.cache", "/etc/localtime", "/sys/devices/system/cpu", "/sys/devices/system/node",
)))  # fmt: skip
# Variables that a job is given if they are set; what else there is may be a secret.
ALLOWED = ("LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "TZ", *FORCED)
_OURS = ("benchmark", "methods")
# What reads files of datasets and of weights: from the mirror, or from where its configuration says.
_FILES = {Kind.DATA: "place", Kind.PRETRAIN: "file"}


@dataclass(frozen=True)
class View:
    """Files and folders that a job may read, and folders that it may write, by their real places."""

    scratch: Path  # its home, and for temporary files
    readable: tuple[Path, ...]
    writable: tuple[Path, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where it works: in a folder called as that of this process, so that relative paths lead there."""
        try:
            return Path.cwd()
        except FileNotFoundError:
            return self.scratch

    @property
    def binds(self) -> list[tuple[Path, bool]]:
        """What is to be seen, and whether it may be written: what lies within another after that."""
        found = dict.fromkeys([*SYSTEM, *self.readable], False)
        found |= dict.fromkeys([self.scratch, *self.writable], True)
        there = [(path, writable) for path, writable in found.items() if path.exists()]
        return sorted(there, key=lambda one: len(one[0].parts))


def python_view(scratch: Path, modules: Iterable[str]) -> View:
    """What the interpreter needs, with these top-level modules and our own: nothing else of a checkout."""
    places = [place for name in dict.fromkeys([*_OURS, *modules]) for place in _places(name)]
    installed = [Path(one) for one in (sys.base_prefix, sys.prefix)]
    installed += [Path(one) for one in sys.path if Path(one).name in ("site-packages", "dist-packages")]
    number = str(THREADS)
    variables = {
        **{name: os.environ[name] for name in ALLOWED if name in os.environ},
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), number),
        **dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME", "MPLCONFIGDIR"), str(scratch)),
        "HF_HUB_OFFLINE": "1",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(str(place.absolute().parent) for place in places)),
        "PYTHONSAFEPATH": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "USER": "nobody",
    }
    return View(scratch, _both([*installed, *places]), (), variables)


def view_of(
    jobs: Sequence[Job],
    inputs: Mapping[str, Artifact],
    drafts: Sequence[Draft],
    scratch: Path,
    modules: Iterable[str] = (),
) -> View:
    """What these jobs need: of the cache their own inputs alone, of datasets those that they read."""
    roots = [root.partition(":")[0].partition(".")[0] for job in jobs for root in job.definitions]
    seen = python_view(scratch, [*roots, *modules])
    readable, variables = [artifact.folder for artifact in inputs.values()], dict(seen.variables)
    for job in jobs:
        named = getattr(job.config, _FILES.get(job.kind, ""), None)
        if isinstance(named, str):
            readable.append(Path(named).absolute())
        if job.kind in _FILES:
            readable.append(mirror_folder().absolute())
            variables["OODBENCH_MIRROR"] = str(readable[-1])
        if job.kind == Kind.PRETRAIN:  # published weights, which must be here already
            from huggingface_hub.constants import HF_HUB_CACHE

            readable.append(Path(HF_HUB_CACHE))
            variables["HF_HUB_CACHE"] = HF_HUB_CACHE
    writable = [folder for draft in drafts for folder in (draft.folder, draft.partial)]
    return View(scratch, _both([*seen.readable, *readable]), _both(writable), variables)


def _places(module: str) -> list[Path]:
    """The folder or file of a top-level module, which is not imported."""
    found: Any = importlib.util.find_spec(module)
    if found is None:
        return []
    return [Path(place) for place in found.submodule_search_locations or [found.origin]]


def _both(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Each as it is called, and where it really is."""
    return tuple(dict.fromkeys(one for path in paths for one in (path.absolute(), path.resolve())))
