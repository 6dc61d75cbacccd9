"""Plots of the study `label_noise`: test error over the strength of the noise, and over epochs.

This module must not know how a figure looks or where it is shown.
"""

from __future__ import annotations

import re

from benchmark.spec.leaderboard import Track
from benchmark.studies.label_noise.settings import LabelNoise
from reports.plots.figures import draw_mean, file_name, finish, house_style, legend_above, panel_grid
from reports.plots.sections import PlotSection
from reports.select import Counted
from reports.site.sections import Plot
from reports.studies.label_noise.numbers import parse_noise
from reports.studies.plots import PERCENT, Lines, errors_by_init, line_style_of, of_backbones, words
from reports.studies.select import Studied


def _remarks(name: str, track: Track, counted: Counted) -> list[str]:
    """What areas and means are over: noises and their strengths."""
    over = counted.studies.over.get((name, "label_noise"))
    if not isinstance(over, LabelNoise):
        return []
    strengths = ", ".join(f"{p:g}" for p in over.strengths)
    return [f"{track.title}: areas and means are over {', '.join(over.noises)} at strengths {strengths}."]


def noise_plots(name: str, track: Track, counted: Counted) -> list[Plot]:
    """Error against the strength of each noise, and test error over epochs, for each backbone."""
    plots: list[Plot] = []
    for backbone, study, lines in of_backbones(name, track, "label_noise", LabelNoise, counted):
        plots += _strengths(name, backbone, study, lines)
        plots += _epochs(name, backbone, study, lines)
    return plots


def _strengths(name: str, backbone: str, study: LabelNoise, lines: Lines) -> list[Plot]:
    """A row of panels for each noise, over its strength."""
    title = f"{backbone}: test error against the strength of label noise"
    file = file_name("label_noise", name, backbone, "strength")
    return errors_by_init(study, lines, [*study.noises], _errors, "strength", file, title)


def _errors(found: Studied, noise: str) -> dict[float, float]:
    """Error of one seed by strength."""
    parsed = {parse_noise(condition): record for condition, record in found.records.items()}
    return {key[1]: r.numbers["test.error"] for key, r in parsed.items() if key and key[0] == noise}


def _epochs(name: str, backbone: str, study: LabelNoise, lines: Lines) -> list[Plot]:
    """Test error after each epoch, a panel for each condition that is watched."""
    watched: dict[str, dict[tuple[str, str], list[list[float]]]] = {}
    for key, found in lines.items():
        for item in found:
            for condition, record in item.records.items():
                if curve := record.series.get("test_error"):
                    watched.setdefault(condition, {}).setdefault(key, []).append([PERCENT * e for e in curve])
    if not watched:
        return []
    title = f"{backbone}: test error over the epochs of training on noisy labels"
    spoken = []
    with house_style():
        figure, axes = panel_grid(len(watched), 3, 2.1)
        for axis, condition in zip(axes, sorted(watched, key=_natural), strict=True):
            for (row, init), curves in watched[condition].items():
                epochs = min(map(len, curves))
                x = [float(epoch) for epoch in range(1, epochs + 1)]
                label, style = f"{words(row)}, {init}", line_style_of(study, row, init)
                means = draw_mean(axis, x, [c[:epochs] for c in curves], label, style)
                spoken.append(
                    f"{condition}, {row} from {init}: at least {min(means):.1f}, in the end {means[-1]:.1f}"
                )
            axis.set(title=condition.replace("@", " noise, strength "), xlabel="epoch", ylim=(0, None))
        axes[0].set_ylabel("error (%)")
        legend_above(figure, axes, 3)
        alt = (
            f"{title}, for curves only: mean over seeds with 95 % t intervals as bands. {'; '.join(spoken)}."
        )
        return [finish(figure, file_name("label_noise", name, backbone, "epochs"), title, alt)]


def _natural(condition: str) -> tuple[str, float]:
    return parse_noise(condition) or (re.sub(r"@.*", "", condition), 0.0)


SECTION = PlotSection(
    "label_noise",
    "Label noise",
    "Error on test images with right labels after training on wrong ones. Strength 0 is no noise; what "
    "strength 1 means depends on the noise.",
    noise_plots,
    _remarks,
)
