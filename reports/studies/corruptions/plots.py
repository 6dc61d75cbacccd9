"""Plots of the study `corruptions`: accuracy, calibration and near AUROC against severity.

This module must not know how a figure looks or where it is shown.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from benchmark.spec.leaderboard import Track
from benchmark.studies.corruptions.settings import CORRUPTIONS, Corruptions
from benchmark.studies.detection.measurement import SEVERITIES
from reports.plots.figures import draw_mean, file_name, finish, house_style, legend_above, panel_grid
from reports.plots.sections import PlotSection
from reports.select import Counted
from reports.site.sections import Plot
from reports.studies.plots import PERCENT, Lines, has_records, line_style_of, of_backbones, on_track, words
from reports.studies.select import Studied

FIFTEEN = (*CORRUPTIONS, "frost")  # Hendrycks & Dietterich 2019


def corruption_plots(name: str, track: Track, counted: Counted) -> list[Plot]:
    """Means over the types, and then a panel for each type, for each backbone."""
    plots: list[Plot] = []
    for backbone, study, lines in of_backbones(name, track, "corruptions", Corruptions, counted):
        measures = {"accuracy": "accuracy (%)", "ece": "ECE (%)"}
        measures |= {f"{d}.near_auroc": f"near AUROC of {d} (%)" for d in study.detectors}
        drawn = {
            measure: label
            for measure, label in measures.items()
            if any(_seeds(found, study.kinds, measure) for found in lines.values())
        }
        plots.append(_means(name, backbone, study, lines, drawn))
        plots += [_by_type(name, backbone, study, lines, *measure) for measure in drawn.items()]
    return plots


def corruption_remarks(name: str, track: Track, counted: Counted) -> list[str]:
    """Which types there were."""
    measured = has_records(name, "corruptions", counted)
    return [f"{track.title}: {types_sentence(track)}."] if measured else []


def types_sentence(track: Track) -> str:
    """How many of the published corruption types a track has; nothing where it has no such study."""
    study = on_track(track, "corruptions", Corruptions)
    if study is None:
        return ""
    absent = [words(kind) for kind in FIFTEEN if kind not in study.kinds]
    without = f"; without {', '.join(absent)}" if absent else ""
    constants = {"cifar_c": "32 × 32 (CIFAR-10-C)", "imagenet_c": "224 × 224 (ImageNet-C)"}[study.scale]
    return (
        f"{len(study.kinds)} of the {len(FIFTEEN)} types of Hendrycks & Dietterich 2019{without}; severity "
        f"constants for images of {constants}"
    )


def _means(name: str, backbone: str, study: Corruptions, lines: Lines, measures: dict[str, str]) -> Plot:
    title = f"{backbone}: mean over the {len(study.kinds)} corruption types"
    spoken = []
    with house_style():
        figure, axes = panel_grid(len(measures), 2, 2.1)
        for axis, (measure, label) in zip(axes, measures.items(), strict=True):
            ends = _draw(axis, study, lines, study.kinds, measure)
            axis.set(title=label, xticks=list(SEVERITIES))
            spoken.append(f"{label}: {', '.join(ends)}")
        for axis in axes[-2:]:
            axis.set_xlabel("severity")
        legend_above(figure, axes, 3)
        return finish(figure, file_name("corruptions", name, backbone, "mean"), title, _alt(title, spoken))


def _by_type(name: str, backbone: str, study: Corruptions, lines: Lines, measure: str, label: str) -> Plot:
    title = f"{backbone}: {label.removesuffix(' (%)')} under each corruption type"
    spoken = []
    with house_style():
        figure, axes = panel_grid(len(study.kinds), 5, 1.35)
        low, high = [], []
        for axis, kind in zip(axes, study.kinds, strict=True):
            ends = _draw(axis, study, lines, [kind], measure)
            axis.set_title(words(kind), fontsize=8)
            axis.set_xticks(list(SEVERITIES))
            low.append(axis.get_ylim()[0])
            high.append(axis.get_ylim()[1])
            spoken.append(f"{kind}: {', '.join(ends)}")
        for i, axis in enumerate(axes):
            axis.set_ylim(min(low), max(high))
            axis.tick_params(labelsize=7, labelleft=i % 5 == 0)
        figure.supxlabel("severity", fontsize=9)
        figure.supylabel(label, fontsize=9)
        legend_above(figure, axes, 3)
        file = file_name("corruptions", name, backbone, measure.replace(".", "_"))
        return finish(figure, file, title, _alt(title, spoken))


def _alt(title: str, spoken: Sequence[str]) -> str:
    return (
        f"{title}, against severity; 0 is uncorrupted. Mean over seeds with 95 % t intervals as bands. "
        f"From severity 0 to {SEVERITIES[-1]}: {'; '.join(spoken)}."
    )


def _draw(axis: Axes, study: Corruptions, lines: Lines, kinds: Sequence[str], measure: str) -> list[str]:
    """A line for each network, mean over types; says its ends."""
    ends = []
    for (row, init), found in lines.items():
        by_seed = _seeds(found, kinds, measure)
        if by_seed:
            label = f"{words(row)}, {init}"
            means = draw_mean(axis, list(SEVERITIES), by_seed, label, line_style_of(study, row, init))
            ends.append(f"{row} from {init} {means[0]:.1f} to {means[-1]:.1f}")
    return ends


def _seeds(found: Sequence[Studied], kinds: Sequence[str], measure: str) -> list[list[float]]:
    """Of each seed the mean over types at each severity, in percent; only seeds that have all types."""
    series = [[f.records[""].series.get(f"{kind}.{measure}", []) for kind in kinds] for f in found]
    return [
        [float(value) for value in PERCENT * np.mean(curves, axis=0)]
        for curves in series
        if all(len(curve) == len(SEVERITIES) for curve in curves)
    ]


SECTION = PlotSection(
    "corruptions",
    "Corruptions",
    "ID test images under corruptions of rising severity; 0 is uncorrupted. The near OOD images are not "
    "corrupted. The images are made here by published constants; they do not compare with published sets of "
    "corrupted images.",
    corruption_plots,
    corruption_remarks,
)
