"""leaderboard.yaml as typed models: what is benchmarked. An error names file, line and key.

This module must not import torch: `oodbench --help`, `schema` and completion stay instant.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    StringConstraints,
    ValidationError,
    model_validator,
)
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from benchmark.errors import SpecError
from methods.names import did_you_mean

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_+.-]*$", max_length=100)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ImageSource(_Model):
    """Which images a set is made of."""

    dataset: Name = Field(description="a dataset of the catalog: `oodbench list datasets`")
    classes: list[Annotated[int, Field(ge=0)]] | None = Field(None, description="only these classes")
    n: Count | None = Field(None, description="how many images, for sets that are drawn at random")


class SplitSizes(_Model):
    """How many ID images of each class train and validate; the rest test."""

    train_per_class: Count
    val_per_class: Count


class Shifts(_Model):
    """Shifted copies of the ID test images, at severities 1 to 5."""

    kinds: list[Literal["gaussian_noise", "defocus_blur", "contrast"]] = Field(min_length=1)
    scale: Literal["imagenet_c", "cifar_c"] = Field(description="whose severity constants")
    images_per_class: Count = Field(description="how many test images of each class are shifted")


class Training(_Model):
    """How a network is trained."""

    epochs: Count
    batch_size: Annotated[int, Field(ge=2)]
    optimizer: str = Field("adamw", description="a name of timm's optimizer factory")
    lr: Positive
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    scheduler: Literal["cosine", "none"] = "cosine"
    warmup_epochs: Annotated[int, Field(ge=0)] = 0


class Track(_Model):
    """One ID dataset with its fixed OOD datasets, and what is run on it."""

    title: str
    image_size: Annotated[int, Field(ge=8, le=1024)]
    id: ImageSource
    split: SplitSizes
    near: dict[Name, ImageSource] = Field(min_length=1)
    far: dict[Name, ImageSource] = Field(min_length=1)
    outliers: dict[Name, ImageSource] = Field({}, description="for training objectives; never a test set")
    shifts: Shifts
    training: Training
    backbones: list[Name] = Field(min_length=1)
    inits: list[Name] = Field(min_length=1)
    seeds: list[Seed] = Field(min_length=1)
    entries: list[Name] = Field(min_length=1)


class Backbone(_Model):
    """A timm architecture."""

    architecture: str = Field(description="a timm model name without its weight tag")


class Scratch(_Model):
    """timm's default initialisation."""

    source: Literal["scratch"]


class FractalDB(_Model):
    """Formula-driven pre-training, offline (spec §9)."""

    source: Literal["fractaldb"]
    preset: str = Field(description="which images: `fractaldb_digits`, `fractaldb_tiny`, …")
    training: Training


class Hub(_Model):
    """timm's published weights from the Hugging Face Hub."""

    source: Literal["hub"]
    tag: str | None = Field(None, description="timm's weight tag; its default if absent")
    revision: str | None = Field(None, description="commit of the weights' repository")


Init = Annotated[Scratch | FractalDB | Hub, Field(discriminator="source")]


class Entry(_Model):
    """One row of a leaderboard: a training objective and a detector."""

    detector: Name
    hyperparameters: dict[str, Any] = {}
    objective: Name = "cross_entropy"


Level = Literal["entry", "backbone", "init"]


class Column(_Model):
    """One number of a board."""

    metric: str = Field(description="path into a record's measurement, such as `near.auroc`")
    title: str
    better: Literal["higher", "lower"]
    percent: bool = True


class Board(_Model):
    """One table of the site."""

    title: str
    track: Name
    about: str = ""
    rows: list[Level] = Field(min_length=1, description="a row for each combination; the rest is averaged")
    entries: list[Name] | None = Field(None, description="only these; all of the track's if absent")
    backbones: list[Name] | None = None
    inits: list[Name] | None = None
    columns: list[Column] = Field(min_length=1)
    rank_by: str = Field(description="metric of the column that ranks the rows")

    @model_validator(mode="after")
    def _ranked_by_a_column(self) -> Board:
        metrics = [column.metric for column in self.columns]
        if self.rank_by not in metrics:
            raise ValueError(f"rank_by: {self.rank_by!r} is none of the columns: {', '.join(metrics)}")
        return self


class Spec(_Model):
    """The whole of leaderboard.yaml."""

    version: Literal[1]
    tracks: dict[Name, Track] = Field(min_length=1)
    backbones: dict[Name, Backbone]
    inits: dict[Name, Init]
    entries: dict[Name, Entry]
    boards: dict[Name, Board] = {}
    _locate: Callable[[tuple[Any, ...]], str] = PrivateAttr(default=lambda loc: ".".join(map(str, loc)))

    def where(self, *loc: str | int) -> str:
        """File, line and dotted key of a place in the leaderboard file, for error messages."""
        return self._locate(loc)


def load_spec(path: Path) -> Spec:
    """Read and check a leaderboard file.

    Raises
    ------
    SpecError
        If it cannot be read, is not YAML, has a duplicate or unknown key, a wrong type, or a name that
        nothing defines. The message names file, line and key, what was seen and what was expected.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise SpecError(f"{path}: cannot be read: {why}; expected a leaderboard file") from error
    try:
        tree = YAML(typ="rt", pure=True).load(text)
    except DuplicateKeyError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        key = re.search(r'duplicate key "(.*?)"', str(error.problem))
        raise SpecError(f"{path}:{line}: duplicate key {key[1] if key else ''!r}") from error
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise SpecError(f"{path}:{line}: not valid YAML: {error.problem}") from error
    except YAMLError as error:
        raise SpecError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(tree, CommentedMap):
        raise SpecError(f"{path}:1: expected keys (version, tracks, …), got {type(tree).__name__}")
    try:
        spec = Spec.model_validate(_plain(tree))
    except ValidationError as error:
        details = "\n".join(_describe(path, tree, item) for item in error.errors())
        raise SpecError(details) from error
    problems = list(_dangling(spec))
    if problems:
        raise SpecError("\n".join(f"{_at(path, tree, loc)}: {problem}" for loc, problem in problems))
    spec._locate = partial(_at, path, tree)
    return spec


def json_schema() -> dict[str, Any]:
    """JSON Schema of leaderboard.yaml, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Spec.model_json_schema()}


def _plain(node: Any) -> Any:
    if isinstance(node, CommentedMap):
        return {key: _plain(value) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        return [_plain(value) for value in node]
    if isinstance(node, bool) or node is None:
        return node
    for kind in (int, float, str):  # ruamel's scalars are subclasses that keep the file's formatting
        if isinstance(node, kind):
            return kind(node)
    return node


def _describe(path: Path, tree: CommentedMap, item: Any) -> str:
    loc = tuple(item["loc"])
    place = _at(path, tree, loc)
    if item["type"] == "extra_forbidden":
        return f"{place}: unknown key {loc[-1]!r}"
    seen = "" if item["type"] in {"missing", "value_error"} else f"; got {item['input']!r}"
    return f"{place}: {item['msg']}{seen}"


def _at(path: Path, tree: CommentedMap, loc: tuple[Any, ...]) -> str:
    """File, line and dotted key of a place in the tree; pydantic's own steps (union tags) are skipped."""
    node: Any = tree
    line, keys = 1, []
    for step in loc:
        if isinstance(node, CommentedMap) and step in node:
            line = node.lc.key(step)[0] + 1
            node = node[step]
            keys.append(str(step))
        elif isinstance(node, CommentedSeq) and isinstance(step, int) and step < len(node):
            line = node.lc.item(step)[0] + 1
            node = node[step]
            keys.append(str(step))
    if loc and (not keys or keys[-1] != str(loc[-1])) and isinstance(loc[-1], str):
        keys.append(loc[-1])
    return f"{path}:{line}: {'.'.join(keys)}" if keys else f"{path}:{line}"


def _dangling(spec: Spec) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Names that nothing defines, and names that must be unique and are not."""
    defined = {
        "backbones": list(spec.backbones),
        "inits": list(spec.inits),
        "entries": list(spec.entries),
    }
    for name, track in spec.tracks.items():
        for kind, known in defined.items():
            used = getattr(track, kind)
            for i, item in enumerate(used):
                if item not in known:
                    yield ("tracks", name, kind, i), f"unknown name {item!r}; {did_you_mean(item, known)}"
                elif item in used[:i]:
                    yield ("tracks", name, kind, i), f"{item!r} is listed twice"
        for i, seed in enumerate(track.seeds):
            if seed in track.seeds[:i]:
                yield ("tracks", name, "seeds", i), f"{seed!r} is listed twice"
        groups: dict[str, str] = {"id": "id"}
        for group in ("near", "far", "outliers"):
            for item in getattr(track, group):
                if item in groups:
                    problem = f"the name {item!r} is used in {groups[item]!r} already; expected another"
                    yield ("tracks", name, group, item), problem
                groups[item] = group
        tested = {source.dataset for sets in (track.near, track.far) for source in sets.values()}
        for item, source in track.outliers.items():
            if source.dataset in {*tested, track.id.dataset}:
                yield (
                    ("tracks", name, "outliers", item, "dataset"),
                    f"outliers must come from a source that no test set uses; {source.dataset!r} is one",
                )
    for name, board in spec.boards.items():
        if board.track not in spec.tracks:
            yield (
                ("boards", name, "track"),
                f"unknown track {board.track!r}; {did_you_mean(board.track, list(spec.tracks))}",
            )
            continue
        for kind in defined:
            for i, item in enumerate(getattr(board, kind) or []):
                known = getattr(spec.tracks[board.track], kind)
                if item not in known:
                    problem = f"{item!r} is not on track {board.track!r}; {did_you_mean(item, known)}"
                    yield ("boards", name, kind, i), problem
