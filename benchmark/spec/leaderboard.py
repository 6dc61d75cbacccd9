"""leaderboard.yaml as typed models: what is benchmarked; `benchmark.spec.load` reads them.

This module must not import torch: `oodbench --help`, `schema` and completion stay instant.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import (
    AfterValidator,
    Field,
    PrivateAttr,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from benchmark.spec.base import (
    Count,
    Distinct,
    Index,
    Interpolation,
    Name,
    Rate,
    Seed,
    SetName,
    SpecModel,
    no_twins,
)
from benchmark.spec.datasets import Declared
from benchmark.spec.limits import LONGEST_NAME, MOST, MOST_POINTS
from benchmark.spec.studies import Studies, StudyName
from benchmark.spec.yaml_file import holds, place
from benchmark.spec.yaml_tree import LinedDict
from benchmark.studies.plane.settings import Plane
from methods.names import did_you_mean


def _of_its_own(name: str) -> str:
    if name in OTHERS:
        raise ValueError(f"{name!r} is another group of image sets; expected another name")
    return name


OTHERS = ("near", "far", "outliers", "validation", "unseen", "full_spectrum")
ImageSize = Annotated[int, Field(ge=8, le=1024)]
Crop = Annotated[float, Field(gt=0, le=1)]
Channels = Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=3, max_length=3)]
Class = Index | Annotated[str, Field(min_length=1)]
GroupName = Annotated[SetName, AfterValidator(_of_its_own)]
DatasetName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+$", max_length=LONGEST_NAME)]


class Look(NamedTuple):
    """How images in files become those that networks are shown."""

    image_size: int  # pixels, of a side
    crop: float
    interpolation: Interpolation


class ImageSource(SpecModel):
    """Which images a set is made of."""

    dataset: Name = Field(description="one of `datasets`, or of the catalog: `oodbench list datasets`")
    classes: Distinct[Class] | None = Field(None, description="only these classes, by number or name")
    without: Distinct[Class] | None = Field(
        None, description="all classes but these, by number or name, such as those that the ID set has too"
    )
    n: Count | None = Field(None, description="how many images, drawn at random; all if absent")
    split: Name | None = Field(None, description="of a dataset that has several: `train`, `test`, …")

    @field_validator("without")
    @classmethod
    def _not_both(cls, value: list[int | str] | None, info: ValidationInfo) -> list[int | str] | None:
        if value is not None and info.data.get("classes") is not None:
            raise ValueError("got some beside `classes`; expected one of both")
        return value


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


class Weights(SpecModel):
    """Published weights of one backbone, and how their inputs look."""

    tag: str | None = Field(
        None, description="timm's weight tag; its default if neither this nor a repository"
    )
    repository: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*$",
        description="another repository of the Hub, with a model.safetensors of timm's parameter names",
    )
    file: str | None = Field(None, description="a safetensors file, relative to the leaderboard file")
    revision: str | None = Field(None, description="commit of the repository")
    sha256: str | None = Field(
        None, pattern=r"^[0-9a-f]{64}$", description="of the file; another one is refused"
    )
    mean: Channels | None = Field(None, description="that inputs are normalised with; timm's if absent")
    std: Channels | None = None
    trained_on: list[str] = Field([], description="datasets, by name; the site shows them beside results")
    licence: str | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        named = [key for key in ("tag", "repository", "file") if getattr(self, key) is not None]
        if len(named) > 1:
            raise ValueError(f"got {' and '.join(named)}; expected one of them")
        if "tag" not in named and named and not (self.trained_on and self.licence):
            raise ValueError(f"{named[0]}: expected `trained_on` and `licence` beside it")
        if self.revision is not None and self.file is not None:
            raise ValueError("revision: got one of a file; expected it of a repository or tag")
        return self


TIMMS_OWN = Weights.model_validate({})  # of a backbone that names none: timm's default tag


class Backbone(SpecModel):
    """A timm architecture, how it is shown images, and its published weights."""

    architecture: str = Field(description="a timm model name without its weight tag")
    stem: Literal["timm", "cifar"] = Field(
        "timm", description="`cifar`: a ResNet whose first layer is a 3×3 convolution of stride 1, unpooled"
    )
    options: dict[str, bool | int | float | str] = Field(
        {}, description="of timm.create_model, such as {pad_type: same}"
    )
    image_size: ImageSize | None = Field(None, description="side of the images; the track's if absent")
    crop: Crop | None = Field(None, description="the share of their shorter side that is kept; likewise")
    interpolation: Interpolation | None = Field(None, description="with which they are scaled; likewise")
    enlarged: ImageSize | None = Field(
        None,
        description="side to which the network itself scales the images: what is done to images, such as "
        "corruptions and attacks, is done before",
    )
    weights: dict[Name, Weights] = Field({}, description="by init whose source is `hub`")

    @field_validator("options")
    @classmethod
    def _ours_stay(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in ("num_classes", "in_chans", "pretrained", "img_size"):
            if name in value:
                raise ValueError(f"{name} is set by the benchmark; expected other options")
        return value


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
    """Published weights, from the mirror or the Hugging Face Hub: which, `weights` of each backbone says."""

    source: Literal["hub"]


class TrackNetworks(SpecModel):
    """Published classifiers of a track, one for each backbone and seed, taken as they are, head and all."""

    weights: dict[Name, dict[Seed, Weights]] = Field(min_length=1, description="by backbone, then by seed")

    source: ClassVar = "networks"
    tune: ClassVar = "all"


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
FirstWeights = Scratch | Pretrained | TrackNetworks  # what a network of a track goes on from


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
