"""Plots of the study `imbalance`: test errors of ways to train on long tails.

This module must not know how a figure looks or where it is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from benchmark.spec.leaderboard import Track
from benchmark.studies.imbalance.settings import Imbalance
from reports.plots.figures import (
    COLOURS,
    WIDTH,
    draw_interval,
    file_name,
    finish,
    house_style,
    legend_above,
)
from reports.plots.sections import PlotSection
from reports.select import Counted
from reports.site.sections import Plot
from reports.studies.plots import MARKERS, PERCENT, Lines, errors_by_init, inits_in, of_backbones, words
from reports.studies.select import Studied

PARTS = "total", "minority"  # errors under imbalance


def _remarks(name: str, track: Track, counted: Counted) -> list[str]:
    """What means are over."""
    over = counted.studies.over.get((name, "imbalance"))
    if not isinstance(over, Imbalance):
        return []
    return [f"{track.title}: means are over the long tails {', '.join(over.profiles)}."]


def imbalance_plots(name: str, track: Track, counted: Counted) -> list[Plot]:
    """Total and minority error of each way to train: by profile, and over the number that shapes one."""
    plots: list[Plot] = []
    for backbone, study, lines in of_backbones(name, track, "imbalance", Imbalance, counted):
        shaped = _shapes(lines)
        alone = [
            profile
            for profile in study.profiles
            if not any(profile in values for values in shaped.values())
            and any(profile in f.records for found in lines.values() for f in found)
        ]
        if alone:
            plots.append(_profiles(name, backbone, study, lines, alone))
        for key, values in shaped.items():
            plots += _tails(name, backbone, study, lines, key, values)
    return plots


def _shapes(lines: Lines) -> dict[tuple[str, str], dict[str, float]]:
    """Method and hyper-parameter → profile → value, of three profiles or more that differ in it alone."""
    methods: dict[str, dict[str, Mapping[str, Any]]] = {}
    for found in lines.values():
        for item in found:
            for profile, record in item.records.items():
                trained = record.training
                done = ((trained and trained.training_set) or {})["profile"]
                methods.setdefault(done["method"], {})[profile] = done["hyperparameters"]
    shapes = {}
    for method, given in methods.items():
        for key in next(iter(given.values())):
            at = {p: float(v[key]) for p, v in given.items() if isinstance(v.get(key), int | float)}
            others = [{k: v for k, v in numbers.items() if k != key} for numbers in given.values()]
            same = len(at) == len(given) and all(other == others[0] for other in others)
            if same and len(set(at.values())) > 2:
                shapes[method, key] = dict(sorted(at.items(), key=lambda item: item[1]))
    return shapes


def _profiles(name: str, backbone: str, study: Imbalance, lines: Lines, profiles: Sequence[str]) -> Plot:
    """A row of panels for each profile, inits side by side."""
    inits, methods = inits_in(study, lines), list(dict.fromkeys(row for row, _ in lines))
    title = f"{backbone}: errors on a balanced test set after training on a long tail"
    spoken = []
    with house_style():
        high = 0.5 + 0.3 * len(methods)
        figure = Figure(figsize=(WIDTH, 0.8 + high * len(profiles)), layout="constrained")
        axes = figure.subplots(len(profiles), 2, sharex=True, sharey=True, squeeze=False)
        for r, profile in enumerate(profiles):
            for c, part in enumerate(PARTS):
                axis = axes[r, c]
                for (row, init), found in lines.items():
                    metric = f"{profile}.{part}.error"
                    values = [PERCENT * f.numbers[metric] for f in found if metric in f.numbers]
                    if values:
                        i = inits.index(init)
                        y = methods.index(row) + 0.28 * (i - (len(inits) - 1) / 2)
                        style = {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)]}
                        mean = draw_interval(axis, y, values, init, style)
                        spoken.append(f"{profile}, {part}, {row} from {init}: {mean:.1f}")
                axis.set_title(f"{words(profile)}: {part} error")
            axes[r, 0].set_yticks(range(len(methods)), [words(method) for method in methods])
            axes[r, 0].set_ylim(len(methods) - 0.5, -0.5)
        for axis in axes[-1]:
            axis.set_xlabel("error (%)")
        legend_above(figure, list(axes.ravel()), 4)
        alt = f"{title}, in percent: mean over seeds with 95 % t intervals. {'; '.join(spoken)}."
        return finish(figure, file_name("imbalance", name, backbone), title, alt)


def _tails(
    name: str,
    backbone: str,
    study: Imbalance,
    lines: Lines,
    shape: tuple[str, str],
    values: Mapping[str, float],
) -> list[Plot]:
    """A row of panels for each error, over the number that shapes a tail."""

    def errors(found: Studied, part: str) -> dict[float, float]:
        names = {f"{profile}.{part}.error": value for profile, value in values.items()}
        return {x: found.numbers[metric] for metric, x in names.items() if metric in found.numbers}

    method, number = shape
    title = f"{backbone}: total and minority error against {number} of the {method} tail"
    file = file_name("imbalance", name, backbone, method)
    return errors_by_init(study, lines, PARTS, errors, number, file, title)


SECTION = PlotSection(
    "imbalance",
    "Class imbalance",
    "Error on a balanced test set after training on a long tail: over all classes, and over those with fewer "
    "images than the mean.",
    imbalance_plots,
    _remarks,
)
