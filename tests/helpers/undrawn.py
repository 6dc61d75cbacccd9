"""Plots without a picture, where tests are about tables and pages: drawing takes nearly all of the time."""

import pytest
from matplotlib.backends.backend_svg import FigureCanvasSVG


def blank(canvas: FigureCanvasSVG, file, **options) -> None:
    """Stands in for `FigureCanvasSVG.print_svg`."""
    file.write('<svg xmlns="http://www.w3.org/2000/svg"/>')


def draw_nothing(patch: pytest.MonkeyPatch) -> None:
    """From now on figures are blank."""
    patch.setattr(FigureCanvasSVG, "print_svg", blank)
