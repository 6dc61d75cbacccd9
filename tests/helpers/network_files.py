"""Exported networks, and what somebody may do to them."""

import json
import os

from benchmark.networks.cards import CARD, INDEX, Index
from benchmark.networks.shelf import Shelf
from benchmark.store.files import sha256_of

COMMIT = "a" * 40


def folder_of(root, key):
    return root / "networks" / key


def keys(root):
    return sorted(json.loads((root / INDEX).read_text())["networks"])


def change(root, key, /, **changes):
    """Change what a card says; the index lists the card as it was."""
    path = folder_of(root, key) / CARD
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def card(root, key):
    return json.loads((folder_of(root, key) / CARD).read_text())


def seal(root, key, /, **changes):
    """A card that fits the files as they are, and an index that fits the card: only its key refutes them."""
    folder = folder_of(root, key)
    files = {
        path.name: {"sha256": sha256_of(path), "bytes": path.stat().st_size}
        for path in folder.iterdir()
        if path.name != CARD and path.is_file()
    }
    change(root, key, **{"files": files, **changes})
    index = json.loads((root / INDEX).read_text())
    said, size = card(root, key), sum(stored["bytes"] for stored in files.values())
    libraries = {name: said["environment"]["libraries"][name] for name in ("numpy", "torch", "timm")}
    listed = {"place": said["place"], "code": said["code"], "libraries": libraries}
    index["networks"][key] = {**listed, "card": sha256_of(folder / CARD), "bytes": size}
    (root / INDEX).write_text(json.dumps(index))


def rename(root, key, other):
    """Have a network bear another key, card and index included."""
    folder_of(root, key).rename(folder_of(root, other))
    index = json.loads((root / INDEX).read_text())
    index["networks"][other] = index["networks"].pop(key)
    (root / INDEX).write_text(json.dumps(index))
    seal(root, other, key=other)


def as_in_the_hubs_cache(nets, cache, repository="lab/nets", commit=COMMIT):
    """The files of a folder as `huggingface_hub` keeps them: by content, and links to them by commit."""
    home = cache / f"models--{repository.replace('/', '--')}"
    for path in sorted(nets.rglob("*")):
        if path.is_file():
            blob = home / "blobs" / sha256_of(path)
            blob.parent.mkdir(parents=True, exist_ok=True)
            blob.write_bytes(path.read_bytes())
            link = home / "snapshots" / commit / path.relative_to(nets)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(os.path.relpath(blob, link.parent))
    return home / "snapshots" / commit


def index_of(root) -> Index:
    return Shelf(root).index()
