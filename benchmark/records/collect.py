"""From the artifacts of a plan's studies to their record files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.errors import DamagedArtifact
from benchmark.jobs.job import Kind
from benchmark.records.finished import Finished
from benchmark.records.results import Environment, Updated, merge, withdrawn
from benchmark.records.studies import (
    StudyFile,
    StudyRecord,
    read_study,
    study_path,
    write_study,
)
from benchmark.records.text import results_lock

if TYPE_CHECKING:
    from benchmark.plan.make import Plan, PlannedStudy


def study_paths(plan: Plan, results: Path) -> set[Path]:
    """The files that a plan's studies belong to."""
    return {study_path(results, p.track, p.study, p.row) for p in plan.studies}


def collect_studies(
    plan: Plan, finished: Finished, failures: Mapping[str, str]
) -> tuple[dict[PlannedStudy, StudyRecord], dict[str, Environment]]:
    """The records of all finished and failed measurements, and where they were made."""
    records: dict[PlannedStudy, StudyRecord] = {}
    environments: dict[str, Environment] = {}
    for planned in plan.studies:
        reason = next((failures[key] for key in planned.keys if key in failures), None)
        if reason is not None:
            records[planned] = _record(planned, status="failed", reason=reason)
        elif finished.store.has(planned.key):
            try:
                records[planned] = _measured(planned, finished, environments)
            except DamagedArtifact:
                continue  # set aside: it is made again
    return records, environments


def write_studies(
    found: Mapping[PlannedStudy, StudyRecord],
    environments: Mapping[str, Environment],
    results: Path,
) -> Updated:
    """Merge records into their files.

    Raises
    ------
    StorageError
        If a file cannot be written.
    """
    files: dict[Path, StudyFile] = {}
    for planned, record in found.items():
        path = study_path(results, planned.track, planned.study, planned.row)
        if path not in files:
            files[path] = StudyFile(
                track=planned.track,
                study=planned.study,
                row=planned.row,
                environments=dict(environments),
                records=[],
            )
        files[path].records.append(record)
    written, gone = [], list[str]()
    for path, new in files.items():
        with results_lock(results):
            old = read_study(path) if path.exists() else None
            gone += [f"{new.track} {new.study} {new.row} {cell}" for cell in withdrawn(old, new)]
            merged = merge(old, new)
            if merged != old and write_study(path, merged):
                written.append(path)
    return Updated(written, gone)


def _measured(planned: PlannedStudy, finished: Finished, environments: dict[str, Environment]) -> StudyRecord:
    made_in, environments[made_in] = finished.place(planned.key)
    networks = [planned.chain[Kind.TRAIN], *planned.starts]
    return _record(
        planned,
        **finished.open(planned.key).json("measured"),
        train_seconds=sum(finished.made(key).seconds for key in networks),
        seconds=finished.made(planned.key).seconds,
        checkpoint=finished.sha256(planned.chain[Kind.TRAIN], "model.safetensors"),
        made_in=made_in,
    )


def _record(planned: PlannedStudy, **fields: object) -> StudyRecord:
    return StudyRecord.model_validate(
        {
            "backbone": planned.backbone,
            "init": planned.init,
            "seed": planned.seed,
            "condition": planned.condition,
            "key": planned.key,
            "training": planned.training,
            "settings": planned.settings,
            "made_of": planned.made_of,
            **fields,
        }
    )
