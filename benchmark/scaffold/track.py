"""A new track in leaderboard.yaml: an ID dataset with OOD sets, trained and measured as a known track is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmark.datasets import DataMissing, Dataset, StoredDataset, UnknownDatasetError
from benchmark.datasets.declared import datasets_of
from benchmark.errors import UsageError
from benchmark.scaffold.checkout import TODO, Addition, Checkout
from benchmark.scaffold.method import USUAL_TRACK
from benchmark.scaffold.names import check_name, check_track_name
from benchmark.scaffold.templates import filled
from benchmark.spec.leaderboard import Spec, Track
from benchmark.spec.yaml_edit import Block

FAR = ("glyphs", "photo_patches")  # embedded: at hand on every machine
FAR_IMAGES = 200
COLUMNS = {
    "near.auroc": "Near AUROC",
    "far.auroc": "Far AUROC",
    "near.fpr95": "Near FPR@95",
    "far.fpr95": "Far FPR@95",
}


def new_track(
    checkout: Checkout, name: str, dataset: str, near: Sequence[str], far: Sequence[str] = ()
) -> Addition:
    """What makes a track and its board.

    Parameters
    ----------
    dataset, near, far : names of datasets, with a split where that is needed: ``birds:test``. The ID dataset
        must have classes; without `far` those are embedded sets.

    Raises
    ------
    UsageError
        If the name is taken, or a dataset is unknown or has no classes.
    SpecError
        If leaderboard.yaml is wrong, or is written so that nothing can be added to it.
    """
    spec = checkout.spec
    check_name(name, "track")
    check_track_name(name, spec)
    if not near:
        raise UsageError("--near: expected at least one dataset: near-OOD images are chosen by a person")
    like = spec.tracks.get(USUAL_TRACK) or next(iter(spec.tracks.values()))
    editor = checkout.editor()
    editor.add_key(("tracks",), name, _track(spec, like, dataset, near, far), apart=True)
    board = Block(
        title=f"{TODO}: OOD detection on {name}",
        track=name,
        rows=["entry", "init"],
        columns=[
            {"metric": metric, "title": title, "better": "lower" if metric.endswith("fpr95") else "higher"}
            for metric, title in COLUMNS.items()
        ],
        rank_by="near.auroc",
    )
    if "boards" in editor.tree:
        editor.add_key(("boards",), name, board)
    else:
        editor.add_key((), "boards", Block({name: board}))
    checkout.checked(editor)
    test = f"tests/benchmark/tracks/test_{name}.py"
    return Addition(
        files={test: filled("track_test.py", name=name)},
        leaderboard=editor.text,
        keys=(f"tracks.{name}", f"boards.{name}"),
        commands=(
            f"$EDITOR leaderboard.yaml {test}",
            f"oodbench check {name}",
            f"oodbench run --track {name} --seed {like.seeds[0]}",
        ),
    )


def _track(spec: Spec, like: Track, dataset: str, near: Sequence[str], far: Sequence[str]) -> Block:
    """The track: images, and all else as that of the track that it is like."""
    id_set, id_test = _id_sets(spec, dataset)
    near_sets = _sets(spec, near)
    used = {id_set["dataset"], *near_sets}
    embedded = {name: {"dataset": name, "n": FAR_IMAGES} for name in FAR if name not in used}
    training = None if like.training is None else like.training.model_dump(exclude_defaults=True)
    return Block(
        title=f"{TODO}: what the images are",
        image_size=like.image_size,
        id=id_set,
        **({} if id_test is None else {"id_test": id_test}),
        split=like.split.model_dump(),
        near=Block(near_sets),
        far=Block(_sets(spec, far) if far else embedded),
        training=training,
        backbones=like.backbones[:1],
        inits=like.inits[:1],
        seeds=like.seeds,
        entries=like.drawn or like.entries,
    )


def _sets(spec: Spec, asked: Sequence[str]) -> dict[str, Any]:
    """OOD sets by the names of their datasets, each of the test split where there are several."""
    found = {}
    for one in asked:
        name, split, known = _known(spec, one)
        if split is None and known is not None and len(_splits(known)) > 1 and "test" in _splits(known):
            split = "test"
        found[name] = {"dataset": name, **({} if split is None else {"split": split})}
    return found


def _id_sets(spec: Spec, asked: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The ID set, and its test images where these are a split of their own."""
    name, split, known = _known(spec, asked)
    if known is not None and not known.card.labelled:
        raise UsageError(f"--dataset {asked}: has no classes; expected images of known classes to train on")
    splits = () if known is None else _splits(known)
    if split is None and {"train", "test"} <= {*splits}:
        return {"dataset": name, "split": "train"}, {"dataset": name, "split": "test"}
    return {"dataset": name, **({} if split is None else {"split": split})}, None


def _known(spec: Spec, asked: str) -> tuple[str, str | None, Dataset | None]:
    """Name and split that are asked for, and the dataset; None where its files are not here yet."""
    name, _, split = asked.partition(":")
    try:
        known: Dataset | None = datasets_of(spec)[name]
    except UnknownDatasetError as error:
        raise UsageError(str(error)) from error
    except DataMissing:
        known = None
    if split and known is not None and split not in _splits(known):
        there = ", ".join(_splits(known)) or "none"
        raise UsageError(f"{asked}: dataset {name!r} has no split {split!r}; there are: {there}")
    return name, split or None, known


def _splits(known: Dataset) -> tuple[str, ...]:
    return tuple(known.splits) if isinstance(known, StoredDataset) else ()
