"""leaderboard.yaml as typed models: what is benchmarked; `benchmark.spec.load` reads them.

This module must not import torch: `oodbench --help`, `schema` and completion stay instant.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, ValidationInfo, field_validator

from benchmark.spec.base import Count, Distinct, Index, Name, Rate, Seed, SetName, SpecModel
from benchmark.spec.limits import MOST, MOST_POINTS
from benchmark.spec.studies import Studies, StudyName
from benchmark.spec.yaml_file import holds, place
from benchmark.spec.yaml_tree import LinedDict
from benchmark.studies.plane.settings import Plane
from methods.names import did_you_mean


class ImageSource(SpecModel):
    """Which images a set is made of."""

    dataset: Name = Field(description="a dataset of the catalog: `oodbench list datasets`")
    classes: Distinct[Index] | None = Field(None, description="only these classes")
    n: Count | None = Field(None, description="how many images, drawn at random; all if absent")
    split: Name | None = Field(None, description="of a dataset of the Hub: `train`, `test`, …")


class OutlierSource(ImageSource):
    """Images that an objective is shown as outliers."""

    blend: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description="near outliers: ID validation images, mixed with an image of this set in this share",
    )


class SplitSizes(SpecModel):
    """How many ID images of each class train and validate; the rest test."""

    train_per_class: Count | Literal["all"] = Field(
        description="`all`: those that do not validate, where the test images are an `id_test` of their own"
    )
    val_per_class: Count

    @property
    def train(self) -> int | None:
        """As a number; None for all."""
        return self.train_per_class if isinstance(self.train_per_class, int) else None


class Shifts(SpecModel):
    """Shifted copies of the ID test images, at severities 1 to 5."""

    kinds: Distinct[Literal["gaussian_noise", "defocus_blur", "contrast"]]
    scale: Literal["imagenet_c", "cifar_c"] = Field(description="whose severity constants")
    images_per_class: Count = Field(description="at most so many test images of each class are shifted")


class Training(SpecModel):
    """How a network is trained."""

    epochs: Count
    batch_size: Annotated[int, Field(ge=2, le=MOST)]
    optimizer: str = Field("adamw", description="a name of timm's optimizer factory")
    lr: Rate
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    scheduler: Literal["cosine", "none"] = "cosine"
    warmup_epochs: Index = 0
    augment: Literal["none", "flip_crop"] = Field("none", description="how training images are varied")

    @field_validator("weight_decay")
    @classmethod
    def _not_all_at_once(cls, value: float, info: ValidationInfo) -> float:
        lr = info.data.get("lr", 0.0)
        if lr * value >= 1:  # each step multiplies the weights by 1 - lr · weight_decay
            raise ValueError(f"got {value}; expected less than 1 / lr = {1 / lr:g}, which leaves no weights")
        return value

    @field_validator("warmup_epochs")
    @classmethod
    def _within_the_epochs(cls, value: int, info: ValidationInfo) -> int:
        epochs = info.data.get("epochs", math.inf)
        if value >= epochs:
            raise ValueError(f"got {value}; expected fewer than the {epochs} epochs")
        return value


class Full(SpecModel):
    """What only `oodbench run --full` measures."""

    entries: Distinct[Name]
    backbones: Distinct[Name] | None = Field(None, description="only on these; all of the track's if absent")


class Track(SpecModel):
    """One ID dataset with its fixed OOD datasets, and what is run on it."""

    title: str
    image_size: Annotated[int, Field(ge=8, le=1024)]
    crop: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="of Hub images: the share of the shorter side that is kept (timm's `crop_pct`)"
    )
    id: ImageSource
    id_test: ImageSource | None = Field(None, description="test images; what the split leaves if absent")
    split: SplitSizes
    near: dict[SetName, ImageSource] = Field(min_length=1)
    far: dict[SetName, ImageSource] = Field(min_length=1)
    outliers: dict[SetName, OutlierSource] = Field(
        {}, description="for training objectives; never a test set"
    )
    validation: dict[SetName, ImageSource] = Field(
        {}, description="OOD sets on which hyper-parameters are tuned; from sources that no test set uses"
    )
    shifts: Shifts | None = None
    training: Training | None = Field(description="null: pre-trained weights as published, head and all")
    pretraining: Training | None = Field(
        None, description="recipe of pre-training on fractals for this track; the init's own if absent"
    )
    finetuning: Training | None = Field(
        None, description="recipe of objectives that start from another's network; `training` if absent"
    )
    backbones: Distinct[Name]
    inits: Distinct[Name]
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
    def all_inits(self) -> list[str]:
        """Those of the entries, and those of the studies."""
        studies = self.studies.chosen(full=True).values()
        return list(dict.fromkeys([*self.inits, *(init for study in studies for init in study.all_inits)]))

    def ood_sets(self, groups: Iterable[str]) -> dict[str, list[str]]:
        """The names of the OOD sets of some groups, ``near`` and ``far``."""
        return {group: [*getattr(self, group)] for group in groups}

    def backbones_of(self, entry: str) -> list[str]:
        """The backbones on which an entry is measured."""
        if entry in self.entries or self.full is None or self.full.backbones is None:
            return self.backbones
        return [backbone for backbone in self.backbones if backbone in self.full.backbones]


class Backbone(SpecModel):
    """A timm architecture."""

    architecture: str = Field(description="a timm model name without its weight tag")
    stem: Literal["timm", "cifar"] = Field(
        "timm", description="`cifar`: a ResNet whose first layer is a 3×3 convolution of stride 1, unpooled"
    )


class Scratch(SpecModel):
    """timm's default initialisation."""

    source: Literal["scratch"]


class _Pretrained(SpecModel):
    tune: Literal["all", "head"] = Field(
        "all", description="`head`: a linear probe, only the new last layer is trained"
    )


class FractalDB(_Pretrained):
    """Formula-driven pre-training, offline (spec §9)."""

    source: Literal["fractaldb"]
    preset: str = Field(description="which images: `fractaldb_digits`, `fractaldb_tiny`, …")
    training: Training


class Hub(_Pretrained):
    """timm's published weights from the Hugging Face Hub."""

    source: Literal["hub"]
    tag: str | None = Field(None, description="timm's weight tag; its default if absent")
    revision: str | None = Field(None, description="commit of the weights' repository")


class SupervisedSource(_Pretrained):
    """Supervised pre-training on another dataset of the catalog, at the track's image size."""

    source: Literal["dataset"]
    images: ImageSource
    exclude_classes: Distinct[Index] | None = Field(
        None, description="classes of the source that are left out, such as those that the track has too"
    )
    training: Training


class CheckpointFile(_Pretrained):
    """A safetensors file of yours, with timm's parameter names; what does not fit stays fresh."""

    source: Literal["checkpoint"]
    file: str = Field(description="path, relative to the leaderboard file")
    trained_on: str = Field(description="which images; the site shows it beside every result")
    licence: str


class AdversarialSource(_Pretrained):
    """Adversarial pre-training on another source's images (Hendrycks, Lee & Mazeika 2019)."""

    source: Literal["adversarial"]
    of: Annotated[FractalDB | SupervisedSource, Field(discriminator="source")] = Field(
        description="whose images and recipe"
    )
    objective: Name = Field("pgd_at", description="an objective that needs neither outliers nor modules")
    hyperparameters: dict[str, Any] = Field({})


def supervised_source(init: Any) -> SupervisedSource | None:
    """The dataset of the catalog that an init is pre-trained on, plainly or adversarially."""
    of = init.of if isinstance(init, AdversarialSource) else init
    return of if isinstance(of, SupervisedSource) else None


Pretrained = FractalDB | Hub | SupervisedSource | CheckpointFile | AdversarialSource
Init = Annotated[Scratch | Pretrained, Field(discriminator="source")]


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
    tracks: dict[Name, Track] = Field(min_length=1)
    backbones: dict[Name, Backbone]
    inits: dict[Name, Init]
    objectives: dict[Name, ObjectiveUse] = Field({})
    entries: dict[Name, Entry]
    boards: dict[Name, Board] = Field({})
    boundary: Plane | None = None
    _origin: tuple[Path, LinedDict] | None = PrivateAttr(default=None)

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
