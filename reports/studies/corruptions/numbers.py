"""Numbers of the study `corruptions`: a record's own, and errors relative to plain networks from scratch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from benchmark.records.comparison import Metric
from benchmark.studies.corruptions.settings import Corruptions
from reports.studies.numbers import AgainstScratch, Numbers, Row, StudyNumbers, own_numbers


def _derived(row: Row[Corruptions]) -> Numbers:
    own = own_numbers(row.records[""])
    relative, lack = relative_corruption(own, [plain[""].numbers for plain in row.plain], row.study.kinds)
    return own | relative, lack


def relative_corruption(
    own: Mapping[str, float], base: Sequence[Mapping[str, float]], kinds: Sequence[str]
) -> Numbers:
    """``mce_rel_scratch``: mean over the types of the error relative to the mean of other networks.

    1 is as many errors as they make. A single one of them may make no error under a mild type.
    """
    if not base:
        return {}, {"mce_rel_scratch": "no record of a plain network from scratch"}
    usual = {kind: fmean(numbers[f"{kind}.error"] for numbers in base) for kind in kinds}
    if errorless := [kind for kind in kinds if usual[kind] == 0]:
        lack = f"the plain networks from scratch make no error under {', '.join(errorless)}"
        return {}, {"mce_rel_scratch": lack}
    return {"mce_rel_scratch": fmean(own[f"{kind}.error"] / usual[kind] for kind in kinds)}, {}


def _against_scratch(study: Corruptions, plain: str | None) -> Sequence[AgainstScratch]:
    return [] if plain is None else [AgainstScratch("corruptions", "mean.error", "Corruption error", plain)]


NUMBERS = StudyNumbers(
    {
        "Clean\nacc.": Metric("clean.accuracy", "Clean accuracy"),
        "Corrupted\nacc.": Metric("mean.accuracy", "Corrupted accuracy"),
    },
    _derived,
    _against_scratch,
)
