"""`oodbench networks`: trained networks as files, so that a new method stands on those of all other rows.

Nothing heavy is imported before it is used: `--help` and completion import this module.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reports.console.options import (
    Backbones,
    Cache,
    Entries,
    Full,
    Inits,
    Leaderboard,
    Mirror,
    Published,
    Seeds,
    Study,
    Tracks,
)

if TYPE_CHECKING:
    from rich.console import Console

    from benchmark.plan.plan import Plan
    from benchmark.spec.leaderboard import Spec

networks = typer.Typer(
    help="Export, get and check the trained networks of tracks, by content key.", no_args_is_help=True
)

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Of networks, as `export` writes it.")]
NAMED = 5  # networks that one line is said of


@networks.command("export")
def export(
    folder: Folder,
    licence: Annotated[str, typer.Option("--licence", help="Under which the weights are given away.")],
    track: Tracks = None,
    entry: Entries = None,
    backbone: Backbones = None,
    init: Inits = None,
    seed: Seeds = None,
    study: Study = None,
    full: Full = False,
    cache: Cache = None,
    mirror: Mirror = None,
    leaderboard: Leaderboard = None,
) -> None:
    """Write trained networks from the cache to a folder that is a repository of the Hugging Face Hub."""
    from benchmark.networks.export import export as exported
    from benchmark.store.artifacts import Store, default_cache
    from reports.console.terminal import console, say

    spec, plan = _plan(leaderboard, mirror, (track, entry, backbone, init, seed, study), full=full)
    found = exported(plan, spec, Store(cache or default_cache()), folder, licence)
    size = sum(stored.bytes for card in found.written for stored in card.files.values()) / 1e6
    say(
        console(),
        f"{len(found.written)} networks written to {folder} ({size:,.1f} MB); {len(found.there)} were there",
    )
    if found.missing:
        _each(console(stderr=True), "not in the cache, run the tracks first", found.missing)
        raise typer.Exit(1)


@networks.command("get")
def get(
    track: Tracks = None,
    entry: Entries = None,
    backbone: Backbones = None,
    init: Inits = None,
    seed: Seeds = None,
    study: Study = None,
    full: Full = False,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="Folder of networks; else the repository that leaderboard.yaml names."),
    ] = None,
    cache: Cache = None,
    mirror: Mirror = None,
    leaderboard: Leaderboard = None,
) -> None:
    """Put published networks into the cache, so that `run` trains nothing; each is checked before."""
    from benchmark.errors import UsageError
    from benchmark.networks.export import networks_of
    from benchmark.networks.get import folder_for
    from benchmark.networks.get import get as got
    from benchmark.store.artifacts import Store, default_cache
    from reports.console.terminal import console, say

    spec, plan = _plan(leaderboard, mirror, (track, entry, backbone, init, seed, study), full=full)
    store = Store(cache or default_cache())
    wanted = networks_of(plan)
    named = {
        name: trained
        for name in dict.fromkeys(training.place.track for training in wanted.values())
        if name in spec.tracks and (trained := spec.tracks[name].trained) is not None
    }
    if source is None and not named:
        raise UsageError(
            "no selected track says where its networks are (`trained:` in leaderboard.yaml); expected --from "
            "FOLDER"
        )
    folders = (
        [source]
        if source is not None
        else [
            folder_for(one, [k for k in wanted if not store.has(k)])
            for one in {one.repository: one for one in named.values()}.values()
        ]
    )
    errors = console(stderr=True)
    fetched, there, lacking, refused = 0, 0, dict[str, str](), False
    for folder in folders:
        found = got(plan, store, folder, lambda label: say(errors, f"got {label}"))
        fetched, there, lacking = fetched + len(found.fetched), len(found.there), found.absent
        for label, faults in found.refused.items():
            refused = True
            for fault in faults:
                say(errors, f"refused: {label}: {fault}", style="red")
    say(
        console(),
        f"{fetched} networks put into the cache; {there} were there; {len(lacking)} are trained by `run`",
    )
    for why in dict.fromkeys(lacking.values()):
        _each(errors, f"not to be had: {why}", [label for label, said in lacking.items() if said == why])
    if refused:
        raise typer.Exit(1)


@networks.command("check")
def check(
    folder: Folder,
    track: Tracks = None,
    full: Full = False,
    published: Published = None,
    mirror: Mirror = None,
    leaderboard: Leaderboard = None,
) -> None:
    """Say what is wrong with a folder of networks: files, cards, keys, and what records stand on."""
    from benchmark.networks.check import check as checked
    from reports.console.commands import published_folder
    from reports.console.terminal import console, say

    _, plan = _plan(leaderboard, mirror, (track, None, None, None, None, None), full=full)
    wrong = count = 0
    for _, faults in checked(folder, plan, published_folder(published, leaderboard)):
        count += 1
        wrong += bool(faults)
        for fault in faults:
            say(console(), fault, style="red")
    say(console(), f"{count} networks checked, {wrong} with something wrong")
    if wrong:
        raise typer.Exit(1)


def _plan(
    leaderboard: Path | None, mirror: Path | None, chosen: tuple[object, ...], *, full: bool
) -> tuple[Spec, Plan]:
    from reports.console.commands import plan_of, spec_of, use_mirror

    use_mirror(mirror)
    spec = spec_of(leaderboard)
    return spec, plan_of(spec, *chosen, full=full)  # type: ignore[arg-type]


def _each(to: Console, what: str, labels: list[str]) -> None:
    from reports.console.terminal import say

    more = f" and {len(labels) - NAMED} more" if len(labels) > NAMED else ""
    say(to, f"{what}: {len(labels)}: {'; '.join(labels[:NAMED])}{more}")
