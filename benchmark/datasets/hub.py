"""Datasets of the Hugging Face Hub, read from the mirror and fetched into it.

`datasets` is loaded when a file is fetched, not when this module is imported.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.datasets.download import HubSplit, fetch, side_file
from benchmark.datasets.files import DataMissing, StoredDataset
from benchmark.datasets.mirror import file_digest, split_path
from benchmark.errors import DataError
from methods.neutral import neutral

__all__ = ["DataMissing", "HubDataset"]

LOCAL = "local/"  # of a repository that no one hosts: its files are put into the mirror by hand


@dataclass(frozen=True, eq=False)
class HubDataset(StoredDataset):
    """A dataset of the Hub.

    Attributes
    ----------
    repository : str
        ``owner/name`` on the Hub, or ``local/name`` for files that must be put into the mirror by hand.
    revision : str or None
        The commit that is fetched; None for the newest.
    config : str or None
        Configuration of the repository, where it has several.
    local_splits : frozenset of str
        Those of `splits` that the Hub does not have.
    in_catalog : bool
        Whether it is one of the catalog, and not declared by a leaderboard file.
    """

    repository: str = field(kw_only=True)
    revision: str | None = None
    config: str | None = None
    local_splits: frozenset[str] = frozenset()
    in_catalog: bool = True

    @neutral
    def __post_init__(self) -> None:
        super().__post_init__()
        if self.card.labelled != (self.label_column is not None):
            raise ValueError(
                f"{self.card.name}: label_column must be given exactly if labelled, "
                f"got {self.label_column!r} and labelled={self.card.labelled}"
            )

    def place(self, split: str) -> Path:
        """Where the mirror keeps a split, whether it is there or not; raises as `path` for an unknown one."""
        return split_path(self.repository, self.config, self._split(split))

    @neutral
    def declares(self, split: str) -> dict[str, Any]:
        """See `StoredDataset.declares`."""
        if self.in_catalog:
            return {}
        return {"place": str(self.place(split)), "class_names": self.card.class_names}

    def on_hub(self, split: str) -> bool:
        """Whether `download` can fetch a split."""
        return not self.repository.startswith(LOCAL) and split not in self.local_splits

    @neutral
    def download(self, split: str, on_rows: Callable[[int], None] | None = None) -> None:
        """Fetch a split from the Hub into the mirror, with a JSON file beside it that says where it is from.

        Parameters
        ----------
        split : str
            One of `splits`.
        on_rows : callable, optional
            Told the number of rows that are there so far.

        Raises
        ------
        DataError
            If the split is not on the Hub, cannot be fetched, or is not as the catalog has it.
        StorageError
            If the mirror cannot be written.
        """
        path = self.place(split)
        if not self.on_hub(split):
            labels = f", and {self.label_column!r}, integers from 0" if self.label_column else ""
            raise DataError(
                f"dataset {self.card.name}: split {split!r} is on no Hub repository that we know. Get it "
                f"from {self.card.source} and put it there as {path}: Parquet with a column "
                f"{self.image_column!r} of struct<bytes, path>, one encoded image a row{labels}; the "
                "`datasets` library writes it with Dataset.to_parquet"
            )

        def verify(fetched: Path) -> int:
            file = self.opened(fetched)
            if wrong := self.differences(file, split):
                raise DataError(f"dataset {self.card.name}, split {split!r}, as fetched: {'; '.join(wrong)}")
            return file.rows

        fetch(HubSplit(self.repository, self.config, split, self.revision), path, verify, on_rows)

    @neutral
    def _file_faults(self, path: Path) -> list[str]:
        """The checksum is compared where a JSON file beside the mirror's file has one."""
        return _checksum_faults(path)

    @neutral
    def _got_by(self, split: str) -> str:
        return f"; get it with: oodbench data get {self.asked(split)}"


def _checksum_faults(path: Path) -> list[str]:
    """Compare the checksum with that in the JSON file beside `path`, if there is one."""
    side = side_file(path)
    if not side.is_file():
        return []
    try:
        expected = json.loads(side.read_text(encoding="utf-8"))["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return [f"{side} cannot be read ({type(error).__name__}: {error}), expected JSON with a key sha256"]
    seen = file_digest(path)
    if seen == expected:
        return []
    return [f"{path} has SHA-256 {seen}, expected {expected} as in {side.name}; delete it and get it again"]
