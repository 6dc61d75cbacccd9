"""Who recomputed which published records: ``results/verified.json``, beside the tracks' folders.

A record is named by a hash of its place and of all that it says was measured, so that its verification is
gone with any change of the record. The records themselves are not touched.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from benchmark.records.numbers import StrictModel
from benchmark.records.record import Environment, Record, RecordFile
from benchmark.records.text import results_lock
from benchmark.store.files import read_model, write_atomically

LEDGER = "verified.json"
Digest = Annotated[str, Field(pattern="^[0-9a-f]{16}$")]


class Verification(StrictModel):
    """One call of `oodbench verify`, and the records that stood."""

    by: str = Field(min_length=1, max_length=100)
    date: str = Field(max_length=40)  # ISO 8601, UTC
    environment: Environment
    seed_of_draw: int
    cells: int  # that were published then, of the selection
    retrained: list[Digest] = Field(default_factory=list)  # of the records: those whose network was, too
    records: list[Digest]


class Ledger(StrictModel):
    """All verifications, the oldest first."""

    schema_version: Literal[1] = 1
    verifications: list[Verification] = Field(default_factory=list)

    def last(self) -> Mapping[str, Verification]:
        """By record the verification that was made last."""
        return {name: one for one in self.verifications for name in one.records}


def digest_of(file: RecordFile, record: Record) -> str:
    """The name of a record: a hash of its place, key, settings, numbers and series, and what made them."""
    left = {"cost", "provenance", "pictures", "warnings"}
    said: dict[str, Any] = record.model_dump(mode="json", exclude=left)
    made = record.provenance
    of = made and [made.checkpoint, made.data, made.method_source]
    parts = [file.track, file.study, file.row, said, of]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def read_ledger(results: Path) -> Ledger:
    """What is known of the records of a folder; nothing, if there is no such file.

    Raises
    ------
    DataError
        If it cannot be read, or says what cannot be.
    """
    path = results / LEDGER
    if not path.exists():
        return Ledger()
    return read_model(path, Ledger, "verifications, as `oodbench verify --write` keeps them")


def add(results: Path, verification: Verification) -> Path:
    """Keep a verification beside the others; what they say of the same records is left out of them.

    Raises
    ------
    DataError
        If the file that is there cannot be read.
    StorageError
        If the folder cannot be written.
    """
    with results_lock(results):
        new = set(verification.records)
        kept = []
        for one in read_ledger(results).verifications:
            records = [name for name in one.records if name not in new]
            if records:
                retrained = [name for name in one.retrained if name not in new]
                kept.append(one.model_copy(update={"records": records, "retrained": retrained}))
        ledger = Ledger(verifications=[*kept, verification])
        text = json.dumps(ledger.model_dump(mode="json", exclude_none=True), indent=1)
        write_atomically(results / LEDGER, f"{text}\n")
    return results / LEDGER
