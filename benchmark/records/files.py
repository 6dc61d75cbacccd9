"""Files of records: ``results/<track>/<study>/<row>.json``, and ``results/<track>/<entry>.json``.

What many records share stands once, in tables of the file, under names that are hashes of it. What belongs to
a network that many entries score stands beside them (`benchmark.records.networks`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmark.errors import DataError
from benchmark.records import networks as of_networks
from benchmark.records.columns import COLUMNS, Columns, read, unpacked, written
from benchmark.records.families import Family, family_of
from benchmark.records.networks import NETWORK, Networks, path_of, read_networks
from benchmark.records.record import DETECTION, NETWORKS, SCHEMA, Cost, Record, RecordFile
from benchmark.records.text import (
    Table,
    document,
    files_of,
    folders_of,
    in_its_place,
    look_up,
    name_of,
    parse,
    read_each,
    read_whole,
    refer,
    shared,
)
from benchmark.store.files import write_changed

_WHAT = "records"
_PLACE = ("backbone", "init", "seed", "condition")
_HEAD = ("track", "study", "row")
_COST = tuple(Cost.model_fields)
_ALWAYS = _COST.index("peak_memory_mb") + 1  # columns of every file; the others where a record has them
_SHARED = (
    "settings",
    "training",
    "made_of",
    "made",
    "axes",
    COLUMNS,
)  # tables of what records have in common
_MADE = ("measured_in", "trained_in", "method_source", "data", "first_weights")  # of the provenance
_OWN = ("date", "checkpoint", "seeds")  # and of a record itself
_NETWORK_OF = "objective"  # of the settings: whose networks they are


def read_records(path: Path, known: dict[Path, Networks] | None = None) -> RecordFile:
    """Read one file of records, and what lies beside it of their networks.

    Parameters
    ----------
    known : networks by their file; what is read of them is added, so that many files share it.

    Raises
    ------
    DataError
        If it is not JSON, not of this schema, or says what cannot be: names the file, the cell, the place,
        what was seen and what was expected.
    """
    content = parse(path, _WHAT)
    cost = content.pop("cost", None)
    if not isinstance(cost, list) or cost != list(_COST[: max(_ALWAYS, len(cost))]):
        raise DataError(f"{path}: cost: expected {', '.join(_COST)}, got {cost!r:.80}")
    tables = {name: shared(path, name, content.pop(name, {})) for name in _SHARED}
    if "study" not in content:
        raise DataError(f"{path}: study: Field required; expected {_WHAT} of schema {SCHEMA}")
    family = family_of(str(content["study"]))
    found = {} if known is None else known
    networks = _networks_beside(path, tables["settings"], found) if family.apart else {}
    lines = content.get("records")
    shared_by_all = _shared_by_all(lines, tables)
    content["records"] = read_each(
        path, _WHAT, lines, _PLACE, lambda line: _record({**shared_by_all, **line}, tables, networks, family)
    )
    return read_whole(path, _WHAT, RecordFile, content)


def iterate(results: Path, *studies: str) -> Iterator[RecordFile]:
    """Read the files of records below `results` one after the other, by track, study and row.

    What was read is let go with the file: a reader that keeps little needs little memory. An absent folder
    has no records.

    Parameters
    ----------
    studies : only these; all that there are, if none is named.

    Raises
    ------
    DataError
        As `read_records`; or if a folder cannot be read, or holds what is no file; or if a file holds the
        records of another.
    """
    for track in folders_of(results):
        for study, folder in _studies_of(track):
            if studies and study not in studies:
                continue
            beside = files_of(track / NETWORKS) if study == DETECTION else []
            known = {path: read_networks(path) for path in beside}
            for path in files_of(folder):
                file = read_records(path, known)
                below = () if file.study == DETECTION else (file.study,)
                in_its_place(path, file.track, *below, file.row)
                yield file


def _studies_of(track: Path) -> Iterator[tuple[str, Path]]:
    """The studies of a track, OOD detection first, and where their files lie."""
    yield DETECTION, track
    yield from ((folder.name, folder) for folder in folders_of(track) if folder.name != NETWORKS)


def paths_below(results: Path) -> list[Path]:
    """Every file that `iterate` reads, and those of the networks."""
    found = []
    for track in folders_of(results):
        for folder in (track, *folders_of(track)):
            found += files_of(folder)
    return found


def write_files(files: Mapping[Path, RecordFile]) -> list[Path]:
    """Write files of records and the networks that they refer to; those that changed.

    Networks that no record refers to any more go. Whoever else may write the same files is kept out by
    `benchmark.records.text.results_lock`.

    Raises
    ------
    ValueError
        If a record says what cannot be.
    DataError
        If a file of networks that is to be updated cannot be read.
    StorageError
        If the folder is read-only or full.
    """
    texts = {}
    wanted: dict[Path, dict[str, Any]] = {}
    for path, file in files.items():
        texts[path], found = text_of(file)
        for objective, networks in found.items():
            wanted.setdefault(path_of(path.parent, objective), {}).update(networks)
    there = {path: {name: n.said for name, n in read_networks(path).items()} for path in wanted}
    changed = []
    # A network is there before the records that refer to it, and goes after them.
    for path, found in wanted.items():
        if found.keys() - there[path].keys():
            write_changed(path, of_networks.text_of(path, {**there[path], **found}))
    for path, text in texts.items():
        if write_changed(path, text):
            changed.append(path)
    used = {folder: of_networks.references(folder) for folder in {path.parent.parent for path in wanted}}
    for path, found in wanted.items():
        kept = {n: said for n, said in {**there[path], **found}.items() if n in used[path.parent.parent]}
        if kept.keys() != there[path].keys():
            write_changed(path, of_networks.text_of(path, kept))
            changed.append(path)
    return changed


def text_of(file: RecordFile) -> tuple[str, dict[str, dict[str, Any]]]:
    """The text of a file of records, and what belongs to their networks: by objective and name."""
    family = family_of(file.study)
    for record in file.records:
        family.check(record)
    apart: dict[str, dict[str, Any]] = {}
    kept = [_without_network(record, family, apart) for record in file.records]
    columns = Columns([said["numbers"] for said in kept])
    tables = {name: Table() for name in _SHARED} | {COLUMNS: columns.table}
    records = []
    for record, said in zip(file.records, kept, strict=True):
        records.append(_parts(record, said, tables, columns, family))
    for name in _SHARED:
        lines = [parts[0] for parts in records]
        if all(name in line for line in lines):
            refer(lines, name, tables[name].values)
    cost = _COST[: max([_ALWAYS, *(len(parts[0].get("cost", ())) for parts in records)])]
    head = {"schema_version": SCHEMA, **{name: getattr(file, name) for name in _HEAD}, "cost": list(cost)}
    places = {name: place.model_dump(exclude_none=True) for name, place in file.environments.items()}
    used = {name: tables[name].values for name in _SHARED if tables[name].values}
    return document(head, {"environments": places, **used}, {"records": records}), apart


def _without_network(record: Record, family: Family, apart: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What a record says, as it is written; what belongs to its network goes apart."""
    said = record.model_dump(exclude_none=True, exclude_defaults=True)
    said.setdefault("numbers", {})
    if not family.apart or _NETWORK_OF not in record.settings:
        return said
    of = apart.setdefault(str(record.settings[_NETWORK_OF]), {})
    if record.provenance is None or record.status != "measured":
        return said
    network = of_networks.shared_part(record, family.of_network)
    name = name_of(network)
    of[name] = network
    for field in ("numbers", "series", "provenance", "cost"):
        there = network.get(field, network)
        said[field] = {key: value for key, value in said.get(field, {}).items() if key not in there}
    said.pop("training", None)
    return said | {NETWORK: name}


def _parts(
    record: Record, said: dict[str, Any], tables: Mapping[str, Table], columns: Columns, family: Family
) -> list[dict[str, Any]]:
    """A record as parts, a line each; what it shares goes into the tables."""
    provenance, cost = said.pop("provenance", None), said.pop("cost", None)
    series = written(said.pop("series", {}), family.images(record.settings, record.numbers))
    axes = {name: series.pop(name) for name in _axes(series)}
    numbers = columns.packed(said.pop("numbers"))
    more = [{name: value} for name in ("warnings", "pictures") if (value := said.pop(name, None))]
    for name in ("settings", "training", "made_of"):
        if name in said:
            said[name] = tables[name].add(said[name])
    if axes:
        said["axes"] = tables["axes"].add(axes)
    if numbers:
        said[COLUMNS] = numbers.pop(COLUMNS)
    if provenance is not None:
        said["made"] = tables["made"].add({n: provenance.pop(n) for n in _MADE if n in provenance})
        said |= provenance
    if cost is not None:
        more_than_always = cost.keys() & set(_COST[_ALWAYS:])
        said["cost"] = [cost.get(name) for name in (_COST if more_than_always else _COST[:_ALWAYS])]
    curves = [{"series": series}] if series else []
    return [said, numbers, *curves, *more]


def _axes(series: Mapping[str, Any]) -> list[str]:
    """The series that others are over: many records have the same."""
    over = {by for name in series for _, sep, by in [name.partition("_by_")] if sep}
    return [name for name in series if name in over]


def _shared_by_all(lines: Any, tables: Mapping[str, Any]) -> dict[str, str]:
    """What all records of a file refer to, where none says so: the only value of a table."""
    named = (
        {name for line in lines if isinstance(line, dict) for name in line} if isinstance(lines, list) else ()
    )
    return {
        name: next(iter(table)) for name, table in tables.items() if len(table) == 1 and name not in named
    }


def _record(line: dict[str, Any], tables: Mapping[str, Any], networks: Networks, family: Family) -> Record:
    """The record that parts make."""
    found = {name: look_up(tables[name], name, line) for name in _SHARED if name in line and name != COLUMNS}
    said = {name: value for name, value in line.items() if name not in _SHARED}
    said |= {name: found[name] for name in ("settings", "training", "made_of") if name in found}
    said["numbers"] = unpacked(line, tables[COLUMNS])
    said["series"] = {**found.get("axes", {}), **line.get("series", {})}
    own = {name: said.pop(name) for name in _OWN if name in said}
    if "made" in found:
        said["provenance"] = {**found["made"], **own}
    elif own:
        raise ValueError(f"{', '.join(own)}: expected with what made the record, which is missing")
    if "cost" in said:
        cost = said["cost"]
        if not isinstance(cost, list) or len(cost) not in (_ALWAYS, len(_COST)):
            raise ValueError(f"cost: expected a list of {', '.join(_COST)}, got {cost!r:.80}")
        said["cost"] = {name: value for name, value in zip(_COST, cost, strict=False) if value is not None}
    if NETWORK in said:
        said = of_networks.joined(said, networks)
    said["series"] = read(said["series"], family.images(said.get("settings", {}), said["numbers"]))
    record = Record.model_validate(said)
    family.check(record)
    return record


def _networks_beside(path: Path, settings: Mapping[str, Any], known: dict[Path, Networks]) -> Networks:
    """The networks that a file of records refers to."""
    found: Networks = {}
    named = {str(of[_NETWORK_OF]) for of in settings.values() if isinstance(of, dict) and _NETWORK_OF in of}
    for objective in sorted(named):
        try:
            at = path_of(path.parent, objective)
        except ValueError as error:
            raise DataError(f"{path}: objective: {error}") from error
        if at not in known:
            known[at] = read_networks(at)
        found |= known[at]
    return found
