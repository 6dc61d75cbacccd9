"""`oodbench.evaluate`: an evaluation that can be reported."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec

from PIL import Image

from benchmark.evaluation.evaluate import Evaluation
from benchmark.evaluation.evaluate import evaluate as evaluated
from reports.evaluation.report import write_report

DETECTOR = "detector"  # folder of a report that holds what `load_guard` takes
THUMBNAIL = 128  # pixels of the longer side
P = ParamSpec("P")


class Reported(Evaluation):
    """What `oodbench.evaluate` answers; `report` writes it down."""

    def report(self, folder: str | Path) -> Path:
        """Write pages, numbers and the detector below a folder; the page to open.

        Raises
        ------
        StorageError
            If the folder cannot be written.
        """
        folder = Path(folder)
        pictures = {(one.set, one.image): self.picture(one.set, one.image) for one in self.outcome.fooling}
        thumbnails = {of: _thumbnail(picture) for of, picture in pictures.items() if picture is not None}
        write_report(self.outcome, folder, thumbnails, self.scored())
        self.save(folder / DETECTOR)
        return folder / "index.html"


def _reported(work: Callable[P, Evaluation]) -> Callable[P, Reported]:
    @functools.wraps(work)
    def evaluate(*args: P.args, **kwargs: P.kwargs) -> Reported:
        found = work(*args, **kwargs)
        return Reported(found.answer, found.subject, found.pictures)

    return evaluate


evaluate = _reported(evaluated)


def _thumbnail(picture: Image.Image) -> bytes:
    small = picture.convert("RGB")
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    out = io.BytesIO()
    small.save(out, format="PNG")
    return out.getvalue()
