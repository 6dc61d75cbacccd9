"""Files of records: one an entry, ``results/<track>/<entry>.json``, beside what belongs to networks.

What many entries share stands once, in ``results/<track>/networks/<objective>.json``: how a network was
trained, classifies and is calibrated. Its name there is a hash of all of that, so that a record whose network
was another, as of another checkpoint, keeps it beside today's. Within an entry's file, what made the records
and the sizes of the OOD sets stand in the table ``made``.

Means over sets are not written, but for AUROC: they follow from the sets. Shares of images are written as the
counts of images, integers, where these give back the same numbers, and rates as the counts that they rise by.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from benchmark.errors import DataError
from benchmark.records.schema import (
    BOUNDARY,
    DETECTED,
    GROUPS,
    SCHEMA,
    Classification,
    Measurement,
    Record,
    RecordFile,
    Selective,
    TrainedWith,
)
from benchmark.records.text import (
    MADE_OF,
    Table,
    document,
    files_of,
    in_its_place,
    look_up,
    parse,
    read_each,
    read_whole,
    record_path,
    refer,
    shared,
    to_json,
    tracks_of,
    write_changed,
)

NETWORKS = "networks"  # the folder beside the files of a track's entries
_COST = ("extract_seconds", "score_seconds", "measure_seconds", "peak_memory_mb")  # of a cell
_OF_NETWORK = ("pretrain_seconds", "train_seconds")
_SELECTIVE = tuple(Selective.model_fields)
_RATES = ("tpr_near", "tpr_far")
_HISTOGRAMS = ("histogram_id", "histogram_near", "histogram_far")
_COLUMNS = {"detection": list(DETECTED), "selective": list(_SELECTIVE), "cost": list(_COST)}
_PLACE = ("backbone", "init", "seed")
_HEAD = ("track", "entry", "objective", "detector")
_SETTINGS = ("hyperparameters", "hp_mode", "tuning", "networks")
_DEFAULTS = {name: Record.model_fields[name].get_default(call_default_factory=True) for name in _SETTINGS}
_WHAT = "records"
_REFERENCE = re.compile(rb'"network":"([0-9a-f]+)"')


class NetworkLine(NamedTuple):
    """What the records of one network share."""

    line: Mapping[str, Any]  # as it is written
    classification: Classification
    training: TrainedWith | None


NetworkLines = dict[str, NetworkLine]


def networks_path(folder: Path, objective: str) -> Path:
    """Where the networks of an objective lie, beside the entries of a track."""
    return record_path(folder, NETWORKS, objective)


def read_networks(path: Path) -> NetworkLines:
    """The networks of one objective by their names; none if there is no such file.

    Raises
    ------
    DataError
        If the file is not of this schema, or says of a network what cannot be.
    """
    if not path.exists():
        return {}
    content = parse(path, _WHAT)
    ways = shared(path, "training", content.get("training"))
    lines = content.get(NETWORKS)
    if not isinstance(lines, dict):
        raise DataError(f"{path}: {NETWORKS}: expected networks by name, got {to_json(lines):.80}")
    found = read_each(path, _WHAT, [*lines.values()], _PLACE, lambda line: _network(line, ways))
    shared(path, NETWORKS, {name: network.line for name, network in zip(lines, found, strict=True)})
    return dict(zip(lines, found, strict=True))


def read_file(path: Path, networks: Mapping[str, NetworkLine] | None = None) -> RecordFile:
    """Read one record file.

    Parameters
    ----------
    networks : those of the entry's objective, where they have been read already.

    Raises
    ------
    DataError
        If it is not JSON, not of this schema, or says what cannot be: names the file, the cell, the place,
        what was seen and what was expected.
    """
    content = parse(path, _WHAT)
    if (columns := content.pop("columns", None)) != _COLUMNS:
        raise DataError(f"{path}: columns: expected {to_json(_COLUMNS)}, got {to_json(columns):.80}")
    tables = {
        "made": shared(path, "made", content.pop("made", None)),
        MADE_OF: shared(path, MADE_OF, content.pop(MADE_OF, {})),
    }
    known = networks_of(path, content) if networks is None else networks
    lines = content.get("records")
    content["records"] = read_each(path, _WHAT, lines, _PLACE, lambda line: _record(line, tables, known))
    return read_whole(path, _WHAT, RecordFile, content)


def networks_of(path: Path, content: Mapping[str, Any]) -> NetworkLines:
    """The networks that a record file refers to."""
    try:
        return read_networks(networks_path(path.parent, str(content["objective"])))
    except ValueError as error:
        raise DataError(f"{path}: objective: {error}") from error


def iterate(results: Path) -> Iterator[RecordFile]:
    """Read the record files below `results` one after the other, sorted by path.

    What was read is let go with the file: a reader that keeps little needs little memory.

    Raises
    ------
    DataError
        As `read_file`; or if a folder cannot be read, or holds what is no file; or if a file holds the
        records of another.
    """
    for track in tracks_of(results):
        if track.name == BOUNDARY:
            continue
        networks: NetworkLines = {}
        for path in files_of(track / NETWORKS):
            networks |= read_networks(path)
        for path in files_of(track):
            file = read_file(path, networks)
            in_its_place(path, file.track, file.entry)
            yield file


def texts_of(file: RecordFile) -> tuple[str, dict[str, Any]]:
    """The text of a record file, and the lines of its networks by name."""
    made, made_of, networks = Table(), Table(), Table()
    records = [_parts(record, made, networks) for record in file.records]
    for parts, record in zip(records, file.records, strict=True):
        if record.made_of is not None:
            parts[0][MADE_OF] = made_of.add(record.made_of)
    refer((parts[0] for parts in records), "made", made.values)
    head = {
        "schema_version": SCHEMA,
        **{name: getattr(file, name) for name in _HEAD},
        "columns": _COLUMNS,
    }
    places = {name: place.model_dump(exclude_none=True) for name, place in file.environments.items()}
    tables = {"environments": places, "made": made.values}
    if made_of.values:
        tables[MADE_OF] = made_of.values
    return document(head, tables, {"records": records}), networks.values


def write_files(files: Mapping[Path, RecordFile]) -> list[Path]:
    """Write record files and the networks that they refer to; those that changed.

    Networks that no record refers to any more go. Whoever else may write the same files is kept out by
    `benchmark.records.text.results_lock`.

    Raises
    ------
    DataError
        If a file of networks that is to be updated cannot be read.
    StorageError
        If the folder is read-only or full.
    """
    texts = {}
    wanted: dict[Path, dict[str, Any]] = {}
    for path, file in files.items():
        texts[path], found = texts_of(file)
        wanted.setdefault(networks_path(path.parent, file.objective), {}).update(found)
    there = {path: {name: n.line for name, n in read_networks(path).items()} for path in wanted}
    written = []
    # A network is there before the records that refer to it, and goes after them.
    for path, found in wanted.items():
        if found.keys() - there[path].keys():
            write_changed(path, _networks_text(path, {**there[path], **found}))
    for path, text in texts.items():
        if write_changed(path, text):
            written.append(path)
    used = {folder: _references(folder) for folder in {path.parent for path in files}}
    for path, found in wanted.items():
        kept = {n: line for n, line in {**there[path], **found}.items() if n in used[path.parent.parent]}
        if kept.keys() != there[path].keys():
            write_changed(path, _networks_text(path, kept))
            written.append(path)
    return written


def _references(folder: Path) -> set[str]:
    """The networks that the entries of a track refer to."""
    return {name.decode() for path in files_of(folder) for name in _REFERENCE.findall(path.read_bytes())}


def _networks_text(path: Path, lines: Mapping[str, Mapping[str, Any]]) -> str:
    def place(item: tuple[str, Mapping[str, Any]]) -> tuple[Any, ...]:
        name, line = item
        return line["backbone"], line["init"], line["seed"], name

    head = {"schema_version": SCHEMA, "track": path.parent.parent.name, "objective": path.stem}
    ways = Table()
    named = {name: {**line, "training": ways.add(line["training"])} for name, line in lines.items()}
    refer(named.values(), "training", ways.values)
    tables = {"training": ways.values, NETWORKS: dict(sorted(named.items(), key=place))}
    return document(head, tables, {})


def _network(line: Any, ways: Mapping[str, Any]) -> NetworkLine:
    way = look_up(ways, "training", line)
    classification = Classification.model_validate(line["classification"])
    training = None if way is None else TrainedWith.model_validate(way)
    return NetworkLine({**line, "training": way}, classification, training)


def _parts(record: Record, made: Table, networks: Table) -> list[dict[str, Any]]:
    """A record as parts, a line each; what it shares goes into the tables."""
    place = {"backbone": record.backbone, "init": record.init, "seed": record.seed}
    measured, provenance, cost = record.measurement, record.provenance, record.cost
    if measured is None or provenance is None:
        rest = record.model_dump(exclude_none=True, exclude={*place, "hyperparameters", MADE_OF})
        return [place, rest, {"hyperparameters": record.hyperparameters}]
    curves = measured.curves
    network = {
        **place,
        "checkpoint": provenance.checkpoint,
        "trained_in": provenance.trained_in,
        "seeds": provenance.seeds,
        **({} if cost is None else {n: v for n in _OF_NETWORK if (v := getattr(cost, n)) is not None}),
        "training": record.training and record.training.model_dump(exclude_none=True),
        "classification": measured.classification.model_dump(exclude_none=True),
        "shifts": {
            shift: {what: [getattr(level, what) for level in levels] for what in ("accuracy", "ece")}
            for shift, levels in measured.robustness.items()
        },
    }
    source = {
        "measured_in": provenance.measured_in,
        "method_source": provenance.method_source,
        "data": provenance.data,
        "sets": {name: [d.group, d.n_in, d.n_out] for name, d in measured.detection.items()},
        "fpr": curves.fpr,
    }
    settings = {name: getattr(record, name) for name in _SETTINGS if getattr(record, name) != _DEFAULTS[name]}
    if record.tuning is not None:
        settings["tuning"] = [candidate.model_dump() for candidate in record.tuning]
    sets = measured.detection
    return [
        {
            **place,
            "key": record.key,
            "network": networks.add(network),
            "made": made.add(source),
            "date": provenance.date,
            **({} if record.reason is None else {"reason": record.reason}),
            **({} if cost is None else {"cost": [getattr(cost, name) for name in _COST]}),
        },
        settings,
        {
            "auroc": {group: getattr(measured, group).auroc for group in GROUPS},
            "detection": {name: [getattr(found, n) for n in DETECTED] for name, found in sets.items()},
            "selective": [getattr(measured.selective, name) for name in _SELECTIVE],
        },
        {
            "auroc_near": {
                shift: [level.auroc_near for level in levels] for shift, levels in measured.robustness.items()
            }
        },
        {"curves": _written_curves(measured)},
    ]


def _written_curves(measured: Measurement) -> dict[str, Any]:
    curves, images = (
        measured.curves,
        _images([(d.group, d.n_in, d.n_out) for d in measured.detection.values()]),
    )
    counts = {name: _counts(getattr(curves, name), images[name]) for name in (*_RATES, *_HISTOGRAMS)}
    for name in _RATES:
        if (found := counts[name]) is not None:
            counts[name] = [b - a for a, b in zip([0, *found], found, strict=False)]
    return {
        "scores": [curves.score_low, curves.score_high],
        **{name: getattr(curves, name) if of is None else of for name, of in counts.items()},
    }


def _read_curves(line: Any, fpr: Any, images: Mapping[str, int]) -> dict[str, Any]:
    low, high = _named("curves.scores", ("low", "high"), line["scores"]).values()
    series = {name: line[name] for name in (*_RATES, *_HISTOGRAMS)}
    if odd := line.keys() - {"scores", *series}:
        raise ValueError(f"curves: expected scores, {', '.join(series)}, got {', '.join(sorted(odd))}")
    for name, values in series.items():
        if isinstance(values, list) and values and all(type(value) is int for value in values):
            counts = accumulate(values) if name in _RATES else values
            series[name] = [count / images[name] for count in counts]
    return {"fpr": fpr, "score_low": low, "score_high": high, **series}


def _record(line: Any, tables: Mapping[str, Any], networks: Mapping[str, NetworkLine]) -> Record:
    """The record that parts make."""
    if MADE_OF in line:
        line = {**line, MADE_OF: look_up(tables[MADE_OF], MADE_OF, line)}
    if "network" not in line:
        return Record.model_validate(line)
    line = dict(line)
    name = line.pop("network")
    if not isinstance(name, str) or name not in networks:
        raise LookupError(f"network: expected one of the folder {NETWORKS!r}, got {name!r:.80}")
    network = networks[name]
    shared_line = network.line
    source = look_up(tables["made"], "made", line)
    line.pop("made", None)
    sets = {
        name: {"group": group, "n_in": n_in, "n_out": n_out}
        for name, (group, n_in, n_out) in source["sets"].items()
    }
    detection = line.pop("detection")
    if detection.keys() != sets.keys():
        raise ValueError(f"detection: expected {', '.join(sets)}, got {', '.join(detection)}")
    found = {
        name: {**sets[name], **_named("detection", DETECTED, values)} for name, values in detection.items()
    }
    aurocs = line.pop("auroc")
    means = {}
    for group in GROUPS:
        members = [values for name, values in detection.items() if sets[name]["group"] == group]
        columns = zip(DETECTED, zip(*members, strict=True), strict=False)
        means[group] = {name: sum(column) / len(members) for name, column in columns}
        means[group]["auroc"] = aurocs[group]
    shifted = line.pop("auroc_near")
    if shifted.keys() != shared_line["shifts"].keys():
        raise ValueError(f"auroc_near: expected {', '.join(shared_line['shifts'])}, got {', '.join(shifted)}")
    cost = line.pop("cost", None)
    return Record.model_validate(
        {
            "status": "measured",
            "measurement": {
                "classification": network.classification,
                "detection": found,
                **means,
                "selective": _named("selective", _SELECTIVE, line.pop("selective")),
                "robustness": {
                    shift: _levels(shift, shared_line["shifts"][shift], values)
                    for shift, values in shifted.items()
                },
                "curves": _read_curves(
                    line.pop("curves"), source["fpr"], _images([*source["sets"].values()])
                ),
            },
            "cost": cost
            and {
                **{name: shared_line[name] for name in _OF_NETWORK if name in shared_line},
                **_named("cost", _COST, cost),
            },
            "provenance": {
                "date": line.pop("date"),
                **{name: source[name] for name in ("measured_in", "method_source", "data")},
                **{name: shared_line[name] for name in ("checkpoint", "trained_in", "seeds")},
            },
            **({} if network.training is None else {"training": network.training}),
            **line,
        }
    )


def _named(what: str, names: tuple[str, ...], values: Any) -> dict[str, Any]:
    if not isinstance(values, list) or len(values) != len(names):
        raise ValueError(f"{what}: expected a list of {', '.join(names)}, got {to_json(values):.120}")
    return dict(zip(names, values, strict=True))


def _levels(shift: str, network: Mapping[str, Any], auroc_near: list[Any]) -> list[dict[str, Any]]:
    accuracy, ece = network["accuracy"], network["ece"]
    if not len(accuracy) == len(ece) == len(auroc_near):
        raise ValueError(
            f"auroc_near.{shift}: expected {len(accuracy)} severities, as its network has, "
            f"got {len(auroc_near)}"
        )
    return [
        {"severity": severity, "accuracy": a, "ece": e, "auroc_near": near}
        for severity, (a, e, near) in enumerate(zip(accuracy, ece, auroc_near, strict=True))
    ]


def _images(sets: Sequence[Sequence[Any]]) -> dict[str, int]:
    """Of how many images each series is the share, for sets of group, ID images and OOD images.

    A mean over sets counts the ID images for each of them.
    """
    n_in = next((n_in for _, n_in, _ in sets), 1)
    groups = {group: [n_out for of, _, n_out in sets if of == group] for group in GROUPS}
    return {
        "histogram_id": n_in,
        **{f"tpr_{group}": n_in * len(n_out) for group, n_out in groups.items()},
        **{f"histogram_{group}": sum(n_out) for group, n_out in groups.items()},
    }


def _counts(shares: list[float], of: int) -> list[int] | None:
    """Shares as counts of images, if these give back the same shares."""
    counts = [round(share * of) for share in shares]
    return counts if [float(f"{count / of:.4g}") for count in counts] == shares else None
