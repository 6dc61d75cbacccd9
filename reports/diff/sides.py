"""A side of a comparison: a folder of records, or a revision of git, whose snapshot the cache keeps.

A snapshot is known by what it is made of: git's hashes of the records and of leaderboard.yaml, the register
of claims, our code, what methods declare, and the libraries that compute. So a build without the cache gives
the same, only later.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from benchmark.errors import DamagedArtifact, OodbenchError, StorageError, UsageError
from benchmark.records.files import iterate
from benchmark.spec.load import load_spec
from benchmark.spec.shipped import RESULTS, find_leaderboard
from benchmark.store.artifacts import Store, default_cache
from benchmark.store.files import read_regular
from benchmark.store.fingerprints import code_fingerprint, library_versions
from benchmark.studies.registry import study_folders
from methods.cards import FAMILIES, cards
from reports.claims.register import Register, load_register
from reports.diff.revisions import LEADERBOARD, Revision, checked_out, revision
from reports.diff.snapshot import Snapshot, take_snapshot

_CODE = (
    "reports.diff.snapshot", "benchmark.spec.load", "benchmark.records.files", "benchmark.records.text",
)  # fmt: skip
_FILE = "snapshot"


class Unreadable(OodbenchError):  # noqa: N818
    """A revision that this version cannot read: of another schema, or with names that nothing defines."""


def read_side(name: str, leaderboard: Path | None = None, repository: Path | None = None) -> Snapshot:
    """What a folder of records or a revision shows; a folder comes first where a name is both.

    Parameters
    ----------
    leaderboard : that the records are read by; else a revision's own, and for a folder the one that
        `benchmark.spec.shipped.find_leaderboard` finds.
    repository : where leaderboard.yaml lies; the working folder if absent.

    Raises
    ------
    UsageError
        If it is neither, has no records, or git is missing.
    Unreadable
        If a revision cannot be read by this version.
    DataError
        If a record of a folder cannot be read.
    """
    folder = Path(name)
    if name and _there(folder) and folder.is_dir():
        if next(iterate(folder), None) is None:
            raise UsageError(f"{name}: has no records; expected a folder that `oodbench run` wrote")
        return take_snapshot(load_spec(find_leaderboard(leaderboard)), iterate(folder), load_register())
    if name and _there(folder):
        raise UsageError(f"{name}: a file; expected a folder of records or a git revision")
    here = repository or Path()
    return read_revision(revision(name, here), here, leaderboard=leaderboard)


def _there(path: Path) -> bool:
    """Whether there is a file or folder of that name; there is none of a name that is too long."""
    try:
        return path.exists()
    except OSError:
        return False


def read_revision(
    one: Revision, repository: Path, folder: str = RESULTS, leaderboard: Path | None = None
) -> Snapshot:
    """What a revision shows: from the cache, or read anew and put there.

    Raises
    ------
    Unreadable
        If this version cannot read it.
    """
    register = load_register()
    store, key = _store(), _key(one, register, leaderboard)
    if store is not None and store.has(key):
        try:
            return Snapshot.model_validate(store.open(key).json(_FILE))
        except (DamagedArtifact, ValueError):
            store.set_aside(key)
    with checked_out(one, repository, folder) as out:
        try:
            spec = load_spec(leaderboard or out / LEADERBOARD)
            found = take_snapshot(spec, iterate(out / folder), register)
        except OodbenchError as error:
            said = str(error).replace(f"{out}/", "")
            raise Unreadable(f"{one.name}: cannot be read by this version: {said}") from error
    if store is not None:
        with suppress(StorageError), store.lock(key), store.create(key, {"revision": one.commit}) as draft:
            draft.json(_FILE, found.model_dump())
    return found


def _store() -> Store | None:
    """The cache; None where it cannot be written: nothing depends on it but the time that is taken."""
    store = Store(default_cache())
    try:
        store.prepare()
    except StorageError:
        return None
    return store


def _key(one: Revision, register: Register, leaderboard: Path | None) -> str:
    parts = [
        code_fingerprint(*_CODE, *_of_studies()),
        library_versions("numpy", "scipy"),
        _declared(),
        register.model_dump_json(),
        one.records,
        one.leaderboard if leaderboard is None else hashlib.sha256(read_regular(leaderboard)).hexdigest(),
    ]
    return f"shown-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]}"


@cache
def _declared() -> list[list[str]]:
    """What methods declare: records count that were made with it where leaderboard.yaml says nothing else."""
    found = []
    for card in (card for family in FAMILIES for card in cards(family).values()):
        plain = {k: v for k, v in card.attributes.items() if isinstance(v, str | bool | int | float)}
        said = (f"{name} = {value!r}" for name, value in sorted(plain.items()))
        found.append([card.family, card.name, *card.bases, *map(str, card.hyperparameters), *said])
    return found


def _of_studies() -> Iterator[str]:
    """The modules of studies that numbers come from: found by name, so that nothing else refers to them."""
    for name in study_folders():
        for module in (f"benchmark.studies.{name}.settings", f"benchmark.studies.{name}.records"):
            if find_spec(module):
                yield module
        if find_spec(f"reports.studies.{name}") and find_spec(f"reports.studies.{name}.numbers"):
            yield f"reports.studies.{name}.numbers"
