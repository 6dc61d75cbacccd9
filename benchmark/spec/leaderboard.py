"""leaderboard.yaml as typed models: what is benchmarked; `benchmark.spec.load` reads them.

This module must not import torch: `oodbench --help`, `schema` and completion stay instant.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    PrivateAttr,
    ValidationInfo,
    field_validator,
)

from benchmark.spec.base import (
    Count,
    Distinct,
    Interpolation,
    Name,
    Seed,
    SetName,
    SpecModel,
    no_twins,
)
from benchmark.spec.datasets import Declared
from benchmark.spec.images import (
    Crop,
    DatasetName,
    GroupName,
    ImageSize,
    ImageSource,
    Look,
    OutlierSource,
    Shifts,
    SplitSizes,
    Training,
)
from benchmark.spec.limits import MOST_POINTS
from benchmark.spec.networks import Backbone, FirstWeights, Init, Repository, TrackNetworks
from benchmark.spec.studies import Studies, StudyName
from benchmark.spec.yaml_file import holds, place
from benchmark.spec.yaml_tree import LinedDict
from benchmark.studies.plane.settings import Plane
from methods.names import did_you_mean


class Full(SpecModel):
    """What only `oodbench run --full` measures."""

    entries: Distinct[Name]
    backbones: Distinct[Name] | None = Field(None, description="only on these; all of the track's if absent")


class Recipe(SpecModel):
    """How the networks of some backbones and inits are trained."""

    backbones: Distinct[Name] | None = Field(None, description="all if absent")
    inits: Distinct[Name] | None = Field(None, description="all if absent")
    training: Training

    def suits(self, backbone: str, init: str) -> bool:
        """Whether it is for networks of this backbone and init."""
        return backbone in (self.backbones or [backbone]) and init in (self.inits or [init])


class Track(SpecModel):
    """One ID dataset with its fixed OOD datasets, and what is run on it."""

    title: str
    image_size: ImageSize
    crop: Crop = Field(
        1.0, description="of images in files: the share of the shorter side that is kept (timm's `crop_pct`)"
    )
    interpolation: Interpolation = Field("bilinear", description="with which these are scaled")
    id: ImageSource
    id_test: ImageSource | None = Field(None, description="test images; what the split leaves if absent")
    split: SplitSizes
    near: dict[SetName, ImageSource] = Field(min_length=1)
    far: dict[SetName, ImageSource] = Field(min_length=1)
    apart: dict[GroupName, dict[SetName, ImageSource]] = Field(
        {}, description="OOD sets that are neither near nor far, in groups with means of their own"
    )
    outliers: dict[SetName, OutlierSource] = Field(
        {}, description="for training objectives; never a test set"
    )
    validation: dict[SetName, ImageSource] = Field(
        {}, description="OOD sets on which hyper-parameters are tuned; from sources that no test set uses"
    )
    shifts: Shifts | None = None
    overlaps: dict[Name, str] = Field(
        {},
        description="datasets that have classes of the ID set, and which: said beside numbers of weights "
        "that were trained on them",
    )
    training: Training | None = Field(description="null: pre-trained weights as published, head and all")
    recipes: list[Recipe] = Field(
        [], description="of some backbones and inits, in place of `training`: the first that suits a network"
    )
    pretraining: Training | None = Field(
        None, description="recipe of pre-training on fractals for this track; the init's own if absent"
    )
    finetuning: Training | None = Field(
        None, description="recipe of objectives that start from another's network; `training` if absent"
    )
    backbones: Distinct[Name]
    inits: Annotated[list[Name], AfterValidator(no_twins)] = Field(
        [], description="none where `networks` has all that is measured"
    )
    networks: dict[Name, TrackNetworks] = Field(
        {}, description="published classifiers of the track's own; an init by that name"
    )
    trained: Repository | None = Field(
        None, description="where the networks that we trained for it are: `oodbench networks get`"
    )
    seeds: Distinct[Seed]
    entries: Distinct[Name]
    full: Full | None = None
    studies: Studies = Field(Studies({}), description="what is measured of networks besides OOD detection")
    drawn: Distinct[Name] | None = Field(None, description="entries that the plots show; all if absent")

    @property
    def all_entries(self) -> list[str]:
        """Those of every run, and those of a full one."""
        return [*self.entries, *(self.full.entries if self.full else [])]

    @property
    def entry_inits(self) -> list[str]:
        """Those of the entries, the published classifiers last."""
        return [*self.inits, *self.networks]

    @property
    def all_inits(self) -> list[str]:
        """Those of the entries, and those of the studies."""
        studies = self.studies.chosen(full=True).values()
        of_studies = (init for study in studies for init in study.all_inits)
        return list(dict.fromkeys([*self.entry_inits, *of_studies]))

    def look(self, backbone: Backbone) -> Look:
        """How a backbone is shown the track's images."""
        return Look(
            backbone.image_size or self.image_size,
            self.crop if backbone.crop is None else backbone.crop,
            backbone.interpolation or self.interpolation,
        )

    def recipe(self, backbone: str, init: str) -> Training | None:
        """How networks of a backbone and an init are trained; None if they are published classifiers."""
        if init in self.networks:
            return None
        suiting = (recipe.training for recipe in self.recipes if recipe.suits(backbone, init))
        return next(suiting, self.training)

    @property
    def groups(self) -> dict[str, dict[str, ImageSource]]:
        """The OOD sets of each group: ``near``, ``far``, and those apart."""
        return {"near": self.near, "far": self.far, **self.apart}

    @property
    def sets(self) -> dict[str, Mapping[str, ImageSource]]:
        """The image sets of each group besides the ID set's."""
        return {**self.groups, "validation": self.validation, "outliers": self.outliers}

    def where(self, group: str) -> tuple[str, ...]:
        """The key of a group."""
        return ("apart", group) if group in self.apart else (group,)

    @property
    def ood(self) -> dict[str, ImageSource]:
        """All OOD sets."""
        return {name: source for sets in self.groups.values() for name, source in sets.items()}

    def ood_sets(self, groups: Iterable[str]) -> dict[str, list[str]]:
        """The names of the OOD sets of some groups."""
        return {group: [*self.groups[group]] for group in groups}

    def backbones_of(self, entry: str) -> list[str]:
        """The backbones on which an entry is measured."""
        if entry in self.entries or self.full is None or self.full.backbones is None:
            return self.backbones
        return [backbone for backbone in self.backbones if backbone in self.full.backbones]


class ObjectiveUse(SpecModel):
    """A training objective with what it is given."""

    objective: Name = Field(description="`oodbench list objectives`")
    hyperparameters: dict[str, Any] = Field({})
    outliers: Distinct[SetName] | None = Field(None, description="of the track's `outliers`")
    epochs: Count | None = Field(None, description="of its training; those of the track's recipe if absent")


class Entry(SpecModel):
    """One row of a leaderboard: a training objective and a detector."""

    detector: Name
    hyperparameters: dict[str, Any] = Field({})
    tune: dict[Name, Annotated[list[Any], Field(min_length=1)]] | None = Field(
        None,
        description="a grid of hyper-parameters, simplest first, chosen from on `validation` (proxy_ood)",
    )
    objective: Name = Field(
        "cross_entropy", description="a name of `objectives`, or an objective that needs nothing more"
    )
    fit_limit: Count | None = Field(
        None,
        description="most training images that the detector is fitted on, as many of each class, drawn at "
        "random; its own number if absent",
    )

    @field_validator("tune")
    @classmethod
    def _a_grid_that_ends(cls, value: dict[str, list[Any]] | None) -> dict[str, list[Any]] | None:
        points = math.prod(len(values) for values in (value or {}).values())
        if points > MOST_POINTS:
            raise ValueError(f"got a grid of {points:,} points; expected at most {MOST_POINTS:,}")
        return value


Level = Literal["entry", "backbone", "init"]


class Column(SpecModel):
    """One number of a board."""

    metric: str = Field(description="path into a record's measurement, such as `near.auroc`")
    title: str
    better: Literal["higher", "lower"]
    percent: bool = True


class Board(SpecModel):
    """One table of the site."""

    title: str
    track: Name
    study: StudyName | None = Field(None, description="of these networks; of OOD detection if absent")
    about: str = ""
    rows: Distinct[Level] = Field(description="a row for each combination; the rest is averaged")
    entries: Distinct[Name] | None = Field(None, description="only these; all of the track's if absent")
    backbones: Distinct[Name] | None = None
    inits: Distinct[Name] | None = None
    columns: list[Column] = Field(min_length=1)
    rank_by: str = Field(description="metric of the column that ranks the rows")

    @field_validator("rank_by")
    @classmethod
    def _ranked_by_a_column(cls, value: str, info: ValidationInfo) -> str:
        metrics = [column.metric for column in info.data.get("columns", ())]
        if metrics and value not in metrics:
            raise ValueError(f"{value!r} is none of the columns; {did_you_mean(value, metrics)}")
        return value


class Spec(SpecModel):
    """The whole of leaderboard.yaml."""

    version: Literal[1]
    precision: Literal["bf16"] | None = Field(
        None, description="that networks are trained and measured in; float32 if absent"
    )
    datasets: dict[DatasetName, Declared] = Field({}, description="image sets of your own")
    tracks: dict[Name, Track] = Field(min_length=1)
    backbones: dict[Name, Backbone]
    inits: dict[Name, Init]
    objectives: dict[Name, ObjectiveUse] = Field({})
    entries: dict[Name, Entry]
    boards: dict[Name, Board] = Field({})
    boundary: Plane | None = None
    _origin: tuple[Path, LinedDict] | None = PrivateAttr(default=None)
    _kept: dict[str, Any] = PrivateAttr(default_factory=dict)

    def first_weights(self, track: str, init: str) -> FirstWeights:
        """What an init of a track is: one of `inits`, or of the track's own `networks`."""
        own = self.tracks[track].networks
        return own[init] if init in own else self.inits[init]

    def kept(self, name: str, work: Callable[[], Any]) -> Any:
        """What is worked out once for a leaderboard, such as what lies in files that it names."""
        if name not in self._kept:
            self._kept[name] = work()
        return self._kept[name]

    @property
    def studies(self) -> list[str]:
        """The studies that any track has, in the order in which they are first named."""
        return list(dict.fromkeys(name for track in self.tracks.values() for name in track.studies.root))

    def read_from(self, path: Path, tree: LinedDict) -> None:
        """Remember the file that it was read from, for paths beside it and for error messages."""
        self._origin = path, tree

    def beside(self, path: str) -> Path:
        """A path that the leaderboard file names relative to itself."""
        return Path(path) if self._origin is None else self._origin[0].parent / path

    def where(self, *loc: str | int) -> str:
        """File, line and dotted key of a place in the leaderboard file, for error messages."""
        if self._origin is None:
            return ".".join(map(str, loc))
        path, tree = self._origin
        grown = ((*loc[:i], "full", *loc[i:]) for i in range(len(loc)))  # what only a full run has
        return place(path, tree, next((at for at in (loc, *grown) if holds(tree, at)), loc))
