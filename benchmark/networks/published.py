"""Where published networks are: a repository of the Hugging Face Hub, in the mirror or fetched."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from benchmark.datasets.mirror import mirror_folder
from benchmark.errors import DataError
from benchmark.networks.cards import CARD, FILES, FOLDER, INDEX, KEPT
from benchmark.networks.shelf import Shelf
from benchmark.spec.networks import Repository

_FILES = (CARD, KEPT, *sorted({name for names in FILES.values() for name in names}))  # that are ever fetched


def shelf_of(repository: Repository, keys: Collection[str]) -> Shelf:
    """The networks of a repository: in the mirror, else in the Hub's cache, into which they are fetched.

    Parameters
    ----------
    keys : of the networks that are wanted; of those that the repository lacks nothing is fetched.

    Raises
    ------
    DataError
        If the repository cannot be had; says what to do.
    """
    mirrored = mirror_folder() / repository.repository
    if (mirrored / INDEX).is_file():
        return Shelf(mirrored)
    from huggingface_hub import hf_hub_download, snapshot_download

    name, revision = repository.repository, repository.revision
    try:
        shelf = Shelf(Path(hf_hub_download(name, INDEX, revision=revision)).parent)
        there = shelf.index(repository.sha256).networks
        if wanted := sorted(there.keys() & set(keys)):
            patterns = [f"{FOLDER}/{key}/{file}" for key in wanted for file in _FILES]
            snapshot_download(name, revision=revision, allow_patterns=patterns)
    except DataError:
        raise
    # The library raises much: its own errors, those of the HTTP client and of the file system, ValueError.
    except Exception as error:
        why = f"{type(error).__name__}: {' '.join(str(error).split()):.200}"
        raise DataError(
            f"{name} at {revision}: networks cannot be had ({why}). Check the network, HF_HUB_OFFLINE and "
            f"HF_ENDPOINT; or put the repository into the mirror as {mirrored}; or name its folder by --from"
        ) from error
    return shelf
