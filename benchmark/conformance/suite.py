"""The suite of every family, and methods by name: what `oodbench check` and `oodbench.testing` run."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import torch

from benchmark.conformance import contract, detectors, objectives, texts
from benchmark.conformance.contract import Contributed
from benchmark.conformance.findings import Finding, Severity, run
from benchmark.conformance.subject import Subject
from benchmark.conformance.surroundings import KINDS, listed, written
from benchmark.engines.state import GlobalState
from benchmark.engines.worker import single_threaded
from methods.base import Detector, EnsembleDetector, Objective
from methods.families import families, load_all
from methods.method import Method
from methods.registry import UnknownMethod, method_class


def check_class(cls: type[Method]) -> Iterator[Finding]:
    """What there is to say of a method's class, as it is found.

    Computes with one thread; the global random numbers are afterwards as they were.

    Raises
    ------
    TypeError
        If it is no method of a known family.
    """
    seeds = random.getstate(), np.random.get_state()  # noqa: NPY002 - to be set back
    with single_threaded(), torch.random.fork_rng(devices=[]):
        try:
            if issubclass(cls, Detector | EnsembleDetector):
                yield from run(detectors.CHECKS, Subject(cls))
            elif issubclass(cls, Objective):
                yield from _of_objective(cls)
            else:
                yield from _of_others(cls)
        finally:
            random.setstate(seeds[0])
            np.random.set_state(seeds[1])  # noqa: NPY002


def check_named(family: str, name: str) -> Iterator[Finding]:
    """The same of a method by its name; its file is loaded if it is not yet, and watched meanwhile."""
    title = f"{family}/{name}"
    before = GlobalState.now()
    try:
        cls = method_class(family, name)
    except UnknownMethod as error:
        yield Finding(title, "loads", Severity.ERROR, str(error), "mend the file")
        return
    if changes := before.changes():
        said = f"its import changed {listed(changes)}"
        yield Finding(title, "import", Severity.ERROR, said, "define things at import, and change nothing")
    yield from check_class(cls)


def methods_called(name: str) -> list[tuple[str, str]]:
    """Family and name of each method that is called so."""
    found = [(folder, name) for folder, family in families.items() if name in family.files()]
    if not found:
        load_all()  # of other packages
        found = [(folder, name) for folder, family in families.items() if name in family.found]
    return found


def every_method() -> list[tuple[str, str]]:
    """Family and name of all that there is."""
    load_all()
    return [
        (folder, name)
        for folder, family in families.items()
        for name in sorted({*family.files(), *family.found})
    ]


def _of_objective(cls: type[Objective]) -> Iterator[Finding]:
    said = list(run(contract.CHECKS, Contributed(cls)))
    if any(finding.severity is Severity.ERROR for finding in said):  # it may not even be configured
        yield from said
        return
    yield from run(objectives.CHECKS, objectives.Training(cls))


def _of_others(cls: type[Method]) -> Iterator[Finding]:
    """Of attacks, noise models, profiles and samplers: contract, texts, and what their files name."""
    subject = Contributed(cls)
    yield from run((*contract.CHECKS, *texts.CHECKS), subject)
    for kind, (what, advice) in KINDS.items():
        if places := written(cls, kind):
            said = f"it looks at {what}: {listed(places)}"
            yield Finding(subject.title, kind, Severity.ERROR, said, advice)
