"""`oodbench networks`: trained networks as files, so that a new method stands on those of all other rows.

Nothing heavy is imported before it is used: `--help` and completion import this module.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reports.console import options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmark.networks.asked import Asked
    from benchmark.networks.get import Got
    from benchmark.plan.plan import Plan
    from benchmark.spec.leaderboard import Spec
    from benchmark.spec.networks import Repository
    from benchmark.store.artifacts import Store

networks = typer.Typer(
    help="Export, get and check the trained networks of tracks, by content key.", no_args_is_help=True
)

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Of networks, as `export` writes it.")]
Source = Annotated[
    Path | None,
    typer.Option("--from", help="Folder of networks; else the repositories that leaderboard.yaml names."),
]
NAMED = 5  # networks that one line is said of


@networks.command("export")
def export(
    folder: Folder,
    licence: Annotated[str, typer.Option("--licence", help="Under which the weights are given away.")],
    track: options.Tracks = None,
    entry: options.Entries = None,
    backbone: options.Backbones = None,
    init: options.Inits = None,
    seed: options.Seeds = None,
    study: options.Study = None,
    full: options.Full = False,
    cache: options.Cache = None,
    mirror: options.Mirror = None,
    leaderboard: options.Leaderboard = None,
) -> None:
    """Write trained networks from the cache to a folder that is a repository of the Hugging Face Hub."""
    from benchmark.networks.export import export as exported
    from benchmark.store.artifacts import Store, default_cache
    from reports.console.terminal import console, say

    spec, plan = _plan(leaderboard, mirror, (track, entry, backbone, init, seed, study), full=full)
    found = exported(plan, spec, Store(cache or default_cache()), folder, licence)
    size = sum(card.bytes for card in found.written) / 1e6
    there = f"{len(found.there)} were there"
    say(console(), f"{len(found.written)} networks written to {folder} ({size:,.1f} MB); {there}")
    say(console(), f"SHA-256 of its index: {found.index}")
    if found.missing:
        _each("not in the cache, run the tracks first", found.missing)
        raise typer.Exit(1)


@networks.command("list")
def list_networks(
    track: options.Tracks = None,
    entry: options.Entries = None,
    backbone: options.Backbones = None,
    init: options.Inits = None,
    seed: options.Seeds = None,
    study: options.Study = None,
    full: options.Full = False,
    cache: options.Cache = None,
    mirror: options.Mirror = None,
    leaderboard: options.Leaderboard = None,
    as_json: options.AsJson = False,
) -> None:
    """List the networks that what is selected stands on, and which of them the cache has."""
    from benchmark.networks.asked import asked_of
    from benchmark.store.artifacts import Store, default_cache
    from reports.console.listings import Listing, present

    _, plan = _plan(leaderboard, mirror, (track, entry, backbone, init, seed, study), full=full)
    store, asked = Store(cache or default_cache()), asked_of([plan])
    rows = [(key, str(next(iter(one.places))), store.has(key)) for key, one in asked.items()]
    present([Listing("networks", ("key", "network", "in the cache"), rows)], as_json=as_json)


@networks.command("get")
def get(
    track: options.Tracks = None,
    entry: options.Entries = None,
    backbone: options.Backbones = None,
    init: options.Inits = None,
    seed: options.Seeds = None,
    study: options.Study = None,
    full: options.Full = False,
    source: Source = None,
    cache: options.Cache = None,
    mirror: options.Mirror = None,
    leaderboard: options.Leaderboard = None,
) -> None:
    """Put published networks into the cache, so that `run` trains nothing; each is checked before."""
    from benchmark.errors import DataError
    from benchmark.networks.asked import asked_of
    from benchmark.networks.get import Got
    from benchmark.networks.get import get as got
    from benchmark.networks.published import shelf_of
    from benchmark.networks.shelf import Shelf
    from benchmark.store.artifacts import Store, default_cache
    from reports.console.terminal import console, say

    spec, plan = _plan(leaderboard, mirror, (track, entry, backbone, init, seed, study), full=full)
    store, asked, errors = Store(cache or default_cache()), asked_of([plan]), console(stderr=True)
    lacking = {key: one for key, one in asked.items() if not store.has(key)}
    found, failed = Got(), False

    def told(label: str) -> None:
        say(errors, f"got {label}")

    if source is not None:
        found = got(lacking, store, Shelf(source), told=told)
    for repository, wanted in _repositories(spec, lacking).items() if source is None else ():
        try:
            shelf = shelf_of(repository, wanted)
            found.add(got(wanted, store, shelf, index=repository.sha256, told=told))
        except DataError as error:
            failed = True
            say(errors, str(error), style="red")
            found.absent |= dict.fromkeys(wanted, f"{repository.repository} cannot be had")
    _tell(found, asked, store)
    if failed or found.refused:
        raise typer.Exit(1)


@networks.command("check")
def check(
    folder: Folder,
    track: options.Tracks = None,
    published: options.Published = None,
    mirror: options.Mirror = None,
    leaderboard: options.Leaderboard = None,
) -> None:
    """Say what is wrong with a folder of networks: files, cards, keys, and what records stand on."""
    from benchmark.networks.check import check as checked
    from benchmark.networks.shelf import Shelf
    from reports.console.commands import plan_of, published_folder, spec_of, use_mirror
    from reports.console.terminal import console, say

    use_mirror(mirror)
    spec = spec_of(leaderboard)

    def planned(name: str) -> Plan:
        return plan_of(spec, [name], None, None, None, None, None, full=True)

    found = checked(Shelf(folder), spec, planned, track or (), published_folder(published, leaderboard))
    for finding in found.findings:
        say(console(), " ".join(finding.split()), style="red")
    told = f"{found.networks} networks checked, {len(found.findings)} findings"
    if found.unpublished:
        told += f"; on {found.unpublished} no published record stands"
    say(console(), told)
    if found.findings:
        raise typer.Exit(1)


def _repositories(spec: Spec, lacking: Mapping[str, Asked]) -> dict[Repository, dict[str, Asked]]:
    """What is to be had of which repository: that of its track."""
    from benchmark.errors import UsageError

    found: dict[Repository, dict[str, Asked]] = {}
    for key, one in lacking.items():
        named = (spec.tracks[place.track].trained for place in one.places)
        if (repository := next((said for said in named if said is not None), None)) is not None:
            found.setdefault(repository, {})[key] = one
    if lacking and not found:
        raise UsageError(
            "no selected track says where its networks are (`trained:` in leaderboard.yaml); expected --from "
            "FOLDER"
        )
    return found


def _tell(found: Got, asked: Mapping[str, Asked], store: Store) -> None:
    """What was taken, what was refused and why, and what is trained here."""
    from reports.console.terminal import console, say

    for key, faults in found.refused.items():
        for fault in faults:
            refused = f"refused: {asked[key].job.label}: {' '.join(fault.split())}"
            say(console(stderr=True), refused, style="red")
    lacking = [key for key in asked if not store.has(key)]
    there = len(asked) - len(lacking) - len(found.fetched)
    here = f"{len(found.fetched)} networks put into the cache; {there} were there"
    say(console(), f"{here}; {len(lacking)} are trained by `run`")
    whys = {key: found.absent.get(key, "its track names no repository") for key in lacking}
    whys = {key: why for key, why in whys.items() if key not in found.refused}
    for why in dict.fromkeys(whys.values()):
        _each(f"not to be had: {why}", [asked[key].job.label for key in whys if whys[key] == why])


def _plan(
    leaderboard: Path | None, mirror: Path | None, chosen: tuple[object, ...], *, full: bool
) -> tuple[Spec, Plan]:
    from reports.console.commands import plan_of, spec_of, use_mirror

    use_mirror(mirror)
    spec = spec_of(leaderboard)
    return spec, plan_of(spec, *chosen, full=full)  # type: ignore[arg-type]


def _each(what: str, labels: list[str]) -> None:
    from reports.console.terminal import console, say

    more = f" and {len(labels) - NAMED} more" if len(labels) > NAMED else ""
    say(console(stderr=True), f"{what}: {len(labels)}: {'; '.join(labels[:NAMED])}{more}")
