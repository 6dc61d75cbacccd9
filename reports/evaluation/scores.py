"""The score of every image as CSV, written as it comes; and names that no spreadsheet computes with."""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from benchmark.evaluation.outcome import ScoredImage
from benchmark.store.files import storage_errors

HEAD = ("set", "image", "label", "predicted", "confidence", "score", "accepted")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for the start of one


def no_formula(text: str) -> str:
    """A name that a spreadsheet would compute with, with an apostrophe before it; others as they are."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def write_scores(path: Path, rows: Iterable[ScoredImage]) -> int:
    """Write rows as they come, in the memory of one; the file is whole or as it was. Return how many.

    Numbers are written so that they read back as the same; halves of surrogate pairs, as names of files may
    have them, are written out.

    Raises
    ------
    StorageError
        If the folder cannot be written.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
                writer = csv.writer(file)  # ends lines by CR LF, so that it quotes names that hold either
                writer.writerow(HEAD)
                number = 0
                for number, row in enumerate(rows, 1):  # noqa: B007 counts
                    writer.writerow(cells_of(row))
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    return number


def cells_of(row: ScoredImage) -> tuple[str, ...]:
    """What a row of the CSV holds."""
    names = (row.set, row.image, row.label or "", row.predicted)
    numbers = (repr(float(row.confidence)), repr(float(row.score)))
    return (*map(no_formula, names), *numbers, "true" if row.accepted else "false")
