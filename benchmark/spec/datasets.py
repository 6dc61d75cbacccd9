"""What leaderboard.yaml says of datasets of its own: image sets that no code knows.

This module must not import torch.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from benchmark.spec.base import Count, Distinct, Name, SpecModel

Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
REPOSITORY = r"^[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*$"
Paths = Annotated[dict[Name, str], Field(min_length=1)]


class _Described(SpecModel):
    """The card of a dataset."""

    title: Text
    description: str = ""
    source: Text = Field(description="where the images are from: a page, a person")
    licence: Text = Field(description="`none stated` where none is")
    citation: Text = Field(description="whom to cite")
    notes: str = ""
    outlier_source: bool = Field(
        False, description="kept for training and validation outliers; no test set may use it"
    )
    part_of: list[Name] = Field(
        [], description="datasets that these images were taken from: what was trained on those has seen them"
    )


class Folder(_Described):
    """A folder of images, or of one folder of images for each class."""

    kind: Literal["folder"]
    path: str | Paths = Field(
        description="relative to the leaderboard file; a path for each split, if several"
    )
    class_names: Distinct[str] | None = Field(
        None, description="the folders, in the order of the labels; all in alphabetical order if absent"
    )


class _InColumns(_Described):
    image_column: str = Field("image", description="of encoded images, or of structs with their `bytes`")
    label_column: str | None = Field(None, description="of whole numbers from 0; no classes if absent")
    class_names: Distinct[str] | None = Field(
        None, description="in the order of the labels; those that the file's own metadata has if absent"
    )

    @model_validator(mode="after")
    def _names_are_of_labels(self) -> Self:
        if self.class_names is not None and self.label_column is None:
            raise ValueError("class_names: got some without a label_column; expected both or none")
        return self


class Parquet(_InColumns):
    """Parquet files with a column of encoded images."""

    kind: Literal["parquet"]
    path: str | Paths = Field(
        description="relative to the leaderboard file; a file for each split, if several"
    )


class HubRepository(_InColumns):
    """A dataset repository of the Hugging Face Hub, read from the mirror: `oodbench data get`."""

    kind: Literal["hub"]
    repository: str = Field(
        pattern=REPOSITORY,
        description="`owner/name`; `local/name` for files that are put into the mirror by hand",
    )
    revision: str | None = Field(None, description="commit that is fetched; the newest if absent")
    config: str | None = Field(None, description="configuration, where the repository has several")
    splits: dict[Name, Count] = Field(min_length=1, description="how many images each split has")

    @model_validator(mode="after")
    def _labels_have_names(self) -> Self:
        if (self.label_column is None) != (self.class_names is None):
            raise ValueError("class_names and label_column: expected both or none: neither is known before")
        return self


Declared = Annotated[Folder | Parquet | HubRepository, Field(discriminator="kind")]
