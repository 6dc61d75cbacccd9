"""`oodbench evaluate` and `oodbench score`: a detector for a classifier of one's own.

Nothing heavy is imported before it is used: `--help` and completion import this module.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reports.console import options

if TYPE_CHECKING:
    from benchmark.evaluation.guard import Guard
    from benchmark.evaluation.images import ImageSource
    from benchmark.evaluation.outcome import ScoredImage

MODEL = "timm:NAME, hf:REPO-OR-FOLDER, python:MODULE:FUNCTION, onnx:FILE or features:FOLDER."
Model = Annotated[str, typer.Option("--model", help=MODEL)]
Weights = Annotated[
    Path | None, typer.Option("--weights", help="Of timm:, safetensors or a state dict; else published ones.")
]
Layers = Annotated[
    str | None,
    typer.Option("--layers", help="Modules that are the stages, with commas; else found."),
]
Size = Annotated[
    int | None, typer.Option("--size", min=1, help="Side of the images in pixels; else as the model says.")
]
Mean = Annotated[
    str | None, typer.Option("--mean", help="Of each channel, of pixels in [0, 1], with commas.")
]
Std = Annotated[str | None, typer.Option("--std", help="Likewise the standard deviation.")]
Device = Annotated[str | None, typer.Option("--device", help="Where the model runs (docs/devices.md).")]


def evaluate(
    model: Model,
    id: Annotated[
        str | None,
        typer.Option(
            "--id", help="ID images: class folders, also below train, val, test; or .csv, .parquet, hub:."
        ),
    ] = None,
    id_train: Annotated[str | None, typer.Option("--id-train", help="In its place: for fitting.")] = None,
    id_val: Annotated[str | None, typer.Option("--id-val", help="For thresholds.")] = None,
    id_test: Annotated[str | None, typer.Option("--id-test", help="For measuring.")] = None,
    ood: Annotated[
        list[str] | None,
        typer.Option("--ood", metavar="near|far=IMAGES", help="OOD images; repeat for more. Else stand-ins."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder of report and detector.")] = Path("report"),
    weights: Weights = None,
    layers: Layers = None,
    size: Size = None,
    mean: Mean = None,
    std: Std = None,
    device: Device = None,
    detector: Annotated[
        list[str] | None, typer.Option("--detector", help="Only this one; repeat for more.")
    ] = None,
    budget: Annotated[
        float, typer.Option("--budget", help="Forward passes that the recommended detector may cost.")
    ] = 1.1,
    keep: Annotated[float, typer.Option("--keep", help="Share of ID images to keep.")] = 0.95,
    fit_images: Annotated[
        int | None, typer.Option("--fit-images", min=1, help="Most ID images to fit on; else all.")
    ] = None,
    corruptions: Annotated[
        bool, typer.Option("--corruptions", help="Measure 14 corruptions of the ID test images too.")
    ] = False,
    keep_overlap: Annotated[
        bool, typer.Option("--keep-overlap", help="Keep OOD images that are ID test images too.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", help="Of what is divided or drawn.")] = 0,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", min=1, help="Images that the model is shown at once.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Say which detector to use on a classifier of yours, at which threshold, and how far to trust it."""
    from rich.text import Text

    from benchmark.evaluation.asked import check_folder
    from reports.console.evaluated import evaluation_lines
    from reports.console.results import show
    from reports.console.terminal import answer, beginning_anew, console, printable
    from reports.evaluation.evaluation import evaluate as run
    from reports.evaluation.report import json_of

    check_folder(out)
    with beginning_anew(), console(stderr=True).status(Text("the model")) as status:
        found = run(
            model,
            id,
            id_train=id_train,
            id_val=id_val,
            id_test=id_test,
            ood=_groups(ood),
            detectors=detector,
            weights=weights,
            layers=_words(layers),
            size=size,
            normalise=_normalise(mean, std),
            device=device,
            batch_size=batch_size,
            fit_images=fit_images,
            budget=budget,
            keep=keep,
            corruptions=corruptions,
            keep_overlap=keep_overlap,
            seed=seed,
            progress=lambda title, images: status.update(Text(printable(f"{title}: {images:,} images"))),
        )
        status.update(Text("the report"))
        found.report(out)
    if as_json:
        answer(json_of(found.outcome))
        return
    show(console(), evaluation_lines(found.outcome, out))


def score(
    images: Annotated[list[str], typer.Argument(help="Folders, .csv, .parquet or hub:OWNER/NAME.")],
    detector: Annotated[
        Path, typer.Option("--detector", help="What `oodbench evaluate` left, such as report/detector.")
    ],
    model: Model,
    weights: Weights = None,
    layers: Layers = None,
    size: Size = None,
    mean: Mean = None,
    std: Std = None,
    device: Device = None,
    out: Annotated[Path | None, typer.Option("--out", help="CSV file; else standard output.")] = None,
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, help="Images that the model is shown at once.")
    ] = 64,
    allow_other_model: Annotated[
        bool, typer.Option("--allow-other-model", help="Take a model that the detector was not made for.")
    ] = False,
) -> None:
    """Score images by a saved detector: class, score and decision of each, as CSV."""
    import csv
    import sys

    from benchmark.evaluation.evaluate import load_guard
    from reports.console.terminal import console, say
    from reports.evaluation.scores import HEAD, cells_of, write_scores

    guard = load_guard(
        detector,
        model,
        allow_other_model=allow_other_model,
        weights=weights,
        layers=_words(layers),
        size=size,
        normalise=_normalise(mean, std),
        device=device,
    )
    rows = _rows(guard, _sources(guard, images), batch_size)
    if out is not None:
        say(console(stderr=True), f"{write_scores(out, rows):,} images scored: {out}")
        return
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(HEAD)
    writer.writerows(map(cells_of, rows))


def _sources(guard: Guard, images: list[str]) -> list[ImageSource]:
    from benchmark.evaluation.pictures.sources import open_source

    return [
        open_source(where, title=where, prepare=guard.subject.prepare, classes=None, role="far")
        for where in images
    ]


def _rows(guard: Guard, sources: list[ImageSource], batch: int) -> Iterator[ScoredImage]:
    from benchmark.evaluation.scored import score_images
    from reports.console.terminal import console, say

    for source in sources:
        yield from score_images(guard, source, batch)
        if broken := source.card.get("broken", {}).get("count"):
            say(console(stderr=True), f"{source.title}: {broken} files cannot be read and are left out")


def _groups(ood: list[str] | None) -> dict[str, list[str]] | None:
    """Sets by group.

    Raises
    ------
    UsageError
        If one is not ``near=IMAGES`` or ``far=IMAGES``.
    """
    from benchmark.errors import UsageError

    if not ood:
        return None
    found: dict[str, list[str]] = {}
    for one in ood:
        group, equals, where = one.partition("=")
        if not equals or group not in ("near", "far") or not where:
            raise UsageError(f"--ood: got {one!r}, expected near=IMAGES or far=IMAGES")
        found.setdefault(group, []).append(where)
    return found


def _words(text: str | None) -> list[str] | None:
    return None if text is None else [word for word in text.split(",") if word]


def _normalise(mean: str | None, std: str | None) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Of each channel mean and standard deviation.

    Raises
    ------
    UsageError
        If one is given without the other, or is no numbers.
    """
    from benchmark.errors import UsageError

    if mean is None and std is None:
        return None
    if mean is None or std is None:
        raise UsageError("--mean, --std: expected both, as the model was trained with")
    found = []
    for name, text in (("--mean", mean), ("--std", std)):
        try:
            found.append(tuple(float(word) for word in text.split(",")))
        except ValueError as error:
            raise UsageError(f"{name}: got {text!r}, expected numbers, such as 0.5,0.5,0.5") from error
    return found[0], found[1]
