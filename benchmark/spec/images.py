"""What leaderboard.yaml says of image sets, and of training on them.

This module must not import torch.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, Field, StringConstraints, ValidationInfo, field_validator

from benchmark.spec.base import Count, Distinct, Index, Interpolation, Name, Rate, SetName, SpecModel
from benchmark.spec.limits import LONGEST_NAME, MOST


def _of_its_own(name: str) -> str:
    if name in OTHERS:
        raise ValueError(f"{name!r} is another group of image sets; expected another name")
    return name


OTHERS = ("near", "far", "outliers", "validation", "unseen", "full_spectrum")

ImageSize = Annotated[int, Field(ge=8, le=1024)]

Crop = Annotated[float, Field(gt=0, le=1)]

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
