"""What an evaluation leaves: one folder that opens from a disk, without a network, and needs nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmark.evaluation.outcome import Outcome, ScoredImage
from benchmark.store.files import write_changed
from reports.evaluation.fooling import FOLDER, Thumbnails
from reports.evaluation.page import page_of
from reports.evaluation.scores import write_scores
from reports.evaluation.words import readable
from reports.site.html import html_of
from reports.site.markdown import markdown_of
from reports.site.sections import pictures_of, plots_of

HTML, MARKDOWN, JSON, SCORES = "index.html", "report.md", "report.json", "scores.csv"
_FIGURE = re.compile(
    r"scores-\d+\.(svg|csv)|(corrupted|costs|reliability(-scaled)?|risk-coverage)\.(svg|csv)"
)
_PICTURE = re.compile(r"\d{2}\.(png|jpg)")


def write_report(
    outcome: Outcome, folder: Path, thumbnails: Thumbnails, scores: Iterable[ScoredImage]
) -> list[Path]:
    """Write the pages, figures, pictures and numbers of an evaluation; equal input gives equal bytes.

    `index.html` and `report.md` are the page, `report.json` is the outcome, `scores.csv` has a row an image.
    What an earlier report left that this one does not have is deleted; files of others stay.

    Parameters
    ----------
    folder : is made if it is not there.
    thumbnails : small PNG or JPEG files by set and image; those of `Outcome.fooling` are shown.
    scores : of each image, read once and written as they come.

    Returns
    -------
    The files written.

    Raises
    ------
    DataError
        If a thumbnail is neither PNG nor JPEG.
    StorageError
        If the folder cannot be written.
    """
    pictures = [thumbnails.get((one.set, one.image)) for one in outcome.fooling]
    page = page_of(readable(outcome), pictures)
    files: dict[str, str | bytes] = {
        JSON: json_of(outcome),
        MARKDOWN: markdown_of(page),
        HTML: html_of(page),
    }
    for plot in plots_of(page.sections):
        files |= {f"plots/{plot.file}": plot.svg, plot.data_file: plot.data}
    files |= {picture.file: picture.data for picture in pictures_of(page)}
    write_scores(folder / SCORES, scores)
    for path in _of_before(folder):
        if path.relative_to(folder).as_posix() not in files:
            path.unlink()
    for name, content in files.items():
        write_changed(folder / name, content)
    return [*(folder / name for name in files), folder / SCORES]


def _of_before(folder: Path) -> Iterator[Path]:
    """The figures and pictures of an earlier report, of which this one may have fewer."""
    for below, name in (("plots", _FIGURE), (FOLDER, _PICTURE)):
        yield from (path for path in (folder / below).glob("*") if name.fullmatch(path.name))


def json_of(outcome: Outcome) -> str:
    """An outcome as JSON, in one way whatever the order of its mappings."""
    content = outcome.model_dump(mode="json")
    return json.dumps(content, sort_keys=True, indent=1, allow_nan=False) + "\n"
