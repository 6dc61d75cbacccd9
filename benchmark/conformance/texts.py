"""What a method says of itself: its paper, and the parts of its docstring that pages show."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass

from benchmark.conformance.contract import Contributed
from benchmark.conformance.findings import check
from benchmark.conformance.sources import files_of
from methods.method import Paper

TODO = re.compile(r"\bTODO\b")
_PARTS = {  # of a docstring: how each begins, and what it says
    "math": (re.compile(r"^ *\.\. math::", re.MULTILINE), "`.. math::` with the formula"),
    "shapes": (re.compile(r"\bShapes:\s"), "`Shapes: logits (N, K) → scores (N,).`"),
    "cost": (re.compile(r"\b(?:Cost|Complexity):\s"), "`Cost: O(NK).`, or in passes of the network"),
    "deviations": (
        re.compile(r"\bDeviations?\s+from\s+the\s+(?:paper|release)\b|\*\*Reconstructed\*\*"),
        "`Deviations from the paper: none.`",
    ),
}
_ALL = ("math", "shapes", "cost", "deviations")
_OF = {"detectors": _ALL, "attacks": ("math", "cost", "deviations"), "samplers": ("deviations",)}
_OTHERS = ("math", "deviations")
_NAMES = re.compile(
    r"^(\w+(?:, \w+)*)(?: : .*)?$(?=\n +\S)", re.MULTILINE
)  # of parameters, with what follows
_ARXIV = re.compile(r"\d{4}\.\d{4,5}")


@check("paper", "paper = Paper(title=..., authors=..., venue=..., year=..., arxiv=...)")
def paper(subject: Contributed) -> Iterator[str]:
    """The paper is named."""
    said: object = getattr(subject.cls, "paper", None)
    if not isinstance(said, Paper):
        yield f"it names no paper: expected Paper(...), got {said!r}"
        return
    if lacks := [part for part in ("title", "authors", "venue") if not getattr(said, part)]:
        yield f"the paper has no {' and no '.join(lacks)}"
    if not isinstance(said.year, int) or not 1900 < said.year < 2100:
        yield f"the paper's year is {said.year!r}"
    if said.arxiv is not None and not _ARXIV.fullmatch(said.arxiv):
        yield f"arxiv: expected a number such as 2010.03759, got {said.arxiv!r}"


@check("docstring", "methods/detectors/energy.py is the shortest example")
def docstring(subject: Contributed) -> Iterator[str]:
    """The docstring has the parts that pages show, and every hyper-parameter."""
    doc = inspect.cleandoc(vars(subject.cls).get("__doc__") or "")
    title = " ".join(doc.partition("\n\n")[0].split())
    if not title or title.startswith(f"{subject.cls.__name__}("):  # which dataclasses write themselves
        yield "there is none"
        return
    if not title.endswith(".") or "\n" in doc.partition("\n\n")[0] or title.startswith(".."):
        yield f"the title is not one sentence on one line: {title[:60]!r}"
    for part in _OF.get(subject.family, _OTHERS):
        pattern, example = _PARTS[part]
        if not pattern.search(doc):
            yield f"it has no part {part!r}: expected {example}"
    told = {name for line in _NAMES.findall(doc) for name in line.split(", ")}
    names: list[str] = [f.name for f in fields(subject.cls) if f.init] if is_dataclass(subject.cls) else []
    if untold := [name for name in names if name not in told]:
        yield f"`Parameters` does not tell {', '.join(untold)}"


@check("todo", "fill it in")
def todo(subject: Contributed) -> Iterator[str]:
    """Nothing is left to be filled in."""
    path = files_of(subject.cls).get(subject.cls.__module__)
    if path is not None:
        lines = path.read_text(encoding="utf-8").splitlines()
        if places := [f"{path.name}:{i}" for i, line in enumerate(lines, 1) if TODO.search(line)]:
            yield f"TODO in {', '.join(places[:3])}"


CHECKS = (paper, docstring, todo)
