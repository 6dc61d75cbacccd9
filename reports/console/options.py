"""Options that several commands have. Nothing heavy is imported: `--help` imports this module."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Leaderboard = Annotated[
    Path | None,
    typer.Option("--leaderboard", help="Leaderboard file; else ./leaderboard.yaml, else our own."),
]
Tracks = Annotated[list[str] | None, typer.Option("--track", help="Only this track; repeat for more.")]
Entries = Annotated[list[str] | None, typer.Option("--entry", help="Only this entry; repeat for more.")]
Backbones = Annotated[
    list[str] | None, typer.Option("--backbone", help="Only this backbone; repeat for more.")
]
Inits = Annotated[list[str] | None, typer.Option("--init", help="Only this init; repeat for more.")]
Seeds = Annotated[list[int] | None, typer.Option("--seed", help="Only this seed; repeat for more.")]
Study = Annotated[
    list[str] | None,
    typer.Option("--study", help="Only this study (`oodbench show TRACK` names them); repeat for more."),
]
Cache = Annotated[
    Path | None, typer.Option("--cache", help="Cache folder; else $OODBENCH_CACHE, else the platform's.")
]
Mirror = Annotated[
    Path | None,
    typer.Option("--mirror", help="Folder of the datasets; else $OODBENCH_MIRROR, else the platform's."),
]
Full = Annotated[
    bool, typer.Option("--full", help="Also what takes long: every training objective, more of each study.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
PUBLISHED = "Folder of the published records; else results/ beside leaderboard.yaml."
Published = Annotated[Path | None, typer.Option("--published", help=PUBLISHED)]
