"""A folder of exported networks as it is found: nothing in it is believed before it is checked.

It may be a folder that somebody sent, one of the mirror, or a commit in the cache of the Hub, where files are
links to what was fetched.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import DataError
from benchmark.networks.cards import (
    CARD,
    FOLDER,
    INDEX,
    KEY,
    LARGEST_JSON,
    README,
    Card,
    Index,
    Listed,
    checked_key,
)
from benchmark.networks.contents import faults_in
from benchmark.store.files import read_model, sha256_of

_LARGEST_CARD = 1 << 20  # bytes
_OF_THE_HUB = {".git", ".gitattributes", ".cache"}  # that its tools leave beside files
_AS_WRITTEN = "as `oodbench networks export` writes it"


@dataclass(frozen=True)
class Shelf:
    """The networks below a folder."""

    root: Path

    def index(self, sha256: str | None = None) -> Index:
        """Which networks there are, by its index.

        Parameters
        ----------
        sha256 : of the index; another one is refused.

        Raises
        ------
        DataError
            If there is none, or it is not the one that is expected or of its form.
        """
        path = self._file(self.root / INDEX, LARGEST_JSON)
        if sha256 is not None and (seen := self.sha256) != sha256:
            raise DataError(f"{path}: SHA-256 {seen}; leaderboard.yaml says {sha256}")
        return read_model(path, Index, f"the index of a folder of networks, {_AS_WRITTEN}")

    @property
    def sha256(self) -> str:
        """Checksum of its index; raises as `index` does."""
        return sha256_of(self._file(self.root / INDEX, LARGEST_JSON))

    def card(self, key: str) -> Card:
        """The card of one network.

        Raises
        ------
        DataError
            If it is not there, is too large, is of another key, or says what cannot be.
        """
        path = self._file(self.folder(key) / CARD, _LARGEST_CARD)
        card = read_model(path, Card, f"the card of a network, {_AS_WRITTEN}")
        if card.key != key:
            raise DataError(f"{path}: key: {card.key}; expected {key}, the name of its folder")
        return card

    def card_sha256(self, key: str) -> str:
        """Checksum of a card; raises as `card` does."""
        return sha256_of(self._file(self.folder(key) / CARD, _LARGEST_CARD))

    def listed_card(self, key: str, listed: Listed) -> Card:
        """The card of a network, if it is the one that the index lists.

        Raises
        ------
        DataError
            If it is another, or as by `card`.
        """
        card, seen = self.card(key), self.card_sha256(key)
        if card.listed(seen) != listed:
            raise DataError(f"{self.folder(key) / CARD}: is not the card that {INDEX} lists")
        return card

    def file(self, key: str, name: str) -> Path:
        """A file of a network, which is a regular one.

        Raises
        ------
        DataError
            If it is not there, or is a link, a pipe or a folder.
        """
        return self._file(self.folder(key) / name)

    def folder(self, key: str) -> Path:
        """Where the network of a key lies, or would lie; raises `DataError` if it is no key."""
        return self.root / FOLDER / checked_key(key)

    def faults(self, card: Card) -> Iterator[str]:
        """What is wrong with the files of a network: nothing, if they are as its card says, and readable."""
        folder = self.folder(card.key)
        there = {path.name for path in folder.iterdir()}
        for name in sorted(there - card.files.keys() - {CARD}):
            yield f"{folder / name}: is not on the card; expected {', '.join(sorted(card.files))}"
        for name, stored in card.files.items():
            try:
                path = self.file(card.key, name)
            except DataError as error:
                yield str(error)
                continue
            if (size := path.stat().st_size) != stored.bytes:
                yield f"{folder / name}: {size:,} bytes; its card says {stored.bytes:,}"
            elif (seen := sha256_of(path)) != stored.sha256:
                yield f"{folder / name}: SHA-256 {seen}; its card says {stored.sha256}"
            else:
                yield from faults_in(card, name, path)

    def folders(self) -> list[str]:
        """The keys that folders bear, whatever the index says."""
        below = self.root / FOLDER
        return (
            sorted(path.name for path in below.iterdir() if KEY.fullmatch(path.name))
            if below.is_dir()
            else []
        )

    def strays(self) -> Iterator[Path]:
        """What lies there and belongs to no network."""
        for folder, known in (
            (self.root, {README, INDEX, FOLDER, *_OF_THE_HUB}),
            (self.root / FOLDER, set()),
        ):
            for path in sorted(folder.iterdir()) if folder.is_dir() else ():
                if path.name not in known and not (folder != self.root and KEY.fullmatch(path.name)):
                    yield path

    def _file(self, path: Path, most: int | None = None) -> Path:
        """The regular file at a path; of the Hub's cache, what it is a link to."""
        try:
            for folder in path.relative_to(self.root).parents:
                if (self.root / folder).is_symlink() and (self.root / folder) != self.root:
                    raise DataError(f"{self.root / folder}: is a link; expected a folder")
            found = path
            if path.is_symlink():
                found, blobs = path.resolve(), self.root.resolve().parent.parent / "blobs"
                if self.root.resolve().parent.name != "snapshots" or found.parent != blobs:
                    raise DataError(f"{path}: is a link; expected a regular file")
            about = found.lstat()
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}; expected it {_AS_WRITTEN}") from error
        if not stat.S_ISREG(about.st_mode):
            raise DataError(f"{path}: is not a regular file; expected one")
        if most is not None and about.st_size > most:
            raise DataError(f"{path}: {about.st_size:,} bytes; expected at most {most:,}")
        return found
