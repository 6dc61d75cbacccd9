"""The studies of a track: what is measured of its networks besides OOD detection.

Each is a model of its own, which the registry finds by its name in leaderboard.yaml; this module knows none
of them, and must not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    GetJsonSchemaHandler,
    RootModel,
    SerializeAsAny,
    create_model,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from benchmark.spec.base import SpecModel
from benchmark.studies.registry import settings_of, study_names
from benchmark.studies.settings import StudySettings
from methods.names import did_you_mean


class Studies(RootModel[dict[str, SerializeAsAny[StudySettings]]]):
    """The studies of a track, in the order of leaderboard.yaml."""

    model_config = ConfigDict(frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _as_registered(cls, data: Any) -> Any:
        found = _model().model_validate(data)  # whose errors keep their places
        return {name: part for name in data if (part := getattr(found, name)) is not None}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return handler(_model().__pydantic_core_schema__)

    def chosen(self, *, full: bool) -> Mapping[str, StudySettings]:
        """Each by its name, with what only a full run measures if `full`."""
        return {name: study.on_full() if full else study for name, study in self.root.items()}


class _Listed:
    """Tells editors the names that there are."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "enum": list(study_names())}


def _registered(name: str) -> str:
    if name not in study_names():
        raise ValueError(f"no study {name!r}; {did_you_mean(name, study_names())}")
    return name


StudyName = Annotated[str, AfterValidator(_registered), _Listed]


def _model() -> type[BaseModel]:
    """What leaderboard.yaml may say of all studies."""
    return _model_of(tuple((name, settings_of(name)) for name in study_names()))


@cache
def _model_of(studies: tuple[tuple[str, type[StudySettings]], ...]) -> type[BaseModel]:
    fields: dict[str, Any] = {name: (model | None, None) for name, model in studies}
    return create_model("Studies", __base__=SpecModel, __doc__="The studies of a track.", **fields)
