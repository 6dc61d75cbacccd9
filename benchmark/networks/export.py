"""Networks of a plan, out of the cache into a folder in the form of a repository of the Hugging Face Hub."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmark.datasets.declared import datasets_of
from benchmark.jobs.job import Job, Kind
from benchmark.networks.asked import Asked, asked_of
from benchmark.networks.cards import CARD, FOLDER, INDEX, README, Card, Index, Stored
from benchmark.networks.shelf import Shelf
from benchmark.plan.plan import Plan
from benchmark.records.numbers import StrictModel
from benchmark.records.record import Environment
from benchmark.spec.leaderboard import Spec
from benchmark.store.artifacts import Artifact, Store
from benchmark.store.files import alone_in, delete, flush, require_writable, storage_errors, write_changed

_DRAFT = ".draft-"
_UNKNOWN = "not stated by who published them"


@dataclass(frozen=True)
class Exported:
    """What an export came to."""

    written: list[Card]
    there: list[str]  # keys of networks that the folder holds already
    missing: list[str]  # labels of networks that the cache lacks
    index: str  # SHA-256 of the folder's index


def export(plan: Plan, spec: Spec, store: Store, out: Path, licence: str) -> Exported:
    """Write every network of a plan that the cache holds; what is in the folder already stays.

    Parameters
    ----------
    licence : under which the weights that were trained here are given away.

    Raises
    ------
    DamagedArtifact
        If a network in the cache does not match its checksums.
    DataError
        If the folder holds a network whose card cannot be read.
    StorageError
        If the folder cannot be written, or another export is writing to it. Networks in it are whole, or not
        there.
    """
    shelf = Shelf(out)
    require_writable(out / FOLDER)
    written, there, missing = [], [], []
    with alone_in(out / FOLDER):
        for left in (out / FOLDER).glob(f"{_DRAFT}*"):
            delete(left)
        for key, asked in asked_of([plan]).items():
            if not store.has(key):
                missing.append(asked.job.label)
            elif (shelf.folder(key) / CARD).exists():
                there.append(key)
            else:
                artifact = store.open(key)
                card = _card(artifact, asked, licence, _made_from(key, plan.jobs, spec, store))
                _copy(artifact, card, shelf)
                written.append(card)
        listed = {key: shelf.card(key).listed(shelf.card_sha256(key)) for key in shelf.folders()}
        index = Index(networks=listed)
        write_changed(out / INDEX, _text(index))
        write_changed(out / README, _readme(licence, index))
    return Exported(written, there, missing, shelf.sha256)


def _card(artifact: Artifact, asked: Asked, licence: str, made_from: Mapping[str, str]) -> Card:
    made, files = artifact.manifest["made"], artifact.manifest["files"]
    place, training = next(iter(asked.places.items()))
    others = _published(asked.job)
    return Card(
        key=artifact.key,
        place=place,
        training=training,
        licence=made_from.get(others, _UNKNOWN) if others else licence,
        made_from=dict(made_from),
        files={name: Stored(**said) for name, said in files.items()},
        environment=Environment.model_validate(made["environment"]),
        code=made["code"],
        date=made["date"],
        seconds=made["seconds"],
        peak_memory_mb=made["peak_memory_mb"],
        peak_device_memory_mb=made.get("peak_device_memory_mb"),
        least_batch=made.get("least_batch"),
    )


def _made_from(key: str, jobs: Mapping[str, Job], spec: Spec, store: Store) -> dict[str, str]:
    """Licences of the datasets and of the published weights that a network was made of."""
    known, found, seen, todo = datasets_of(spec), dict[str, str](), set[str](), [key]
    while todo:
        job = jobs[one := todo.pop()]
        seen.add(one)
        todo += [needed for needed in job.needs if needed not in seen]
        if job.kind == Kind.DATA:
            found[f"dataset {job.config.dataset}"] = known[job.config.dataset].card.licence
        elif (weights := _published(job)) is not None and store.has(one):
            said = store.open(one).json("source").get("licence")
            found[weights] = str(said or _UNKNOWN)
    return dict(sorted(found.items()))


def _published(job: Job) -> str | None:
    """What a job's weights are, if others published them; None if it is a training."""
    if job.kind != Kind.PRETRAIN or "training" in job.config.init or "of" in job.config.init:
        return None
    init = job.config.init
    name = init.get("repository") or init.get("tag") or init.get("sha256", "")[:12]
    return f"weights {job.config.architecture} {name}".strip()


def _copy(artifact: Artifact, card: Card, shelf: Shelf) -> None:
    """The files and the card, under the key, whole."""
    final = shelf.folder(card.key)
    with storage_errors(final):
        draft = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=final.parent))
        try:
            for name in card.files:
                shutil.copyfile(artifact.folder / name, draft / name)
                flush(draft / name)
            (draft / CARD).write_text(_text(card), encoding="utf-8")
            flush(draft / CARD)
            draft.chmod(0o755)
            draft.rename(final)
            flush(final.parent)
        finally:
            delete(draft)


def _text(of: StrictModel) -> str:
    said = of.model_dump(mode="json")
    return json.dumps(said, indent=1, allow_nan=False, sort_keys=True) + "\n"


def _readme(licence: str, index: Index) -> str:
    return f"""\
---
license: {json.dumps(licence)}
library_name: timm
tags: [out-of-distribution-detection, oodbench]
---

# Networks of oodbench

{len(index.networks)} networks, trained by oodbench, on which rows of its leaderboards stand.
`{INDEX}` lists them by content key; `{FOLDER}/<key>/{CARD}` says where a network stands, how it was trained,
on what and where, its licence and those of what it was made from, and the SHA-256 of its files.

| track | backbone | init | objective | networks | MB |
| --- | --- | --- | --- | --- | --- |
{"".join(_rows(index))}
`oodbench networks get` puts them into the cache, so that a new detector is measured on the same networks
without training anything; `oodbench networks check FOLDER` checks a copy of this repository.
"""


def _rows(index: Index) -> Iterator[str]:
    groups: dict[tuple[str, ...], list[int]] = {}
    for listed in index.networks.values():
        place = listed.place
        groups.setdefault(
            (place.track, place.backbone, place.init, place.objective or "(pre-trained)"), []
        ).append(listed.bytes)
    for names, sizes in sorted(groups.items()):
        yield f"| {' | '.join(names)} | {len(sizes)} | {sum(sizes) / 1e6:,.1f} |\n"
