"""Networks that others trained, checked and put into the cache under their content keys."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from benchmark.errors import DataError
from benchmark.networks.asked import Asked, by_place, contradictions, why_other
from benchmark.networks.cards import Card
from benchmark.networks.shelf import Shelf
from benchmark.store.artifacts import Store
from benchmark.store.files import sha256_of, storage_errors


@dataclass
class Got:
    """What became of networks that were asked for."""

    fetched: list[Card] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)  # key → why it is not to be had
    refused: dict[str, list[str]] = field(default_factory=dict)  # key → what is wrong with it

    def add(self, other: Got) -> None:
        """What became of others, too."""
        self.fetched += other.fetched
        self.absent |= other.absent
        self.refused |= other.refused


def get(
    asked: Mapping[str, Asked],
    store: Store,
    shelf: Shelf,
    *,
    index: str | None = None,
    told: Callable[[str], None] = lambda label: None,
) -> Got:
    """Put those networks of a shelf into the cache that are asked for and not there yet, each once checked.

    Parameters
    ----------
    index : SHA-256 of the shelf's index; another one is refused.
    told : is given the label of each network that is taken.

    Raises
    ------
    DataError
        If the folder has no index, or another than is expected.
    StorageError
        If the cache cannot be written.
    """
    listed, got = shelf.index(index).networks, Got()
    others = {one.place: one for key, one in listed.items() if key not in asked}
    today = by_place(asked)
    store.prepare()
    for key, wanted in asked.items():
        if store.has(key):
            continue
        if key not in listed:
            other = next((others[place] for place in wanted.places if place in others), None)
            got.absent[key] = (
                "not among these networks"
                if other is None
                else f"there it is {why_other(other, today[other.place])}"
            )
            continue
        try:
            card = shelf.listed_card(key, listed[key])
            faults = [*contradictions(card, wanted), *shelf.faults(card)]
            if not faults:
                told(wanted.job.label)
                _take(store, shelf, card, wanted.job.label)
        except DataError as error:
            faults = [str(error)]
        if faults:
            got.refused[key] = faults
        else:
            got.fetched.append(card)
    return got


def _take(store: Store, shelf: Shelf, card: Card, label: str) -> None:
    """Copy a network into the cache, if what was copied is what was checked."""
    with store.lock(card.key):
        if store.has(card.key):
            return
        with store.create(card.key, card.made(label)) as draft:
            for name, stored in card.files.items():
                path = draft.folder / name
                with storage_errors(path):
                    shutil.copyfile(shelf.file(card.key, name), path)
                    if sha256_of(path) != stored.sha256:
                        raise DataError(f"{shelf.folder(card.key) / name}: was changed while it was read")
