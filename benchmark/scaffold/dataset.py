"""A new dataset in leaderboard.yaml, of what lies in a folder, in a Parquet file or on the Hub."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from benchmark.datasets.declared import datasets_of
from benchmark.datasets.folder import ImageFolder
from benchmark.datasets.mirror import Columns, MirrorFile, mirror_folder
from benchmark.errors import UsageError
from benchmark.scaffold.checkout import TODO, Addition, Checkout
from benchmark.scaffold.names import check_dataset_name, check_name
from benchmark.scaffold.templates import filled
from benchmark.spec.datasets import REPOSITORY
from benchmark.spec.yaml_edit import Block

SPLITS = ("train", "val", "valid", "validation", "test")  # what folders of splits are called
CARD = {
    "title": f"{TODO}: what the images are",
    "source": f"{TODO}: where they are from, a page or a person",
    "licence": f"{TODO}: their licence; `none stated` where none is",
    "citation": f"{TODO}: whom to cite",
}


def new_dataset(
    checkout: Checkout,
    name: str,
    *,
    folder: Path | None = None,
    parquet: Path | None = None,
    hub: str | None = None,
) -> Addition:
    """What declares a dataset: exactly one of a folder of images, a Parquet file and a Hub repository.

    What can be read of the files (splits, columns, classes) is written; a person fills in the card.

    Raises
    ------
    UsageError
        If the name is taken, not one source is given, or it has no images.
    DataError
        If the files cannot be read.
    SpecError
        If leaderboard.yaml is wrong, or is written so that nothing can be added to it.
    """
    check_name(name, "dataset")
    check_dataset_name(name, datasets_of(checkout.spec).names)
    if sum(source is not None for source in (folder, parquet, hub)) != 1:
        raise UsageError("expected one of --folder, --parquet and --hub")
    if folder is not None:
        declared = _of_folder(folder, checkout.root)
    elif parquet is not None:
        place = _placed(parquet, checkout.root)
        declared = {"kind": "parquet", "path": place, **_columns(parquet)}
    else:
        declared = _of_hub(str(hub))
    editor = checkout.editor()
    block = Block(declared | CARD)
    if "datasets" in editor.tree:
        editor.add_key(("datasets",), name, block)
    else:
        editor.add_key((), "datasets", Block({name: block}), "version")
    checkout.checked(editor)
    test = f"tests/benchmark/datasets/declared/test_{name}.py"
    return Addition(
        files={test: filled("dataset_test.py", name=name)},
        leaderboard=editor.text,
        keys=(f"datasets.{name}",),
        commands=(
            f"$EDITOR leaderboard.yaml {test}",
            f"oodbench check {name}",
            f"oodbench {'show' if hub is None else 'data get'} {name}",
        ),
    )


def _of_folder(folder: Path, root: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise UsageError(f"--folder {folder}: is no folder; expected one of images, or of one for each class")
    below = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    splits = [name for name in SPLITS if name in below]
    if not splits or len(splits) < len(below):
        ImageFolder(folder)  # refuses what has no images
        return {"kind": "folder", "path": _placed(folder, root)}
    for split in splits:
        ImageFolder(folder / split)
    return {"kind": "folder", "path": {split: _placed(folder / split, root) for split in splits}}


def _of_hub(repository: str) -> dict[str, Any]:
    """A repository, with the splits that are in the mirror already; of others nothing is known before."""
    if not re.fullmatch(REPOSITORY, repository):
        raise UsageError(f"--hub {repository!r}: expected OWNER/NAME, as in the address of its page")
    files = sorted((mirror_folder() / repository).glob("*.parquet"))
    found: dict[str, Any] = {"kind": "hub", "repository": repository}
    if not files:
        return {**found, "revision": f"{TODO}: the commit that is fetched", "splits": {"test": 1}}
    columns = _columns(files[0])
    used = Columns(columns.get("image_column", "image"), None)
    splits = {path.stem: MirrorFile(path, used).rows for path in files}
    return {**found, "splits": splits, **columns}


def _columns(path: Path) -> dict[str, Any]:
    """Which columns of a Parquet file are images and labels, where that is not what it usually is."""
    schema = _schema(path)
    encoded = [
        name for name, kind in schema.items() if kind.startswith(("struct<", "binary", "large_binary"))
    ]
    if not encoded:
        raise UsageError(f"{path}: no column has encoded images; there are: {', '.join(schema) or 'none'}")
    image = "image" if "image" in encoded else encoded[0]
    found: dict[str, Any] = {} if image == "image" else {"image_column": image}
    label = "label" if "int" in schema.get("label", "") else None
    file = MirrorFile(path, Columns(image, label))
    if label is None:
        return found
    names = [*file.class_names] or [f"{TODO} class {i}" for i in range(int(file.labels().max()) + 1)]
    return {**found, "label_column": label, "class_names": names}


def _schema(path: Path) -> dict[str, str]:
    """The columns of a Parquet file, each with its type in words."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return {field.name: str(field.type) for field in pq.read_schema(path)}
    except (OSError, pa.ArrowException) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "it is no Parquet file"
        raise UsageError(
            f"{path}: cannot be read: {why}; expected a Parquet file of encoded images"
        ) from error


def _placed(path: Path, root: Path) -> str:
    """A path as the leaderboard file names it: relative to its folder, unless it is far from that."""
    whole = path.resolve()
    near = whole.is_relative_to(root.parent)
    return Path(os.path.relpath(whole, root)).as_posix() if near else whole.as_posix()
