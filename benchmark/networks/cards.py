"""What a folder of exported networks says of them: an index of all, and a card for each.

::

    README.md                   for people, with the front matter of a Hugging Face model card
    index.json                  which networks there are, by content key, and the SHA-256 of their cards
    networks/<key>/card.json    where the network stands, how it was trained, what made it, its files
    networks/<key>/…            the files of the artifact: safetensors and JSON

The folder is a repository of the Hub as it is, and may lie in the mirror under the repository's name.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from benchmark.errors import DataError
from benchmark.jobs.job import Kind
from benchmark.records.numbers import StrictModel
from benchmark.records.record import Environment, TrainedWith
from benchmark.spec.base import Name, Seed

README, INDEX, FOLDER, CARD = "README.md", "index.json", "networks", "card.json"
KINDS = (Kind.PRETRAIN, Kind.TRAIN)  # of the artifacts that are networks
LIBRARIES = ("numpy", "torch", "timm")  # whose versions are part of a network's key
MODEL = "model.safetensors"
FILES = {  # that an artifact of a kind has
    Kind.PRETRAIN: (MODEL, "history.json", "source.json"),
    Kind.TRAIN: (MODEL, "history.json", "about.json"),
}
KEPT = "kept.safetensors"  # that a training may have besides
KEY = re.compile(r"[0-9a-f]{32}")
LARGEST_JSON = 1 << 26  # bytes

Key = Annotated[str, StringConstraints(pattern=f"^{KEY.pattern}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_Finite = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Short = Annotated[str, StringConstraints(max_length=400)]


class Where(StrictModel):
    """Where a network stands; what is pre-trained serves all seeds and objectives."""

    kind: Literal["pretrain", "train"]
    track: Name
    backbone: Name
    init: Name
    seed: Seed | None = None
    objective: Name | None = None  # in leaderboard.yaml
    condition: str = Field("", pattern=r"^[A-Za-z0-9_+.@=,: -]*$", max_length=400)  # of its training record

    def __str__(self) -> str:
        seed = "" if self.seed is None else f"seed {self.seed}"
        parts = (self.track, self.backbone, self.init, seed, self.objective, self.condition)
        return f"{' '.join(part for part in parts if part)}: {self.kind}"


class Listed(StrictModel):
    """One network in the index."""

    place: Where
    code: Annotated[str, StringConstraints(max_length=100)]  # hash of what computed it
    libraries: dict[str, _Short] = Field(max_length=50)
    card: Sha256
    bytes: int = Field(ge=1)  # of its files


class Index(StrictModel):
    """All networks of a folder."""

    schema_version: Literal[1] = 1
    networks: dict[Key, Listed]


class Stored(StrictModel):
    """One file of a network."""

    sha256: Sha256
    bytes: int = Field(ge=1, le=1 << 36)


class Card(StrictModel):
    """What is said of an exported network."""

    schema_version: Literal[1] = 1
    key: Key  # content key of the job that made it
    place: Where
    training: TrainedWith | None = None  # as its record has it; None where it is pre-trained
    licence: _Short  # of the weights
    made_from: dict[str, _Short] = Field(default_factory=dict)  # licences of the images and weights behind it
    files: dict[str, Stored]
    environment: Environment  # oodbench and its commit, libraries, instructions
    code: Annotated[str, StringConstraints(max_length=100)]  # hash of what computed it
    date: Annotated[str, StringConstraints(max_length=40)]
    seconds: _Finite
    peak_memory_mb: _Finite
    peak_device_memory_mb: _Finite | None = None
    least_batch: _Finite | None = None

    @model_validator(mode="after")
    def _has_the_files_of_its_kind(self) -> Card:
        needed = FILES[Kind(self.place.kind)]
        if not set(needed) <= set(self.files) <= {*needed, KEPT}:
            seen = ", ".join(f"{name!r:.60}" for name in sorted(self.files)[:8]) or "none"
            raise ValueError(f"files: {seen}; expected {', '.join(needed)}, and perhaps {KEPT}")
        for name, stored in self.files.items():
            if name.endswith(".json") and stored.bytes > LARGEST_JSON:
                raise ValueError(f"files: {name}: {stored.bytes:,} bytes; expected at most {LARGEST_JSON:,}")
        if (self.training is None) != (self.place.kind == "pretrain"):
            raise ValueError(f"training: expected of what is trained, and of nothing else, got {self.place}")
        return self

    @property
    def bytes(self) -> int:
        """Of its files."""
        return sum(stored.bytes for stored in self.files.values())

    def listed(self, sha256: str) -> Listed:
        """Its line of the index; `sha256` is that of the card's file."""
        made = self.environment.libraries
        libraries = {name: made[name] for name in LIBRARIES if name in made}
        return Listed(place=self.place, code=self.code, libraries=libraries, card=sha256, bytes=self.bytes)

    def made(self, label: str) -> dict[str, Any]:
        """What the manifest of its artifact says of how it was made."""
        said = {"date", "seconds", "peak_memory_mb", "peak_device_memory_mb", "least_batch", "code"}
        return {
            "kind": self.place.kind,
            "label": label,
            "environment": self.environment.model_dump(),
            **self.model_dump(include=said, exclude_none=True),
        }


def checked_key(key: str) -> str:
    """The key, if it is one: never a path out of its folder.

    Raises
    ------
    DataError
        If it is not.
    """
    if not KEY.fullmatch(key):
        raise DataError(f"{key!r:.80} is no content key; expected 32 hexadecimal digits")
    return key
