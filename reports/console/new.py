"""`oodbench new`: the files and lines of a new method, dataset or track, to be filled in.

Nothing heavy is imported before it is used: `--help` and completion import this module.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from benchmark.scaffold.checkout import Addition, Checkout

KINDS = {
    "detector": "A detector, with an entry on a track.",
    "objective": "A training objective, with an entry that a full run measures.",
    "attack": "An adversarial attack, in a track's study.",
    "noise_model": "A model of label noise, in a track's study.",
    "correction": "A correction for noisy labels, in a track's study.",
    "profile": "A long-tail profile, in a track's study.",
    "sampler": "A sampler for imbalanced classes, in a track's study.",
}

Name = Annotated[str, typer.Argument(metavar="NAME", help="lower_snake_case, and nobody else's.")]
Leaderboard = Annotated[
    Path | None,
    typer.Option("--leaderboard", help="Of the checkout that is added to; else of this folder or one above."),
]

new = typer.Typer(
    help="Begin a method, a dataset or a track in a checkout: file, lines in leaderboard.yaml, test.",
    no_args_is_help=True,
)


def _method(kind: str) -> Callable[..., None]:
    def begin(
        name: Name,
        track: Annotated[
            str | None, typer.Option("--track", help="That it is added to; else digits, or the first.")
        ] = None,
        leaderboard: Leaderboard = None,
    ) -> None:
        from benchmark.scaffold.method import new_method

        _add(leaderboard, lambda checkout: new_method(checkout, kind, name, track))

    return begin


for _kind, _help in KINDS.items():
    new.command(_kind, help=_help)(_method(_kind))


@new.command()
def dataset(
    name: Name,
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Of images; one folder a class; or of train/ and test/.")
    ] = None,
    parquet: Annotated[
        Path | None, typer.Option("--parquet", help="A file with a column of encoded images.")
    ] = None,
    hub: Annotated[
        str | None, typer.Option("--hub", metavar="OWNER/NAME", help="A repository of the Hugging Face Hub.")
    ] = None,
    leaderboard: Leaderboard = None,
) -> None:
    """A dataset that leaderboard.yaml declares, of a folder, a Parquet file or a repository of the Hub."""
    from benchmark.scaffold.dataset import new_dataset

    _add(leaderboard, lambda checkout: new_dataset(checkout, name, folder=folder, parquet=parquet, hub=hub))


@new.command()
def track(
    name: Name,
    dataset: Annotated[
        str, typer.Option("--dataset", help="ID images, with classes; DATASET:SPLIT for one split.")
    ],
    near: Annotated[
        list[str] | None, typer.Option("--near", help="A near-OOD dataset; repeat for more.")
    ] = None,
    far: Annotated[
        list[str] | None, typer.Option("--far", help="A far-OOD dataset; embedded ones if absent.")
    ] = None,
    leaderboard: Leaderboard = None,
) -> None:
    """A track of known datasets, with a board; it is trained and measured as `digits` is."""
    from benchmark.scaffold.track import new_track

    _add(leaderboard, lambda checkout: new_track(checkout, name, dataset, near or (), far or ()))


def _add(leaderboard: Path | None, begin: Callable[[Checkout], Addition]) -> None:
    """Find the checkout, write what is new, and say what it is and what comes next."""
    from benchmark.scaffold.checkout import find_checkout
    from reports.console.terminal import answer, printable

    checkout = find_checkout(leaderboard)
    addition = begin(checkout)
    checkout.write(addition)
    where = os.path.relpath(checkout.root)
    lines = [f"new      {name}" for name in addition.files]
    lines += [f"added    {checkout.leaderboard.name}: {key}" for key in addition.keys]
    lines += [f"note     {note}" for note in addition.notes]
    place = "" if where == "." else f", in {where}"
    answer(
        printable("\n".join([*lines, f"Next{place}:", *(f"  {command}" for command in addition.commands)]))
    )
