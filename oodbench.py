"""oodbench: a benchmark leaderboard suite for out-of-distribution detection.

The face of the suite: what starts the ``oodbench`` command line, and what a library user imports::

    from oodbench import Features, Head, detector, detection_metrics

Nothing heavy is imported before it is used.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmark.conformance import testing
    from benchmark.evaluation.evaluate import extract, load_guard
    from benchmark.metrics import detection_metrics
    from benchmark.records.results import read_all
    from benchmark.spec.load import load_spec
    from methods.attack import Attack
    from methods.base import (
        Detector,
        Features,
        GradientDetector,
        Head,
        InputError,
        NotApplicable,
        Objective,
        Paper,
        Signal,
    )
    from methods.registry import attack, detector, detectors, objective, objectives, register
    from reports.evaluation.evaluation import evaluate

__all__ = [
    "Attack",
    "Detector",
    "Features",
    "GradientDetector",
    "Head",
    "InputError",
    "NotApplicable",
    "Objective",
    "Paper",
    "Signal",
    "attack",
    "detection_metrics",
    "detector",
    "detectors",
    "evaluate",
    "extract",
    "load_guard",
    "load_spec",
    "objective",
    "objectives",
    "read_all",
    "register",
    "testing",
]
_HOME = {  # of what is not in methods.base
    "Attack": "methods.attack",
    "attack": "methods.registry",
    "detection_metrics": "benchmark.metrics",
    "detector": "methods.registry",
    "detectors": "methods.registry",
    "evaluate": "reports.evaluation.evaluation",
    "extract": "benchmark.evaluation.evaluate",
    "load_guard": "benchmark.evaluation.evaluate",
    "load_spec": "benchmark.spec.load",
    "objective": "methods.registry",
    "objectives": "methods.registry",
    "read_all": "benchmark.records.results",
    "register": "methods.registry",
}
_MODULES = {"testing": "benchmark.conformance.testing"}  # that are had whole
ROOMS = ("benchmark", "methods", "reports")
OBJECTS = 10_000  # made between two looks for garbage: thousands of records, which stay, are not garbage
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'oodbench' has no attribute {name!r}")
    refuse_shadows()
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    return getattr(importlib.import_module(_HOME.get(name, "methods.base")), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


def refuse_shadows() -> None:
    """Check that `benchmark`, `methods` and `reports` are ours and not another package of that name.

    Raises
    ------
    ImportError
        Names the file that shadows ours.
    """
    here = Path(__file__).resolve().parent
    for room in ROOMS:
        spec = importlib.util.find_spec(room)
        origin = Path(spec.origin).resolve() if spec and spec.origin else None
        if origin is None or origin.parent.parent != here:
            seen = origin or (list(spec.submodule_search_locations or []) if spec else "nothing")
            raise ImportError(
                f"oodbench needs its own package {room!r} in {here}, but Python finds {seen}. Run from "
                f"another folder, rename what is there, or give oodbench a virtual environment of its own."
            )


def main() -> None:
    """Run the command line."""
    try:
        refuse_shadows()
    except ImportError as error:
        sys.stderr.write(f"oodbench: {error}\n")
        sys.exit(1)
    from reports.console.cli import app
    from reports.console.terminal import run_command

    gc.set_threshold(OBJECTS)
    run_command(lambda: app(prog_name="oodbench"), SIGNALS)


if __name__ == "__main__":
    main()
