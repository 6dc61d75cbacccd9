"""Networks of a plan, out of the cache into a folder in the form of a repository of the Hugging Face Hub."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmark.networks.cards import CARD, FOLDER, KINDS, Card, Stored, folder_of
from benchmark.plan.plan import Plan, Planned
from benchmark.records.record import Environment
from benchmark.spec.leaderboard import Spec
from benchmark.store.artifacts import Artifact, Store
from benchmark.store.files import flush, require_writable, storage_errors, write_changed

README = "README.md"


@dataclass(frozen=True)
class Exported:
    """What an export came to."""

    written: list[Card]
    there: list[str]  # keys of networks that the folder holds already
    missing: list[str]  # labels of networks that the cache lacks


def networks_of(plan: Plan) -> dict[str, Planned]:
    """The networks that a plan rests on, those that others go on from included: a training by each key."""
    found: dict[str, Planned] = {}
    for training in plan.trainings:
        for key in (*training.chain.values(), *training.starts):
            if plan.jobs[key].kind in KINDS:
                found.setdefault(key, training)
        found[training.key] = training
    return found


def export(plan: Plan, spec: Spec, store: Store, out: Path, licence: str) -> Exported:
    """Write every network of a plan that the cache holds; what is in the folder already stays.

    Parameters
    ----------
    licence : under which the weights are given away.

    Raises
    ------
    DamagedArtifact
        If a network in the cache does not match its checksums.
    StorageError
        If the folder cannot be written. Networks in it are whole, or not there.
    """
    require_writable(out / FOLDER)
    written, there, missing = [], [], []
    for key, training in networks_of(plan).items():
        if not store.has(key):
            missing.append(plan.jobs[key].label)
        elif (folder_of(out, key) / CARD).exists():
            there.append(key)
        else:
            artifact = store.open(key)
            card = _card(artifact, training, spec, licence)
            _copy(artifact, card, out)
            written.append(card)
    with storage_errors(out):
        write_changed(out / README, _readme(licence, {one.place.track for one in plan.trainings}))
    return Exported(written, there, missing)


def _card(artifact: Artifact, training: Planned, spec: Spec, licence: str) -> Card:
    made, place = artifact.manifest["made"], training.place
    return Card(
        key=artifact.key,
        kind=made["kind"],
        label=made["label"],
        track=place.track,
        backbone=place.backbone,
        init=place.init,
        seed=place.seed,
        objective=place.row,
        training=training.training if artifact.key == training.key else None,
        licence=licence,
        data=dict(_licences(spec, place.track)),
        files={name: Stored(**said) for name, said in artifact.manifest["files"].items()},
        environment=Environment.model_validate(made["environment"]),
        date=made["date"],
        seconds=made["seconds"],
        peak_memory_mb=made.get("peak_memory_mb"),
        code=made["code"],
    )


def _licences(spec: Spec, track: str) -> Iterator[tuple[str, str]]:
    from benchmark.datasets.declared import datasets_of

    known = datasets_of(spec)
    name = spec.tracks[track].id.dataset
    yield name, known[name].card.licence


def _copy(artifact: Artifact, card: Card, out: Path) -> None:
    """The files and the card, under the key, whole."""
    final = folder_of(out, card.key)
    with storage_errors(final):
        draft = Path(tempfile.mkdtemp(prefix=f".{card.key}-", dir=final.parent))
        try:
            for name in card.files:
                shutil.copyfile(artifact.folder / name, draft / name)
                flush(draft / name)
            text = json.dumps(card.model_dump(mode="json", exclude_none=True), indent=1, allow_nan=False)
            (draft / CARD).write_text(text + "\n", encoding="utf-8")
            flush(draft / CARD)
            draft.chmod(0o755)
            draft.rename(final)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _readme(licence: str, tracks: set[str]) -> str:
    named = ", ".join(sorted(tracks))
    return f"""\
---
license: {json.dumps(licence)}
library_name: timm
tags: [out-of-distribution-detection, oodbench]
---

# Networks of oodbench

Networks of {named}, trained by oodbench; its rows on these tracks stand on them.
`networks/<content key>/card.json` says where a network stands, how it was trained, on what and where, and
the SHA-256 of its files. `oodbench networks get` puts them into the cache, so that a new detector is measured
on the same networks without training anything.
"""
