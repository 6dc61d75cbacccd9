"""What OpenOOD v1.5 has published, openood_v1_5.json, as typed models: figures, each with its source.

A figure is there only if it was read in the source that it names; nothing is from memory. Which method of
ours is theirs, and at which hyper-parameters, is data too. This module must not know any record.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Group = Literal["near", "far"]
GROUPS: tuple[Group, ...] = ("near", "far")

Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Figure = Annotated[list[Percent], Field(min_length=1, max_length=2)]
"""In percent, as printed: a mean, and its standard deviation where there is one."""

FILE = "openood_v1_5.json"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Source(_Model):
    """A file of a public repository at one commit."""

    repository: str
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    path: str
    remark: str = ""

    @property
    def place(self) -> str:
        """Where it is."""
        return f"{self.repository}, {self.path} at {self.commit[:8]}"


class Method(_Model):
    """A method of theirs, and what it is here."""

    name: str
    detector: str | None  # ours; null: there is none
    hyperparameters: dict[str, Any] = {}  # those of theirs that differ from our defaults
    on: dict[str, dict[str, Any]] = {}  # the same where they differ with the ID set
    searched: str = ""  # what OpenOOD chooses by its validation outliers
    config: Source | None = None  # where that was read

    def setting(self, dataset: str) -> dict[str, Any]:
        """The hyper-parameters that an entry of ours must state to be theirs."""
        return self.on.get(dataset, self.hyperparameters)

    @model_validator(mode="after")
    def _a_search_was_read_somewhere(self) -> Self:
        if bool(self.searched) != (self.config is not None):
            raise ValueError(f"{self.name}: expected `searched` and `config` together")
        return self


class Figures(_Model):
    """What one source says of a method."""

    method: str
    near: Figure
    far: Figure
    accuracy: Figure
    source: str  # of the table's

    def of(self, group: Group) -> tuple[float, float | None]:
        """AUROC and its standard deviation, as shares."""
        mean, *sd = self.near if group == "near" else self.far
        return mean / 100, sd[0] / 100 if sd else None


class PublishedTable(_Model):
    """The methods on networks trained with plain cross-entropy on one ID set."""

    dataset: str  # as ours is called
    title: str
    network: str
    runs: int
    near: list[str]
    far: list[str]
    sources: dict[str, Source]  # the first is what is compared, where it has the method
    figures: list[Figures]

    @property
    def compared(self) -> dict[str, Figures]:
        """The figures that count, by method: those of the first source that has it."""
        found: dict[str, Figures] = {}
        for name in self.sources:
            for one in self.figures:
                if one.source == name:
                    found.setdefault(one.method, one)
        return found

    @property
    def disagreements(self) -> list[tuple[Figures, Figures]]:
        """Where another source has other means: what counts, and what that one says."""
        counts = self.compared
        return [
            (counts[one.method], one)
            for one in self.figures
            if (one.near[0], one.far[0]) != (counts[one.method].near[0], counts[one.method].far[0])
        ]

    @model_validator(mode="after")
    def _each_figure_has_its_source_once(self) -> Self:
        said = [(one.source, one.method) for one in self.figures]
        for source, method in said:
            if source not in self.sources:
                raise ValueError(f"{method}: unknown source {source!r}; expected {', '.join(self.sources)}")
        if twice := {
            f"{method} of {source!r}" for source, method in said if said.count((source, method)) > 1
        }:
            raise ValueError(f"listed twice: {', '.join(sorted(twice))}")
        return self


class Published(_Model):
    """All that is known of a version of OpenOOD."""

    version: str
    arxiv: str
    read: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]  # the day
    remarks: list[str]
    methods: list[Method]
    tables: list[PublishedTable]

    def table(self, dataset: str) -> PublishedTable | None:
        """The table of an ID set."""
        return next((table for table in self.tables if table.dataset == dataset), None)

    @model_validator(mode="after")
    def _every_method_is_known(self) -> Self:
        known = {method.name for method in self.methods}
        for table in self.tables:
            if unknown := {one.method for one in table.figures} - known:
                raise ValueError(f"{table.title}: {', '.join(sorted(unknown))} not among the methods")
        return self


def load_published() -> Published:
    """Read the figures that come with oodbench."""
    text = (files("reports") / "openood" / FILE).read_text(encoding="utf-8")
    return Published.model_validate_json(text)
