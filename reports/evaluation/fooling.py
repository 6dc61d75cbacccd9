"""The OOD images that fool the recommended detector most, as pictures with what is said of each."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping

from benchmark.errors import DataError
from benchmark.evaluation.outcome import Fooling, Outcome
from reports.evaluation.words import SHORT, score, short
from reports.site.sections import Block, Column, Fold, Paragraph, Picture, Pictures, Row, Section, Table
from reports.site.text import Piece, Text, code, strong

FOLDER = "thumbnails"
SIDE = 128  # CSS pixels of the longer side
MOST = 48  # pictures on a page
SUFFIXES = {"PNG": "png", "JPEG": "jpg"}

Thumbnails = Mapping[tuple[str, str], bytes]


def fooling_section(outcome: Outcome, thumbnails: Iterable[bytes | None]) -> Section | None:
    """Pictures with captions, highest score first, and all of it as a table.

    Parameters
    ----------
    thumbnails : of each of `Outcome.fooling`, as PNG or JPEG; None where there is none.

    Raises
    ------
    DataError
        If one of them is neither.
    """
    found = outcome.fooling
    if not found:
        return None
    threshold = outcome.thresholds[0].threshold
    taken = sum(one.score >= threshold for one in found)
    about = (
        f"The OOD images with the highest scores by {outcome.recommended.name}, and the class that the "
        f"classifier gives them. {taken} of these {len(found)} are accepted at the threshold. Look at them: "
        "images that show an ID class after all are labels to mend, not errors of the detector."
    )
    shown = [
        (_picture(one, data, i), _caption(one, threshold))
        for i, (one, data) in enumerate(zip(found, thumbnails, strict=True), 1)
        if data is not None and i <= MOST
    ]
    blocks: list[Block] = [Paragraph(about), *([Pictures(tuple(shown))] if shown else [])]
    table = _table(found, threshold)
    blocks.append(Fold("As a table", (table,)) if shown else table)
    return Section("fooling", "The images that fool it most", tuple(blocks), short="What fools it")


def _picture(one: Fooling, data: bytes, number: int) -> Picture:
    kind, width, height = _measured(data, one)
    scale = SIDE / max(width, height)
    return Picture(
        file=f"{FOLDER}/{number:02d}.{SUFFIXES[kind]}",
        alt=f"{one.image} of {one.set}",
        data=data,
        width=max(1, round(width * scale)),
        height=max(1, round(height * scale)),
        smooth=scale < 2,
    )


def _measured(data: bytes, one: Fooling) -> tuple[str, int, int]:
    """Format, width and height, as the head of the file says."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data), formats=tuple(SUFFIXES)) as image:
            return str(image.format), image.width, image.height
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError) as error:
        raise DataError(
            f"thumbnail of {one.image!r} of {one.set!r}: expected PNG or JPEG: {error}"
        ) from error


def _caption(one: Fooling, threshold: float) -> Text:
    accepted = "accepted" if one.score >= threshold else "rejected"
    pieces: tuple[Piece, ...] = (
        strong(short(one.predicted)),
        f", score {score(one.score)} ({accepted}); ",
        code(_end_of(one.image)),
        " of ",
        code(short(one.set)),
    )
    return pieces


def _end_of(path: str) -> str:
    """The end of a name, which tells files of one folder apart; the table has all of it."""
    return path if len(path) <= SHORT else f"…{path[1 - SHORT :]}"


def _table(found: Iterable[Fooling], threshold: float) -> Table:
    columns = (
        Column("Image", "text"),
        Column("Set", "text"),
        Column("Taken for", "text"),
        Column("Score", better="lower"),
        Column("At the threshold", "text"),
    )
    rows = tuple(
        Row(
            (
                one.image,
                one.set,
                one.predicted,
                score(one.score),
                "accepted" if one.score >= threshold else "rejected",
            )
        )
        for one in found
    )
    return Table(columns, rows, "fooling-table")
