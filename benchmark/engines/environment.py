"""Where and with what results are computed, for the records."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

from benchmark.records.record import Environment
from benchmark.store.fingerprints import library_versions

FORCED = (  # variables that choose other kernels than the processor's best
    "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "OPENBLAS_CORETYPE",
)  # fmt: skip
LIBRARIES = ("matplotlib", "numpy", "pillow", "safetensors", "scikit-learn", "scipy", "timm", "torch")


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def environment() -> Environment:
    """Describe the machine and installation of this process, as they are when it first asks."""
    from benchmark.backbones.device import accelerator

    return Environment(
        oodbench=version("oodbench"),
        commit=_commit(Path(__file__).parents[1]),
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        processor=_processor(),
        instructions=_instructions(),
        cores=cores(),
        accelerator=accelerator(),
        libraries=library_versions(*LIBRARIES),
    )


def _instructions() -> str:
    """What torch's own kernels use, and the variables that force other kernels on it and its libraries."""
    import torch

    forced = [f"{name}={os.environ[name]}" for name in FORCED if os.environ.get(name)]
    return ", ".join([torch.backends.cpu.get_cpu_capability(), *forced])


def environment_id(described: Environment) -> str:
    """A short name for an environment: equal names, equal environments."""
    text = json.dumps(described.model_dump(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _commit(folder: Path) -> str | None:
    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(  # noqa: S603 - fixed arguments
                ["git", "-C", str(folder), *arguments],  # noqa: S607
                capture_output=True, text=True, timeout=10, check=True,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    # An installed copy may lie inside somebody else's checkout: only our own tracked source has a commit.
    if not git("ls-files", "--error-unmatch", __file__):
        return None
    commit = git("rev-parse", "HEAD")
    changed = git("status", "--porcelain", "--", folder.as_posix(), f"{folder.parent.as_posix()}/methods")
    return f"{commit}+changes" if commit and changed else commit


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    return platform.processor() or platform.machine()
