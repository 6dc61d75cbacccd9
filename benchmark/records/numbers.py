"""The numbers of records: how many digits they have, and which values there can be."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, AllowInfNan, BaseModel, ConfigDict, Field, GetPydanticSchema

LIMIT = 1e100  # no score, loss or temperature is larger; beyond it sums and squares overflow
ROUNDING = 1e-9  # by which the mean of numbers of ten digits may differ from theirs
DRAWN = 1e-3  # by which a sum over a drawn curve, of four digits, may differ from the number that it shows


def _round_to(digits: int) -> AfterValidator:
    return AfterValidator(lambda value: float(f"{value:.{digits}g}") + 0.0)  # without a sign of zero


def _share(value: float) -> float:
    rounded = float(f"{value:.10g}")
    if not 0 <= rounded <= 1:
        raise ValueError("expected a share from 0 to 1")
    return rounded


def drawn(values: list[float]) -> list[float]:
    """Values of four digits: enough to draw them. Whole numbers, such as counts, stay as they are."""
    return [float(f"{value:.4g}") if isinstance(value, float) else value for value in values]


Count = Annotated[int, Field(ge=1)]
Finite = Annotated[float, AllowInfNan(False), Field(ge=-LIMIT, le=LIMIT)]
Number = Annotated[Finite, _round_to(10)]  # rounded once, so that files compare exactly
Share = Annotated[float, AllowInfNan(False), AfterValidator(_share)]  # the same, of shares
Drawn = Annotated[Finite, _round_to(4)]  # only ever drawn
Amount = Annotated[Drawn, Field(ge=0)]  # of seconds or megabytes
_Whole = Annotated[int, Field(strict=True, ge=-(2**53), le=2**53)]  # such as a count of images
_Points = Annotated[list[_Whole | Finite | None], Field(min_length=1), AfterValidator(drawn)]
# Only ever drawn. None, where something was not measured, is for trainings: `benchmark.records.families`.
Curve = Annotated[list[float], GetPydanticSchema(lambda _, handler: handler(_Points))]
Shares = Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=1)]


def same_length(what: object, *names: str) -> None:
    """Check that the lists of those names are of one length.

    Raises
    ------
    ValueError
        Names the lists and their lengths.
    """
    lengths = {name: len(getattr(what, name)) for name in names}
    if len(set(lengths.values())) > 1:
        seen = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise ValueError(f"expected lists of one length, got {seen}")


class StrictModel(BaseModel):
    """Frozen, and no key more than are declared."""

    model_config = ConfigDict(extra="forbid", frozen=True)
