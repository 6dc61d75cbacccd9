"""Ledgers of invented records: who verified which of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import synthetic_records as synthetic

from benchmark.records.record import Environment, Record, RecordFile
from benchmark.verify.ledger import Ledger, Verification, digest_of

MADE = Environment.model_validate(synthetic.make_file("msp", []).environments["e1"].model_dump())


def verification(names: Iterable[str], by: str = "a lab", day: int = 1) -> Verification:
    """One of records by their names in the ledger."""
    date = f"2026-12-{day:02d}T08:00:00+00:00"
    records = sorted(names)
    return Verification(
        by=by, date=date, environment=MADE, seed_of_draw=7, cells=len(records), records=records
    )


def ledger_of(
    files: Iterable[RecordFile], stood: Callable[[RecordFile, Record], bool], by: str = "a lab"
) -> Ledger:
    """In which the records that `stood` says are verified."""
    names = [digest_of(file, one) for file in files for one in file.records if stood(file, one)]
    return Ledger(verifications=[verification(names, by)] if names else [])
