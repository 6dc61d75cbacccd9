"""From the artifacts of a plan to its records, whatever is measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.errors import DamagedArtifact
from benchmark.jobs.job import Kind
from benchmark.records.families import Fields, family_of
from benchmark.records.finished import Finished
from benchmark.records.record import TRAININGS, Environment, Record, RecordFile
from benchmark.records.results import Updated, update_records

if TYPE_CHECKING:
    from benchmark.plan.plan import Plan, Planned


class Collected:
    """The records of all finished and failed places of a plan, and where they were made."""

    def __init__(self, plan: Plan, finished: Finished, failures: Mapping[str, str]) -> None:
        self.records: dict[Planned, Record] = {}
        self.environments: dict[str, Environment] = {}
        self._plan, self._finished, self._untrained = plan, finished, 0
        for planned in plan.places:
            reason = next((failures[key] for key in planned.keys if key in failures), None)
            if reason is not None and planned.place.study == TRAININGS:
                self._untrained += 1  # as what would be measured of the network says
            elif reason is not None:
                self.records[planned] = _record(planned, {"status": "failed", "reason": reason})
            elif finished.store.has(planned.key):
                try:
                    self.records[planned] = self._measured(planned)
                except DamagedArtifact:
                    continue  # set aside: it is made again

    @property
    def whole(self) -> bool:
        """Whether every place has a record, but for networks whose training failed."""
        return len(self.records) + self._untrained == len(self._plan.places)

    def write(self, results: Path) -> Updated:
        """Merge the records into their files.

        Raises
        ------
        DataError
            If a file that is to be updated cannot be read.
        StorageError
            If a file cannot be written.
        """
        rows: dict[tuple[str, str, str], list[Record]] = {}
        for planned, record in self.records.items():
            rows.setdefault(planned.place[:3], []).append(record)
        files = [
            RecordFile(track=track, study=study, row=row, environments=self.environments, records=records)
            for (track, study, row), records in rows.items()
        ]
        return update_records(results, files)

    def _measured(self, planned: Planned) -> Record:
        found = family_of(planned.place.study).read(self._finished.open(planned.key))
        if not planned.drawn:
            found["series"] = {}
        found["settings"] = {**planned.settings, **found.get("settings", {})}
        return _record(
            planned, {"cost": self._cost(planned), "provenance": self._provenance(planned), **found}
        )

    def _cost(self, planned: Planned) -> Fields:
        parts = self._finished.parts
        kinds = planned.chain
        of_cell = [kinds[kind] for kind in (Kind.CLASSIFY,) if Kind.MEASURE in kinds]
        extracts = [key for key in planned.inputs if self._plan.jobs[key].kind in (Kind.EXTRACT, Kind.GATHER)]
        own = [] if planned.place.study == TRAININGS else [*of_cell, planned.key]
        seconds = {
            "pretrain": [kinds[Kind.PRETRAIN]] if Kind.PRETRAIN in kinds else [],
            "train": [kinds[Kind.TRAIN], *planned.starts] if Kind.TRAIN in kinds else [],
            "extract": extracts,
            "score": [kinds[Kind.SCORE]] if Kind.SCORE in kinds else [],
            "measure": own,
        }
        cost: Fields = {
            f"{step}_seconds": sum(part.seconds for key in keys for part in parts(key))
            for step, keys in seconds.items()
            if keys
        }
        keys = dict.fromkeys([*kinds.values(), *extracts, planned.key])
        measured = [part for key in keys for part in parts(key)]
        of_device = [one.peak_device_memory_mb for one in measured if one.peak_device_memory_mb is not None]
        batches = [one.least_batch for one in measured if one.least_batch is not None]
        return cost | {
            "peak_memory_mb": max(one.peak_memory_mb for one in measured),
            "peak_device_memory_mb": max(of_device, default=None),
            "least_batch": min(batches, default=None),
        }

    def _provenance(self, planned: Planned) -> Fields:
        finished, network = self._finished, planned.chain.get(Kind.TRAIN)
        scored = planned.chain.get(Kind.SCORE, planned.key)
        if self._plan.jobs[scored].kind == Kind.GATHER:
            scored = self._plan.jobs[scored].needs[0]
        found: Fields = {
            "date": finished.made(planned.key).date,
            "measured_in": self._place(planned.key),
            "method_source": self._plan.jobs[scored].code,
            "data": {name: finished.fingerprint(key) for name, key in planned.data.items()},
            "seeds": dict(planned.seeds),
        }
        if network is not None:
            found["trained_in"] = self._place(network)
            found["checkpoint"] = finished.sha256(network, "model.safetensors")
        if planned.place.study == TRAININGS:
            found["first_weights"] = _first_weights(planned, finished)
        return found

    def _place(self, key: str) -> str:
        name, self.environments[name] = self._finished.place(key)
        return name


def _record(planned: Planned, fields: Fields) -> Record:
    place = planned.place
    return Record.model_validate(
        {
            "backbone": place.backbone,
            "init": place.init,
            "seed": place.seed,
            "condition": place.condition,
            "key": planned.key,
            "settings": dict(planned.settings),
            "training": planned.training,
            "made_of": planned.made_of,
            **fields,
        }
    )


def _first_weights(planned: Planned, finished: Finished) -> Fields | None:
    """Where a network's first weights came from, and how many of its parameters; None if they were drawn."""
    loaded = finished.open(planned.key).json("about")["loaded"]
    found: Fields = {}
    if Kind.PRETRAIN in planned.chain:
        found["source"] = finished.open(planned.chain[Kind.PRETRAIN]).json("source")
    if loaded is not None:
        counts = {"loaded": len(loaded["loaded"]), "unused": len(loaded["unused"])}
        found |= {**counts, "fresh": loaded["fresh"]}
    if planned.overlap:
        found["overlap"] = list(planned.overlap)
    return found or None
