"""Networks that others trained, checked and put into the cache under their content keys."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.datasets.mirror import mirror_folder
from benchmark.errors import DataError
from benchmark.networks.cards import CARD, FOLDER, Card, faults_of, folder_of, keys_in, read_card
from benchmark.networks.export import networks_of
from benchmark.plan.plan import Plan, Planned
from benchmark.spec.networks import Repository
from benchmark.store.artifacts import Store
from benchmark.store.files import storage_errors
from benchmark.store.fingerprints import library_versions

LIBRARIES = ("numpy", "torch", "timm")


@dataclass
class Got:
    """What became of the networks of a plan."""

    fetched: list[Card] = field(default_factory=list)
    there: list[str] = field(default_factory=list)  # keys that the cache holds already
    absent: dict[str, str] = field(default_factory=dict)  # label → why it is not to be had
    refused: dict[str, list[str]] = field(default_factory=dict)  # label → what is wrong with its files


def folder_for(repository: Repository, keys: Collection[str]) -> Path:
    """A folder with networks of a repository: of the mirror, else of the Hub's cache, fetched where need be.

    Raises
    ------
    DataError
        If the repository cannot be had; says what to do.
    """
    mirrored = mirror_folder() / repository.repository
    if (mirrored / FOLDER).is_dir():
        return mirrored
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    patterns = [*(f"{FOLDER}/{key}/*" for key in sorted(keys)), f"{FOLDER}/*/{CARD}"]
    name, revision = repository.repository, repository.revision
    try:
        found = snapshot_download(name, revision=revision, allow_patterns=patterns)
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        raise DataError(
            f"{name} at {revision}: networks cannot be had ({type(error).__name__}). Check the network, or "
            f"put the repository into the mirror as {mirrored}, or name its folder by --from"
        ) from error
    return Path(found)


def get(plan: Plan, store: Store, root: Path, told: Callable[[str], None] = lambda label: None) -> Got:
    """Put the networks of a plan that lie in a folder into the cache, each after its files were checked.

    Parameters
    ----------
    root : a folder as `export` writes it.
    told : is given the label of each network that is taken.

    Raises
    ------
    DataError
        If the folder holds no networks.
    StorageError
        If the cache cannot be written.
    """
    store.prepare()
    there, got = set(keys_in(root)), Got()
    others: dict[tuple[Any, ...], str] | None = None
    for key, training in networks_of(plan).items():
        label = plan.jobs[key].label
        if store.has(key):
            got.there.append(key)
            continue
        if key not in there:
            others = _by_place(root, there) if others is None else others
            got.absent[label] = others.get(
                _place(training, str(plan.jobs[key].kind)), "not among these networks"
            )
            continue
        try:
            card = read_card(root, key)
            faults = [*faults_of(root, card)]
        except DataError as error:
            faults = [str(error)]
        if faults:
            got.refused[label] = faults
            continue
        told(label)
        _take(store, root, card)
        got.fetched.append(card)
    return got


def _take(store: Store, root: Path, card: Card) -> None:
    made: Mapping[str, Any] = {
        "kind": card.kind,
        "label": card.label,
        "code": card.code,
        "environment": card.environment.model_dump(),
        "seconds": card.seconds,
        "date": card.date,
        "peak_memory_mb": card.peak_memory_mb,
    }
    with store.lock(card.key):
        if store.has(card.key):
            return
        with store.create(card.key, made) as draft:
            for name in card.files:
                with storage_errors(draft.folder / name):
                    shutil.copyfile(folder_of(root, card.key) / name, draft.folder / name)
    artifact = store.open(card.key)
    if any(
        artifact.sha256(name) != stored.sha256 for name, stored in card.files.items()
    ):  # changed meanwhile
        store.set_aside(card.key)
        raise DataError(f"{folder_of(root, card.key)}: was changed while it was read")


def _place(training: Planned, kind: str) -> tuple[Any, ...]:
    place = training.place
    return place.track, place.backbone, place.init, place.seed, place.row, kind


def _by_place(root: Path, keys: Collection[str]) -> dict[tuple[Any, ...], str]:
    """Why the networks that lie there are not today's, by where they stand."""
    here, found = library_versions(*LIBRARIES), {}
    for key in sorted(keys):
        try:
            card = read_card(root, key)
        except DataError:
            continue
        made = card.environment.libraries
        differ = [f"{n} {made.get(n)}, here {v}" for n, v in here.items() if made.get(n) != v]
        why = (
            f"made with {'; '.join(differ)}"
            if differ
            else "made by other code, settings or data than today's"
        )
        found[card.track, card.backbone, card.init, card.seed, card.objective, card.kind] = why
    return found
