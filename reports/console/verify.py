"""`oodbench verify`: published records, computed again.

Nothing heavy is imported before it is used: `--help` and completion import this module.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reports.console import options

if TYPE_CHECKING:
    from rich.console import RenderableType

    from benchmark.plan.plan import Planned
    from benchmark.verify.call import Verified

ALL = "all"
AT_FIRST = 10  # cells that are drawn where nobody says how many
NAMED = 3  # places that one line is said of


def verify(
    track: options.Tracks = None,
    entry: options.Entries = None,
    backbone: options.Backbones = None,
    init: options.Inits = None,
    seed: options.Seeds = None,
    study: options.Study = None,
    full: options.Full = False,
    cells: Annotated[
        str, typer.Option("--cells", metavar="N|all", help="How many cells are drawn and computed again.")
    ] = str(AT_FIRST),
    seed_of_draw: Annotated[
        int | None, typer.Option("--seed-of-draw", help="Of which cells are drawn; else one drawn now.")
    ] = None,
    from_scratch: Annotated[
        int,
        typer.Option("--from-scratch", min=0, help="Of these, how many with the training of their network."),
    ] = 0,
    write: Annotated[
        bool, typer.Option("--write", help="Keep in verified.json beside the records which of them stood.")
    ] = False,
    by: Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who verifies; for --write.")] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="Jobs at a time.")] = None,
    published: options.Published = None,
    cache: options.Cache = None,
    mirror: options.Mirror = None,
    leaderboard: options.Leaderboard = None,
    as_json: options.AsJson = False,
) -> None:
    """Compute published records again from their networks, and say which of them stand.

    Exits with 1 if one does not.
    """
    from benchmark.engines.environment import cores
    from benchmark.errors import UsageError
    from benchmark.store.artifacts import default_cache
    from benchmark.verify.call import Asked, verify_records
    from reports.console.commands import plan_of, published_folder, spec_of, use_mirror
    from reports.console.progress import Progress
    from reports.console.results import show
    from reports.console.terminal import answer, console
    from reports.console.terminal import as_json as written

    if cells != ALL and not (cells.isascii() and cells.isdigit() and int(cells)):
        raise UsageError(f"--cells: expected a number from 1, or {ALL}, got {cells!r}")
    if write and not by:
        raise UsageError("--write: expected --by NAME, who verifies")
    use_mirror(mirror)
    plan = plan_of(spec_of(leaderboard), track, entry, backbone, init, seed, study, full=full)
    asked = Asked(None if cells == ALL else int(cells), seed_of_draw, from_scratch)
    workers = jobs or cores()
    with Progress(console(stderr=True), (), workers) as progress:
        found = verify_records(
            plan,
            asked,
            published=published_folder(published, leaderboard),
            cache=cache or default_cache(),
            workers=workers,
            on_event=progress.on_event,
            expect=progress.expect,
        )
    if write and by:
        found.keep(published_folder(published, leaderboard), by)
    if as_json:
        answer(written(_as_json(found)))
    else:
        show(console(), _lines(found))
    if not found.stands:
        raise typer.Exit(1)


def _lines(found: Verified) -> Iterator[RenderableType]:
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    yield Text(
        f"{len(found.drawn)} of {found.cells} published cells drawn (--seed-of-draw {found.seed_of_draw}), "
        f"{len(found.verdicts)} computed again, {found.retrained} of them with the training of their network"
    )
    if found.verdicts:
        table = Table(box=SIMPLE_HEAD)
        for head in ("Cell", "Number", "Claimed", "Recomputed", "Difference", "Verdict"):
            table.add_column(head, justify="left" if head in ("Cell", "Number", "Verdict") else "right")
        for place, verdict in found.verdicts.items():
            worst = verdict.worst
            numbers = ("–",) * 4 if worst is None else (
                worst.path, f"{worst.claimed:.6g}", f"{worst.recomputed:.6g}", f"{worst.by:+.2g}",
            )  # fmt: skip
            style = None if verdict.stands else "red"
            table.add_row(escape(str(place)), *numbers, f"{verdict.word}: {escape(verdict.why)}", style=style)
        yield table
    for why, places in found.not_recomputed.items():
        yield Text(f"not computed again: {len(places)}: {why}: {_some(places)}")
    for why, places in found.other_code.items():
        yield Text(f"does not stand: {why}: {_some(places)}", style="red")
    if found.missing:
        said = f"{len(found.missing)} cells of published rows are missing: {_some(found.missing)}"
        yield Text(f"does not stand: {said}", style="red")
    done = len(found.verdicts)
    yield Text(
        f"One altered cell of {found.cells} would have been among these {done} with probability "
        f"{found.chance(1):.1%}; one of ten altered with {found.chance(10):.1%}"
    )
    wrong = sum(not verdict.stands for verdict in found.verdicts.values())
    yield Text(f"{done - wrong} stand, {wrong} do not")


def _some(places: list[Any]) -> str:
    more = len(places) - NAMED
    return "; ".join(str(place) for place in places[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _as_json(found: Verified) -> Mapping[str, Any]:
    def cell(planned: Planned) -> str:
        return str(planned)

    return {
        "version": 1,
        "seed_of_draw": found.seed_of_draw,
        "cells": found.cells,
        "drawn": [cell(one) for one in found.drawn],
        "verdicts": [
            {
                "cell": str(place),
                "verdict": verdict.word,
                "why": verdict.why,
                "worst": None if verdict.worst is None else asdict(verdict.worst),
            }
            for place, verdict in found.verdicts.items()
        ],
        "not_recomputed": {why: [*map(str, places)] for why, places in found.not_recomputed.items()},
        "other_code": {why: [*map(str, places)] for why, places in found.other_code.items()},
        "missing": [*map(str, found.missing)],
        "chance_of_one": found.chance(1),
        "stands": found.stands,
    }
