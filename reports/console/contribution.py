"""What a contribution lacks besides: a place in leaderboard.yaml, worked numbers, legible formulas."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmark.conformance.findings import Finding, Severity
from benchmark.spec.leaderboard import Spec
from methods.cards import cards
from reports.console.docstrings import read_marked
from reports.site.mathml import mathml
from reports.uses import entries_of, studies_of, tracks_of

_UNREAD = '<math display="block"><mtext>'  # how what is no LaTeX is shown
SCORED = ("detectors", "objectives")  # families whose methods stand in entries


def check_place(family: str, name: str, spec: Spec) -> Iterator[Finding]:
    """Whether something of leaderboard.yaml measures a method."""
    title, entries = f"{family}/{name}", entries_of(family, name, spec)
    if entries and not any(tracks_of(entry, spec) for entry in entries):
        said = f"no track lists its entries ({', '.join(entries)})"
        yield Finding(title, "entry", Severity.ERROR, said, "name one in `entries` of a track")
    elif not entries and not studies_of(family, name, spec):
        what = "entry" if family in SCORED else "study"
        advice = (
            f"add one under `entries`, and its name to a track's: `oodbench new {family[:-1]} NAME` does both"
            if family in SCORED
            else "name it under `studies` of a track"
        )
        yield Finding(title, "entry", Severity.ERROR, f"no {what} of leaderboard.yaml has it", advice)


def check_numbers(family: str, name: str, root: Path) -> Iterator[Finding]:
    """Whether a test of a checkout names a method of it: its worked numbers."""
    folder = root / "tests" / "methods" / family
    if not folder.is_dir() or not (root / "methods" / family / f"{name}.py").is_file():
        return
    tests = [path for path in sorted(folder.glob("test_*.py")) if path.is_file()]
    if not any(p.stem == f"test_{name}" or f'"{name}"' in p.read_text(encoding="utf-8") for p in tests):
        yield Finding(
            f"{family}/{name}", "numbers", Severity.WARNING, "no test has its worked numbers",
            f"write tests/methods/{family}/test_{name}.py with numbers of the paper, or arithmetic on paper",
        )  # fmt: skip


def check_formulas(family: str, name: str) -> Iterator[Finding]:
    """Whether the pages can show the formulas of a method's docstring."""
    card = cards(family).get(name)
    formulas = [block.text for block in read_marked(card.doc).body if block.formula] if card else []
    for latex in formulas:
        if str(mathml(latex, display=True)).startswith(_UNREAD):
            said = f"no page can read the formula {' '.join(latex.split())[:60]!r}"
            yield Finding(f"{family}/{name}", "formula", Severity.WARNING, said, "mend the LaTeX")
