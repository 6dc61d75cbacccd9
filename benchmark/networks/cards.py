"""What lies in a folder of exported networks, and what a card says of one.

::

    README.md                   what this is, with the front matter of a Hugging Face model card
    networks/<key>/card.json    where the network stands, how it was trained, what made it, its SHA-256
    networks/<key>/…            the files of the artifact: safetensors and JSON

The folder is a repository of the Hub as it is, and may lie in the mirror under the repository's name. Nothing
in it is believed before it is checked: `read_card`, `faults_of`.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from benchmark.errors import DataError
from benchmark.jobs.job import Kind
from benchmark.records.numbers import StrictModel
from benchmark.records.record import Environment, TrainedWith
from benchmark.store.files import read_model, sha256_of

FOLDER, CARD = "networks", "card.json"
KINDS = (Kind.PRETRAIN, Kind.TRAIN)  # of the artifacts that are networks
KEY = re.compile(r"[0-9a-f]{16,64}")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*\.(safetensors|json)")
_LARGEST_CARD = 1 << 20  # bytes
_LARGEST_JSON = 1 << 26


class Stored(StrictModel):
    """One file of a network."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    bytes: int = Field(ge=1, le=1 << 36)


class Card(StrictModel):
    """What is said of an exported network."""

    schema_version: Literal[1] = 1
    key: str = Field(pattern=f"^{KEY.pattern}$")  # content key of the training
    kind: Literal["pretrain", "train"]
    label: str = Field(max_length=400)
    track: str = Field(max_length=100)
    backbone: str = Field(max_length=100)
    init: str = Field(max_length=100)
    seed: int
    objective: str = Field(max_length=100)  # in leaderboard.yaml
    training: TrainedWith | None = None
    licence: str = Field(max_length=400)
    data: dict[str, str] = Field(default_factory=dict)  # licence of each dataset that it was trained on
    files: dict[str, Stored] = Field(min_length=1, max_length=16)
    environment: Environment
    date: str = Field(max_length=40)
    seconds: float = Field(ge=0, allow_inf_nan=False)
    peak_memory_mb: float | None = Field(None, ge=0, allow_inf_nan=False)
    code: str = Field(max_length=100)  # hash of what computed it

    @field_validator("files")
    @classmethod
    def _are_files(cls, files: dict[str, Stored]) -> dict[str, Stored]:
        for name, stored in files.items():
            if name == CARD or not _FILE.fullmatch(name):
                raise ValueError(f"{name!r:.80} cannot be a file of a network; expected {_FILE.pattern}")
            if name.endswith(".json") and stored.bytes > _LARGEST_JSON:
                raise ValueError(f"{name}: {stored.bytes:,} bytes; expected at most {_LARGEST_JSON:,}")
        return files

    @property
    def place(self) -> str:
        """Where it stands, for people."""
        return f"{self.track} {self.backbone} {self.init} seed {self.seed} {self.objective}: {self.kind}"


def folder_of(root: Path, key: str) -> Path:
    """Where the network of a key lies below a folder of networks, or would lie."""
    if not KEY.fullmatch(key):
        raise ValueError(f"{key!r:.80} is no content key; expected {KEY.pattern}")
    return root / FOLDER / key


def keys_in(root: Path) -> list[str]:
    """The keys of the networks that lie below a folder.

    Raises
    ------
    DataError
        If there is no such folder, or it holds no networks.
    """
    below = root / FOLDER
    if not below.is_dir():
        raise DataError(f"{root}: expected a folder {FOLDER}/ in it, as `oodbench networks export` writes")
    return sorted(path.name for path in below.iterdir() if KEY.fullmatch(path.name))


def read_card(root: Path, key: str) -> Card:
    """The card of one network.

    Raises
    ------
    DataError
        If it is not there, is too large, is of another key, or says what cannot be.
    """
    path = folder_of(root, key) / CARD
    try:
        mode, size = path.lstat().st_mode, path.lstat().st_size
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(mode) or size > _LARGEST_CARD:
        raise DataError(f"{path}: expected a regular file of at most {_LARGEST_CARD:,} bytes")
    card = read_model(path, Card, "the card of a network, as `oodbench networks export` writes it")
    if card.key != key:
        raise DataError(f"{path}: key: {card.key}; expected {key}, the name of its folder")
    return card


def faults_of(root: Path, card: Card) -> Iterator[str]:
    """What is wrong with the files of a network; nothing, if they are what its card says and can be read."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = folder_of(root, card.key)
    there = {path.name for path in folder.iterdir()}
    for name in sorted(there - card.files.keys() - {CARD}):
        yield f"{folder / name}: not on the card; expected {', '.join(sorted(card.files))}"
    for name, stored in card.files.items():
        path = folder / name
        if name not in there:
            yield f"{path}: is missing"
            continue
        if not stat.S_ISREG(path.lstat().st_mode):
            yield f"{path}: is not a regular file"
            continue
        if path.stat().st_size != stored.bytes:
            yield f"{path}: {path.stat().st_size:,} bytes; its card says {stored.bytes:,}"
            continue
        if (seen := sha256_of(path)) != stored.sha256:
            yield f"{path}: SHA-256 {seen}; its card says {stored.sha256}"
            continue
        if name.endswith(".safetensors"):
            try:
                tensors = load_file(path)
            except (OSError, ValueError, SafetensorError) as error:
                yield f"{path}: cannot be read as safetensors: {error}"
                continue
            broken = [n for n, t in tensors.items() if t.is_floating_point() and not bool(t.isfinite().all())]
            if broken:
                yield f"{path}: {broken[0]!r:.80} holds NaN or infinity; expected finite weights"
