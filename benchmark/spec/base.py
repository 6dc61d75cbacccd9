"""What the models of leaderboard.yaml are made of: names, numbers, and a model that knows its keys.

This module must not import torch.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from benchmark.spec.limits import HIGHEST_LR, LONGEST_NAME, MOST
from benchmark.spec.yaml_tree import cut
from methods.names import did_you_mean

# Image sets share the names of tensors with these, as in "test.logits" and "shift.contrast.5".
RESERVED = frozenset({"id", "train", "val", "test", "shift", "shifts", "head"})

T = TypeVar("T")


def no_twins(items: list[T]) -> list[T]:
    """Refuse a list that names something twice."""
    seen: set[T] = set()
    for item in items:
        if item in seen:
            raise ValueError(f"{item!r} is listed twice")
        seen.add(item)
    return items


def _not_reserved(name: str) -> str:
    if name in RESERVED:
        raise ValueError(f"the name {name!r} is reserved; expected another")
    return name


Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_+.-]*$", max_length=LONGEST_NAME)]
SetName = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9][a-z0-9_+-]*$", max_length=LONGEST_NAME),
    AfterValidator(_not_reserved),
]
Distinct = Annotated[list[T], Field(min_length=1), AfterValidator(no_twins)]
Rate = Annotated[float, Field(gt=0, le=HIGHEST_LR, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=MOST)]
Index = Annotated[int, Field(ge=0, le=MOST)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Interpolation = Literal["bilinear", "bicubic"]  # with which images are scaled


class SpecModel(BaseModel):
    """Frozen and strict; an unknown key is refused with the nearest known one."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        for key in data if isinstance(data, dict) else ():
            if key not in cls.model_fields:
                told = {
                    "key": key,
                    "seen": cut(repr(str(key))),
                    "hint": did_you_mean(str(key), cls.model_fields),
                }
                raise PydanticCustomError("unknown_key", "unknown key {seen}; {hint}", told)
        return data
