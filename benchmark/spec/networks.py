"""What leaderboard.yaml says of networks: how they look, and where their first weights come from.

This module must not import torch.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from benchmark.spec.base import Distinct, Index, Interpolation, Name, Seed, SpecModel
from benchmark.spec.images import Crop, ImageSize, ImageSource, Training

Channels = Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=3, max_length=3)]


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


class Repository(SpecModel):
    """Where networks that this benchmark trained are published: a repository of the Hugging Face Hub."""

    repository: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*$")
    revision: str = Field(pattern=r"^[0-9a-f]{40}$", description="its commit")
    sha256: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{64}$",
        description="of its index.json, as `oodbench networks export` says it; another one is refused",
    )


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
