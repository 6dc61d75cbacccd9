"""Where something is measured, whatever it is. This module must not import torch."""

from __future__ import annotations

from typing import NamedTuple

from benchmark.records.record import DETECTION, Record, RecordFile


class Place(NamedTuple):
    """A row of a study on one network under one condition; of OOD detection the rows are entries."""

    track: str
    study: str
    row: str
    backbone: str
    init: str
    seed: int  # of an ensemble's networks the first
    condition: str = ""

    @property
    def subject(self) -> str:
        """What is measured, whatever the network."""
        return (
            f"{self.track} {self.row}" if self.study == DETECTION else f"{self.track} {self.study} {self.row}"
        )

    def __str__(self) -> str:
        where = f"{self.subject} {self.backbone} {self.init} seed {self.seed}"
        return f"{where} {self.condition}".rstrip()


def place_of(file: RecordFile, record: Record) -> Place:
    """The place of a record."""
    return Place(file.track, file.study, file.row, *record.cell)
