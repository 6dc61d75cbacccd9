"""A verification from beginning to end: draw, compute again, compare, keep."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from benchmark.engines.environment import environment
from benchmark.engines.schedule import OnEvent
from benchmark.errors import DataError
from benchmark.jobs.job import Job
from benchmark.plan.plan import Plan, Planned
from benchmark.records.place import Place
from benchmark.records.record import DETECTION, Environment
from benchmark.records.spread import Spread, read_spread
from benchmark.store.artifacts import Store
from benchmark.verify.draw import chance, drawn
from benchmark.verify.ledger import Verification, add, digest_of
from benchmark.verify.recompute import Claims, Published, claims_of, networks_at_hand, recompute
from benchmark.verify.verdicts import Verdict, alike, spread_of, verdict

SPREAD = "spread.json"
NO_NETWORK = "its network is not at hand, or damaged (oodbench networks get, or --from-scratch)"


class Asked(NamedTuple):
    """What a verification is to do."""

    cells: int | None = None  # drawn; None for all
    seed_of_draw: int | None = None
    from_scratch: int = 0  # of the drawn cells, with the training of their networks


@dataclass
class Verified:
    """What came of it."""

    seed_of_draw: int
    cells: int  # published, of the selection
    drawn: list[Planned]
    missing: list[Place]  # cells of published rows that are not published
    verdicts: dict[Place, Verdict] = field(default_factory=dict)
    not_recomputed: dict[str, list[Place]] = field(default_factory=dict)
    other_code: dict[str, list[Place]] = field(default_factory=dict)
    retrained: int = 0
    _stood: dict[Place, str] = field(default_factory=dict)  # names of the records in the ledger
    _trained: set[Place] = field(default_factory=set)
    _environment: Environment | None = None

    @property
    def stands(self) -> bool:
        """Whether nothing was found that does not."""
        return not self.missing and not self.other_code and all(v.stands for v in self.verdicts.values())

    def chance(self, altered: int) -> float:
        """The probability that at least one of so many altered cells would have been computed again."""
        return chance(self.cells, len(self.verdicts), altered)

    def keep(self, results: Path, by: str) -> None:
        """Write into the ledger of a folder which records stood; nothing if none did.

        Raises
        ------
        DataError
            If the ledger cannot be read.
        StorageError
            If it cannot be written.
        """
        if not self._stood or self._environment is None:
            return
        add(
            results,
            Verification(
                by=by,
                date=datetime.now(UTC).isoformat(timespec="seconds"),
                environment=self._environment,
                seed_of_draw=self.seed_of_draw,
                cells=self.cells,
                retrained=sorted(name for place, name in self._stood.items() if place in self._trained),
                records=sorted(self._stood.values()),
            ),
        )


def verify_records(
    plan: Plan,
    asked: Asked,
    *,
    published: Path,
    cache: Path,
    workers: int,
    on_event: OnEvent,
    expect: Callable[[list[Job]], None] = lambda jobs: None,
) -> Verified:
    """Draw published cells of a plan, compute them again and compare.

    `expect` is told the jobs that will be done, before any is.

    Raises
    ------
    UsageError
        If nothing of the plan is published.
    DataError
        If a record cannot be read.
    StorageError
        If there is no room for what is computed.
    """
    claims = claims_of(plan, published)
    seed = secrets.randbelow(2**32) if asked.seed_of_draw is None else asked.seed_of_draw
    cells = [*claims.cells]
    chosen = drawn(cells, len(cells) if asked.cells is None else asked.cells, seed, _row)
    found = Verified(seed, len(cells), chosen, claims.missing)
    for planned, why in claims.other_code.items():
        found.other_code.setdefault(why, []).append(planned.place)
    todo = [planned for planned in chosen if planned not in claims.other_code]
    trained = drawn(todo, asked.from_scratch, seed)
    given = []
    for planned in todo:
        if planned not in trained:
            if networks_at_hand(plan, planned, Store(cache)):
                given.append(planned)
            else:
                found.not_recomputed.setdefault(NO_NETWORK, []).append(planned.place)
    records = recompute(plan, given, trained, cache, workers=workers, on_event=on_event, expect=expect)
    found.retrained = len(trained)
    _judge(found, claims, [*given, *trained], records, _spread(published))
    found._trained = {planned.place for planned in trained}
    return found


def _judge(
    found: Verified,
    claims: Claims,
    computed: list[Planned],
    records: Mapping[Place, Published],
    spread: Spread,
) -> None:
    here = found._environment = environment()
    for planned in computed:
        place, claimed = planned.place, claims.cells[planned]
        entry = place.row if place.study == DETECTION else f"{place.study}/{place.row}"

        def measured(path: str, place: Place = place, entry: str = entry) -> float:
            try:
                return spread.tolerance(place.track, entry, path)
            except DataError:  # never compared
                return 0.0

        again = records[place]
        found.verdicts[place] = said = verdict(
            claimed.record,
            again.record,
            here=claimed.measured_in is not None and alike(claimed.measured_in, here),
            trained_alike=_trained_alike(claimed, again),
            spread=spread_of(claimed.record, claims.rows[place[:3]], measured),
        )
        if said.stands:
            found._stood[place] = digest_of(claimed.file, claimed.record)


def _row(planned: Planned) -> tuple[str, str, str]:
    return planned.place[:3]


def _trained_alike(claimed: Published, again: Published) -> bool:
    """Whether both networks were trained where the same computation gives the same bits."""
    first, second = claimed.trained_in, again.trained_in
    return first is not None and second is not None and alike(first, second)


def _spread(published: Path) -> Spread:
    path = published / SPREAD
    return read_spread(path) if path.exists() else Spread(comparisons=[])
