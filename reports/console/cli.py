"""The `oodbench` command line: every command with its options. What a command does, others do.

Nothing heavy is imported before it is used: `--help` and completion import this module.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from reports.console import options
from reports.console.check import check
from reports.console.diff import diff
from reports.console.evaluate import evaluate, score
from reports.console.isolation import Isolate, Memory, RequireSandbox, Timeout
from reports.console.networks import networks
from reports.console.new import new
from reports.console.verify import verify

app = typer.Typer(
    name="oodbench",
    help="Measure out-of-distribution detectors on seeded networks, and build the leaderboard.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Precision = Annotated[
    Literal["fp32", "bf16"] | None,
    typer.Option("--precision", help="That networks compute in; else what leaderboard.yaml says, or fp32."),
]
Results = Annotated[Path, typer.Option("--results", help="Folder of your own records.")]
READ = "Folder of the records; else results/ beside leaderboard.yaml, and runs/ where nothing is published."
Read = Annotated[Path | None, typer.Option("--results", help=READ)]
Site = Annotated[Path, typer.Option("--site", help="Folder of the pages.")]


def _versions(asked: bool) -> None:
    if asked:
        from reports.console.terminal import answer, versions

        answer(versions())
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_versions, is_eager=True, help="Print versions, and stop.")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    everything: Annotated[
        bool, typer.Option("--all", help="Everything on the leaderboard, but for what only --full runs.")
    ] = False,
    full: options.Full = False,
    track: options.Tracks = None,
    entry: options.Entries = None,
    backbone: options.Backbones = None,
    init: options.Inits = None,
    seed: options.Seeds = None,
    study: options.Study = None,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", min=1, help="Jobs at a time on the CPU; else one for each core."),
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            "--device",
            metavar="DEVICE",
            help="Where networks compute: auto, on all accelerators there are; cpu; or on a type of them, or "
            "some by number, as torch names them: docs/devices.md.",
        ),
    ] = "auto",
    jobs_per_device: Annotated[
        int | None,
        typer.Option("--jobs-per-device", min=1, help="Jobs at a time on each accelerator; else one."),
    ] = None,
    precision: Precision = None,
    timeout: Timeout = None,
    isolate: Isolate = False,
    require_sandbox: RequireSandbox = False,
    memory: Memory = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run, and stop.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Compute again what the cache holds.")] = False,
    results: Results = Path("runs"),
    published: options.Published = None,
    site: Site = Path("site"),
    cache: options.Cache = None,
    mirror: options.Mirror = None,
    leaderboard: options.Leaderboard = None,
) -> None:
    """Measure what the cache does not hold yet, write the records, build the site, and compare it."""
    from benchmark.backbones.device import chosen_devices
    from benchmark.engines.environment import cores
    from benchmark.errors import UsageError
    from benchmark.jobs.job import Kind
    from benchmark.plan.checks import check_timm_names
    from benchmark.records.record import TRAININGS
    from benchmark.run import run_plan, work
    from benchmark.store.artifacts import Store, default_cache
    from benchmark.store.files import require_writable
    from reports.console.commands import build, plan_of, published_folder, spec_of, use_mirror
    from reports.console.isolation import Asked
    from reports.console.listings import present
    from reports.console.progress import Progress, plan_listings, summaries
    from reports.console.terminal import console, say

    chosen = (track, entry, backbone, init, seed, study)
    if not everything and not full and not any(chosen):
        raise UsageError(
            "nothing to run: give --all, --full, or choose with --track, --entry, --backbone, --init, "
            "--seed, --study"
        )
    if everything and any(chosen):
        raise UsageError("--all means everything; leave it out to choose a part")
    asked = Asked(timeout, isolate=isolate, require_sandbox=require_sandbox, memory=memory).begin()
    devices = chosen_devices(device)
    if jobs_per_device is not None and not devices:
        raise UsageError("--jobs-per-device: only the CPU is used; its jobs at a time are --jobs")
    asked.check(devices)
    use_mirror(mirror)
    spec = spec_of(leaderboard, precision)
    plan = plan_of(spec, *chosen, full=full)
    folder = cache or default_cache()
    if dry_run:
        present(plan_listings(plan, work(plan, folder, fresh=fresh)))
        return
    workers, devices = jobs or cores(), devices * (jobs_per_device or 1)
    require_writable(site)
    missing = work(plan, folder, fresh=fresh).missing
    if any(job.kind in (Kind.PRETRAIN, Kind.TRAIN) for job in missing):
        check_timm_names(spec, plan)
    at_once, pool = workers + len(devices), asked.pool(workers, devices) if missing else None
    with Progress(console(stderr=True), missing, at_once, Store(folder).progress) as progress:
        done = run_plan(
            plan,
            cache=folder,
            results=results,
            workers=workers,
            devices=devices,
            pool=pool,
            on_event=progress.on_event,
            fresh=fresh,
        )
    console().print(*summaries(done.records))
    for cell in done.withdrawn:
        replaced = f"{cell}: failed; its record, which cannot be made any more, was replaced"
        say(console(stderr=True), replaced, style="red")
    build(spec, results, site, published_folder(published, leaderboard))
    if done.failed:
        total = sum(place.study != TRAININGS for place in done.records)
        said = f"{done.failed} of {total} cells failed; the others are finished"
        say(console(stderr=True), said, style="red")
        raise typer.Exit(1)
    if plan.broken:
        raise typer.Exit(1)


@app.command()
def plan(
    full: options.Full = False,
    track: options.Tracks = None,
    entry: options.Entries = None,
    backbone: options.Backbones = None,
    init: options.Inits = None,
    seed: options.Seeds = None,
    study: options.Study = None,
    precision: Precision = None,
    results: Read = None,
    cache: options.Cache = None,
    mirror: options.Mirror = None,
    leaderboard: options.Leaderboard = None,
    as_json: options.AsJson = False,
) -> None:
    """Say what `run` would do: cells, jobs, what the cache holds already, and which records are of today."""
    from benchmark.plan.freshness import freshness
    from benchmark.run import work
    from benchmark.store.artifacts import default_cache
    from reports.console.commands import plan_of, records_of, say_where, spec_of, use_mirror
    from reports.console.listings import present
    from reports.console.progress import freshness_listing, plan_listings

    use_mirror(mirror)
    records = records_of(results, leaderboard)
    made = plan_of(spec_of(leaderboard, precision), track, entry, backbone, init, seed, study, full=full)
    pages = plan_listings(made, work(made, cache or default_cache()))
    present([*pages, freshness_listing(freshness(made, records))], as_json=as_json)
    say_where(records)


@app.command()
def report(
    results: Read = None,
    published: options.Published = None,
    site: Site = Path("site"),
    preview: Annotated[
        str | None, typer.Option("--preview", help="What pages of a preview say first.")
    ] = None,
    leaderboard: options.Leaderboard = None,
) -> None:
    """Build the site from the records, computing nothing."""
    from reports.console.commands import build, published_folder, records_of, say_where, spec_of

    records = records_of(results, leaderboard)
    build(spec_of(leaderboard), records, site, published_folder(published, leaderboard), preview)
    say_where(records)


@app.command()
def publish(
    track: options.Tracks = None,
    entry: options.Entries = None,
    backbone: options.Backbones = None,
    init: options.Inits = None,
    seed: options.Seeds = None,
    study: options.Study = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, and stop.")] = False,
    results: Results = Path("runs"),
    published: options.Published = None,
    mirror: options.Mirror = None,
    leaderboard: options.Leaderboard = None,
) -> None:
    """Take finished records of today from your own to the published ones, and refuse all others by name."""
    from benchmark.records.publishing import prepare
    from reports.console.commands import plan_of, published_folder, spec_of, use_mirror
    from reports.console.results import publication_lines, show
    from reports.console.terminal import console

    use_mirror(mirror)
    made = plan_of(spec_of(leaderboard), track, entry, backbone, init, seed, study, full=True)
    found = prepare(made, results, published_folder(published, leaderboard))
    show(console(), publication_lines(found, None if dry_run else found.write()))
    if found.refused:
        raise typer.Exit(1)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="A folder of records.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another, made under other conditions.")],
    json_file: Annotated[
        Path | None,
        typer.Option("--json", help="Put the numbers into this file, beside its other comparisons."),
    ] = None,
) -> None:
    """Say how far the records of two folders lie apart, and where tuned values flip."""
    from benchmark.records.spread import add_to, compare_folders
    from reports.console.results import comparison_lines, show
    from reports.console.terminal import console

    pairs, part = compare_folders(first, second)
    show(console(), comparison_lines(pairs, part))
    if json_file is not None:
        add_to(json_file, part)


app.command()(check)
app.command()(diff)
app.command()(verify)
app.command()(evaluate)
app.command()(score)
app.add_typer(networks, name="networks")
app.add_typer(new, name="new")


@app.command("list")
def list_(
    what: Annotated[
        str | None,
        typer.Argument(help="methods or a family of them, entries, tracks, datasets, backbones or inits"),
    ] = None,
    leaderboard: options.Leaderboard = None,
    as_json: options.AsJson = False,
) -> None:
    """List methods (detectors, objectives, attacks, …), entries, tracks, datasets, backbones and inits."""
    from reports.console.catalog import listings
    from reports.console.commands import spec_of
    from reports.console.listings import present

    present(listings(what, spec_of(leaderboard)), as_json=as_json)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A method, track, dataset, backbone, init or entry.")],
    mirror: options.Mirror = None,
    leaderboard: options.Leaderboard = None,
    as_json: options.AsJson = False,
) -> None:
    """Show everything known under a name: a method's paper and settings, a dataset's card, a track's sets."""
    from reports.console.catalog import cards
    from reports.console.commands import spec_of, use_mirror
    from reports.console.listings import present

    use_mirror(mirror)
    present(cards(name, spec_of(leaderboard)), as_json=as_json)


@app.command()
def schema() -> None:
    """Print the JSON Schema of leaderboard.yaml."""
    from benchmark.spec.load import json_schema
    from reports.console.terminal import answer, as_json

    answer(as_json(json_schema()))


@app.command("cache")
def cache_(
    clear: Annotated[bool, typer.Option("--clear", help="Delete every artifact.")] = False,
    cache: options.Cache = None,
) -> None:
    """Say where the cache is and how large, or clear it."""
    from benchmark.store.artifacts import Store, default_cache
    from reports.console.terminal import answer, printable

    store = Store(cache or default_cache())
    if clear:
        store.clear()
    artifacts, size = store.usage()
    answer(printable(f"{store.root}: {artifacts} artifacts, {size / 1e6:.0f} MB"))


data = typer.Typer(help="List, get and check the datasets of the Hugging Face Hub.", no_args_is_help=True)
app.add_typer(data, name="data")


@data.command("list")
def data_list(
    mirror: options.Mirror = None, leaderboard: options.Leaderboard = None, as_json: options.AsJson = False
) -> None:
    """Say which datasets the tracks use, which there are, and which of them are here."""
    from reports.console.commands import spec_of, use_mirror
    from reports.console.data import listings
    from reports.console.listings import present

    use_mirror(mirror)
    present(listings(spec_of(leaderboard)), as_json=as_json)


@data.command("get")
def data_get(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="Tracks, datasets, or one split: DATASET:SPLIT.")
    ],
    mirror: options.Mirror = None,
    leaderboard: options.Leaderboard = None,
) -> None:
    """Fetch what is not here yet from the Hugging Face Hub. A name that both bear is the track's."""
    from reports.console.commands import spec_of, use_mirror
    from reports.console.data import get
    from reports.console.terminal import console

    use_mirror(mirror)
    if get(names, spec_of(leaderboard), console(stderr=True)):
        raise typer.Exit(1)


@data.command("check")
def data_check(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME...]", help="Tracks, datasets, or DATASET:SPLIT; else all that is here."
        ),
    ] = None,
    mirror: options.Mirror = None,
    leaderboard: options.Leaderboard = None,
) -> None:
    """Verify checksums, columns, labels, and that every image can be decoded."""
    from reports.console.commands import spec_of, use_mirror
    from reports.console.data import check
    from reports.console.terminal import console

    use_mirror(mirror)
    if check(names or (), spec_of(leaderboard), console()):
        raise typer.Exit(1)
