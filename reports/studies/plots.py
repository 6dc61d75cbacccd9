"""What the plots of all studies share: which cells a figure is of, and how rows and inits look.

This module must not know what a study measures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from matplotlib.figure import Figure

from benchmark.spec.leaderboard import Track
from benchmark.studies.settings import StudySettings
from reports.plots.figures import COLOURS, DASHES, WIDTH, draw_mean, finish, house_style, legend_above
from reports.select import Counted
from reports.site.sections import Plot
from reports.studies.select import Studied

PERCENT = 100
MARKERS = "osD^v"
S = TypeVar("S", bound=StudySettings)
Lines = Mapping[tuple[str, str], Sequence[Studied]]  # row and init → its seeds


def on_track(track: Track, study: str, kind: type[S]) -> S | None:
    """What a full run of a track measures of a study; None where it has no such study."""
    known = track.studies.chosen(full=True).get(study)
    return known if isinstance(known, kind) else None


def of_backbones(
    name: str, track: Track, study: str, kind: type[S], counted: Counted
) -> Iterator[tuple[str, S, Lines]]:
    """Each backbone of a track that a study has records of, with the seeds of each row and init."""
    known = on_track(track, study, kind)
    if known is None:
        return
    cells = counted.of_study(study)
    for backbone in known.backbones or track.backbones:
        lines: dict[tuple[str, str], list[Studied]] = {}
        for cell, found in cells.items():
            if (cell.track, cell.backbone) == (name, backbone) and isinstance(found, Studied):
                lines.setdefault((cell.entry, cell.init), []).append(found)
        if lines:
            yield backbone, known, lines


def has_records(name: str, study: str, counted: Counted) -> bool:
    """Whether a track has a record of a study that counts."""
    return any(cell.track == name for cell in counted.of_study(study))


def inits_in(study: StudySettings, lines: Iterable[tuple[str, str]]) -> list[str]:
    """The inits of some lines, in the order of the study."""
    used = {init for _, init in lines}
    return [init for init in study.all_inits if init in used]


def row_style(study: StudySettings, row: str) -> dict[str, Any]:
    """Colour and dashes of a row where every init has a panel of its own."""
    place = study.rows.index(row)
    turn, position = divmod(place, len(COLOURS))
    return {"color": COLOURS[position], "linestyle": DASHES[turn % len(DASHES)]}


def line_style_of(study: StudySettings, row: str, init: str) -> dict[str, Any]:
    """Colour by row and dashes by init, where both share a panel."""
    dashes = DASHES[study.all_inits.index(init) % len(DASHES)]
    return {"color": COLOURS[study.rows.index(row) % len(COLOURS)], "linestyle": dashes}


def errors_by_init(
    study: StudySettings,
    lines: Lines,
    rows: Sequence[str],
    errors: Callable[[Studied, str], Mapping[float, float]],
    label: str,
    file: str,
    title: str,
) -> list[Plot]:
    """Curves of errors in percent: a row of panels for each of `rows`, a column for each init.

    `errors` gives those of one seed. Seeds that have none are left out; a curve is over what the others have
    in common.
    """
    drawn: dict[str, dict[tuple[str, str], tuple[list[float], list[list[float]]]]] = {}
    for shown in rows:
        for key, found in lines.items():
            by_seed = [one for one in (errors(item, shown) for item in found) if one]
            x = sorted(set.intersection(*map(set, by_seed))) if by_seed else []
            if x:
                curves = [[PERCENT * one[value] for value in x] for one in by_seed]
                drawn.setdefault(shown, {})[key] = x, curves
    if not drawn:
        return []
    inits = inits_in(study, lines)
    spoken = []
    with house_style():
        figure = Figure(figsize=(WIDTH, 0.9 + 2.1 * len(drawn)), layout="constrained")
        axes = figure.subplots(len(drawn), len(inits), sharex=True, sharey=True, squeeze=False)
        for r, (shown, of) in enumerate(drawn.items()):
            for (row, init), (x, curves) in of.items():
                axis, style = axes[r, inits.index(init)], row_style(study, row)
                means = draw_mean(axis, x, curves, words(row), style)
                at = ", ".join(f"{m:.1f} at {value:g}" for value, m in zip(x, means, strict=True))
                spoken.append(f"{shown}, {row} from {init} ({len(curves)}): {at}")
            axes[r, 0].set_ylabel("error (%)")
            for c, init in enumerate(inits):
                axes[r, c].set_title(f"{words(shown)}, {init}")
        for axis in axes[-1]:
            axis.set_xlabel(label)
        legend_above(figure, list(axes.ravel()), 4)
        alt = (
            f"{title}: mean over seeds, their number in brackets, with 95 % t intervals as bands. "
            f"{'; '.join(spoken)}."
        )
        return [finish(figure, file, title, alt)]


def words(name: str) -> str:
    """A name as words."""
    return name.replace("_", " ")
