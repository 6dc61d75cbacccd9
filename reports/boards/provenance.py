"""What made the numbers: versions, commits, dates, hardware, libraries, seeds and hyper-parameters."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmark.errors import DataError
from benchmark.records.record import Environment
from reports.claims.register import SUMMARY
from reports.select import Counted, Measured
from reports.site.sections import Column, Facts, Row, Section, Table


@dataclass(frozen=True)
class Fact:
    """One line of the provenance: what it is, and every value that occurs."""

    title: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class EntrySettings:
    """How an entry was set on a track; more than one value where they differ between its records."""

    track: str
    entry: str
    objective: str
    detector: str
    hp_modes: tuple[str, ...]
    hyperparameters: tuple[tuple[str, tuple[str, ...]], ...]  # name, JSON of every value that occurs


def facts(counted: Counted) -> list[Fact]:
    """What the measured records that count say about their making.

    Raises
    ------
    DataError
        If a record names an environment that its file does not describe.
    """
    measured = list(counted.measured.values())
    environments = _environments(measured)
    days = sorted(date[:10] for found in measured if (date := getattr(found.record.provenance, "date", None)))
    libraries = sorted({library for environment in environments for library in environment.libraries})
    there = (
        found for study, of in counted.studies.measured.items() if study != SUMMARY for found in of.values()
    )
    studied = sum(len(found.records) for found in there)
    rows = [
        ("Measured records", [str(len(measured))]),
        *([("Measured records of studies", [str(studied)])] if studied else []),
        ("Verified by recomputation", [_verified(measured)]),
        ("Seeds", [ranges({cell.seed for cell in counted.measured}) or "none"]),
        ("Measured on", [" to ".join(dict.fromkeys((days[0], days[-1])))] if days else []),
        ("oodbench", [e.oodbench for e in environments]),
        ("Git commit", [e.commit or "outside a checkout" for e in environments]),
        ("Python", [e.python for e in environments]),
        ("Platform", [e.platform for e in environments]),
        ("Processor", [f"{e.processor}, {e.cores} core{'s' * (e.cores != 1)}" for e in environments]),
        ("Accelerator", [e.accelerator or "none" for e in environments]),
        ("Libraries", [f"{name} {_versions(name, environments)}" for name in libraries]),
    ]
    return [Fact(title, _distinct(values) or ("not recorded",)) for title, values in rows]


def entry_settings(counted: Counted) -> list[EntrySettings]:
    """Objective, detector and hyper-parameters of every measured entry."""
    groups: dict[tuple[str, str], list[Measured]] = {}
    for cell, found in counted.measured.items():
        groups.setdefault((cell.track, cell.entry), []).append(found)
    settings = []
    for (track, entry), group in groups.items():
        values: dict[str, list[str]] = {}
        for found in group:
            settled = found.record.settings
            limit = {"fit_limit": settled["fit_limit"]} if "fit_limit" in settled else {}
            for name, value in {**settled["hyperparameters"], **limit}.items():
                values.setdefault(name, []).append(json.dumps(value, ensure_ascii=False, sort_keys=True))
        settings.append(
            EntrySettings(
                track=track,
                entry=entry,
                objective=group[0].objective,
                detector=group[0].record.settings["detector"],
                hp_modes=_distinct(mode for found in group for mode in found.hp_modes),
                hyperparameters=tuple((name, _distinct(seen)) for name, seen in sorted(values.items())),
            )
        )
    return settings


def ranges(numbers: Iterable[int]) -> str:
    """Whole numbers with runs of three or more shortened: 0–3, 5, 6."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(
        f"{run[0]}–{run[-1]}" if len(run) > 2 else ", ".join(str(number) for number in run) for run in runs
    )


def _verified(measured: Sequence[Measured]) -> str:
    """How many records were computed again, and by whom."""
    found = [one.verification for one in measured if one.verification is not None]
    by = ", ".join(sorted({one.by for one in found}))
    return f"{len(found)}, by {by}" if found else "none"


def _environments(measured: Iterable[Measured]) -> list[Environment]:
    """Every environment that measured or trained, once each."""
    found: list[Environment] = []
    for item in measured:
        provenance = item.record.provenance
        named = (provenance.trained_in, provenance.measured_in) if provenance else ()
        for key in (name for name in named if name is not None):
            if key not in item.file.environments:
                where = f"{item.file.track}/{item.file.row} {item.record.cell}"
                raise DataError(
                    f"records of {where}: environment {key!r} is not described; run the entry again"
                )
            if item.file.environments[key] not in found:
                found.append(item.file.environments[key])
    return found


def _versions(library: str, environments: Iterable[Environment]) -> str:
    return ", ".join(_distinct(e.libraries[library] for e in environments if library in e.libraries))


def _distinct(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def provenance_section(counted: Counted) -> Section:
    """What made the numbers, and how each entry was set."""
    said = Facts(tuple((fact.title, "; ".join(fact.values)) for fact in facts(counted)))
    settings = entry_settings(counted)
    table = Table(
        columns=(
            Column("Entry", "text"),
            Column("Track", "text"),
            Column("Trained with", "text"),
            Column("Detector", "text"),
            Column("Chosen", "text"),
            Column("Hyper-parameters", "prose"),
        ),
        rows=tuple(
            Row((one.entry, one.track, one.objective, one.detector, ", ".join(one.hp_modes), _listed(one)))
            for one in settings
        ),
        id="entries",
        about="Entries and their hyper-parameters; several values where they differ between records",
    )
    body = (said, table) if settings else (said,)
    return Section("provenance", "What made these numbers", body)


def _listed(settings: EntrySettings) -> str:
    named = (f"{name} = {' or '.join(values)}" for name, values in settings.hyperparameters)
    return ", ".join(named) or "none"
