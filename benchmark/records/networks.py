"""What the records of one network share: ``results/<track>/networks/<objective>.json``.

How a network was trained, classifies and is calibrated stands once, and not in each of the many entries that
score it. Its name is a hash of all of that, so that a record whose network was another, as of another
checkpoint, keeps it beside today's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchmark.errors import DataError
from benchmark.records.columns import COLUMNS, Columns, unpacked
from benchmark.records.record import NETWORKS, SCHEMA, Record, TrainedWith
from benchmark.records.text import (
    Table,
    document,
    files_of,
    look_up,
    parse,
    read_each,
    record_path,
    refer,
    shared,
    to_json,
)

NETWORK = "network"  # what a record says instead
_WHAT = "networks"
_PLACE = ("backbone", "init", "seed")
_COST = ("pretrain_seconds", "train_seconds")
_PROVENANCE = ("checkpoint", "trained_in", "seeds")
_REFERENCE = re.compile(rb'"network"\s*:\s*"([0-9a-f]+)"')


class Network(NamedTuple):
    """What the records of one network share."""

    said: Mapping[str, Any]  # all of it, as its name is the hash of
    training: TrainedWith | None


Networks = dict[str, Network]


def path_of(folder: Path, objective: str) -> Path:
    """Where the networks of an objective lie, beside the entries of a track."""
    return record_path(folder, NETWORKS, objective)


def shared_part(record: Record, of_network: Callable[[str], bool]) -> dict[str, Any]:
    """What of a record belongs to its network."""
    assert record.provenance is not None
    costs = {n: v for n in _COST if (v := getattr(record.cost, n, None)) is not None}
    return {
        **{name: getattr(record, name) for name in _PLACE},
        **{name: getattr(record.provenance, name) for name in _PROVENANCE},
        **costs,
        "training": record.training and record.training.model_dump(exclude_none=True),
        "numbers": {path: value for path, value in record.numbers.items() if of_network(path)},
        "series": {name: values for name, values in record.series.items() if of_network(name)},
    }


def joined(line: dict[str, Any], networks: Mapping[str, Network]) -> dict[str, Any]:
    """A record that was read, with what it shares with the others of its network.

    Raises
    ------
    LookupError
        If there is no such network.
    """
    name = line.pop(NETWORK)
    if not isinstance(name, str) or name not in networks:
        raise LookupError(f"network: expected one of the folder {NETWORKS!r}, got {name!r:.80}")
    network, training = networks[name]
    line["numbers"] = {**network["numbers"], **line.get("numbers", {})}
    line["series"] = {**network["series"], **line.get("series", {})}
    line["provenance"] = line.get("provenance", {}) | {n: network[n] for n in _PROVENANCE}
    line["cost"] = {n: network[n] for n in _COST if n in network} | (line.get("cost") or {})
    return line if training is None else line | {"training": training}


def read_networks(path: Path) -> Networks:
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
    columns = shared(path, COLUMNS, content.get(COLUMNS))
    lines = content.get(NETWORKS)
    if not isinstance(lines, dict):
        raise DataError(f"{path}: {NETWORKS}: expected networks by name, got {to_json(lines):.80}")
    found = read_each(path, _WHAT, [*lines.values()], _PLACE, lambda line: _network(line, ways, columns))
    shared(path, NETWORKS, {name: network.said for name, network in zip(lines, found, strict=True)})
    return dict(zip(lines, found, strict=True))


def text_of(path: Path, networks: Mapping[str, Mapping[str, Any]]) -> str:
    """The text of a file of networks, which are given by name."""

    def place(item: tuple[str, Mapping[str, Any]]) -> tuple[Any, ...]:
        name, said = item
        return said["backbone"], said["init"], said["seed"], name

    head = {"schema_version": SCHEMA, "track": path.parent.parent.name, "objective": path.stem}
    ways, columns = Table(), Columns([said["numbers"] for said in networks.values()])
    lines = {
        name: {**said, "training": ways.add(said["training"]), **columns.packed(said["numbers"])}
        for name, said in sorted(networks.items(), key=place)
    }
    refer(lines.values(), "training", ways.values)
    refer(lines.values(), COLUMNS, columns.table.values)
    return document(head, {"training": ways.values, COLUMNS: columns.table.values, NETWORKS: lines}, {})


def references(folder: Path) -> set[str]:
    """The networks that the entries of a track refer to."""
    return {name.decode() for path in files_of(folder) for name in _REFERENCE.findall(path.read_bytes())}


def _network(line: Any, ways: Mapping[str, Any], columns: Mapping[str, Any]) -> Network:
    way = look_up(ways, "training", line)
    numbers = {path: float(value) for path, value in unpacked(line, columns).items()}
    said = {name: value for name, value in line.items() if name != COLUMNS}
    training = None if way is None else TrainedWith.model_validate(way)
    return Network(said | {"training": way, "numbers": numbers}, training)
