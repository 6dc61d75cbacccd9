"""Published cells, computed again in a store of their own: networks may come from the cache, scores never."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmark.engines.environment import environment
from benchmark.engines.schedule import OnEvent
from benchmark.errors import DamagedArtifact, UsageError
from benchmark.jobs.job import Job, Kind
from benchmark.networks.cards import KINDS
from benchmark.plan.plan import Plan, Planned
from benchmark.records.comparison import CHOSEN
from benchmark.records.files import iterate, read_records
from benchmark.records.networks import Networks
from benchmark.records.place import Place, place_of
from benchmark.records.record import DETECTION, TRAININGS, Environment, Record, RecordFile
from benchmark.records.text import in_its_place, record_path
from benchmark.run import run_plan, work
from benchmark.store.artifacts import Store
from benchmark.store.files import storage_errors
from methods.errors import printable


@dataclass(frozen=True)
class Published:
    """A published record, and the file that it stands in."""

    file: RecordFile  # without records
    record: Record

    @property
    def measured_in(self) -> Environment | None:
        """Where it was measured, where that is recorded."""
        made = self.record.provenance
        return None if made is None or made.measured_in is None else self.file.environments[made.measured_in]

    @property
    def trained_in(self) -> Environment | None:
        """Where its network was trained, where that is recorded."""
        made = self.record.provenance
        return None if made is None or made.trained_in is None else self.file.environments[made.trained_in]


@dataclass
class Claims:
    """What is published of a plan's places."""

    cells: dict[Planned, Published] = field(default_factory=dict)  # in the order of the plan
    rows: dict[tuple[str, str, str], list[Record]] = field(default_factory=dict)  # of a track's study
    missing: list[Place] = field(default_factory=list)  # of rows that are published in part
    other_code: dict[Planned, str] = field(default_factory=dict)  # why they are not what today's code makes


def claims_of(plan: Plan, published: Path) -> Claims:
    """Find the published records of a plan, those that are missing, and those that other code made.

    Only the files of the plan's rows are read.

    Raises
    ------
    DataError
        If one of them cannot be read.
    UsageError
        If nothing of the plan is published.
    """
    wanted = {planned.place: planned for planned in plan.measured if planned.place.study != TRAININGS}
    rows = dict.fromkeys(place[:3] for place in wanted)
    claims, there = Claims(), dict[Place, Published]()
    known: dict[Path, Networks] = {}
    for track, study, row in rows:
        path = record_path(published, track, row, study)
        if not path.exists():
            continue
        file = read_records(path, known)
        in_its_place(path, file.track, *(() if file.study == DETECTION else (file.study,)), file.row)
        about = file.model_copy(update={"records": []})
        claims.rows[track, study, row] = file.records
        there |= {place_of(file, record): Published(about, record) for record in file.records}
    for place, planned in wanted.items():
        found = there.get(place)
        if found is None:
            if place[:3] in claims.rows:
                claims.missing.append(place)
        else:
            claims.cells[planned] = found
            if (why := _not_of_today(plan, planned, found)) is not None:
                claims.other_code[planned] = why
    if not claims.cells:
        raise UsageError(f"{published}: no record of what is selected is published there")
    return claims


def _not_of_today(plan: Plan, planned: Planned, claimed: Published) -> str | None:
    """Why a record is not what is made today: of other code or settings, or of another key."""
    record, made = claimed.record, claimed.record.provenance
    scored = planned.chain.get(Kind.SCORE, planned.key)
    if plan.jobs[scored].kind == Kind.GATHER:
        scored = plan.jobs[scored].needs[0]
    today = plan.jobs[scored].code
    if made is not None and made.method_source != today:
        return f"made by other code ({printable(str(made.method_source))[:12]}, today {today[:12]})"
    if other := _other_settings(planned, record):
        return f"made with other settings than leaderboard.yaml has now: {', '.join(other)}"
    libraries = [place.libraries for place in (claimed.measured_in, claimed.trained_in) if place is not None]
    of_today = bool(libraries) and all(one == environment().libraries for one in libraries)
    if of_today and record.key != planned.key:  # other libraries make other keys
        return "of another key than today's: other code, settings or images, or a key that was changed"
    return None


def _other_settings(planned: Planned, record: Record) -> list[str]:
    """In what a record was measured otherwise than is planned; not in what validation images chose."""
    asked, said = planned.settings, record.settings
    chosen = {"hyperparameters"} if said.get("hp_mode") in CHOSEN else set()
    differ = [name for name in asked if name in said and name not in chosen and asked[name] != said[name]]
    if None not in (planned.training, record.training) and planned.training != record.training:
        differ.append("training")
    return differ


def networks_at_hand(plan: Plan, planned: Planned, store: Store) -> bool:
    """Whether a cache has the networks of a place, and they are as their checksums say."""
    keys = [key for key in planned.keys if plan.jobs[key].kind in KINDS]
    try:
        for key in keys:
            if not store.has(key):
                return False
            store.open(key)
    except DamagedArtifact:
        return False
    return True


def recompute(
    plan: Plan,
    chosen: Sequence[Planned],
    retrained: Sequence[Planned],
    cache: Path,
    *,
    workers: int,
    on_event: OnEvent,
    expect: Callable[[list[Job]], None],
) -> dict[Place, Published]:
    """Measure places again.

    Parameters
    ----------
    chosen : of these the networks are taken from the cache, and nothing else.
    retrained : of these nothing is taken.
    expect : is told the jobs that will be done, before any is.

    Raises
    ------
    StorageError
        If the temporary folder is full, or a network in the cache is damaged.
    """
    found: dict[Place, Published] = {}
    for places, given in ((chosen, True), (retrained, False)):
        if places:
            with _scratch(cache) as folder:
                if given:
                    _take_networks(plan, places, Store(cache), Store(folder / "cache"))
                part = replace(plan, measured=tuple(places), trainings=())
                own, runs = folder / "cache", folder / "runs"
                expect(work(part, own).missing)
                run_plan(part, cache=own, results=runs, workers=workers, on_event=on_event)
                for file in iterate(runs):
                    found |= {place_of(file, record): Published(file, record) for record in file.records}
    return found


@contextmanager
def _scratch(cache: Path) -> Iterator[Path]:
    """A temporary folder beside the cache, on the same disk; gone afterwards."""
    with storage_errors(cache):
        cache.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".oodbench-verify-", dir=cache.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _take_networks(plan: Plan, places: Sequence[Planned], source: Store, into: Store) -> None:
    into.prepare()
    keys = dict.fromkeys(key for one in places for key in one.keys if plan.jobs[key].kind in KINDS)
    for key in keys:
        artifact = source.open(key)
        with into.lock(key), into.create(key, artifact.manifest["made"]) as draft:
            for name in artifact.manifest["files"]:
                draft.copy(artifact, name)
