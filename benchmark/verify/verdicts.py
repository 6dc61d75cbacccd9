"""A published record against one that was computed again: equal, within the spread, or not.

What is given decides what may differ:

- the same weights, where the record was made (libraries, instruction set, processor): nothing, to the bit;
- the same weights elsewhere: AUROC and AUPR by `SAME`, every other number by `OTHERS`;
- a network that was trained elsewhere: as much as another seed of the row, `spread`;
- other weights though both were trained where the same comes out: the record does not stand.

Pure functions of records: this module must not know where they lie.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import stdev
from typing import Literal

from benchmark.records.record import Environment, Record
from benchmark.studies.detection.records import numbers_of
from methods.errors import printable

SAME = 1e-4  # of AUROC and AUPR, of the same weights on another machine
OTHERS = 5e-3  # of other numbers, absolute or relative: a share of few images moves by one of them
NORMAL = 3.2905  # standard deviations: one of a thousand differences of two seeds is larger
MOST = 80  # characters of a name that a record gives
AREAS = ("auroc", "aupr_in", "aupr_out")

Word = Literal["equal", "within", "MISMATCH"]


@dataclass(frozen=True)
class Difference:
    """The number by which two records differ most, for what may differ."""

    path: str
    claimed: float
    recomputed: float
    most: float  # that it may differ by

    @property
    def by(self) -> float:
        """Recomputed less claimed."""
        return self.recomputed - self.claimed


@dataclass(frozen=True)
class Verdict:
    """What came of recomputing one record."""

    word: Word
    why: str
    worst: Difference | None = None  # None where no number differs

    @property
    def stands(self) -> bool:
        """Whether the record stands."""
        return self.word != "MISMATCH"


def verdict(
    claimed: Record,
    recomputed: Record,
    *,
    here: bool,
    trained_alike: bool,
    spread: Callable[[str], float],
) -> Verdict:
    """Compare a published record with one that was computed again at its place.

    Parameters
    ----------
    here : whether the published one was measured in an environment like that of the other.
    trained_alike : whether the networks of both were trained in environments that are alike.
    spread : by path of a number, how much networks of its row differ from each other.
    """
    if claimed.status != recomputed.status:
        return Verdict(
            "MISMATCH", f"{claimed.status} is claimed, it was {recomputed.status}: {recomputed.reason}"
        )
    if (images := _other_images(claimed, recomputed)) is not None:
        return Verdict("MISMATCH", images)
    same = claimed.checkpoint == recomputed.checkpoint
    if trained_alike and not same:
        return Verdict(
            "MISMATCH",
            f"of other weights ({_short(claimed.checkpoint)} claimed, {_short(recomputed.checkpoint)} here) "
            "though the same training in the same environment gives the same",
        )
    a, b = _numbers(claimed), _numbers(recomputed)
    if a.keys() != b.keys():
        odd = sorted(a.keys() ^ b.keys())
        name = printable(odd[0])[:MOST]
        return Verdict("MISMATCH", f"{name}: only one of both has it ({len(odd)} such numbers)")
    if same and here:
        worst = _worst(a, b, lambda path, claimed: 0.0)
        if worst is None and claimed.series == recomputed.series:
            return Verdict("equal", "to the bit")
        why = "not to the bit, of the same weights where it was made"
        return Verdict("MISMATCH", why if worst else f"{why}: what plots show", worst)
    if same:
        worst = _worst(a, b, _of_the_same)
        where = "of the same weights on another machine"
    else:
        worst = _worst(a, b, lambda path, claimed: max(spread(path), _of_the_same(path, claimed)))
        where = "of a network trained again"
    if worst is None:
        return Verdict("equal", where)
    if abs(worst.by) <= worst.most:
        return Verdict("within", where, worst)
    return Verdict("MISMATCH", f"{where}: at most {worst.most:.2g} is expected", worst)


def alike(a: Environment, b: Environment) -> bool:
    """Whether the same computation gives the same bits in both, as far as is known."""
    return (a.libraries, a.instructions, a.processor, a.accelerator, a.python) == (
        b.libraries, b.instructions, b.processor, b.accelerator, b.python,
    )  # fmt: skip


def spread_of(
    claimed: Record, records: Sequence[Record], measured: Callable[[str], float]
) -> Callable[[str], float]:
    """By path of a number, how much two networks of a row may differ, by its other records.

    As much as two seeds of one backbone and init do once in a thousand times, or as much as networks of two
    machines were seen to (`measured`), whichever is more. The claimed record itself plays no part, so that an
    alteration does not widen what it is held to.
    """
    groups: dict[tuple[str, str, str], list[Mapping[str, float]]] = {}
    for record in records:
        if record.status == "measured" and record.cell != claimed.cell:
            place = record.backbone, record.init, record.condition
            groups.setdefault(place, []).append(_numbers(record))

    def most(path: str) -> float:
        known = [[one[path] for one in group if path in one] for group in groups.values()]
        widths = [stdev(values) for values in known if len(values) > 1]
        return max(NORMAL * sqrt(2) * max(widths, default=0.0), measured(path))

    return most


def _numbers(record: Record) -> Mapping[str, float]:
    """The numbers of a record; of OOD detection with the means that follow from them."""
    return numbers_of(record) if record.settings.get("detector") and record.numbers else record.numbers


def _other_images(claimed: Record, recomputed: Record) -> str | None:
    """Which image set was another, if one was."""
    if claimed.provenance is None or recomputed.provenance is None:
        return None
    there, here = claimed.provenance.data, recomputed.provenance.data
    for name in sorted(there.keys() | here.keys()):
        if there.get(name) != here.get(name):
            seen = f"{_short(here.get(name))}, claimed {_short(there.get(name))}"
            return f"images of {printable(name)[:MOST]}: {seen}: the set has changed"
    return None


def _short(digest: str | None) -> str:
    """A hash as it is told."""
    return printable(digest or "none")[:12]


def _of_the_same(path: str, claimed: float) -> float:
    return SAME if path.rpartition(".")[2] in AREAS else OTHERS * max(1.0, abs(claimed))


def _worst(
    a: Mapping[str, float], b: Mapping[str, float], most: Callable[[str, float], float]
) -> Difference | None:
    """The number that differs most, in what it may differ by; None if none differs."""
    found = [Difference(path, x, b[path], most(path, x)) for path, x in a.items() if x != b[path]]
    return max(found, key=lambda one: abs(one.by) / (one.most or 1e-300), default=None)
